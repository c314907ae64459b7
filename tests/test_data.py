"""`sf.data`: the functions behind `stylefacev data`, called from Python."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stylefacev_cli import data
from stylefacev_cli.datasets.clips import ClipEntry, write_clip
from stylefacev_cli.datasets.requests import (
    FfhqRequest,
    ImagesRequest,
    Preparation,
    RavdessRequest,
    VideosRequest,
)
from stylefacev_cli.errors import DataError, UsageError
from stylefacev_cli.media import VideoSettings, video_writer
from stylefacev_cli.weights.api import Facts


def test_videos_that_are_cut_already(tmp_path: Path) -> None:
    footage = tmp_path / "footage" / "ann"
    footage.mkdir(parents=True)
    with video_writer(footage / "a.mp4", "mp4", VideoSettings(32, 32, 25.0)) as video:
        for level in range(0, 240, 20):
            video.write(np.full((32, 32, 3), level, np.uint8))
    report = data.prepare_videos(
        tmp_path / "footage", tmp_path / "set", size=32, keep_frames=True, min_frames=12,
        min_window=16, licence="CC0-1.0",
    )  # fmt: skip
    assert (report.num_clips, report.num_frames, report.skipped) == (1, 12, {})
    facts: Facts = data.inspect(tmp_path / "set", check=True, sheet=tmp_path / "sheet.png")
    assert facts["checked"] and facts["licence"] == "CC0-1.0" and facts["frames"] == 12
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.size == (8 * 128, 128)
    with pytest.raises(UsageError, match="exists"):
        data.inspect(tmp_path / "set", sheet=tmp_path / "sheet.png")
    with pytest.raises(UsageError, match="other settings"):
        data.prepare_videos(tmp_path / "footage", tmp_path / "set", size=64, keep_frames=True)


def test_what_contradicts_itself(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not both"):
        data.prepare_images(tmp_path, tmp_path / "set", val_permille=5, val_person="ann")
    with pytest.raises(DataError, match="no such folder"):
        data.prepare_ravdess(tmp_path / "nothing", tmp_path / "set")
    with pytest.raises(DataError, match="no such file"):
        data.prepare_ffhq(tmp_path, tmp_path / "set", landmarks=tmp_path / "x.json")
    with pytest.raises(UsageError, match="--size 8"):
        data.render(out=tmp_path / "set", size=8)


@pytest.mark.parametrize("kind", [RavdessRequest, VideosRequest, FfhqRequest, ImagesRequest])
def test_settings_that_manifests_record_are_those_of_0_1(kind: type) -> None:
    """Sets that were begun by version 0.1 go on only while these stay."""
    from stylefacev_cli.datasets.preparation import settings_of

    settings = settings_of(kind(common=Preparation(Path("a"), Path("b"), size_px=200)))
    assert settings.kind == kind.kind and settings.min_window_px == 100
    assert settings.person_from == ("file" if kind is FfhqRequest else "folder")
    assert (settings.margin, settings.min_frames, settings.max_frames) == (0.0, 60, 300)
    assert (settings.random_shift, settings.tries, settings.seed) == (0.1, 20, 0)
    assert (settings.val_permille, settings.val_people, settings.vocal) == (None, (), "both")


def test_an_image_set_is_looked_at(tmp_path: Path) -> None:
    entry = ClipEntry("a", "a.png", None, 1, 16, 0.0, 7, "still")
    write_clip(tmp_path, entry, np.zeros((1, 16, 16, 3), np.uint8), {})
    (tmp_path / "index.jsonl").write_text(entry.to_line())
    facts = data.inspect(tmp_path, poses=False)
    assert facts["identities"] == 1 and "head_pose" not in facts
