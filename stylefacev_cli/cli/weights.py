"""`stylefacev weights`: models and released weights – fetch, check, import, export them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stylefacev_cli.cli import weights_import
from stylefacev_cli.cli.options import AsJson
from stylefacev_cli.cli.terminal import Terminal
from stylefacev_cli.errors import IntegrityError, MissingWeightsError
from stylefacev_cli.weights.model_inventory import (
    all_models,
    model_facts,
    model_folder,
    model_names,
    remove_model,
    summed_rows,
    verified_file,
    verified_model,
    weight_facts,
)

if TYPE_CHECKING:
    from stylefacev_cli.weights.download.registry import Entry

app = typer.Typer(
    name="weights", help="Fetch, check, import and export weights.", no_args_is_help=True
)

Name = Annotated[str, typer.Argument(help="As `weights list` shows it.")]


def list_weights(ctx: typer.Context, as_json: AsJson = False) -> None:
    """List models and released weights: name, role, size, licence, whether they are here."""
    from stylefacev_cli.weights.download.registry import read_registry

    terminal: Terminal = ctx.obj
    rows = all_models() + [weight_facts(entry) for entry in read_registry().values()]
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


def show(ctx: typer.Context, name: Name, as_json: AsJson = False) -> None:
    """Tell all about released weights or a model: files, hashes, sources, licence."""
    from stylefacev_cli.weights.download.registry import read_registry

    terminal: Terminal = ctx.obj
    entry = read_registry().get(name)
    facts = model_facts(model_folder(name)) if entry is None else weight_facts(entry, details=True)
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


def path(ctx: typer.Context, name: Name, as_json: AsJson = False) -> None:
    """Print where the files of downloaded weights, or the folder of a model, are."""
    from stylefacev_cli.weights.download.cache import path_of
    from stylefacev_cli.weights.download.fetch import by_hand
    from stylefacev_cli.weights.download.registry import read_registry

    entry = read_registry().get(name)
    missing = [file for file in entry.files if not path_of(file).is_file()] if entry else []
    if entry is None or (missing and name in model_names()):
        paths = [model_folder(name)]
    elif missing:
        raise MissingWeightsError(
            f"{missing[0].name} is not there: run `stylefacev weights download {name}`, "
            f"or {by_hand(missing[0])}"
        )
    else:
        paths = [path_of(file) for file in entry.files]
        paths = paths if as_json else _shown_paths(entry, paths)
    _print_paths(ctx.obj, paths, as_json)


def verify(
    ctx: typer.Context,
    name: Annotated[str | None, typer.Argument(help="By default all that is here.")] = None,
    as_json: AsJson = False,
) -> None:
    """Read files again and compare their SHA-256; a damaged one ends with code 4."""
    from stylefacev_cli.weights.download.registry import read_registry

    terminal: Terminal = ctx.obj
    registry, models = read_registry(), model_names()
    rows: list[dict[str, Any]] = []
    for each in [name] if name is not None else list(dict.fromkeys([*models, *registry])):
        if each in models or each not in registry:
            rows.append(verified_model(each, model_folder(each), terminal))
        if each in registry:
            rows += [verified_file(each, file, terminal) for file in registry[each].files]
    if name is None or name in models:
        rows = [row for row in rows if row["state"] != "missing"]
    if as_json:
        terminal.result(json.dumps(rows))
    else:
        for line in _aligned(summed_rows(rows)):
            terminal.result(line)
    for state, kind in (("damaged", IntegrityError), ("missing", MissingWeightsError)):
        bad = [row["path"] for row in rows if row["state"] == state]
        if bad:
            more = f" and {len(bad) - 1} more" if len(bad) > 1 else ""
            raise kind(
                f"{state}: {bad[0]}{more}; `stylefacev weights remove` and `download` fetch it anew"
            )


def remove(
    ctx: typer.Context,
    name: Name,
    forget: Annotated[
        bool, typer.Option("--forget", help="Also forget hashes trusted on first use.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Delete downloaded weights or an imported model; both, where they have one name."""
    from stylefacev_cli.weights.download import cache
    from stylefacev_cli.weights.download.fetch import remove_archives
    from stylefacev_cli.weights.download.registry import read_registry
    from stylefacev_cli.weights.locate import imported_models, models_folder

    removed: list[Path] = []
    if name in imported_models():
        removed.append(models_folder() / name)
        remove_model(removed[0])
    if not removed or name in read_registry():
        entry = _entry(name)
        files = cache.remove(entry, forget=forget)
        remove_archives(entry)
        removed += files if as_json else _shown_paths(entry, files)
    if not removed:
        ctx.obj.note(f"nothing of {name} was there")
    _print_paths(ctx.obj, removed, as_json)


def download(
    ctx: typer.Context,
    names: Annotated[list[str], typer.Argument(help="As `weights list` shows them.")],
    mirror: Annotated[
        str | None,
        typer.Option(
            envvar="STYLEFACEV_MIRROR", help="https address tried first; hashes are checked."
        ),
    ] = None,
    retries: Annotated[
        int, typer.Option(min=0, help="Tries without getting further, before the next source.")
    ] = 4,
    stall: Annotated[
        float, typer.Option(help="Seconds without bytes, after which a connection is given up.")
    ] = 60.0,
    as_json: AsJson = False,
) -> None:
    """Fetch released weights, check their SHA-256, and print where they are."""
    from stylefacev_cli.weights.download.fetch import check_consent, fetch_entry
    from stylefacev_cli.weights.download.fetch_options import Options
    from stylefacev_cli.weights.download.interaction import interaction

    terminal: Terminal = ctx.obj
    options = Options(mirror=mirror or None, retries=retries, stall_timeout_s=stall)
    entries = [_entry(name) for name in dict.fromkeys(names)]
    for entry in entries:
        check_consent(entry, options)
    paths: list[Path] = []
    with interaction().listening() as listener:
        for entry in entries:
            fetched = fetch_entry(entry, options, listener)
            paths += fetched if as_json else _shown_paths(entry, fetched)
    _print_paths(terminal, paths, as_json)


def _entry(name: str) -> Entry:
    from stylefacev_cli.weights.download.registry import find_entry

    return find_entry(name)


def _shown_paths(entry: Entry, paths: list[Path]) -> list[Path]:
    """The paths of an entry's files; of many files their folder."""
    from stylefacev_cli.weights.download.cache import folder_of
    from stylefacev_cli.weights.download.fetch import MANY_FILES

    return [folder_of(entry)] if len(paths) > MANY_FILES else paths


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


app.command("list")(list_weights)
app.command()(show)
app.command()(path)
app.command()(verify)
app.command()(remove)
app.command()(download)
app.command("import")(weights_import.import_bundle)
app.command("export")(weights_import.export_bundle)
