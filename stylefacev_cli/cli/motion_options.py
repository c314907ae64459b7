"""Edits of motion as options: `track` makes a track with them, `generate` a video."""

from __future__ import annotations

from typing import Annotated

import typer

EDITS_PANEL = "Edits of the motion, in this order"

Smooth = Annotated[
    int | None,
    typer.Option(
        "--smooth", rich_help_panel=EDITS_PANEL, min=3, max=1001, metavar="FRAMES",
        help="Savitzky-Golay over so many frames (odd); tells what it costs in motion.",
    ),
]  # fmt: skip
MotionScale = Annotated[
    float | None,
    typer.Option(
        "--motion-scale", rich_help_panel=EDITS_PANEL, min=0, max=2,
        help="More or less of all motion, around its mean pose.",
    ),
]  # fmt: skip
Scale = Annotated[
    list[str] | None,
    typer.Option(
        "--scale", rich_help_panel=EDITS_PANEL, metavar="PART=FACTOR",
        help="More, less or no motion (0) of head, mouth, eyes or brows; several times.",
    ),
]  # fmt: skip
Loop = Annotated[
    bool,
    typer.Option(
        "--loop", rich_help_panel=EDITS_PANEL,
        help="Close it: what follows the end fades into the beginning.",
    ),
]  # fmt: skip
Fade = Annotated[
    int,
    typer.Option(
        "--fade", rich_help_panel=EDITS_PANEL, min=0, max=1000, metavar="FRAMES",
        help="Length of cross-fades.",
    ),
]  # fmt: skip
