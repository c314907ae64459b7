"""The scripts of `examples/` run and make what they say."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import pytest
from PIL import Image

from stylefacev_cli.video import read_frames

EXAMPLES = Path(__file__).parents[2] / "examples"


def run(name: str, *arguments: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", [name, *arguments])
    runpy.run_path(str(EXAMPLES / name), run_name="__main__")


def test_frames_become_a_picture(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture = tmp_path / "frames.png"
    run("sample_frames.py", str(picture), str(tiny_model), monkeypatch=monkeypatch)
    with Image.open(picture) as image:
        assert image.size == (8 * 16, 16)


def test_one_person_moves_in_four_ways(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    video = tmp_path / "motions.mp4"
    run("one_person_many_motions.py", str(video), str(tiny_model), monkeypatch=monkeypatch)
    frames = list(read_frames(video))
    assert len(frames) == 32
    assert frames[0].shape == (16, 64, 3)
    # One person, so the same first frame; then the motions part.
    assert abs(frames[0][:, :16].astype(int) - frames[0][:, 16:32]).mean() < 3
    assert abs(frames[-1][:, :16].astype(int) - frames[-1][:, 16:32]).max() > 0
