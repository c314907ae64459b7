"""`sf.data`: what `stylefacev data` does, as functions that return what they find or make.

    index = sf.data.render(out="set", identities=20, look="procedural")
    report = sf.data.prepare_videos("footage", "set", licence="CC0-1.0")
    facts = sf.data.inspect("set", sheet="sheet.png")

Each takes a request, or its options by name; see `datasets/requests.py`, `faces/render_request.py`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from stylefacev_cli.common.listener import Listener, LogListener
from stylefacev_cli.common.options import with_keywords
from stylefacev_cli.common.signals import holding_signals
from stylefacev_cli.datasets.requests import (
    FfhqRequest,
    ImagesRequest,
    InspectRequest,
    PrepareRequest,
    RavdessRequest,
    VideosRequest,
)
from stylefacev_cli.faces.render_request import RenderRequest

if TYPE_CHECKING:
    from stylefacev_cli.datasets.set_builder import Report

__all__ = [
    "inspect",
    "prepare_ffhq",
    "prepare_images",
    "prepare_ravdess",
    "prepare_videos",
    "render",
]


def __dir__() -> list[str]:
    return __all__


@with_keywords(RenderRequest)
def render(request: RenderRequest, listener: Listener | None = None) -> Path:
    """Render synthetic faces with exact labels: landmarks, expressions, pose, gaze, latents.

    Returns:
        The path of the set's index; an interrupted run goes on where it stopped.

    Raises:
        UsageError: a value is out of range, or the folder holds something else.
        DataError: the folder cannot be written, or its index is damaged.
        MissingWeightsError: the render assets are not here and cannot be fetched.
        StyleFaceVError: no EGL.
    """
    with holding_signals():
        from stylefacev_cli.faces import dataset

    return dataset.render(request, listener or LogListener())


@with_keywords(RavdessRequest)
def prepare_ravdess(
    request: RavdessRequest, listener: Listener | None = None, command: str = "sf.data"
) -> Report:
    """RAVDESS as it comes: actors become persons, files without pictures or twins are skipped.

    Of 01-… (with sound) and 02-… (without), which show the same, the first is taken.
    See `datasets.preparation.prepare` for what is returned and raised.
    """
    return _prepare(request, listener, command)


@with_keywords(VideosRequest)
def prepare_videos(
    request: VideosRequest, listener: Listener | None = None, command: str = "sf.data"
) -> Report:
    """Any videos of one person each; cut where the face is lost, jumps, or another one comes in.

    See `datasets.preparation.prepare` for what is returned and raised.
    """
    return _prepare(request, listener, command)


@with_keywords(FfhqRequest)
def prepare_ffhq(
    request: FfhqRequest, listener: Listener | None = None, command: str = "sf.data"
) -> Report:
    """FFHQ's in-the-wild images → FFHQ-U: not rotated, shifted at random, never padded.

    See `datasets.preparation.prepare` for what is returned and raised.
    """
    return _prepare(request, listener, command)


@with_keywords(ImagesRequest)
def prepare_images(
    request: ImagesRequest, listener: Listener | None = None, command: str = "sf.data"
) -> Report:
    """Any images of one face each, cut as FFHQ-U is.

    See `datasets.preparation.prepare` for what is returned and raised.
    """
    return _prepare(request, listener, command)


def _prepare(request: PrepareRequest, listener: Listener | None, command: str) -> Report:
    with holding_signals():
        from stylefacev_cli.datasets.preparation import prepare

    return prepare(request, listener or LogListener(), command)


@with_keywords(InspectRequest)
def inspect(request: InspectRequest) -> dict[str, Any]:
    """What a set holds: counts, lengths, poses, licence, and what was skipped and why.

    Returns:
        Plain values by name, as JSON holds them; `sheet` is the path of a contact sheet.

    Raises:
        UsageError: the sheet exists.
        DataError: the folder holds no set, or something in it is missing or damaged.
        IntegrityError: the set is not what its manifest says.
    """
    from stylefacev_cli.datasets import inspection

    return inspection.inspect_set(request)
