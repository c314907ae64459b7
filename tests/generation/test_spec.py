"""What stands in the JSON beside a video: every option that changes its frames."""

from __future__ import annotations

from typing import Any

import pytest

from stylefacev_cli.common.options import option_fields, request_from
from stylefacev_cli.errors import UsageError
from stylefacev_cli.generation.plan import plan_videos
from stylefacev_cli.generation.requests import GenerateRequest

pytestmark = pytest.mark.usefixtures("workplace")

CHANGED: dict[str, Any] = {
    "seeds": "3",
    "frames": 5,
    "seconds": 2.0,
    "fps": 10.0,
    "truncation": 0.5,
    "motion_seeds": ("7",),
    "stabilise": False,
    "grid": True,
    "interpolate": "1:2",
    "mix": ("5:2-",),
    "rotate": "5",
    "shift": "0.1,0",
    "zoom": "1.1",
    "smooth": 5,
    "motion_scale": 0.5,
    "scale": ("head=0",),
    "loop": True,
    "fade": 3,
    "dtype": "bfloat16",
    "format": "gif",
    "lossless": True,
    "sheet_frames": 2,
    "sheet_columns": 1,
}
WITH = {
    "fade": {"loop": True},
    "sheet_frames": {"format": "sheet"},
    "sheet_columns": {"format": "sheet"},
}
# Of what is computed how, not of what is seen; and files, which are told by name and hash (their
# tests: tests/cli/test_track.py, test_invert.py).
EXEMPT = {"resample", "track", "from_", "model", "device", "threads", "batch", "out", "save_track"}
EXEMPT |= {"force", "skip_existing"}


def about(**options: Any) -> dict[str, Any]:
    request = request_from(GenerateRequest, {"frames": 8, "out": "x", **options})
    return plan_videos(request).specs[0].about


def test_every_option_is_recorded_or_exempt() -> None:
    assert {one.name for one in option_fields(GenerateRequest)} == CHANGED.keys() | EXEMPT


@pytest.mark.parametrize("name", CHANGED)
def test_an_option_that_changes_frames_is_recorded(name: str, tiny_model: Any) -> None:
    base = {"model": str(tiny_model), **WITH.get(name, {})}
    options = {**base, name: CHANGED[name]}
    if name == "seconds":
        options["frames"] = None
    assert about(**options) != about(**base)


@pytest.mark.parametrize("place", ["a.mp4", "-"])
def test_tracks_do_not_go_where_videos_go(place: str, tiny_model: Any) -> None:
    with pytest.raises(UsageError, match="--save-track"):
        about(model=str(tiny_model), out="a.mp4", save_track=place)
