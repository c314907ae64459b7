"""The commands, imported when they are used; errors as one line on stderr and an exit code."""

from __future__ import annotations

import os
import traceback
from collections.abc import Iterator, MutableMapping
from importlib import import_module
from pathlib import Path
from typing import Any

import typer

from stylefacev_cli.cli import config
from stylefacev_cli.cli.downloads import TerminalInteraction
from stylefacev_cli.cli.options import (
    AcceptLicence,
    Offline,
    Quiet,
    Verbose,
    Version,
    everywhere_options,
    give_options,
)
from stylefacev_cli.cli.terminal import (
    ClosedPipe,
    Stopped,
    Terminal,
    give_up_stdout,
    stopping_on_signals,
)
from stylefacev_cli.common.files import final_name
from stylefacev_cli.errors import StyleFaceVError, UsageError
from stylefacev_cli.weights.downloads.interaction import interacting

_MODULES = {  # of `stylefacev_cli.cli`, by command
    "generate": "generate",
    "invert": "invert",
    "track": "track",
    "reenact": "reenact",
    "train": "train",
    "data": "data",
    "eval": "evaluation",
    "weights": "weights",
}
_COMPLETE = "_STYLEFACEV_COMPLETE"  # the variable by which shells ask for completions

# typer once stood on click and now carries its own copy: take the class from what typer exports.
_CommandLineError: type[Exception] = typer.BadParameter.__bases__[0]

