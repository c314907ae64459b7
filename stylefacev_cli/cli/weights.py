"""`stylefacev weights`: models and released weights – fetch, check, import, export them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from stylefacev_cli.cli.options import AsJson
from stylefacev_cli.cli.request_options import takes
from stylefacev_cli.cli.terminal import Terminal
from stylefacev_cli.weights import api
from stylefacev_cli.weights.model_inventory import (
    check_rows,
    folder_of_many,
    fps_text,
    summed_rows,
)
from stylefacev_cli.weights.requests import (
    DownloadRequest,
    ExportRequest,
    ImportRequest,
    NamedRequest,
    RemoveRequest,
    VerifyRequest,
)

if TYPE_CHECKING:
    from stylefacev_cli.weights.manifest import Manifest

app = typer.Typer(
    name="weights", help="Fetch, check, import and export weights.", no_args_is_help=True
)


@app.command("list")
def list_weights(ctx: typer.Context, as_json: AsJson = False) -> None:
    """List models and released weights: name, role, size, licence, whether they are here."""
    terminal: Terminal = ctx.obj
    rows = api.list_models() + api.list_entries()
    if as_json:
        terminal.result(json.dumps(rows))
        return
    table = [("NAME", "STATE", "SIZE", "LICENCE", "ROLE")]
    for row in rows:
        licence = row["licence"]
        if row["non_commercial"] and "non-commercial" not in licence:
            licence += " (non-commercial)"
        table.append((row["name"], row["state"], _megabytes(row["bytes"]), licence, row["role"]))
    for line in _aligned(table):
        terminal.result(line)


@app.command()
@takes(NamedRequest)
def show(ctx: typer.Context, request: NamedRequest, as_json: AsJson = False) -> None:
    """Tell all about released weights or a model: files, hashes, sources, licence."""
    terminal: Terminal = ctx.obj
    facts = api.show(request)
    if as_json:
        terminal.result(json.dumps(facts))
        return
    for key, value in facts.items():
        if key != "files":
            terminal.result(f"{key}: {_megabytes(value) if key == 'bytes' else value}")
    for file in facts["files"]:
        terminal.result(f"file: {file['path']}")
        for key in ("state", "bytes", "sha256", "sha256_is"):
            if file.get(key) is not None:
                terminal.result(f"  {key}: {file[key]}")
        for source in file.get("sources", ()):
            terminal.result(f"  source: {source}")


@app.command()
@takes(NamedRequest)
def path(ctx: typer.Context, request: NamedRequest, as_json: AsJson = False) -> None:
    """Print where the files of downloaded weights, or the folder of a model, are."""
    paths = api.paths(request)
    _print_paths(ctx.obj, paths if as_json else folder_of_many(request.name, paths), as_json)


@app.command()
@takes(VerifyRequest)
def verify(ctx: typer.Context, request: VerifyRequest, as_json: AsJson = False) -> None:
    """Read files again and compare their SHA-256; a damaged one ends with code 4."""
    terminal: Terminal = ctx.obj
    rows = api.verify(request, terminal)
    if as_json:
        terminal.result(json.dumps(rows))
    else:
        for line in _aligned(summed_rows(rows)):
            terminal.result(line)
    check_rows(rows)


@app.command()
@takes(RemoveRequest)
def remove(ctx: typer.Context, request: RemoveRequest, as_json: AsJson = False) -> None:
    """Delete downloaded weights or an imported model; both, where they have one name."""
    removed = api.remove(request)
    if not removed:
        ctx.obj.note(f"nothing of {request.name} was there")
    _print_paths(ctx.obj, removed if as_json else folder_of_many(request.name, removed), as_json)


@app.command()
@takes(DownloadRequest)
def download(ctx: typer.Context, request: DownloadRequest, as_json: AsJson = False) -> None:
    """Fetch released weights, check their SHA-256, and print where they are."""
    paths = api.download(request)
    if not as_json:
        paths = [path for name in dict.fromkeys(request.names) for path in _shown(name)]
    _print_paths(ctx.obj, paths, as_json)


@app.command("import")
@takes(ImportRequest)
def import_bundle(ctx: typer.Context, request: ImportRequest, as_json: AsJson = False) -> None:
    """Make a model of files that were fetched by hand; no code in them is run.

    A generator alone makes a model that can render single images and be trained on, but no videos.

    A name that `weights download` knows stands for what it fetched.

    Example: stylefacev weights import mine --generator stylegan3-r-ffhqu-256
    """
    terminal: Terminal = ctx.obj
    imported = api.import_model(request)
    manifest = imported.manifest
    for note in imported.notes:
        terminal.note(note)
    terminal.note(f"licence: {manifest.licence}")
    if manifest.fps_is_only_written:
        terminal.note(f"{fps_text(manifest)}; --fps says another one")
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


@app.command("export")
@takes(ExportRequest)
def export_bundle(ctx: typer.Context, request: ExportRequest, as_json: AsJson = False) -> None:
    """Write a model as files under the original names, for the original code.

    State dicts, and the generator also as a .pkl that StyleGAN3's own loader reads.

    `weights import NAME --archive FOLDER` makes the same model of them again, bit for bit.
    """
    paths = api.export_model(request)
    if as_json:
        ctx.obj.result(json.dumps({"files": [str(path) for path in paths]}, indent=2))
    else:
        _print_paths(ctx.obj, paths, as_json=False)


def _shown(name: str) -> list[Path]:
    """What is printed of an entry: its files, or the folder of very many."""
    return folder_of_many(name, api.paths(name))


def _print_paths(terminal: Terminal, paths: list[Path], as_json: bool) -> None:
    if as_json:
        terminal.result(json.dumps([str(path) for path in paths]))
        return
    for path in paths:
        terminal.result(str(path))


def _megabytes(num_bytes: int | None) -> str:
    return "?" if num_bytes is None else f"{num_bytes / 1e6:.1f} MB"


def _aligned(rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Columns of equal width, the last one as it is."""
    if not rows:
        return []
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)][:-1]
    return [
        "  ".join([*(c.ljust(w) for c, w in zip(row[:-1], widths, strict=True)), row[-1]])
        for row in rows
    ]


def _facts(manifest: Manifest) -> dict[str, Any]:
    return {
        "name": manifest.name,
        "folder": str(manifest.folder),
        "sha256": manifest.sha256,
        "model_kind": manifest.kind,
        "resolution": manifest.resolution,
        "fps": manifest.fps,
        "fps_is_only_written": manifest.fps_is_only_written,
        "normalisation": manifest.normalisation,
        "licence": manifest.licence,
        "networks": list(manifest.files),
        "missing": list(manifest.missing),
    }
