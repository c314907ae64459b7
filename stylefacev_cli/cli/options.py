"""What every command has: -q, -v, --version, and settings from files.

A command takes `quiet`, `verbose` and `version` with the types below; it need not use them. They
set the `Terminal` in `ctx.obj` as soon as they are read.
"""

from __future__ import annotations

from typing import Annotated

import typer

import stylefacev_cli


def _be_quiet(ctx: typer.Context, value: bool) -> bool:
    ctx.obj.quiet = ctx.obj.quiet or value
    return value


def _be_verbose(ctx: typer.Context, value: bool) -> bool:
    ctx.obj.verbose = ctx.obj.verbose or value
    return value


def _show_version(ctx: typer.Context, value: bool) -> bool:
    if value:
        ctx.obj.result(f"stylefacev {stylefacev_cli.__version__}")
        raise typer.Exit
    return value


_PANEL = "Everywhere"

Quiet = Annotated[
    bool,
    typer.Option(
        "--quiet", "-q", callback=_be_quiet, is_eager=True, rich_help_panel=_PANEL,
        help="Only results and errors.",
    ),
]  # fmt: skip
Verbose = Annotated[
    bool,
    typer.Option(
        "--verbose", "-v", callback=_be_verbose, is_eager=True, rich_help_panel=_PANEL,
        help="Details; tracebacks with errors.",
    ),
]  # fmt: skip
Version = Annotated[
    bool,
    typer.Option(
        "--version", callback=_show_version, is_eager=True, rich_help_panel=_PANEL,
        help="Print the version and end.",
    ),
]  # fmt: skip
