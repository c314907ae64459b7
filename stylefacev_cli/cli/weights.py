"""`stylefacev weights`: models and released weights – fetch, check, import, export them."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stylefacev_cli.cli import weights_import
from stylefacev_cli.cli.downloads import listening
from stylefacev_cli.cli.options import AsJson
from stylefacev_cli.cli.stock import (
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
from stylefacev_cli.cli.terminal import Terminal, is_terminal
from stylefacev_cli.errors import IntegrityError, MissingWeightsError, UsageError

if TYPE_CHECKING:
    from stylefacev_cli.weights.registry import Entry

app = typer.Typer(
    name="weights", help="Fetch, check, import and export weights.", no_args_is_help=True
)

Name = Annotated[str, typer.Argument(help="As `weights list` shows it.")]


def list_weights(ctx: typer.Context, as_json: AsJson = False) -> None:
    """List models and released weights: name, role, size, licence, whether they are here."""
    from stylefacev_cli.weights.registry import read_registry

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
    from stylefacev_cli.weights.registry import read_registry

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
    from stylefacev_cli.weights.cache import path_of
    from stylefacev_cli.weights.download import by_hand
    from stylefacev_cli.weights.registry import read_registry

    entry = read_registry().get(name)
    if entry is None:
        paths = [model_folder(name)]
    else:
        for file in entry.files:
            if not path_of(file).is_file():
                raise MissingWeightsError(
                    f"{file.name} is not there: run `stylefacev weights download {name}`, "
                    f"or {by_hand(file)}"
                )
        paths = [path_of(file) for file in entry.files]
        paths = paths if as_json else _shown_paths(entry, paths)
    _print_paths(ctx.obj, paths, as_json)


def verify(
    ctx: typer.Context,
    name: Annotated[str | None, typer.Argument(help="By default all that is here.")] = None,
    as_json: AsJson = False,
) -> None:
    """Read files again and compare their SHA-256; a damaged one ends with code 4."""
    from stylefacev_cli.weights.registry import read_registry

    terminal: Terminal = ctx.obj
    registry = read_registry()
    rows: list[dict[str, Any]] = []
    for each in [name] if name is not None else [*model_names(), *registry]:
        if each in registry:
            rows += [verified_file(each, file, terminal) for file in registry[each].files]
        else:
            rows.append(verified_model(each, model_folder(each), terminal))
    if name is None:
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
    """Delete downloaded weights or an imported model."""
    from stylefacev_cli.weights import cache
    from stylefacev_cli.weights.download import remove_archives
    from stylefacev_cli.weights.locate import imported_models, models_folder

    if name in imported_models():
        remove_model(models_folder() / name)
        _print_paths(ctx.obj, [models_folder() / name], as_json)
        return
    entry = _entry(name)
    removed = cache.remove(entry, forget=forget)
    remove_archives(entry)
    if not removed:
        ctx.obj.note(f"nothing of {name} was there")
    _print_paths(ctx.obj, removed if as_json else _shown_paths(entry, removed), as_json)


def download(
    ctx: typer.Context,
    names: Annotated[list[str], typer.Argument(help="As `weights list` shows them.")],
    accept_licence: Annotated[
        bool, typer.Option("--accept-licence", help="Accept what a terminal would be asked.")
    ] = False,
    offline: Annotated[
        bool,
        typer.Option("--offline", help="Open no connection. [env: STYLEFACEV_OFFLINE]"),
    ] = False,
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
    from stylefacev_cli.weights.download import fetch_entry
    from stylefacev_cli.weights.fetch_options import Options, is_offline

    terminal: Terminal = ctx.obj
    options = Options(
        offline=offline or is_offline(),
        mirror=mirror or None,
        retries=retries,
        stall_timeout_s=stall,
    )
    entries = [_entry(name) for name in dict.fromkeys(names)]
    for entry in entries:
        if not options.offline:
            _ask_consent(terminal, entry, accept_licence=accept_licence)
    terminal.way_on = "; run the same command again to go on"
    paths: list[Path] = []
    with listening(terminal) as listener:
        for entry in entries:
            fetched = fetch_entry(entry, options, listener)
            paths += fetched if as_json else _shown_paths(entry, fetched)
    _print_paths(terminal, paths, as_json)


def _entry(name: str) -> Entry:
    from stylefacev_cli.weights.registry import find_entry

    return find_entry(name)


def _ask_consent(terminal: Terminal, entry: Entry, *, accept_licence: bool) -> None:
    """Print a non-commercial licence once, before the first download under it."""
    from stylefacev_cli.weights.cache import accept_licence as remember
    from stylefacev_cli.weights.cache import path_of
    from stylefacev_cli.weights.download import needs_consent

    is_here = all(path_of(file).is_file() for file in entry.files)
    if is_here or not needs_consent(entry):
        return
    licence = entry.licence
    where = f", see {licence.url}" if licence.url else ""
    told = f"{entry.name}: licence {licence.name}{where}; it allows: {licence.allows}"
    if accept_licence:
        terminal.note(told)
    else:
        if not (is_terminal(sys.stdin) and is_terminal(sys.stderr)):
            raise UsageError(
                f"the licence of {entry.name} ({licence.name}: {licence.allows}) has to be "
                "accepted: add --accept-licence"
            )
        if not terminal.ask(f"{told}\naccept it?"):
            raise UsageError(f"{entry.name} was not fetched: its licence was not accepted")
    remember(entry.name)


def _shown_paths(entry: Entry, paths: list[Path]) -> list[Path]:
    """The paths of an entry's files; of many files their folder."""
    from stylefacev_cli.weights.cache import folder_of
    from stylefacev_cli.weights.download import MANY_FILES

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
