"""What every command has – -q, -v, --version, whether it may download – and `--json`.

They set the `Terminal` in `ctx.obj` as soon as they are read. The root command declares them;
`give_options` hands them on, so that no other command needs to know of them.
"""

from __future__ import annotations

import copy
from typing import Annotated, Any

import typer

from stylefacev_cli.version import __version__


def _be_quiet(ctx: typer.Context, value: bool) -> bool:
    ctx.obj.quiet = ctx.obj.quiet or value
    return value


def _be_verbose(ctx: typer.Context, value: bool) -> bool:
    ctx.obj.verbose = ctx.obj.verbose or value
    return value


def _accept_licence(ctx: typer.Context, value: bool) -> bool:
    ctx.obj.accept_licence = ctx.obj.accept_licence or value
    return value


def _stay_offline(ctx: typer.Context, value: bool) -> bool:
    ctx.obj.offline = ctx.obj.offline or value
    return value


def _show_version(ctx: typer.Context, value: bool) -> bool:
    if value:
        ctx.obj.result(f"stylefacev {__version__}")
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
AcceptLicence = Annotated[
    bool,
    typer.Option(
        "--accept-licence", callback=_accept_licence, is_eager=True, rich_help_panel=_PANEL,
        help="Accept the licence of what is downloaded, for which a terminal would be asked.",
    ),
]  # fmt: skip
Offline = Annotated[
    bool,
    typer.Option(
        "--offline", callback=_stay_offline, is_eager=True, rich_help_panel=_PANEL,
        help="Download nothing. [env: STYLEFACEV_OFFLINE]",
    ),
]  # fmt: skip
Version = Annotated[
    bool,
    typer.Option(
        "--version", callback=_show_version, is_eager=True, rich_help_panel=_PANEL,
        help="Print the version and end.",
    ),
]  # fmt: skip


AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


def everywhere_options(root: Any) -> list[Any]:
    """The options that every command has, as those below the root take them.

    Args:
        root: what `typer.main.get_command` returns; it declares them.
    """
    options = [
        copy.copy(param)
        for param in root.params
        if getattr(param, "rich_help_panel", None) == _PANEL
    ]
    for option in options:
        option.expose_value = False  # read, but not handed to the function
    return options


def give_options(command: Any, options: list[Any]) -> None:
    """Give options to a command and to all below it; those that it declares itself stay."""
    names = {param.name for param in command.params}
    command.params.extend(option for option in options if option.name not in names)
    for below in getattr(command, "commands", {}).values():
        give_options(below, options)
