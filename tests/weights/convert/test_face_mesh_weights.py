"""The file of the face mesh: shipped whole; others are refused in one line."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from stylefacev_cli.common.hashing import sha256_of
from stylefacev_cli.errors import IntegrityError, MissingWeightsError
from stylefacev_cli.weights.convert import face_mesh_weights
from stylefacev_cli.weights.convert.face_mesh_weights import (
    SHA256,
    face_mesh_file,
    load_face_mesh,
    read_face_mesh,
)


def members() -> dict[str, bytes]:
    with zipfile.ZipFile(face_mesh_file()) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def write(path: Path, contents: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in contents.items():
            archive.writestr(name, content)
    return path


def test_the_file_is_the_published_one_with_its_licence() -> None:
    path = face_mesh_file()
    assert sha256_of(path) == SHA256 and path.stat().st_size == 3_758_596
    notice = (path.parent / "NOTICE").read_text(encoding="utf-8")
    assert SHA256 in notice and "The MediaPipe Authors" in notice
    assert "Apache License" in (path.parent / "LICENSE").read_text(encoding="utf-8")


def test_a_lost_or_damaged_file_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "face_landmarker.task"
    monkeypatch.setattr(face_mesh_weights, "face_mesh_file", lambda: path)
    with pytest.raises(MissingWeightsError, match="install the package again"):
        load_face_mesh()
    content = bytearray(face_mesh_file().read_bytes())
    content[1_000_000] ^= 1
    path.write_bytes(content)
    with pytest.raises(IntegrityError, match="damaged: install the package again"):
        load_face_mesh()


def test_files_of_other_networks_are_refused(tmp_path: Path) -> None:
    known = members()
    boxes, mesh = "face_detector.tflite", "face_landmarks_detector.tflite"
    without = {name: content for name, content in known.items() if name != mesh}
    for number, (contents, told) in enumerate(
        [
            (without, "lacks face_landmarks_detector.tflite"),
            ({**known, boxes: known[mesh]}, "constants, not"),
            ({**known, boxes: b"no network"}, "no whole TensorFlow Lite file"),
            ({**known, boxes: known[boxes][:100_000]}, "no whole TensorFlow Lite file"),
        ]
    ):
        path = write(tmp_path / f"{number}.task", contents)
        with pytest.raises(IntegrityError, match=told) as error:
            read_face_mesh(path)
        assert "\n" not in str(error.value)
    text = tmp_path / "text.task"
    text.write_text("hello")
    with pytest.raises(IntegrityError, match="no whole zip"):
        read_face_mesh(text)


def test_numbers_and_shapes_are_checked(tmp_path: Path) -> None:
    known = members()
    boxes = bytearray(known["face_detector.tflite"])
    # The first kernel's half floats follow each other: make one of them infinite.
    networks = read_face_mesh(face_mesh_file())
    kernel = networks.boxes.stem.weight.permute(0, 2, 3, 1).half().contiguous()
    at = boxes.find(kernel.numpy().tobytes())
    assert at > 0
    boxes[at : at + 2] = b"\x00\x7c"
    path = write(tmp_path / "a.task", {**known, "face_detector.tflite": bytes(boxes)})
    with pytest.raises(IntegrityError, match=r"stem\.weight holds numbers that are not finite"):
        read_face_mesh(path)
    # A stride of 2 becomes 1: options of the first convolution.
    other = known["face_detector.tflite"]
    changed = None
    for place in range(len(other) - 60_000, len(other) - 8):
        if other[place : place + 8] == b"\x02\0\0\0\x02\0\0\0":
            changed = other[:place] + b"\x01\0\0\0\x01\0\0\0" + other[place + 8 :]
            path = write(tmp_path / f"{place}.task", {**known, "face_detector.tflite": changed})
            try:
                read_face_mesh(path)
            except IntegrityError as error:
                assert "strides" in str(error) or "no whole" in str(error)
                break
    assert changed is not None
