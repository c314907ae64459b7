"""What every command has – -q, -v, --version, whether it may download – and what several have.

They set the `Terminal` in `ctx.obj` as soon as they are read. The root command declares them;
`give_everywhere` hands them on, so that no other command needs to know of them.
"""

from __future__ import annotations

import copy
from typing import Annotated, Any

import typer

import stylefacev_cli
from stylefacev_cli.errors import UsageError


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
Threads = Annotated[
    int | None, typer.Option("--threads", min=1, help="CPU threads; all by default.")
]
SkipDamaged = Annotated[
    bool, typer.Option("--skip-damaged", help="Go on after files that cannot be read.")
]
NoCache = Annotated[
    bool,
    typer.Option("--no-cache", help="Compute all features anew, and keep none."),
]


def one_of(ctx: typer.Context, first: str, second: str) -> str:
    """Which of two options that say the same thing counts: the one given more directly.

    Args:
        ctx: of the command.
        first: the name of the one's parameter; it counts if neither was given.
        second: the name of the other's.

    Raises:
        UsageError: both were given, in the same place.
    """
    places = ("COMMANDLINE", "ENVIRONMENT", "DEFAULT_MAP")
    sources = {name: ctx.get_parameter_source(name) for name in (first, second)}
    ranks = {
        name: places.index(source.name) if source and source.name in places else len(places)
        for name, source in sources.items()
    }
    if ranks[first] == ranks[second] < len(places):
        told = " and ".join(f"--{name.rstrip('_')}" for name in (first, second))
        raise UsageError(f"{told} contradict each other; give one of them")
    return second if ranks[second] < ranks[first] else first


def give_everywhere(command: Any, standard: list[Any] | None = None) -> None:
    """Give the options that every command has to all commands below one that declares them.

    Args:
        command: what `typer.main.get_command` returns.
        standard: the options; by default those of `command` that stand in the common panel.
    """
    if standard is None:
        standard = [
            copy.copy(param)
            for param in command.params
            if getattr(param, "rich_help_panel", None) == _PANEL
        ]
        for param in standard:
            param.expose_value = False  # read, but not handed to the function
    for below in getattr(command, "commands", {}).values():
        has = {param.name for param in below.params}  # a command may declare them itself
        below.params.extend(param for param in standard if param.name not in has)
        give_everywhere(below, standard)
