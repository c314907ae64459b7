"""Requests of the generation engine: one frozen dataclass a job, its options as fields.

Commands take their options from them, settings files map onto them, and Python calls fill them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from stylefacev_cli.common.options import group, option
from stylefacev_cli.weights.locate import DEFAULT_MODEL

OUTPUT_PANEL = "Where it goes"

_content = partial(option, panel="What is made")
_identity = partial(option, panel="Who is seen, and from where")
_edit = partial(option, panel="Edits of the motion, in this order")
_search = partial(option, panel="How the face is found")
_fit = partial(option, panel="How the person is fitted")
_compute = partial(option, panel="How it is computed")
_output = partial(option, panel=OUTPUT_PANEL)

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

    model: str = _compute(
        "A model that came with the package or was imported, the folder of one, or a released one "
        "(weights list), which is then downloaded.",
        default=DEFAULT_MODEL,
        flags=("--model", "-m"),
        env="STYLEFACEV_MODEL",
        metavar="NAME|FOLDER",
    )
    device: str = _compute(
        "Where to compute.", default="auto", env="STYLEFACEV_DEVICE", choices=DEVICES
    )
    threads: int | None = _compute(
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

    batch: int | None = _compute(
        "Frames rendered at once; fewer need less memory.",
        default=None,
        env="STYLEFACEV_BATCH",
        minimum=1,
        maximum=4096,
        shown_default="by resolution",
    )
    dtype: str = _compute(
        "bfloat16 is coarser, and faster on some processors.",
        default="float32",
        env="STYLEFACEV_DTYPE",
        choices=DTYPES,
    )


@dataclass(frozen=True, kw_only=True)
class CameraOptions:
    """How the picture is turned, shifted and enlarged."""

    rotate: str | None = _identity(
        "Turn the picture, anti-clockwise; A:B moves over the video, gently. Configuration T, as "
        "default-128, turns eyes by half of it and bends faces beyond 15.",
        default=None,
        metavar="DEG[:DEG…]",
    )
    shift: str | None = _identity(
        "Shift it right and down, in picture widths.", default=None, metavar="X,Y[:X,Y…]"
    )
    zoom: str | None = _identity(
        "Enlarge it; outside 0.9 to 1.25 heads lose their shape.",
        default=None,
        metavar="F[:F…]",
    )


@dataclass(frozen=True, kw_only=True)
class MotionEdits:
    """Edits of a motion, in the order in which they are applied."""

    smooth: int | None = _edit(
        "Savitzky-Golay over so many frames (odd); tells what it costs in motion.",
        default=None,
        minimum=3,
        maximum=1001,
        metavar="FRAMES",
    )
    motion_scale: float | None = _edit(
        "More or less of all motion, around its mean pose.",
        default=None,
        minimum=0,
        maximum=2,
    )
    scale: tuple[str, ...] = _edit(
        "More, less or no motion (0) of head, mouth, eyes or brows; several times.",
        default=(),
        metavar="PART=FACTOR",
    )
    loop: bool = _edit(
        "Close it: what follows the end fades into the beginning.",
        default=False,
    )
    fade: int = _edit(
        "Length of cross-fades.",
        default=8,
        minimum=0,
        maximum=1000,
        metavar="FRAMES",
    )


@dataclass(frozen=True, kw_only=True)
class FaceSearchOptions:
    """How the face is found in a photo or a video."""

    crop: bool | None = _search(
        "Cut one fixed window around the face, or take the (square) picture as it is.",
        default=None,
        flags=("--crop/--no-crop",),
        shown_default="crop, unless the face fills a square picture",
    )
    detector: str | None = _search(
        "Finder of faces; a model's detector knows what it was trained on.",
        default=None,
        metavar="face-alignment|MODEL",
        shown_default="face-alignment if its weights are here, else the model's own",
    )


@dataclass(frozen=True, kw_only=True)
class FormatOptions:
    """In which form a video is kept."""

    format: str | None = _output(
        "png: a folder of pictures; npy: a numpy array; sheet: one picture of some frames; raw: "
        "rgb24 for a pipe.",
        default=None,
        env="STYLEFACEV_FORMAT",
        choices=FORMATS,
        shown_default="by the name, else mp4",
    )
    lossless: bool = _output(
        "Keep every colour: H.264 in RGB (mp4), FFV1 (mkv), VP9 (webm).",
        default=False,
    )
    sheet_frames: int | None = _output(
        "Frames of each video in a sheet, evenly spread.",
        default=None,
        minimum=1,
        maximum=1000,
        shown_default="8",
    )
    sheet_columns: int | None = _output(
        "Frames in a row of a sheet.",
        default=None,
        minimum=1,
        maximum=1000,
        shown_default="all in one row",
    )


def _truncation() -> Any:
    return _content(
        "1: as varied as learnt; towards 0: closer to the mean face.",
        default=1.0,
        env="STYLEFACEV_TRUNCATION",
        minimum=-2,
        maximum=2,
    )


def _mix() -> Any:
    return _identity(
        "Layers of the generator that show another seed in the same pose: 5:4- are its layers 4 "
        "and up (colours), 5:0-3 its form; several times.",
        default=(),
        metavar="SEED:LAYERS",
    )


def _force() -> Any:
    return _output("Overwrite what is there.", default=False)


@dataclass(frozen=True, kw_only=True)
class GenerateRequest:
    """Face videos of seeds or people."""

    seeds: str = _content(
        "Seeds and ranges, like 0-9,12. One seed is one person and one video.",
        default="0",
        env="STYLEFACEV_SEEDS",
        excludes=("interpolate", "from_"),
    )
    frames: int | None = _content(
        "Length of each video.",
        default=None,
        env="STYLEFACEV_FRAMES",
        minimum=1,
        maximum=10_000_000,
        shown_default="64, of imported models 60; or the track's",
        excludes=("seconds",),
    )
    seconds: float | None = _content(
        "The same in seconds.",
        default=None,
        env="STYLEFACEV_SECONDS",
        minimum=0.001,
    )
    fps: float | None = _content(
        "Frames per second; changes the speed of the motion, unless --resample.",
        default=None,
        env="STYLEFACEV_FPS",
        minimum=0.1,
        maximum=240,
        shown_default="what the model has learnt; of imported models the authors' writer's",
    )
    resample: bool = _content(
        "Motion keeps its speed at another --fps: poses are interpolated.",
        default=False,
    )
    truncation: float = _truncation()
    motion_seeds: tuple[str, ...] = _content(
        "Noise of the motion: each person in each of these motions.",
        default=(),
        flags=("--motion-seeds", "--motion-seed"),
        metavar="SEEDS",
        shown_default="the seed itself",
    )
    stabilise: bool = _content(
        "Beyond the length that motion was learnt at, keep poses from drifting away.",
        default=True,
        flags=("--stabilise/--no-stabilise",),
    )
    track: tuple[str | MotionInMemory, ...] = _content(
        "Play this pose track (see stylefacev track) instead of a motion of its own; several "
        "times: each person in each of them.",
        default=(),
        metavar="FILE",
    )
    grid: bool = _content(
        "One video of all, side by side; with several motions a matrix, one row a person.",
        default=False,
    )
    interpolate: str | None = _identity(
        "Instead of --seeds: one person becomes the next while the motion goes on.",
        default=None,
        metavar="SEED:SEED[:…]",
        excludes=("from_",),
    )
    from_: tuple[str | PersonInMemory, ...] = _identity(
        "Instead of --seeds: this person (see stylefacev invert); several times: each of them.",
        default=(),
        flags=("--from",),
        metavar="LATENT|PHOTO",
    )
    mix: tuple[str, ...] = _mix()
    camera: CameraOptions = group(CameraOptions)
    edits: MotionEdits = group(MotionEdits)
    compute: RenderOptions = group(RenderOptions)
    out: str | None = _output(  # None: in memory
        "A folder, a file name, a pattern like out/{seed}-{motion_seed}.mp4 (or {track}), or - "
        "for stdout.",
        default=None,
        flags=("--out", "-o"),
        env="STYLEFACEV_OUT",
        shown_default="videos",
        metavar="FOLDER|PATTERN|-",
    )
    save_track: str | None = _output(
        "Save the poses of each video, as in tracks/{seed}.safetensors.",
        default=None,
        metavar="FOLDER|PATTERN",
    )
    form: FormatOptions = group(FormatOptions)
    force: bool = _force()
    skip_existing: bool = _output("Make only the videos that are not there yet.", default=False)


@dataclass(frozen=True, kw_only=True)
class ReenactRequest:
    """A video of one person who follows another one's motion."""

    source: str | PersonInMemory = _content(
        "Who moves: the person of a seed, of a file of stylefacev invert, or of a photo.",
        metavar="SEED|LATENT|PHOTO",
    )
    driving: str | MotionInMemory = _content(
        "Who is followed: a video, or a pose track.", metavar="VIDEO|TRACK"
    )
    relative: bool = _content(
        "The driver's movements from the source's own first pose, or the driver's poses.",
        default=True,
        flags=("--relative/--absolute",),
    )
    audio: bool = _content("With the sound of the driving video.", default=False)
    truncation: float = _truncation()
    search: FaceSearchOptions = group(FaceSearchOptions)
    mix: tuple[str, ...] = _mix()
    camera: CameraOptions = group(CameraOptions)
    compute: RenderOptions = group(RenderOptions)
    out: str | None = _output(  # None: in memory
        "An mp4, mkv, webm, gif or npy, a folder with --format png, or - for stdout.",
        flags=("--out", "-o"),
        metavar="FILE|-",
    )
    form: FormatOptions = group(FormatOptions)
    force: bool = _force()


