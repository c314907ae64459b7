"""`stylefacev reenact`: the person of a seed or a photo moves as somebody else does."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stylefacev_cli.cli.generate import Device, Dtype
from stylefacev_cli.cli.options import AsJson, Threads
from stylefacev_cli.cli.picture_options import (
    WHERE_PANEL,
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
from stylefacev_cli.cli.track import Crop, Detector, DeviceOption, ModelOption
from stylefacev_cli.weights.locate import DEFAULT_MODEL


def reenact(
    ctx: typer.Context,
    source: Annotated[
        str,
        typer.Option(
            "--source", metavar="SEED|LATENT|PHOTO",
            help="Who moves: the person of a seed, of a file of stylefacev invert, or of a photo.",
        ),
    ],
    driving: Annotated[
        Path,
        typer.Option(
            "--driving", metavar="VIDEO|TRACK", help="Who is followed: a video, or a pose track."
        ),
    ],
    out: Annotated[
        str,
        typer.Option(
            "--out", "-o", rich_help_panel=WHERE_PANEL, metavar="FILE|-",
            help="An mp4, mkv, webm, gif or npy, a folder with --format png, or - for stdout.",
        ),
    ],
    relative: Annotated[
        bool,
        typer.Option(
            "--relative/--absolute",
            help="The driver's movements from the source's own first pose, or the driver's poses.",
        ),
    ] = True,
    audio: Annotated[
        bool, typer.Option("--audio", help="With the sound of the driving video.")
    ] = False,
    crop: Crop = None,
    detector: Detector = None,
    mix: Mix = None,
    rotate: Rotate = None,
    shift: Shift = None,
    zoom: Zoom = None,
    truncation: Truncation = 1.0,
    model: ModelOption = DEFAULT_MODEL,
    batch: Batch = None,
    device: DeviceOption = Device.auto,
    dtype: Annotated[
        Dtype, typer.Option("--dtype", envvar="STYLEFACEV_DTYPE", help="bfloat16 is coarser.")
    ] = Dtype.float32,
    threads: Threads = None,
    format_: FormatOption = None,
    lossless: Lossless = False,
    sheet_frames: SheetFrames = None,
    sheet_columns: SheetColumns = None,
    force: Annotated[
        bool, typer.Option("--force", rich_help_panel=WHERE_PANEL, help="Overwrite a video.")
    ] = False,
    as_json: AsJson = False,
) -> None:  # fmt: skip
    """Make the person of a seed or a photo move like the driver of a video or a track.

    Prints the path of the video; a JSON file beside it says how it was made. It has the driver's
    length and frames a second; edit the motion on the way with stylefacev track.

    Example: stylefacev reenact --source me.jpg --driving clip.mp4 --audio -o me.mp4
    """
    from stylefacev_cli.generation.camera import Direction, parse_camera, parse_mixes
    from stylefacev_cli.generation.reenactment import ReenactWishes, make_reenactment

    wishes = ReenactWishes(
        source=source,
        driving=driving,
        out=out,
        relative=relative,
        audio=audio,
        crop=crop,
        detector=detector,
        direction=Direction((), parse_mixes(mix or ()), parse_camera(rotate, shift, zoom)),
        truncation=truncation,
        model=model,
        batch=batch,
        device=device.value,
        dtype=dtype.value,
        num_threads=threads,
        format_name=format_.value if format_ else None,
        lossless=lossless,
        sheet_frames=sheet_frames,
        sheet_columns=sheet_columns,
        force=force,
        as_json=as_json,
    )
    make_reenactment(wishes, ctx.obj)
