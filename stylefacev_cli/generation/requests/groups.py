"""Options that several jobs of the engine share, and how they are shown."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from stylefacev_cli.common.options import option
from stylefacev_cli.detection import FACE_MESH
from stylefacev_cli.weights.locate import DEFAULT_MODEL

OUTPUT_PANEL = "Where it goes"

content_option = partial(option, panel="What is made")
identity_option = partial(option, panel="Who is seen, and from where")
edit_option = partial(option, panel="Edits of the motion, in this order")
search_option = partial(option, panel="How the face is found")
fit_option = partial(option, panel="How the person is fitted")
compute_option = partial(option, panel="How it is computed")
output_option = partial(option, panel=OUTPUT_PANEL)

FORMATS = ("mp4", "gif", "webm", "mkv", "png", "npy", "sheet", "raw")
DEVICES = ("auto", "cpu", "cuda", "mps")
DTYPES = ("float32", "bfloat16")


class PersonInMemory(Protocol):
    """A person that `sf.invert` returned, in place of the name of a file."""

    latent: Any  # `weights.latents.Latent`


class MotionInMemory(Protocol):
    """A pose track that `sf.track` returned, in place of the name of a file."""

    poses: Any  # float32 [T, 1, 8, 8]
    fps: float


@dataclass(frozen=True, kw_only=True)
class ComputeOptions:
    """Which model computes, and where."""

    model: str = compute_option(
        "A model that came with the package or was imported, the folder of one, or a released one "
        "(weights list), which is then downloaded.",
        default=DEFAULT_MODEL,
        flags=("--model", "-m"),
        env="STYLEFACEV_MODEL",
        metavar="NAME|FOLDER",
    )
    device: str = compute_option(
        "Where to compute.", default="auto", env="STYLEFACEV_DEVICE", choices=DEVICES
    )
    threads: int | None = compute_option(
        "CPU threads.",
        default=None,
        env="STYLEFACEV_THREADS",
        minimum=1,
        maximum=1024,
        shown_default="one per core",
    )


@dataclass(frozen=True, kw_only=True)
class RenderOptions(ComputeOptions):
    """The same, and how frames are rendered."""

    batch: int | None = compute_option(
        "Frames rendered at once; fewer need less memory.",
        default=None,
        env="STYLEFACEV_BATCH",
        minimum=1,
        maximum=4096,
        shown_default="by resolution",
    )
    dtype: str = compute_option(
        "bfloat16 is coarser, and faster on some processors.",
        default="float32",
        env="STYLEFACEV_DTYPE",
        choices=DTYPES,
    )


@dataclass(frozen=True, kw_only=True)
class CameraOptions:
    """How the picture is turned, shifted and enlarged."""

    rotate: str | None = identity_option(
        "Turn the picture, anti-clockwise; A:B moves over the video, gently. Configuration T, as "
        "default-128, turns eyes by half of it and bends faces beyond 15.",
        default=None,
        metavar="DEG[:DEG…]",
    )
    shift: str | None = identity_option(
        "Shift it right and down, in picture widths.", default=None, metavar="X,Y[:X,Y…]"
    )
    zoom: str | None = identity_option(
        "Enlarge it; outside 0.9 to 1.25 heads lose their shape.",
        default=None,
        metavar="F[:F…]",
    )


@dataclass(frozen=True, kw_only=True)
class MotionEdits:
    """Edits of a motion, in the order in which they are applied."""

    smooth: int | None = edit_option(
        "Savitzky-Golay over so many frames (odd); tells what it costs in motion.",
        default=None,
        minimum=3,
        maximum=1001,
        metavar="FRAMES",
    )
    motion_scale: float | None = edit_option(
        "More or less of all motion, around its mean pose.",
        default=None,
        minimum=0,
        maximum=2,
    )
    scale: tuple[str, ...] = edit_option(
        "More, less or no motion (0) of head, mouth, eyes or brows; several times.",
        default=(),
        metavar="PART=FACTOR",
    )
    loop: bool = edit_option(
        "Close it: what follows the end fades into the beginning.",
        default=False,
    )
    fade: int = edit_option(
        "Length of cross-fades.",
        default=8,
        minimum=0,
        maximum=1000,
        metavar="FRAMES",
    )


@dataclass(frozen=True, kw_only=True)
class FaceSearchOptions:
    """How the face is found in a photo or a video."""

    crop: bool | None = search_option(
        "Cut one fixed window around the face, or take the (square) picture as it is.",
        default=None,
        flags=("--crop/--no-crop",),
        shown_default="crop, unless the face fills a square picture",
    )
    detector: str = search_option(
        "Finder of faces: the face mesh, face-alignment (needs its weights), or a model's "
        "detector, which knows what it was trained on.",
        default=FACE_MESH,
        metavar="face-mesh|face-alignment|MODEL",
    )
    face: int | None = search_option(
        "Which of several faces: its number from the left, from 1; of a video in the first frame "
        "with a face.",
        default=None,
        minimum=1,
        maximum=100,
        shown_default="the largest",
    )


@dataclass(frozen=True, kw_only=True)
class DriverSearchOptions(FaceSearchOptions):
    """The same of a driving video, and how its movements are read."""

    smooth_face: bool = search_option(
        "Hold still what only trembles (one-euro filter), where movements are read by the face "
        "mesh; tells by how much.",
        default=True,
        flags=("--smooth-face/--no-smooth",),
    )
    rest: str = search_option(
        "Frame of a driver, from 0, in which the face is at rest: movements are counted from it.",
        default="auto",
        metavar="FRAME|auto",
        shown_default="auto: the frames nearest to how the face mostly is",
    )


@dataclass(frozen=True, kw_only=True)
class FormatOptions:
    """In which form a video is kept."""

    format: str | None = output_option(
        "png: a folder of pictures; npy: a numpy array; sheet: one picture of some frames; raw: "
        "rgb24 for a pipe.",
        default=None,
        env="STYLEFACEV_FORMAT",
        choices=FORMATS,
        shown_default="by the name, else mp4",
    )
    lossless: bool = output_option(
        "Keep every colour: H.264 in RGB (mp4), FFV1 (mkv), VP9 (webm).",
        default=False,
    )
    sheet_frames: int | None = output_option(
        "Frames of each video in a sheet, evenly spread.",
        default=None,
        minimum=1,
        maximum=1000,
        shown_default="8",
    )
    sheet_columns: int | None = output_option(
        "Frames in a row of a sheet.",
        default=None,
        minimum=1,
        maximum=1000,
        shown_default="all in one row",
    )


def truncation_option() -> Any:
    """The field of `--truncation`."""
    return content_option(
        "1: as varied as learnt; towards 0: closer to the mean face.",
        default=1.0,
        env="STYLEFACEV_TRUNCATION",
        minimum=-2,
        maximum=2,
    )


def mix_option() -> Any:
    """The field of `--mix`."""
    return identity_option(
        "Layers of the generator that show another seed in the same pose: 5:4- are its layers 4 "
        "and up (colours), 5:0-3 its form; several times.",
        default=(),
        metavar="SEED:LAYERS",
    )


def force_option() -> Any:
    """The field of `--force`."""
    return output_option("Overwrite what is there.", default=False)
