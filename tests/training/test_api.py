from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from discs import DISCS
from notes import Notes

from stylefacev_cli.datasets.clips import ClipSet
from stylefacev_cli.errors import DataError, UsageError
from stylefacev_cli.faces.dataset import RenderSettings, render_set
from stylefacev_cli.training.api import train
from stylefacev_cli.training.batches.reading import load_frames


def test_one_stage_from_python(clip_folder: Path, tmp_path: Path) -> None:
    notes, settings = Notes(), {"generator.architecture.z_dim": 12, "finish": None}
    options = {"stage": "generator", "device": "cpu", "threads": 1, "listener": notes}
    result = train("tiny", clip_folder, tmp_path, settings=settings, until_images=8, **options)
    assert (result.reason, result.step, result.run, result.bundle) == ("images", 1, tmp_path, None)
    result = train("tiny", [clip_folder], tmp_path, settings=settings, **options)
    assert (result.reason, result.step) == ("done", 6)
    assert "generator: resumed from step 1" in notes.lines
    assert any(line.startswith("no model yet: it lacks") for line in notes.lines)
    with pytest.raises(TypeError, match="no option 'stages'"):
        train("tiny", stages="all")
    with pytest.raises(UsageError, match="no stage 'poses'"):
        train("tiny", clip_folder, tmp_path, settings=DISCS, stage="poses")


def test_a_dry_run_from_python(clip_folder: Path, tmp_path: Path) -> None:
    result = train(
        "tiny", clip_folder, tmp_path / "run", settings=DISCS, dry_run=True, stage="pose",
        device="cpu",
    )  # fmt: skip
    assert [cost.name for cost in result.costs] == ["pose"] and result.bundle is None
    assert not (tmp_path / "run").exists()


def test_progress_is_counted_in_steps(clip_folder: Path, tmp_path: Path) -> None:
    seen: list[tuple[int, str]] = []

    class Bars(Notes):
        def progress(self, total: int, unit: str):  # type: ignore[no-untyped-def]
            seen.append((total, unit))
            return super().progress(total, unit)

    train("tiny", clip_folder, tmp_path, settings=DISCS, stage="generator", listener=Bars())
    assert seen == [(6, "steps")]


@pytest.mark.render
def test_tiny_trains_on_renders_as_they_are(studio: object, tmp_path: Path) -> None:
    folder = tmp_path / "faces"
    render_set(
        RenderSettings(num_identities=6, num_frames=12, size_px=40, look="procedural"), folder
    )
    notes = Notes()
    result = train("tiny", folder, tmp_path / "run", device="cpu", threads=1, listener=notes)
    assert result.reason == "done" and result.bundle is not None
    read = load_frames([folder], 16, 0, resize=True)
    clip = ClipSet(folder).clip(0)
    assert read.images.shape[1:] == (16, 16, 3) and read.factors.shape[1] == 256
    whole, small = clip.frames()[0].astype(float), read.images[0].astype(float)
    assert abs(whole.mean() - small.mean()) < 1
    assert np.array_equal(read.landmarks[: len(clip.frames())], clip.labels()["landmarks"])
    with pytest.raises(DataError, match="give --set resize_data=true"):
        train("tiny", folder, tmp_path / "other", settings=["resize_data=false"], device="cpu")
    with pytest.raises(DataError, match="is 40 px, the config says 64"):
        train("default-64", folder, tmp_path / "more", device="cpu")
