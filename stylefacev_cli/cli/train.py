"""`stylefacev train`: train a model stage by stage, resuming by itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from stylefacev_cli.cli.options import Threads
from stylefacev_cli.cli.terminal import Terminal, holding_signals


def train(
    ctx: typer.Context,
    stage: Annotated[
        str,
        typer.Argument(help="generator, finish, …, or all: every stage not done yet, in order."),
    ] = "all",
    config: Annotated[
        Path, typer.Option("--config", help="YAML file of settings, see examples/default-64.yaml.")
    ] = Path("examples/default-64.yaml"),
    data: Annotated[
        list[Path] | None,
        typer.Option("--data", help="Folder of rendered or prepared clips; can be repeated."),
    ] = None,
    out: Annotated[
        Path, typer.Option("--out", help="Folder of the run; an earlier run in it is continued.")
    ] = Path("run"),
    minutes: Annotated[
        float | None, typer.Option("--minutes", min=0, help="End this run after so many minutes.")
    ] = None,
    threads: Threads = None,
    start_from: Annotated[
        str | None,
        typer.Option(
            "--start-from",
            metavar="NAME|FOLDER",
            help="Model whose generator takes the place of the first stage.",
        ),
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run", help="Check everything and take a few steps of each stage; write nothing."
        ),
    ] = False,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="Override a setting: section.key=value; can be repeated."),
    ] = None,
) -> None:
    """Train a model, or one stage of it; stop with Ctrl-C and run again to go on.

    Prints the folder of the run; of a dry run, what it would take.
    """
    with holding_signals():
        from stylefacev_cli.networks.memory import keep_freed_memory
        from stylefacev_cli.networks.threads import set_num_threads
        from stylefacev_cli.training.run import train as run_training
        from stylefacev_cli.training.settings import load_settings

    terminal: Terminal = ctx.obj
    overrides = list(settings or [])
    if start_from is not None:
        overrides.append(f"start_from={json.dumps(start_from)}")
    loaded = load_settings(config, overrides)
    keep_freed_memory()
    if threads:
        set_num_threads(threads)
    if dry_run:
        from stylefacev_cli.training.dry_run import dry_run as measure
        from stylefacev_cli.training.dry_run import summary

        costs = measure(loaded, data or [], out, stage=stage, report=terminal.note)
        terminal.result(summary(costs))
        return
    outcome = run_training(
        loaded,
        data or [],
        out,
        stage=stage,
        minutes=minutes,
        report=terminal.note,
    )
    if outcome.signal_number is not None:
        raise typer.Exit(128 + outcome.signal_number)
    terminal.result(str(out))
