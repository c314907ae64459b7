"""What is seen and in which form it is kept, as options that `generate` and `reenact` share."""

from __future__ import annotations

from enum import Enum
from typing import Annotated

import typer

WHAT_PANEL, HOW_PANEL = "What is made", "How it is computed"
WHO_PANEL, WHERE_PANEL = "Who is seen, and from where", "Where it goes"


class Format(str, Enum):
    """Formats of `--format`; raw goes down a pipe only."""

    mp4 = "mp4"
    gif = "gif"
    webm = "webm"
    mkv = "mkv"
    png = "png"
    npy = "npy"
    sheet = "sheet"
    raw = "raw"


Mix = Annotated[
    list[str] | None,
    typer.Option(
        "--mix", rich_help_panel=WHO_PANEL, metavar="SEED:LAYERS",
        help="Layers of the generator that show another seed in the same pose: 5:4- are its "
        "layers 4 and up (colours), 5:0-3 its form; several times.",
    ),
]  # fmt: skip
Rotate = Annotated[
    str | None,
    typer.Option(
        "--rotate", rich_help_panel=WHO_PANEL, metavar="DEG[:DEG…]",
        help="Turn the picture, anti-clockwise; A:B moves over the video, gently. "
        "Configuration T, as default-128, turns eyes by half of it and bends faces beyond 15.",
    ),
]  # fmt: skip
Shift = Annotated[
    str | None,
    typer.Option(
        "--shift", rich_help_panel=WHO_PANEL, metavar="X,Y[:X,Y…]",
        help="Shift it right and down, in picture widths.",
    ),
]  # fmt: skip
Zoom = Annotated[
    str | None,
    typer.Option(
        "--zoom", rich_help_panel=WHO_PANEL, metavar="F[:F…]",
        help="Enlarge it; outside 0.9 to 1.25 heads lose their shape.",
    ),
]  # fmt: skip
FormatOption = Annotated[
    Format | None,
    typer.Option(
        "--format", envvar="STYLEFACEV_FORMAT", rich_help_panel=WHERE_PANEL,
        show_default="by the name, else mp4",
        help="png: a folder of pictures; npy: a numpy array; sheet: one picture of some "
        "frames; raw: rgb24 for a pipe.",
    ),
]  # fmt: skip
Lossless = Annotated[
    bool,
    typer.Option(
        "--lossless", rich_help_panel=WHERE_PANEL,
        help="Keep every colour: H.264 in RGB (mp4), FFV1 (mkv), VP9 (webm).",
    ),
]  # fmt: skip
SheetFrames = Annotated[
    int | None,
    typer.Option(
        "--sheet-frames", rich_help_panel=WHERE_PANEL, min=1, max=1000, show_default="8",
        help="Frames of each video in a sheet, evenly spread.",
    ),
]  # fmt: skip
SheetColumns = Annotated[
    int | None,
    typer.Option(
        "--sheet-columns", rich_help_panel=WHERE_PANEL, min=1, max=1000,
        show_default="all in one row", help="Frames in a row of a sheet.",
    ),
]  # fmt: skip
Truncation = Annotated[
    float,
    typer.Option(
        "--truncation", envvar="STYLEFACEV_TRUNCATION", rich_help_panel=WHAT_PANEL, min=-2, max=2,
        help="1: as varied as learnt; towards 0: closer to the mean face.",
    ),
]  # fmt: skip
Batch = Annotated[
    int | None,
    typer.Option(
        "--batch", envvar="STYLEFACEV_BATCH", rich_help_panel=HOW_PANEL, min=1, max=4096,
        show_default="by resolution",
        help="Frames rendered at once; fewer need less memory.",
    ),
]  # fmt: skip
