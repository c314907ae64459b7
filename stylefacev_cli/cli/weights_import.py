"""`stylefacev weights import` and `export`: files fetched by hand, and the way back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import stylefacev_cli
from stylefacev_cli.cli.options import AsJson
from stylefacev_cli.cli.terminal import Terminal
from stylefacev_cli.common.signals import holding_signals
from stylefacev_cli.errors import MissingWeightsError
from stylefacev_cli.weights.model_inventory import told_fps

if TYPE_CHECKING:
    from stylefacev_cli.weights.manifest import Manifest

_FILES = "Files of the networks"


def _file(option: str, text: str) -> Any:
    return typer.Option(option, metavar="FILE", rich_help_panel=_FILES, help=text)


def import_bundle(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="What the model will be called.")],
    generator: Annotated[
        Path | None, _file("--generator", "StyleGAN3, T or R: .pkl, .pt or .safetensors.")
    ] = None,
    appearance: Annotated[
        Path | None, _file("--appearance", "latest_net_FE.pth, or pre_net.pth.")
    ] = None,
    landmarks: Annotated[Path | None, _file("--landmarks", "latest_net_FE_lm.pth")] = None,
    pose: Annotated[
        Path | None, _file("--pose", "latest_net_FE_pose.pth, or pre_pose_net.pth.")
    ] = None,
    motion: Annotated[Path | None, _file("--motion", "motion_net.pth")] = None,
    detector: Annotated[Path | None, _file("--detector", "wing.ckpt; videos do without.")] = None,
    archive: Annotated[
        Path | None,
        typer.Option(
            "--archive", metavar="ZIP|FOLDER",
            help="The authors' zip or folder as it is, or that of an export; a file that an option "
            "names goes before its own.",
        ),
    ] = None,
    fps: Annotated[
        float | None,
        typer.Option(
            "--fps", help="Frames a second of its motion.",
            show_default="15, only the rate of the authors' video writer",
        ),
    ] = None,
    licence: Annotated[
        str | None,
        typer.Option(
            "--licence", help="Licence of the weights.", show_default="that of the publishers"
        ),
    ] = None,
    normalisation: Annotated[
        str | None,
        typer.Option(
            "--normalisation", metavar="per_image|running",
            help="How the appearance network normalises: each image and pose by its own "
            "statistics, as the authors sample, or by those of training.",
            show_default="per_image",
        ),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace a model of that name.")
    ] = False,
    as_json: AsJson = False,
) -> None:  # fmt: skip
    """Make a model of files that were fetched by hand; no code in them is run.

    A generator alone makes a model that can render single images and be trained on, but no videos.

    A name that `weights download` knows stands for what it fetched.

    Example: stylefacev weights import mine --generator stylegan3-r-ffhqu-256
    """
    terminal: Terminal = ctx.obj
    with holding_signals():
        from stylefacev_cli.weights.convert.importer import ImportWishes, import_model

    given = {
        "generator": generator,
        "appearance": appearance,
        "landmarks": landmarks,
        "pose": pose,
        "motion": motion,
        "detector": detector,
    }
    wishes = ImportWishes(
        name=name,
        files={
            network: _located(path, network) for network, path in given.items() if path is not None
        },
        archive=None if archive is None else _located(archive),
        fps=fps,
        licence=licence,
        normalisation=normalisation,
        force=force,
        tool=f"stylefacev {stylefacev_cli.__version__}",
    )
    imported = import_model(wishes)
    manifest = imported.manifest
    for note in imported.notes:
        terminal.note(note)
    terminal.note(f"licence: {manifest.licence}")
    if manifest.fps_is_only_written:
        terminal.note(f"{told_fps(manifest)}; --fps says another one")
    if manifest.missing:
        terminal.note(
            f"{manifest.name} can render images (generate --frames 1) and be trained on "
            f"(train --start-from), but make no videos: it lacks {', '.join(manifest.missing)}"
        )
        if {"pose", "appearance"} <= set(manifest.files):
            start = f"--start-from {manifest.name}"
            terminal.note(f"`train joint {start}`, then `train motion {start}` make the rest")
    if as_json:
        terminal.result(json.dumps({**_facts(manifest), "notes": list(imported.notes)}, indent=2))
    else:
        terminal.result(str(manifest.folder))


def export_bundle(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME|FOLDER", help="The model.")],
    to: Annotated[Path, typer.Option("--to", metavar="FOLDER", help="Where the files go.")],
    force: Annotated[
        bool, typer.Option("--force", help="Replace files that are there.")
    ] = False,
    as_json: AsJson = False,
) -> None:  # fmt: skip
    """Write a model as files under the original names, for the original code.

    State dicts, and the generator also as a .pkl that StyleGAN3's own loader reads.

    `weights import NAME --archive FOLDER` makes the same model of them again, bit for bit.
    """
    terminal: Terminal = ctx.obj
    with holding_signals():
        from stylefacev_cli.weights.convert.exporter import export_model

    paths = export_model(name, to, force=force)
    if as_json:
        terminal.result(json.dumps({"files": [str(path) for path in paths]}, indent=2))
        return
    for path in paths:
        terminal.result(str(path))


def _located(path: Path, network: str | None = None) -> Path:
    """The path itself, or where downloaded weights of that name are.

    Args:
        path: of a file or folder, or a name.
        network: whose file is wanted of weights with many files; None: their folder.

    Raises:
        MissingWeightsError: they are not downloaded yet.
    """
    from stylefacev_cli.weights.convert.file_names import network_of_file
    from stylefacev_cli.weights.download.cache import path_of
    from stylefacev_cli.weights.download.registry import read_registry

    entry = None if path.exists() else read_registry().get(str(path))
    if entry is None:
        return path
    found = [file for file in entry.files if network in (None, network_of_file(file.name))]
    files = [path_of(file) for file in found or entry.files]
    if not all(file.is_file() for file in files):
        raise MissingWeightsError(
            f"{path} is not there: run `stylefacev weights download {path}` first"
        )
    return files[0] if len(files) == 1 else files[0].parent


def _facts(manifest: Manifest) -> dict[str, Any]:
    return {
        "name": manifest.name,
        "folder": str(manifest.folder),
        "sha256": manifest.sha256,
        "resolution": manifest.resolution,
        "fps": manifest.fps,
        "fps_is_only_written": manifest.fps_is_only_written,
        "normalisation": manifest.normalisation,
        "licence": manifest.licence,
        "networks": list(manifest.files),
        "missing": list(manifest.missing),
    }
