"""`stylefacev track`: the motion of a video as a file, and edits of it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stylefacev_cli.cli.generate import Device
from stylefacev_cli.cli.motion_options import (
    EDITS_PANEL,
    Fade,
    Loop,
    MotionScale,
    Scale,
    Smooth,
)
from stylefacev_cli.cli.options import AsJson, Threads
from stylefacev_cli.weights.locate import DEFAULT_MODEL

_FROM, _WHERE = "Where from", "Where it goes"

Crop = Annotated[
    bool | None,
    typer.Option(
        "--crop/--no-crop", rich_help_panel=_FROM,
        show_default="crop, unless the face fills a square video",
        help="Cut one fixed window around the face, or take the (square) frames as they are.",
    ),
]  # fmt: skip
Detector = Annotated[
    str | None,
    typer.Option(
        "--detector", metavar="face-alignment|MODEL",
        show_default="face-alignment if its weights are here, else the model's own",
        help="Finder of faces; a model's detector knows what it was trained on.",
    ),
]  # fmt: skip
ModelOption = Annotated[
    str,
    typer.Option(
        "--model", "-m", envvar="STYLEFACEV_MODEL", metavar="NAME|FOLDER",
        help="The model whose detector and pose extractor read the faces.",
    ),
]  # fmt: skip
DeviceOption = Annotated[
    Device, typer.Option("--device", envvar="STYLEFACEV_DEVICE", help="Where to compute.")
]


def track(
    ctx: typer.Context,
    source: Annotated[
        Path, typer.Argument(metavar="VIDEO|TRACK", help="A video of one face, or a track.")
    ],
    out: Annotated[
        Path,
        typer.Option(
            "--out", "-o", rich_help_panel=_WHERE, metavar="FILE.safetensors", help="The track."
        ),
    ],
    crop: Crop = None,
    detector: Detector = None,
    join: Annotated[
        list[Path] | None,
        typer.Option(
            "--join", rich_help_panel=EDITS_PANEL, metavar="VIDEO|TRACK",
            help="Put another one behind it; can be given several times.",
        ),
    ] = None,
    fps: Annotated[
        float | None,
        typer.Option(
            "--fps", rich_help_panel=EDITS_PANEL, min=0.1, max=240, show_default="the source's",
            help="Frames per second of the result: poses are interpolated, the speed stays.",
        ),
    ] = None,
    cut: Annotated[
        str | None,
        typer.Option(
            "--cut", rich_help_panel=EDITS_PANEL, metavar="A:B",
            help="Frames A to before B; seconds with an s, as in 0.5s:2s; either may be left out.",
        ),
    ] = None,
    reverse: Annotated[
        bool, typer.Option("--reverse", rich_help_panel=EDITS_PANEL, help="Backwards.")
    ] = False,
    smooth: Smooth = None,
    motion_scale: MotionScale = None,
    scale: Scale = None,
    loop: Loop = False,
    fade: Fade = 8,
    model: ModelOption = DEFAULT_MODEL,
    device: DeviceOption = Device.auto,
    threads: Threads = None,
    force: Annotated[
        bool, typer.Option("--force", rich_help_panel=_WHERE, help="Overwrite a file.")
    ] = False,
    as_json: AsJson = False,
) -> None:  # fmt: skip
    """Save the motion of a video as a pose track, or edit one.

    Prints the path of the track, which `generate --track` and `reenact` play on other faces. The
    face is cut out with one window for the whole video, so that its movements stay.

    Example: stylefacev track clip.mp4 --scale mouth=1.3 --loop -o clip.safetensors
    """
    from stylefacev_cli.generation.motion_edits import Edits, parse_scales
    from stylefacev_cli.generation.tracking import TrackWishes, make_track

    edits = Edits(fps, cut, reverse, smooth, motion_scale, parse_scales(scale or []), loop, fade)
    sources = (source, *(join or []))
    wishes = TrackWishes(
        sources, out, crop, detector, edits, model, device.value, threads, force, as_json
    )
    make_track(wishes, ctx.obj)
