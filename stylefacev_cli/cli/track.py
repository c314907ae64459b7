"""`stylefacev track`: the motion of a video as a file, and edits of it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stylefacev_cli.cli.generate import Device
from stylefacev_cli.cli.options import AsJson, Threads
from stylefacev_cli.weights.locate import DEFAULT_MODEL

_FROM, _EDITS, _WHERE = "Where from", "Edits, in this order", "Where it goes"

Crop = Annotated[
    bool | None,
    typer.Option(
        "--crop/--no-crop", rich_help_panel=_FROM,
        show_default="crop, unless the face fills a square video",
        help="Cut one fixed window around the face, or take the (square) frames as they are.",
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
    join: Annotated[
        list[Path] | None,
        typer.Option(
            "--join", rich_help_panel=_EDITS, metavar="VIDEO|TRACK",
            help="Put another one behind it; can be given several times.",
        ),
    ] = None,
    fps: Annotated[
        float | None,
        typer.Option(
            "--fps", rich_help_panel=_EDITS, min=0.1, max=240, show_default="the source's",
            help="Frames per second of the result: poses are interpolated, the speed stays.",
        ),
    ] = None,
    cut: Annotated[
        str | None,
        typer.Option(
            "--cut", rich_help_panel=_EDITS, metavar="A:B",
            help="Frames A to before B; seconds with an s, as in 0.5s:2s; either may be left out.",
        ),
    ] = None,
    reverse: Annotated[
        bool, typer.Option("--reverse", rich_help_panel=_EDITS, help="Backwards.")
    ] = False,
    smooth: Annotated[
        int | None,
        typer.Option(
            "--smooth", rich_help_panel=_EDITS, min=3, max=1001, metavar="FRAMES",
            help="Savitzky-Golay over so many frames (odd); tells what it costs in motion.",
        ),
    ] = None,
    motion_scale: Annotated[
        float | None,
        typer.Option(
            "--motion-scale", rich_help_panel=_EDITS, min=0, max=2,
            help="More or less of all motion, around the mean pose of the track.",
        ),
    ] = None,
    scale: Annotated[
        list[str] | None,
        typer.Option(
            "--scale", rich_help_panel=_EDITS, metavar="PART=FACTOR",
            help="More, less or no motion (0) of head, mouth, eyes or brows; several times.",
        ),
    ] = None,
    loop: Annotated[
        bool,
        typer.Option(
            "--loop", rich_help_panel=_EDITS,
            help="Close it: what follows the end fades into the beginning.",
        ),
    ] = False,
    fade: Annotated[
        int,
        typer.Option(
            "--fade", rich_help_panel=_EDITS, min=0, max=1000, metavar="FRAMES",
            help="Length of the cross-fades of --join and --loop.",
        ),
    ] = 8,
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
    from stylefacev_cli.cli.tracking_motion import Edits, TrackWishes, make_track, parse_scales

    edits = Edits(fps, cut, reverse, smooth, motion_scale, parse_scales(scale or []), loop, fade)
    sources = (source, *(join or []))
    wishes = TrackWishes(sources, out, crop, edits, model, device.value, threads, force, as_json)
    make_track(wishes, ctx.obj)
