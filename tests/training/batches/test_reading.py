"""Data that is larger than the memory: mapped from files, and the same to the last bit."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from discs import write_discs

from stylefacev_cli.datasets.clips import INDEX_NAME, MANIFEST_NAME, Clip, ClipEntry, write_clip
from stylefacev_cli.errors import DataError, StyleFaceVError
from stylefacev_cli.training.batches.clip_frames import CPU, Frames
from stylefacev_cli.training.batches.reading import Mapping, load_frames, rendering_of

ARRAYS = ("images", "factors", "landmarks", "key_points", "visible", "held_out", "starts", "moving")


def mapped(data: Path, folder: Path, from_bytes: int = 0) -> Frames:
    return load_frames([data], 16, 500, CPU, Mapping(folder, from_bytes))


def test_mapped_frames_are_those_in_memory(clip_folder: Path, tmp_path: Path) -> None:
    in_memory, from_files = load_frames([clip_folder], 16, 500), mapped(clip_folder, tmp_path)
    for name in ARRAYS:
        expected, found = getattr(in_memory, name), getattr(from_files, name)
        assert np.array_equal(expected, found, equal_nan=expected.dtype.kind == "f"), name
        assert expected.dtype == found.dtype
    assert from_files.fps == in_memory.fps
    rows = np.array([3, 0, 3])
    assert from_files.image_batch(rows).equal(in_memory.image_batch(rows))
    with pytest.raises(ValueError, match="read-only"):
        from_files.images[0] = 0
    size = sum(getattr(in_memory, name).nbytes for name in ARRAYS[:5])
    mapped(clip_folder, tmp_path / "small", size + 1)
    assert not (tmp_path / "small").exists()
    mapped(clip_folder, tmp_path / "small", size)
    assert (tmp_path / "small").exists()


def test_files_are_found_again_until_the_data_changes(
    clips: Frames, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, folder = write_discs(clips, tmp_path / "discs"), tmp_path / "frames"
    first = mapped(data, folder)
    (made,) = folder.iterdir()
    with monkeypatch.context() as patch:
        patch.setattr(Clip, "frames", lambda clip: pytest.fail("read again"))
        again = mapped(data, folder)
    assert np.array_equal(first.images, again.images)

    clip = next(path for path in sorted((data / "clips").glob("*.png")))
    os.utime(clip, ns=(1, 1))
    mapped(data, folder)
    (other,) = folder.iterdir()
    assert other != made
    assert np.array_equal(first.images, again.images)  # whoever has the old ones open keeps them


def test_memory_does_not_grow_with_the_data(tmp_path: Path) -> None:
    lines = []
    for number in range(30):  # 59 MB in all
        name = f"clips/{number}"
        entry = ClipEntry(name[6:], f"{name}.png", None, 40, 128, 25.0, number, "clip")
        write_clip(tmp_path, entry, np.full((40, 128, 128, 3), number, np.uint8), {})
        lines.append(entry.to_line())
    (tmp_path / INDEX_NAME).write_text("".join(lines))
    code = f"""
