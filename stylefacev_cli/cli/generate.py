"""`stylefacev generate`: face videos from seeds."""

from __future__ import annotations

from enum import Enum
from typing import Annotated

import typer

from stylefacev_cli.cli.motion_options import Fade, Loop, MotionScale, Scale, Smooth
from stylefacev_cli.cli.options import one_of
from stylefacev_cli.cli.picture_options import (
    HOW_PANEL,
    WHAT_PANEL,
    WHERE_PANEL,
    WHO_PANEL,
    Batch,
    FormatOption,
    Lossless,
    Mix,
    Rotate,
    SheetColumns,
    SheetFrames,
    Shift,
    Truncation,
    Zoom,
)
from stylefacev_cli.weights.locate import DEFAULT_MODEL


class Device(str, Enum):
    """Devices of `--device`."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"
    mps = "mps"


class Dtype(str, Enum):
    """Types of `--dtype`."""

    float32 = "float32"
    bfloat16 = "bfloat16"


def generate(
    ctx: typer.Context,
    seeds: Annotated[
        str,
        typer.Option(
            "--seeds", envvar="STYLEFACEV_SEEDS", rich_help_panel=WHAT_PANEL,
            help="Seeds and ranges, like 0-9,12. One seed is one person and one video.",
        ),
    ] = "0",
    frames: Annotated[
        int | None,
        typer.Option(
            "--frames", envvar="STYLEFACEV_FRAMES", rich_help_panel=WHAT_PANEL,
            min=1, max=10_000_000, show_default="64, of imported models 60; or the track's",
            help="Length of each video.",
        ),
    ] = None,
    seconds: Annotated[
        float | None,
        typer.Option(
            "--seconds", envvar="STYLEFACEV_SECONDS", rich_help_panel=WHAT_PANEL, min=0.001,
            help="The same in seconds.",
        ),
    ] = None,
    fps: Annotated[
        float | None,
        typer.Option(
            "--fps", envvar="STYLEFACEV_FPS", rich_help_panel=WHAT_PANEL, min=0.1, max=240,
            show_default="what the model has learnt; of imported models the authors' writer's",
            help="Frames per second; changes the speed of the motion, unless --resample.",
        ),
    ] = None,
    resample: Annotated[
        bool,
        typer.Option(
            "--resample", rich_help_panel=WHAT_PANEL,
            help="Motion keeps its speed at another --fps: poses are interpolated.",
        ),
    ] = False,
    truncation: Truncation = 1.0,
    motion_seeds: Annotated[
        list[str] | None,
        typer.Option(
            "--motion-seeds", "--motion-seed", rich_help_panel=WHAT_PANEL, metavar="SEEDS",
            show_default="the seed itself",
            help="Noise of the motion: each person in each of these motions.",
        ),
    ] = None,
    stabilise: Annotated[
        bool,
        typer.Option(
            "--stabilise/--no-stabilise", rich_help_panel=WHAT_PANEL,
            help="Beyond the length that motion was learnt at, keep poses from drifting away.",
        ),
    ] = True,
    track: Annotated[
        list[str] | None,
        typer.Option(
            "--track", rich_help_panel=WHAT_PANEL, metavar="FILE",
            help="Play this pose track (see stylefacev track) instead of a motion of its own; "
            "several times: each person in each of them.",
        ),
    ] = None,
    grid: Annotated[
        bool,
        typer.Option(
            "--grid", rich_help_panel=WHAT_PANEL,
            help="One video of all, side by side; with several motions a matrix, one row a person.",
        ),
    ] = False,
    interpolate: Annotated[
        str | None,
        typer.Option(
            "--interpolate", rich_help_panel=WHO_PANEL, metavar="SEED:SEED[:…]",
            help="Instead of --seeds: one person becomes the next while the motion goes on.",
        ),
    ] = None,
    from_: Annotated[
        list[str] | None,
        typer.Option(
            "--from", rich_help_panel=WHO_PANEL, metavar="LATENT|PHOTO",
            help="Instead of --seeds: this person (see stylefacev invert); several times: each of "
            "them.",
        ),
    ] = None,
    mix: Mix = None,
    rotate: Rotate = None,
    shift: Shift = None,
    zoom: Zoom = None,
    smooth: Smooth = None,
    motion_scale: MotionScale = None,
    scale: Scale = None,
    loop: Loop = False,
    fade: Fade = 8,
    model: Annotated[
        str,
        typer.Option(
            "--model", "-m", envvar="STYLEFACEV_MODEL", rich_help_panel=HOW_PANEL,
            metavar="NAME|FOLDER",
            help="A model that came with the package or was imported, the folder of one, or a "
            "released one (weights list), which is then downloaded.",
        ),
    ] = DEFAULT_MODEL,
    batch: Batch = None,
    device: Annotated[
        Device,
        typer.Option(
            "--device", envvar="STYLEFACEV_DEVICE", rich_help_panel=HOW_PANEL,
            help="Where to compute.",
        ),
    ] = Device.auto,
    dtype: Annotated[
        Dtype,
        typer.Option(
            "--dtype", envvar="STYLEFACEV_DTYPE", rich_help_panel=HOW_PANEL,
            help="bfloat16 is coarser, and faster on some processors.",
        ),
    ] = Dtype.float32,
    threads: Annotated[
        int | None,
        typer.Option(
            "--threads", envvar="STYLEFACEV_THREADS", rich_help_panel=HOW_PANEL, min=1, max=1024,
            show_default="one per core", help="CPU threads.",
        ),
    ] = None,
    out: Annotated[
        str,
        typer.Option(
            "--out", "-o", envvar="STYLEFACEV_OUT", rich_help_panel=WHERE_PANEL,
            metavar="FOLDER|PATTERN|-",
            help="A folder, a file name, a pattern like out/{seed}-{motion_seed}.mp4 (or {track}), "
            "or - for stdout.",
        ),
    ] = "videos",
    save_track: Annotated[
        str | None,
        typer.Option(
            "--save-track", rich_help_panel=WHERE_PANEL, metavar="FOLDER|PATTERN",
            help="Save the poses of each video, as in tracks/{seed}.safetensors.",
        ),
    ] = None,
    format_: FormatOption = None,
    lossless: Lossless = False,
    sheet_frames: SheetFrames = None,
    sheet_columns: SheetColumns = None,
    force: Annotated[
        bool,
        typer.Option("--force", rich_help_panel=WHERE_PANEL, help="Overwrite what is there."),
    ] = False,
    skip_existing: Annotated[
        bool,
        typer.Option(
            "--skip-existing", rich_help_panel=WHERE_PANEL,
            help="Make only the videos that are not there yet.",
        ),
    ] = False,
    as_json: Annotated[
        bool,
        typer.Option(
            "--json", rich_help_panel=WHERE_PANEL,
            help="Print one JSON document at the end instead of a path for each video.",
        ),
    ] = False,
) -> None:  # fmt: skip
    """Make face videos from seeds, or of a person of yours (--from).

    Prints the path of each video; beside it stands a JSON file that says how it was made. A seed
    gives the same video whatever else is in the range.

    Example: stylefacev generate --seeds 0-9 --frames 64 --out videos/{seed:04}.mp4
    """
    from stylefacev_cli.generation.camera import Direction, parse_camera, parse_chain, parse_mixes
    from stylefacev_cli.generation.motion_edits import Edits, parse_scales
    from stylefacev_cli.generation.motion_plan import Pace
    from stylefacev_cli.generation.plan import Wishes
    from stylefacev_cli.generation.run import make_videos

    who = one_of(ctx, one_of(ctx, "seeds", "interpolate"), "from_")
    in_seconds = one_of(ctx, "frames", "seconds") == "seconds"
    wishes = Wishes(
        seeds=seeds,
        people=tuple(from_ or ()) if who == "from_" else (),
        motion_seeds=None if motion_seeds is None else ",".join(motion_seeds),
        tracks=tuple(track or ()),
        pace=Pace(None if in_seconds else frames, seconds if in_seconds else None, fps, resample),
        direction=Direction(
            parse_chain(interpolate) if interpolate and who == "interpolate" else (),
            parse_mixes(mix or ()),
            parse_camera(rotate, shift, zoom),
        ),
        edits=Edits(
            smooth=smooth,
            motion_scale=motion_scale,
            scales=parse_scales(scale or []),
            loop=loop,
            num_fade=fade,
        ),
        truncation=truncation,
        stabilise=stabilise,
        grid=grid,
        model=model,
        batch=batch,
        device=device.value,
        dtype=dtype.value,
        num_threads=threads,
        out=out,
        save_track=save_track,
        format_name=format_.value if format_ else None,
        lossless=lossless,
        sheet_frames=sheet_frames,
        sheet_columns=sheet_columns,
        force=force,
        skip_existing=skip_existing,
        as_json=as_json,
    )
    make_videos(wishes, ctx.obj)
