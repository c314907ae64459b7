"""Models of other kinds in `generate`: what they do, and what is refused by name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from other_kinds import install_toy, write_model

import stylefacev_cli as sf
from stylefacev_cli.common.options import option_fields
from stylefacev_cli.errors import UsageError
from stylefacev_cli.generation.requests import GenerateRequest


@pytest.fixture
def model(tmp_path: Path) -> Path:
    write_model(tmp_path / "m", "mocogan-hd", fps=10)
    return tmp_path / "m"


@pytest.mark.parametrize(
    ("options", "flag"),
    [
        ({"mix": "1:4-"}, "--mix"),
        ({"zoom": "1.1"}, "--zoom"),
        ({"stabilise": False}, "--no-stabilise"),
        ({"dtype": "bfloat16"}, "--dtype"),
        ({"batch": 2}, "--batch"),
        ({"track": "x.safetensors"}, "--track"),
        ({"save_track": "x", "out": "x.mp4"}, "--save-track"),
        ({"loop": True}, "--loop"),
        ({"from_": "a.png"}, "--from"),
        ({"interpolate": "1:2"}, "--interpolate"),
        ({"fps": 5, "resample": True}, "--resample"),
        ({"truncation": 0.5}, "--truncation"),
    ],
)
def test_options_that_a_kind_lacks(options: dict[str, object], flag: str, model: Path) -> None:
    with pytest.raises(UsageError, match=f"^{flag}: mocogan-hd is a model of the kind mocogan-hd"):
        sf.generate(model=model, **options)


def test_every_option_is_sorted() -> None:
    """A further option of `generate` has to be sorted into those of all kinds, or the others."""
    from stylefacev_cli.generation.requests.kind_options import _OF_OWN_NETWORKS

    of_all = {
        *("seeds", "frames", "seconds", "fps", "truncation", "motion_seeds", "grid"),
        *("model", "device", "threads", "out", "force", "skip_existing"),
        *("format", "lossless", "sheet_frames", "sheet_columns"),
    }
    names = {one.name for one in option_fields(GenerateRequest)}
    assert names == of_all | _OF_OWN_NETWORKS


def test_videos_of_another_kind(model: Path, tmp_path: Path) -> None:
    video = sf.generate(model=model, seeds="3", motion_seeds="5")
    frames = np.stack(list(video))
    assert frames.shape == (16, 16, 16, 3)  # as long as the paper's clips
    direct = sf.load_model(model).sample(3, 16, motion_seed=5)
    assert (frames == np.stack(list(direct))).all()
    grid = sf.generate(model=model, seeds="3-4", motion_seeds="5,6", grid=True, frames=2)
    assert next(iter(grid)).shape == (32, 32, 3)
    sheet = sf.generate(
        model=model, seeds="3", motion_seeds="5", frames=16, format="sheet", sheet_frames=2,
        out=str(tmp_path / "s.png"),
    )  # fmt: skip
    picture = next(iter(sheet))
    assert picture.shape == (16, 32, 3)
    assert (picture[:, :16] == frames[0]).all() and (picture[:, 16:] == frames[15]).all()


def test_truncation_of_a_kind_that_has_it(tmp_path: Path) -> None:
    write_model(tmp_path, "digan")
    one = sf.generate(model=tmp_path, seeds="1", motion_seeds="1", frames=2, truncation=0)
    other = sf.generate(model=tmp_path, seeds="2", motion_seeds="1", frames=2, truncation=0)
    assert (np.stack(list(one)) == np.stack(list(other))).all()


def test_a_plugin_in_generate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = install_toy(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    video = sf.generate(model=folder, seeds="1", frames=3, out=str(tmp_path / "v.npy"))
    assert np.load(tmp_path / "v.npy").shape == (3, 64, 64, 3)
    assert video.path == tmp_path / "v.npy"


@pytest.mark.parametrize(
    ("job", "call"),
    [
        ("invert", lambda model: sf.invert("a.png", model=model)),
        ("track", lambda model: sf.track("a.mp4", model=model)),
        ("reenact", lambda model: sf.reenact("3", "a.mp4", model=model)),
    ],
)
def test_jobs_that_need_people_and_poses(job: str, call: object, model: Path) -> None:
    for given in (model, sf.load_model(model)):
        with pytest.raises(UsageError, match=f"of the kind mocogan-hd: {job} needs one of"):
            call(given)  # type: ignore[operator]
