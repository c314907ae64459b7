"""`stylefacev invert`: photographs become persons that can be moved."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stylefacev_cli.cli.generate import Device
from stylefacev_cli.cli.options import AsJson, Threads
from stylefacev_cli.cli.track import Detector, DeviceOption
from stylefacev_cli.weights.locate import DEFAULT_MODEL

_HOW, _WHERE = "How it is found", "Where it goes"


def invert(
    ctx: typer.Context,
    photos: Annotated[list[Path], typer.Argument(metavar="PHOTO…", help="PNG, JPEG or WebP.")],
    out: Annotated[
        str,
        typer.Option(
            "--out", "-o", rich_help_panel=_WHERE, metavar="FILE|FOLDER|PATTERN",
            help="A .safetensors, a folder, or a pattern like people/{name}.safetensors.",
        ),
    ],
    steps: Annotated[
        int,
        typer.Option(
            "--steps", rich_help_panel=_HOW, min=0, max=10_000,
            help="Steps of the optimisation; 0 takes what the encoder sees.",
        ),
    ] = 100,
    tune: Annotated[
        bool,
        typer.Option(
            "--tune", rich_help_panel=_HOW,
            help="Change the generator for this person, too: nearer to the photo, twice the time.",
        ),
    ] = False,
    detector: Detector = None,
    crop: Annotated[
        bool | None,
        typer.Option(
            "--crop/--no-crop", rich_help_panel=_HOW,
            show_default="crop, unless the face fills a square photo",
            help="Cut a window around the face, or take the (square) photo as it is.",
        ),
    ] = None,
    model: Annotated[
        str,
        typer.Option(
            "--model", "-m", envvar="STYLEFACEV_MODEL", rich_help_panel=_HOW, metavar="NAME|FOLDER",
            help="The model that is to draw the person.",
        ),
    ] = DEFAULT_MODEL,
    device: DeviceOption = Device.auto,
    threads: Threads = None,
    force: Annotated[
        bool, typer.Option("--force", rich_help_panel=_WHERE, help="Overwrite latents.")
    ] = False,
    as_json: AsJson = False,
) -> None:  # fmt: skip
    """Find the person of a photo in a model, for generate --from and reenact --source.

    Prints the path of each latent file. Beside it stands a picture: the photo, what the encoder
    alone sees, and what was found. How near both are to the photo is told on stderr.

    Example: stylefacev invert me.jpg --tune -o me.safetensors
    """
    from stylefacev_cli.generation.inversions import InvertWishes, invert_photos

    wishes = InvertWishes(
        photos=photos,
        out=out,
        steps=steps,
        tune=tune,
        detector=detector,
        crop=crop,
        model=model,
        device=device.value,
        num_threads=threads,
        force=force,
        as_json=as_json,
    )
    invert_photos(wishes, ctx.obj)
