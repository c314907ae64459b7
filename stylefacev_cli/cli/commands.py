"""The commands, and how whatever ends them is told: one line on stderr and an exit code."""

from __future__ import annotations

import traceback
from typing import Any

import typer

from stylefacev_cli.cli import (
    config,
    data,
    evaluation,
    generate,
    invert,
    reenact,
    track,
    train,
    weights,
)
from stylefacev_cli.cli.downloads import TerminalInteraction
from stylefacev_cli.cli.options import (
    AcceptLicence,
    Offline,
    Quiet,
    Verbose,
    Version,
    give_everywhere,
)
from stylefacev_cli.cli.terminal import (
    ClosedPipe,
    Stopped,
    Terminal,
    give_up_stdout,
    stopping_on_signals,
)
from stylefacev_cli.errors import StyleFaceVError, UsageError
from stylefacev_cli.weights.downloads.interaction import interacting

# typer once stood on click and now carries its own copy: take the class from what typer exports.
_CommandLineError: type[Exception] = typer.BadParameter.__bases__[0]

app = typer.Typer(
    name="stylefacev",
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(generate.generate)
app.command()(invert.invert)
app.command()(track.track)
app.command()(reenact.reenact)
app.command()(train.train)
app.add_typer(data.app)
app.add_typer(evaluation.app)
app.add_typer(weights.app)


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
        ctx.default_map = config.read_defaults(_options_of(ctx.command))


def execute(arguments: list[str]) -> int:
    """Run a command line; `app.run`, which see, is the way in."""
    terminal = Terminal(arguments)
    try:
        way = TerminalInteraction(terminal)
        with stopping_on_signals(), terminal.noting_warnings(), interacting(way):
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
        where = f" {error.filename}:" if error.filename else ""
        return _told(terminal, f"error:{where} {error.strerror or error}", 1)
    except Exception as error:  # the last door: a mistake of ours, told on one line all the same
        if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
            return _told(terminal, "error: out of memory; give a smaller --batch", 1)
        name = type(error).__name__
        advice = "this is a bug: run again with -v and report what it prints"
        return _told(terminal, f"error: {name}: {error}; {advice}", 1)


def _invoke(arguments: list[str], terminal: Terminal) -> int:
    """Run the command; typer's own `app()` would catch signals and closed pipes on the way."""
    command = typer.main.get_command(app)
    give_everywhere(command)
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