app = typer.Typer(
    name="stylefacev",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback(invoke_without_command=True)
def stylefacev(
    ctx: typer.Context,
    quiet: Quiet = False,
    verbose: Verbose = False,
    accept_licence: AcceptLicence = False,
    offline: Offline = False,
    version: Version = False,
) -> None:
    """Face videos from a seed: StyleFaceV on StyleGAN3.

    Settings: flag > environment > ./stylefacev.yaml > ~/.config/stylefacev/config.yaml
    """
    if ctx.invoked_subcommand is None:
        ctx.obj.result(ctx.get_help())
        return
    if not {"-h", "--help", "--version"} & set(ctx.obj.arguments):
        files = (config.user_config(), Path(config.PROJECT_CONFIG))
        if any(path.is_file() for path in files):
            ctx.default_map = config.read_defaults(_options_of(ctx.command))


class _Commands(MutableMapping[str, Any]):
    """The commands by name; the module of one is imported when it is looked at."""

    def __init__(self, everywhere: list[Any]) -> None:
        self._everywhere = everywhere
        self._loaded: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._loaded:
            self._loaded[name] = self._load(name, _MODULES[name])
        return self._loaded[name]

    def _load(self, name: str, module_name: str) -> Any:
        module = import_module(f"stylefacev_cli.cli.{module_name}")
        command: Any
        if (group := getattr(module, "app", None)) is not None:
            command = typer.main.get_group(group)
        else:
            single = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
            single.command(name)(getattr(module, name))
            command = typer.main.get_command(single)
        give_options(command, self._everywhere)
        return command

    def __iter__(self) -> Iterator[str]:
        return iter(_MODULES)

    def __len__(self) -> int:
        return len(_MODULES)

    def __setitem__(self, name: str, command: Any) -> None:
        raise TypeError("commands are listed in `_MODULES`")

    def __delitem__(self, name: str) -> None:
        raise TypeError("commands are listed in `_MODULES`")


def root_command() -> Any:
    """The command line as typer runs it."""
    root = typer.main.get_command(app)
    root.commands = _Commands(everywhere_options(root))  # type: ignore[attr-defined]
    return root


def execute(arguments: list[str], started_s: float) -> int:
    """Run a command line; `app.run`, which see, is the way in."""
    terminal = Terminal(arguments, started_s)
    try:
        way = TerminalInteraction(terminal)
        with stopping_on_signals(), terminal.noting_warnings(), interacting(way):
            _check_environment()
            return _invoke(arguments, terminal)
    except (ClosedPipe, BrokenPipeError):
        give_up_stdout()
        return ClosedPipe.exit_code
    except Stopped as stop:
        return _told(terminal, f"stopped{terminal.way_on}", stop.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        return _told(terminal, f"interrupted{terminal.way_on}", 130)
    except StyleFaceVError as error:
        return _told(terminal, f"error: {error}", error.exit_code)
    except _CommandLineError as error:
        if not str(error):  # a group without a command has shown its help
            return UsageError.exit_code
        return _told(terminal, f"error: {_usage_message(error)}", UsageError.exit_code)
    except OSError as error:
        where = f" {final_name(Path(os.fsdecode(error.filename)))}:" if error.filename else ""
        return _told(terminal, f"error:{where} {error.strerror or error}", 1)
    except Exception as error:  # a bug of ours, on one line all the same
        if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
            return _told(terminal, "error: out of memory; give a smaller --batch", 1)
        name = type(error).__name__
        advice = "this is a bug: run again with -v and report what it prints"
        return _told(terminal, f"error: {name}: {error}; {advice}", 1)


def _check_environment() -> None:
    """Check variables that libraries take without a look, before one of them fails on it.

    Raises:
        UsageError: a number of threads is none.
    """
    for name in ("COLUMNS", "LINES"):  # of a terminal that does not know its size
        if not _is_positive(os.environ.get(name, "1")):
            del os.environ[name]
    for name in ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        text = os.environ.get(name, "1")
        if not all(_is_positive(part) for part in text.split(",")):
            raise UsageError(f"the variable {name} is {text!r}: give a number from 1, or unset it")


def _is_positive(text: str) -> bool:
    return text.strip().isascii() and text.strip().isdecimal() and int(text[:9]) > 0


def _invoke(arguments: list[str], terminal: Terminal) -> int:
    """Run the command; typer's own `app()` would catch signals and closed pipes on the way."""
    command = root_command()
    if instruction := os.environ.get(_COMPLETE):
        from typer.completion import shell_complete

        return shell_complete(command, {"obj": terminal}, "stylefacev", _COMPLETE, instruction)
    exit_code = 0
    try:
        with command.make_context("stylefacev", list(arguments), obj=terminal) as ctx:
            command.invoke(ctx)
    except typer.Exit as done:
        exit_code = int(done.exit_code)
    terminal.result("", end="")  # a pipe that was closed is noticed here, not at the very end
    return exit_code


def _told(terminal: Terminal, message: str, exit_code: int) -> int:
    try:
        if terminal.verbose and not message.startswith(("stopped", "interrupted")):
            traceback.print_exc()
        terminal.error(message)
    except ClosedPipe:
        pass
    return exit_code


def _usage_message(error: Any) -> str:
    """Say what is wrong, where the wrong value came from, and where help is."""
    ctx, param = error.ctx, getattr(error, "param", None)
    message = error.format_message().rstrip(".")
    if ctx is None:
        return f"{message} (stylefacev -h tells more)"
    if param is not None and param.name is not None:
        source = ctx.get_parameter_source(param.name)
        if source is not None and source.name == "DEFAULT_MAP":
            message += f" (from {config.PROJECT_CONFIG} or {config.user_config()})"
        elif source is not None and source.name == "ENVIRONMENT":
            message += " (from the environment)"
    return f"{message} ({ctx.command_path} -h tells more)"


def _options_of(command: Any) -> config.Options:
    """The names that a file of settings may use: commands → long options → parameters."""
    below = getattr(command, "commands", None)
    if below is not None:
        return {name.replace("-", "_"): _options_of(child) for name, child in below.items()}
    settings: config.Options = {
        name.lstrip("-").replace("-", "_"): config.Setting(
            param.name, getattr(param, "multiple", False)
        )
        for param in command.params
        for name in param.opts
        if name.startswith("--") or name == param.opts[0]  # an argument's only name has no dashes
    }
    return settings
