"""Requests for clip sets: the options of `data prepare` and `data inspect`.

The four kinds of footage share most of their options; groups hold them once. Nothing here imports
numpy: the command line makes its options of these at every start.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, TypeAlias

from stylefacev_cli.common.options import group, option
from stylefacev_cli.detection import FACE_MESH

FFHQ_LICENCE = RAVDESS_LICENCE = "CC-BY-NC-SA-4.0"
NO_LICENCE = "not stated"


@dataclass(frozen=True)
class Preparation:
    """What all kinds of footage need."""

    src: Path = option("Folder of the footage.", flags=None, metavar="SRC")
    dst: Path = option("Folder for the set; continued if it exists.", flags=None, metavar="DST")
    size_px: int = option("Side of the frames in pixels.", default=256, flags=("--size",))
    min_window_px: int | None = option(
        "Skip windows smaller than so many pixels; half of --size.",
        default=None,
        flags=("--min-window",),
    )
    detector: str = option(
        "Face finder: the face mesh, face-alignment (needs its weights), or a model's landmark "
        "detector.",
        default=FACE_MESH,
        metavar="face-mesh|face-alignment|MODEL",
    )
    device: str = option("Where the face finder runs: cpu, cuda, mps.", default="cpu")
    workers: int = option("Processes at work; one thread each.", default=1, minimum=1, maximum=1024)
    val_permille: int | None = option(
        "Fix the split: so many in 1000 persons are held out. By default training decides, by the "
        "same rule.",
        default=None,
    )
    val_people: tuple[str, ...] = option(
        "Fix the split: hold out this person; can be repeated.",
        default=(),
        flags=("--val-person",),
    )
    licence: str | None = option(
        "Of the footage; kept in the manifest.",
        default=None,
        shown_default=f"{RAVDESS_LICENCE} of RAVDESS and FFHQ, else {NO_LICENCE}",
    )


@dataclass(frozen=True)
class ClipOptions:
    """How videos are cut into clips."""

    margin: float = option("Around the faces, on each side, as a fraction.", default=0.0)
    min_frames: int = option("Skip shorter clips.", default=60)
    max_frames: int = option("Cut longer clips, evenly.", default=300)
    step: int = option("Take each so-many-th frame.", default=1)
    search_every: int = option(
        "Frames from one search of the whole picture to the next; between them the face is "
        "followed.",
        default=24,
    )


@dataclass(frozen=True)
class ShiftOptions:
    """How the windows of images are shifted at random, as FFHQ-U's are."""

    random_shift: float = option(
        "Standard deviation of the shift, in sides of the crop.", default=0.1
    )
    tries: int = option("Shifts drawn, smaller and smaller, before an image fits.", default=20)
    seed: int = option("Of the shifts.", default=0)


def _person_from() -> str:
    field: str = option(
        "What a person is: folder (in SRC itself: the file's name) or file.",
        default="folder",
    )
    return field


@dataclass(frozen=True)
class RavdessRequest:
    """RAVDESS as it comes."""

    kind: ClassVar[str] = "ravdess"
    common: Preparation = group(Preparation)
    vocal: str = option("speech, song or both.", default="both")
    clips: ClipOptions = group(ClipOptions)


@dataclass(frozen=True)
class VideosRequest:
    """Any videos of one person each."""

    kind: ClassVar[str] = "videos"
    common: Preparation = group(Preparation)
    person_from: str = _person_from()
    clips: ClipOptions = group(ClipOptions)
    keep_frames: bool = option(
        "Frames as they are, of square videos that are cut already: no face is looked for, and "
        "there are no landmarks beside them.",
        default=False,
        flags=("--keep-frames",),
    )


@dataclass(frozen=True)
class FfhqRequest:
    """FFHQ's in-the-wild images."""

    kind: ClassVar[str] = "ffhq"
    common: Preparation = group(Preparation)
    landmarks: Path | None = option(
        "ffhq-dataset-v2.json: its landmarks and split; no face finder is needed then.",
        default=None,
        metavar="JSON",
    )
    shifts: ShiftOptions = group(ShiftOptions)


@dataclass(frozen=True)
class ImagesRequest:
    """Any images of one face each."""

    kind: ClassVar[str] = "images"
    common: Preparation = group(Preparation)
    person_from: str = _person_from()
    shifts: ShiftOptions = group(ShiftOptions)


PrepareRequest: TypeAlias = RavdessRequest | VideosRequest | FfhqRequest | ImagesRequest


@dataclass(frozen=True)
class InspectRequest:
    """What is reported of a set."""

    folder: Path = option("Folder of a set.", flags=None)
    check: bool = option(
        "Read every clip once, and compare with the content's hash.",
        default=False,
        flags=("--check",),
    )
    sheet: Path | None = option("Write a contact sheet.", default=None, metavar="PNG")
    rows: int = option("Clips on the sheet.", default=8, minimum=1, maximum=100)
    columns: int = option("Frames of each.", default=8, minimum=1, maximum=100)
    poses: bool = option(
        "Read labels for the heads' poses.", default=True, flags=("--poses/--no-poses",)
    )
    val_permille: int = option(
        "Held-out persons in 1000, where the set has no split.", default=0, minimum=0, maximum=1000
    )
    force: bool = option("Replace an existing sheet.", default=False, flags=("--force",))