@dataclass(frozen=True, kw_only=True)
class InvertRequest:
    """People of photos, as a model can draw them."""

    photos: tuple[str, ...] = option("PNG, JPEG or WebP.", flags=None, metavar="PHOTO…")
    steps: int = _fit(
        "Steps of the optimisation; 0 takes what the encoder sees.",
        default=100,
        minimum=0,
        maximum=10_000,
    )
    tune: bool = _fit(
        "Change the generator for this person, too: nearer to the photo, twice the time.",
        default=False,
    )
    search: FaceSearchOptions = group(FaceSearchOptions)
    compute: ComputeOptions = group(ComputeOptions)
    out: str | None = _output(  # None: in memory
        "A .safetensors, a folder, or a pattern like people/{name}.safetensors.",
        flags=("--out", "-o"),
        metavar="FILE|FOLDER|PATTERN",
    )
    force: bool = _force()


@dataclass(frozen=True, kw_only=True)
class TrackRequest:
    """The motion of a video as a pose track, or an edited track."""

    source: str | MotionInMemory = option(
        "A video of one face, or a track.", flags=None, metavar="VIDEO|TRACK"
    )
    search: FaceSearchOptions = group(FaceSearchOptions)
    join: tuple[str | MotionInMemory, ...] = _edit(
        "Put another one behind it; can be given several times.",
        default=(),
        metavar="VIDEO|TRACK",
    )
    fps: float | None = _edit(
        "Frames per second of the result: poses are interpolated, the speed stays.",
        default=None,
        minimum=0.1,
        maximum=240,
        shown_default="the source's",
    )
    cut: str | None = _edit(
        "Frames A to before B; seconds with an s, as in 0.5s:2s; either may be left out.",
        default=None,
        metavar="A:B",
    )
    reverse: bool = _edit("Backwards.", default=False)
    edits: MotionEdits = group(MotionEdits)
    compute: ComputeOptions = group(ComputeOptions)
    out: str | None = _output(  # None: in memory
        "The track.", flags=("--out", "-o"), metavar="FILE.safetensors"
    )
    force: bool = _force()
