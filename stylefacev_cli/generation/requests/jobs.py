"""What each job of the engine is asked for: one frozen dataclass a job."""

from __future__ import annotations

from dataclasses import dataclass

from stylefacev_cli.common.options import group, option
from stylefacev_cli.generation.requests.groups import (
    CameraOptions,
    ComputeOptions,
    DriverSearchOptions,
    FaceSearchOptions,
    FormatOptions,
    MotionEdits,
    MotionInMemory,
    PersonInMemory,
    RenderOptions,
    content_option,
    edit_option,
    fit_option,
    force_option,
    identity_option,
    mix_option,
    output_option,
    truncation_option,
)


@dataclass(frozen=True, kw_only=True)
class GenerateRequest:
    """Face videos of seeds or people."""

    seeds: str = content_option(
        "Seeds and ranges, like 0-9,12. One seed is one person and one video.",
        default="0",
        env="STYLEFACEV_SEEDS",
        excludes=("interpolate", "from_"),
    )
    frames: int | None = content_option(
        "Length of each video.",
        default=None,
        env="STYLEFACEV_FRAMES",
        minimum=1,
        maximum=10_000_000,
        shown_default="64, of imported models 60; or the track's",
        excludes=("seconds",),
    )
    seconds: float | None = content_option(
        "The same in seconds.",
        default=None,
        env="STYLEFACEV_SECONDS",
        minimum=0.001,
        maximum=10_000_000,
    )
    fps: float | None = content_option(
        "Frames per second; changes the speed of the motion, unless --resample.",
        default=None,
        env="STYLEFACEV_FPS",
        minimum=0.1,
        maximum=240,
        shown_default="what the model has learnt; of imported models the authors' writer's",
    )
    resample: bool = content_option(
        "Motion keeps its speed at another --fps: poses are interpolated.",
        default=False,
    )
    truncation: float = truncation_option()
    motion_seeds: tuple[str, ...] = content_option(
        "Noise of the motion: each person in each of these motions.",
        default=(),
        flags=("--motion-seeds", "--motion-seed"),
        metavar="SEEDS",
        shown_default="the seed itself",
    )
    stabilise: bool = content_option(
        "Beyond the length that motion was learnt at, keep poses from drifting away.",
        default=True,
        flags=("--stabilise/--no-stabilise",),
    )
    track: tuple[str | MotionInMemory, ...] = content_option(
        "Play this pose track (see stylefacev track) instead of a motion of its own; several "
        "times: each person in each of them.",
        default=(),
        metavar="FILE",
    )
    grid: bool = content_option(
        "One video of all, side by side; with several motions a matrix, one row a person.",
        default=False,
    )
    interpolate: str | None = identity_option(
        "Instead of --seeds: one person becomes the next while the motion goes on.",
        default=None,
        metavar="SEED:SEED[:…]",
        excludes=("from_",),
    )
    from_: tuple[str | PersonInMemory, ...] = identity_option(
        "Instead of --seeds: this person (see stylefacev invert); several times: each of them.",
        default=(),
        flags=("--from",),
        metavar="LATENT|PHOTO",
    )
    mix: tuple[str, ...] = mix_option()
    camera: CameraOptions = group(CameraOptions)
    edits: MotionEdits = group(MotionEdits)
    compute: RenderOptions = group(RenderOptions)
    out: str | None = output_option(  # None: in memory
        "A folder, a file name, a pattern like out/{seed}-{motion_seed}.mp4 (or {track}), or - "
        "for stdout.",
        default=None,
        flags=("--out", "-o"),
        env="STYLEFACEV_OUT",
        shown_default="videos",
        metavar="FOLDER|PATTERN|-",
    )
    save_track: str | None = output_option(
        "Save the poses of each video, as in tracks/{seed}.safetensors.",
        default=None,
        metavar="FOLDER|PATTERN",
    )
    form: FormatOptions = group(FormatOptions)
    force: bool = force_option()
    skip_existing: bool = output_option(
        "Make only the videos that are not there yet.",
        default=False,
        excludes=("force",),
    )


@dataclass(frozen=True, kw_only=True)
class ReenactRequest:
    """A video of one person who follows another one's motion."""

    source: str | PersonInMemory = content_option(
        "Who moves: the person of a seed, of a file of stylefacev invert, or of a photo.",
        metavar="SEED|LATENT|PHOTO",
    )
    driving: str | MotionInMemory = content_option(
        "Who is followed: a video, or a pose track.", metavar="VIDEO|TRACK"
    )
    relative: bool = content_option(
        "The driver's movements from the source's own first pose, or the driver's poses.",
        default=True,
        flags=("--relative/--absolute",),
    )
    audio: bool = content_option("With the sound of the driving video.", default=False)
    truncation: float = truncation_option()
    search: DriverSearchOptions = group(DriverSearchOptions)
    mix: tuple[str, ...] = mix_option()
    camera: CameraOptions = group(CameraOptions)
    compute: RenderOptions = group(RenderOptions)
    out: str | None = output_option(  # None: in memory
        "An mp4, mkv, webm, gif or npy, a folder with --format png, or - for stdout.",
        flags=("--out", "-o"),
        metavar="FILE|-",
    )
    form: FormatOptions = group(FormatOptions)
    force: bool = force_option()


@dataclass(frozen=True, kw_only=True)
class InvertRequest:
    """People of photos, as a model can draw them."""

    photos: tuple[str, ...] = option("PNG, JPEG or WebP.", flags=None, metavar="PHOTO…")
    steps: int = fit_option(
        "Steps of the optimisation; 0 takes what the encoder sees.",
        default=100,
        minimum=0,
        maximum=10_000,
    )
    tune: bool = fit_option(
        "Change the generator for this person, too: nearer to the photo, twice the time.",
        default=False,
    )
    search: FaceSearchOptions = group(FaceSearchOptions)
    compute: ComputeOptions = group(ComputeOptions)
    out: str | None = output_option(  # None: in memory
        "A .safetensors, a folder, or a pattern like people/{name}.safetensors.",
        flags=("--out", "-o"),
        metavar="FILE|FOLDER|PATTERN",
    )
    force: bool = force_option()


@dataclass(frozen=True, kw_only=True)
class TrackRequest:
    """The motion of a video as a pose track, or an edited track."""

    source: str | MotionInMemory = option(
        "A video of one face, or a track.", flags=None, metavar="VIDEO|TRACK"
    )
    search: DriverSearchOptions = group(DriverSearchOptions)
    join: tuple[str | MotionInMemory, ...] = edit_option(
        "Put another one behind it; can be given several times.",
        default=(),
        metavar="VIDEO|TRACK",
    )
    fps: float | None = edit_option(
        "Frames per second of the result: poses are interpolated, the speed stays.",
        default=None,
        minimum=0.1,
        maximum=240,
        shown_default="the source's",
    )
    cut: str | None = edit_option(
        "Frames A to before B; seconds with an s, as in 0.5s:2s; either may be left out.",
        default=None,
        metavar="A:B",
    )
    reverse: bool = edit_option("Backwards.", default=False)
    edits: MotionEdits = group(MotionEdits)
    compute: ComputeOptions = group(ComputeOptions)
    out: str | None = output_option(  # None: in memory
        "The track.", flags=("--out", "-o"), metavar="FILE.safetensors"
    )
    force: bool = force_option()