import resource, sys
from pathlib import Path
from typing import Any
from stylefacev_cli.training.batches.clip_frames import CPU
from stylefacev_cli.training.batches.reading import Mapping, load_frames, rendering_of
status = dict(line.split(":") for line in open("/proc/self/status"))
limit = 1024 * int(status["VmData"].split()[0]) + 20_000_000
resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
folder = Path({str(tmp_path)!r})
mapping = Mapping(folder / "frames", 0) if sys.argv[1] == "mapped" else None
print(load_frames([folder], 128, 0, CPU, mapping).images[::40, 0, 0, 0].tolist() == [*range(30)])
"""

    def run(how: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", code, how]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    found = run("mapped")
    assert found.stdout == "True\n", found.stderr
    assert "MemoryError" in run("memory").stderr


def test_hair_is_read_where_it_is_told(clips: Frames, tmp_path: Path) -> None:
    with_hair, without = tmp_path / "with", tmp_path / "without"
    labels = {"factors": clips.factors[:2], "landmarks": clips.landmarks[:2]}
    hair = np.arange(32, dtype=np.uint8).reshape(2, 4, 4)
    for folder, more in ((with_hair, {"hair": hair}), (without, {})):
        entry = ClipEntry("0", "clips/0.png", "clips/0.npz", 2, 16, 25.0, 0, "clip")
        write_clip(folder, entry, clips.images[:2], labels | more)
        (folder / INDEX_NAME).write_text(entry.to_line())
    assert load_frames([without], 16, 0).hair is None
    for mapping in (None, Mapping(tmp_path / "frames", 0)):
        frames = load_frames([without, with_hair], 16, 0, CPU, mapping)
        assert frames.hair is not None and frames.hair.dtype == np.uint8
        assert not frames.hair[:2].any() and np.array_equal(frames.hair[2:], hair)
        batch = frames.hair_batch(np.array([3]))
        assert batch is not None and batch.shape == (1, 1, 4, 4)
        assert batch.max() == pytest.approx(31 / 255)
    small = {"hair": hair[:, :2, :2]}
    write_clip(with_hair, entry, clips.images[:2], labels | small)
    with pytest.raises(DataError, match="the sets do not go together: hair"):
        load_frames([with_hair], 16, 0)


def test_the_digest_is_of_the_content(clip_folder: Path, clips: Frames, tmp_path: Path) -> None:
    shutil.copytree(clip_folder, tmp_path / "copy")
    first = load_frames([clip_folder], 16, 0).digest
    assert first and load_frames([tmp_path / "copy"], 16, 0).digest == first
    (tmp_path / "copy" / MANIFEST_NAME).write_text("settings: {seed: 2}")
    assert load_frames([tmp_path / "copy"], 16, 0).digest != first


def test_a_full_disk_and_sets_that_differ(
    clip_folder: Path, clips: Frames, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels = {"factors": np.zeros((2, 3), np.float32)}
    entry = ClipEntry("0", "clips/0.png", "clips/0.npz", 2, 16, 25.0, 0, "clip")
    write_clip(tmp_path / "other", entry, clips.images[:2], labels)
    (tmp_path / "other" / INDEX_NAME).write_text(entry.to_line())
    with pytest.raises(DataError, match="the sets do not go together: factors"):
        load_frames([clip_folder, tmp_path / "other"], 16, 0)

    def full(descriptor: int, start: int, size: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(StyleFaceVError, match="cannot write .*: No space left"):
        mapped(clip_folder, tmp_path / "frames")
    assert not list((tmp_path / "frames").iterdir())


RENDERED = {"recipe": 3, "settings": {"framing": "wide", "look": "procedural"}}
RECIPE_2 = {"recipe": 2, "settings": {"framing": "wide"}}
FOOTAGE = {"recipe": 3, "settings": {"kind": "videos", "look": "procedural"}}


@pytest.mark.parametrize(
    ("manifests", "expected"),
    [
        ([RENDERED], {"framing": "wide", "look": "procedural", "recipe": 3}),
        ([RENDERED, RENDERED], {"framing": "wide", "look": "procedural", "recipe": 3}),
        ([RECIPE_2], {"framing": "wide", "recipe": 2}),
        ([RENDERED, RECIPE_2], {"framing": "wide"}),
        ([RECIPE_2, RENDERED], {"framing": "wide"}),
        (
            [RENDERED, {"recipe": 3, "settings": {"framing": "wide", "look": "photographic"}}],
            {"framing": "wide", "recipe": 3},
        ),
        ([FOOTAGE], {}),  # its recipe counts something else
        ([RENDERED, FOOTAGE], {}),
        ([RENDERED, None], {}),
        ([None], {}),
        ([{"recipe": 3, "settings": "wide"}], {}),
    ],
)
def test_how_rendered_sets_were_made(
    manifests: list[dict[str, Any] | None], expected: dict[str, Any], tmp_path: Path
) -> None:
    folders = [tmp_path / str(i) for i in range(len(manifests))]
    entry = ClipEntry("0", "clips/0.png", "clips/0.npz", 2, 16, 25.0, 0, "clip")
    for folder, manifest in zip(folders, manifests, strict=True):
        folder.mkdir()
        (folder / INDEX_NAME).write_text(entry.to_line())
        if manifest is not None:
            (folder / MANIFEST_NAME).write_text(yaml.safe_dump(manifest))
    assert rendering_of(folders) == expected
