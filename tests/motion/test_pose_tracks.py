"""The file format of pose tracks: what goes in comes out, and nothing else is believed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from stylefacev_cli.errors import IntegrityError, StyleFaceVError, UsageError
from stylefacev_cli.motion import pose_tracks
from stylefacev_cli.motion.pose_tracks import PoseTrack, read_track, write_track
from stylefacev_cli.weights.manifest import read_manifest

POSES = np.random.default_rng(0).random((5, 1, 8, 8)).astype(np.float32)
ABOUT: dict[str, Any] = {
    "format": 1, "fps": 25.0, "pose_space": "a" * 64, "loops": False, "origin": {}
}  # fmt: skip


def test_there_and_back(tmp_path: Path) -> None:
    points = np.zeros((5, 14, 2), np.float32)
    track = PoseTrack(POSES, 29.97, "a" * 64, points, True, {"file": "ä.mp4"})
    write_track(tmp_path / "deep/a.safetensors", track)
    write_track(tmp_path / "b.safetensors", track)
    again = read_track(tmp_path / "deep/a.safetensors")
    assert np.array_equal(again.poses, POSES) and np.array_equal(again.key_points, points)
    assert (again.fps, again.loops, again.origin) == (29.97, True, {"file": "ä.mp4"})
    assert (tmp_path / "b.safetensors").read_bytes() == (
        tmp_path / "deep/a.safetensors"
    ).read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b.safetensors", "deep"]


def wrong_tensors() -> dict[str, dict[str, np.ndarray]]:
    infinite, huge = POSES.copy(), POSES.copy()
    infinite[2, 0, 3, 3], huge[0] = np.nan, 1e9
    return {
        "shape": {"poses": POSES[:, 0]},
        "no frames": {"poses": POSES[:0]},
        "type": {"poses": POSES.astype(np.float64)},
        "not finite": {"poses": infinite},
        "huge": {"poses": huge},
        "name": {"pose": POSES},
        "more": {"poses": POSES, "other": POSES},
        "lengths": {"poses": POSES, "key_points": np.zeros((4, 14, 2), np.float32)},
        "scalar": {"poses": np.array(1, np.float32)},
    }


@pytest.mark.parametrize("name", wrong_tensors())
def test_wrong_tensors(tmp_path: Path, name: str) -> None:
    path = tmp_path / "t.safetensors"
    save_file(wrong_tensors()[name], path, metadata={"stylefacev_track": json.dumps(ABOUT)})
    with pytest.raises(IntegrityError) as told:
        read_track(path)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    "about",
    [
        None, "{", "[]", "9" * 5000, "[" * 100_000,
        json.dumps(ABOUT)[:-1] + ', "origin": {"x": ' + "[" * 200 + "]" * 200 + "}}",
        *(
            json.dumps(ABOUT | change)
            for change in (
                {"format": 2}, {"fps": 0}, {"fps": True}, {"fps": "25"}, {"fps": float("nan")},
                {"fps": 1e9}, {"fps": 1e-320}, {"pose_space": 3}, {"loops": 1}, {"origin": []},
            )
        ),
    ],
    ids=lambda text: str(text)[-30:],
)  # fmt: skip
def test_wrong_descriptions(tmp_path: Path, about: str | None) -> None:
    path = tmp_path / "t.safetensors"
    save_file({"poses": POSES}, path, metadata=about and {"stylefacev_track": about})
    with pytest.raises(IntegrityError):
        read_track(path)


def test_wrong_files(tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "t.safetensors"
    with pytest.raises(UsageError, match="no such pose track"):
        read_track(path)
    write_track(path, PoseTrack(POSES, 25.0, "a" * 64))
    with pytest.raises(UsageError, match="another pose extractor"):
        read_track(path, read_manifest(tiny_model))
    data = path.read_bytes()
    for cut in (0, 3, 20, len(data) - 7):
        path.write_bytes(data[:cut])
        with pytest.raises(StyleFaceVError):
            read_track(path)
    path.write_bytes(data)
    monkeypatch.setattr(pose_tracks, "_MAX_BYTES", 100)
    with pytest.raises(IntegrityError, match="more than any file of its kind"):
        read_track(path)
    monkeypatch.undo()
    monkeypatch.setattr(pose_tracks, "MAX_TRACK_FRAMES", 4)
    with pytest.raises(IntegrityError, match="5 poses"):
        read_track(path)


def test_pose_space_is_that_of_detector_and_extractor(tiny_model: Path) -> None:
    tiny, default = read_manifest(tiny_model), read_manifest("default-64")
    assert tiny.pose_space and default.pose_space and tiny.pose_space != default.pose_space
