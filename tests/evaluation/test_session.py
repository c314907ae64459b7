"""Features of videos: from the store, and by several processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from stylefacev_cli.common.listener import LogListener
from stylefacev_cli.common.processes import Processes
from stylefacev_cli.datasets.videos import ClipRule, ItemRule, open_videos
from stylefacev_cli.errors import DataError, StyleFaceVWarning
from stylefacev_cli.evaluation.feature_store import features_folder
from stylefacev_cli.evaluation.session import EvalSession

NUM_VIDEOS = 9
SHORT, DAMAGED = 3, 5  # one of four frames, one that cannot be read


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Videos of twelve frames; the grey value says which video and frame it is."""
    for i in range(NUM_VIDEOS):
        place = tmp_path / "videos" / f"{i}"
        place.mkdir(parents=True)
        for k in range(4 if i == SHORT else 12):
            Image.new("RGB", (16, 16), (20 * i, 20 * k, 0)).save(place / f"{k:02}.png")
    (tmp_path / "videos" / str(DAMAGED) / "00.png").write_bytes(b"no picture")
    return tmp_path / "videos"


class Reader:
    """Stands for a network: the mean colour of a clip; counts what it has seen."""

    def __init__(self) -> None:
        self.seen = 0

    def __call__(self, clips: Iterator[Any]) -> Iterator[Any]:
        for clip in clips:
            self.seen += 1
            yield clip.reshape(-1, 3).mean(axis=0)


def gather(folder: Path, read: Reader, **changes: Any) -> Any:
    settings = {"count": 6, "rule": ItemRule(ClipRule(8)), "network": {"name": "mean"}, **changes}
    session = EvalSession(LogListener(), Processes(), skip_damaged=True)
    return session.gather(
        open_videos(folder), settings["rule"], settings["count"], read, settings["network"],
        label="x", unit="clips",
    )  # fmt: skip


def test_short_and_damaged_videos_are_made_up_for(folder: Path, home: Path) -> None:
    found = gather(folder, Reader())
    assert [round(row[0]) // 20 for row in found.rows] == [0, 1, 2, 4, 6, 7]
    assert [Path(name).name for name in found.videos] == ["0", "1", "2", "4", "6", "7"]
    assert found.too_short == 1 and [Path(name).name for name in found.damaged] == ["5"]
    everything = gather(folder, Reader(), count=100)
    assert len(everything.rows) == NUM_VIDEOS - 2


def test_features_are_computed_once(folder: Path, home: Path) -> None:
    read = Reader()
    first, again = gather(folder, read), gather(folder, read)
    assert read.seen == 6 and again.cached and not first.cached
    np.testing.assert_array_equal(first.rows, again.rows)
    assert (first.videos, first.damaged, first.too_short) == (
        again.videos, again.damaged, again.too_short,
    )  # fmt: skip


def test_features_of_a_folder_that_was_moved_have_its_names(folder: Path, home: Path) -> None:
    first = gather(folder, Reader())
    moved = folder.rename(folder.with_name("moved"))
    again = gather(moved, Reader())
    assert again.cached and np.array_equal(first.rows, again.rows)
    assert again.videos == [str(moved / Path(name).name) for name in first.videos]
    assert again.damaged == [str(moved / "5")]


@pytest.mark.parametrize(
    "change",
    [
        {"count": 5},
        {"rule": ItemRule(ClipRule(8), seed=1)},
        {"rule": ItemRule(ClipRule(4, 2))},
        {"network": {"name": "other"}},
    ],
)
def test_features_of_something_else_are_not_taken(
    folder: Path, home: Path, change: dict[str, Any]
) -> None:
    gather(folder, Reader())
    read = Reader()
    assert not gather(folder, read, **change).cached and read.seen


def test_changed_content_and_damaged_features_are_noticed(folder: Path, home: Path) -> None:
    gather(folder, Reader())
    (stored,) = features_folder().glob("*.safetensors")
    stored.write_bytes(stored.read_bytes()[:-7])
    with pytest.warns(StyleFaceVWarning, match="is damaged: they are computed anew"):
        assert not gather(folder, Reader()).cached
    Image.new("RGB", (16, 16), (200, 0, 0)).save(folder / "0" / "03.png")
    changed = gather(folder, Reader())
    assert not changed.cached and changed.rows[0, 0] > 20


def test_damage_is_an_error_unless_it_may_be_skipped(folder: Path, home: Path) -> None:
    session = EvalSession(LogListener(), Processes())
    with pytest.raises(DataError, match="00.png"):
        session.gather(
            open_videos(folder), ItemRule(ClipRule(8)), 6, Reader(), {}, label="x", unit="clips"
        )


def test_two_processes_find_what_one_finds(folder: Path, tiny_model: Path, home: Path) -> None:
    options = ["motion", "--fake", f"model:{tiny_model}?seeds=0-4", "--real", str(folder)]
    options += ["--fps", "12", "--frames", "8", "--clips", "6", "--detector", str(tiny_model)]
    options += ["--skip-damaged", "--no-cache", "--json"]

    def result(*launcher: str) -> dict[str, Any]:
        done = subprocess.run(
            [sys.executable, *launcher, "-m", "stylefacev_cli", "eval", *options],
            capture_output=True, text=True, check=True, timeout=240,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    alone = result()
    together = result("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    assert alone["sides"]["real"]["used"] == 6 and alone["sides"]["real"]["damaged"]
    assert together == alone
