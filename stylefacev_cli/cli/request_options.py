"""Typer commands whose options are made from the fields of a request (`common/options.py`)."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import MISSING
from enum import Enum
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import typer

from stylefacev_cli.common.options import OptionField, option_fields, request_from
from stylefacev_cli.errors import UsageError

_PLACES = ("COMMANDLINE", "ENVIRONMENT", "DEFAULT_MAP")


def takes(request: type) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command the options of a request, which it is handed as its second argument.

        @app.command()
        @takes(GenerateRequest)
        def generate(ctx: typer.Context, request: GenerateRequest, as_json: AsJson = False) -> None:

    What else stands in the function's signature are options of the command line alone.
    """
    fields = list(option_fields(request))

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        hints = get_type_hints(command, include_extras=True)
        own = list(inspect.signature(command).parameters.values())
        ctx, more = own[0], [one.replace(annotation=hints[one.name]) for one in own[2:]]

        @functools.wraps(command)
        def run(**given: Any) -> None:
            context = given.pop(ctx.name)
            values = {one.name: _plain(given.pop(one.name), one.default) for one in fields}
            for name in _superseded(context, fields, values):
                values.pop(name)
            command(context, request_from(request, values), **given)

        made = [ctx.replace(annotation=typer.Context), *map(_parameter, fields), *more]
        keyword_only = [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in made]
        run.__signature__ = inspect.Signature(keyword_only)  # type: ignore[attr-defined]
        run.__annotations__ = {one.name: one.annotation for one in keyword_only}
        del run.__wrapped__
        return run

    return decorate


def _parameter(one: OptionField) -> inspect.Parameter:
    """A field as a parameter with Typer's annotation."""
    shown, kind = one.option, one.type
    settings: dict[str, Any] = {
        "help": shown.help,
        "envvar": shown.env,
        "rich_help_panel": shown.panel,
        "min": shown.minimum,
        "max": shown.maximum,
        "metavar": shown.metavar,
    }
    if shown.shown_default is not None:
        settings["show_default"] = shown.shown_default
    if shown.choices:
        choice = Enum(one.name, {text: text for text in shown.choices}, type=str)  # type: ignore[misc]
        kind = choice if one.default not in (None, MISSING) else choice | None
        if one.default is MISSING:
            kind = choice
    kind = _in_words(kind)
    if shown.flags is None:
        annotation: Any = Annotated[kind, typer.Argument(**settings)]
    else:
        flags = shown.flags or ("--" + one.name.replace("_", "-"),)
        annotation = Annotated[kind, typer.Option(*flags, **settings)]
    default = inspect.Parameter.empty if one.default is MISSING else one.default
    if default == ():
        default = None
        annotation = Annotated[kind | None, annotation.__metadata__[0]]
    elif shown.choices and isinstance(default, str):
        default = kind(default)
    return inspect.Parameter(
        one.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation
    )


def _in_words(kind: Any) -> Any:
    """The type of what stands on a command line: no tuples, and no objects of Python's callers."""
    if get_origin(kind) is tuple:  # several times
        return list[str]
    several = get_args(kind)
    if str in several:
        return str | None if type(None) in several else str
    return kind


def _plain(value: Any, default: Any) -> Any:
    """What Typer gives as a request holds it: no enumerations, no lists."""
    if value is None and default == ():
        return ()
    if isinstance(value, Enum):
        return value.value
    return tuple(value) if isinstance(value, list) else value


def _superseded(ctx: typer.Context, fields: list[OptionField], values: dict[str, Any]) -> set[str]:
    """Options that do not count, since one that says the same was given more directly.

    Raises:
        UsageError: both were given, in the same place.
    """
    superseded: set[str] = set()
    for one in fields:
        for other in one.option.excludes:
            if values[one.name] is False or values[other] is False:  # a switch that is not on
                continue
            mine, theirs = _rank(ctx, one.name), _rank(ctx, other)
            if mine == theirs < len(_PLACES):
                flags = " and ".join(
                    _flag(field) for field in fields if field.name in (one.name, other)
                )
                raise UsageError(f"{flags} contradict each other; give one of them")
            if mine != theirs:
                superseded.add(one.name if mine > theirs else other)
    return superseded


def _rank(ctx: typer.Context, name: str) -> int:
    source = ctx.get_parameter_source(name)
    return _PLACES.index(source.name) if source and source.name in _PLACES else len(_PLACES)


def _flag(one: OptionField) -> str:
    return (one.option.flags or ("--" + one.name.replace("_", "-"),))[0].partition("/")[0]
