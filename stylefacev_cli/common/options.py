"""Options of a job, written down once: as the commented fields of a frozen dataclass.

    @dataclass(frozen=True)
    class GenerateRequest:
        seeds: str = option("Seeds and ranges, like 0-9,12.", default="0", env="STYLEFACEV_SEEDS")
        compute: Compute = group(Compute)

The command line makes its options from the fields (`cli/request_options.py`), a file of settings
maps onto them, and a caller in Python constructs the dataclass.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import math
from collections.abc import Callable, Iterator
from dataclasses import MISSING, dataclass, field
from pathlib import Path, PurePath
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from stylefacev_cli.errors import UsageError

Result = TypeVar("Result")
_BY_PLACE = inspect.Parameter.POSITIONAL_OR_KEYWORD
_BY_NAME = inspect.Parameter.KEYWORD_ONLY

_KEY = "stylefacev_option"
_GROUP = "stylefacev_group"


@dataclass(frozen=True)
class Option:
    """How an option is shown to users.

    Attributes:
        help: one sentence.
        flags: names on the command line, such as `("--out", "-o")`; empty: `--` and the field's
            name. A switch's two names stand in one, as `"--crop/--no-crop"`. None: a positional
            argument.
        env: the environment variable that sets it.
        panel: the heading of `--help` below which it stands.
        minimum: the smallest value.
        maximum: the largest value.
        metavar: what stands for the value in `--help`.
        shown_default: what `--help` says is the default, where that is no value.
        choices: the values there are; () : not listed.
        excludes: names of fields of the same request that say the same thing otherwise. Of those
            given, the one given more directly counts (flag, then environment, then file); two
            given equally directly contradict each other.
    """

    help: str
    flags: tuple[str, ...] | None = ()
    env: str | None = None
    panel: str | None = None
    minimum: float | None = None
    maximum: float | None = None
    metavar: str | None = None
    shown_default: str | None = None
    choices: tuple[str, ...] = ()
    excludes: tuple[str, ...] = ()


def option(help: str, default: Any = MISSING, **shown: Any) -> Any:  # noqa: A002 - typer's word
    """A field with an option's description; see `Option` for `shown`.

    Args:
        help: one sentence.
        default: the field's value where nothing is given; without it the option is required.
        shown: attributes of `Option`.
    """
    metadata = {_KEY: Option(help, **shown)}
    return (
        field(metadata=metadata)
        if default is MISSING
        else field(default=default, metadata=metadata)
    )


def group(kind: type) -> Any:
    """A field that holds a further dataclass of options, with its defaults."""
    return field(default_factory=kind, metadata={_GROUP: True})


@dataclass(frozen=True)
class OptionField:
    """One option of a request: where its value stands, and what is shown of it."""

    path: tuple[str, ...]  # attribute names from the request to the value
    type: Any
    default: Any  # dataclasses.MISSING: required
    option: Option

    @property
    def name(self) -> str:
        """The last name of the path, which no other option of the request has."""
        return self.path[-1]


def option_fields(request: type) -> Iterator[OptionField]:
    """All options of a request and of its groups, in the order of their fields."""
    hints = get_type_hints(request)
    for one in dataclasses.fields(request):
        if one.metadata.get(_GROUP):
            for below in option_fields(hints[one.name]):
                yield dataclasses.replace(below, path=(one.name, *below.path))
        elif _KEY in one.metadata:
            yield OptionField((one.name,), hints[one.name], one.default, one.metadata[_KEY])


def request_from(request: type, values: dict[str, Any]) -> Any:
    """Construct a request from flat values: names of its options → values.

    Args:
        request: the dataclass.
        values: of options of the request and of its groups; the others keep their defaults.

    Raises:
        TypeError: no option has such a name, as with a function's arguments.
        UsageError: a value is out of range, or two say the same thing differently.
    """
    left = dict(values)
    made = _construct(request, left)
    fields = list(option_fields(request))
    if left:
        known = ", ".join(one.name for one in fields)
        raise TypeError(f"no option {sorted(left)[0]!r}; there are {known}")
    given = {one.name for one in fields if values.get(one.name, one.default) != one.default}
    for one in fields:
        if one.name in given:
            _check(one, values[one.name], given)
    return made


def _check(one: OptionField, value: Any, given: set[str]) -> None:
    told = one.option
    for other in told.excludes:
        if other in given:
            raise UsageError(f"{one.name} and {other} contradict each other; give one of them")
    if told.choices and value not in told.choices:
        raise UsageError(f"{one.name} {value!r}: give one of {', '.join(told.choices)}")
    if isinstance(value, int | float) and not isinstance(value, bool):
        least = -math.inf if told.minimum is None else told.minimum
        most = math.inf if told.maximum is None else told.maximum
        if not least <= value <= most:
            bounds = f"from {least:g} to {most:g}" if most < math.inf else f"of at least {least:g}"
            raise UsageError(f"{one.name} {value}: give a number {bounds}")


def request_of_call(request: type, values: dict[str, Any]) -> Any:
    """A request from the keywords of a call in Python, where values may be less strict.

    Numbers and paths stand for their text, a single value for a sequence of one, and a sequence of
    numbers for the text with commas that the command line takes. Raises as `request_from`.
    """
    kinds = {one.name: one.type for one in option_fields(request)}
    return request_from(
        request, {name: _strict(value, kinds.get(name), name) for name, value in values.items()}
    )


def _strict(value: Any, kind: Any, name: str) -> Any:
    if get_origin(kind) is tuple:
        if value is None:
            return ()
        several = isinstance(value, list | tuple | range)
        return tuple(_as_text(one) for one in (value if several else (value,)))
    if kind is str or str in get_args(kind):
        if isinstance(value, list | tuple | range):
            return (":" if name == "interpolate" else ",").join(map(str, value))
        return _as_text(value)
    return value


def _as_text(value: Any) -> Any:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return str(value) if is_number or isinstance(value, PurePath) else value


_FunctionT = TypeVar("_FunctionT", bound=Callable[..., Any])


def documented(request: type, *positional: str) -> Callable[[_FunctionT], _FunctionT]:
    """Let `help()` and notebooks show the options of a request as those of a function.

    Args:
        request: the dataclass whose options the function takes as `**options`.
        positional: names of options that are parameters of the function.
    """
    fields = {one.name: one for one in option_fields(request)}

    def decorate(function: _FunctionT) -> _FunctionT:
        own = dict(inspect.signature(function).parameters)
        own.pop("options")
        keywords = [
            inspect.Parameter(
                one.name,
                inspect.Parameter.KEYWORD_ONLY,
                default=None if one.name == "out" or one.default is MISSING else one.default,
                annotation=one.type,
            )
            for one in fields.values()
            if one.name not in own and one.name not in positional
        ]
        signature = inspect.Signature([*own.values(), *keywords])
        function.__signature__ = signature  # type: ignore[attr-defined]
        lines = [f"    {one.name}: {fields[one.name].option.help}" for one in keywords]
        function.__doc__ = "\n".join([inspect.getdoc(function) or "", "", "Options:", *lines])
        return function

    return decorate


def _construct(request: type, left: dict[str, Any]) -> Any:
    hints = get_type_hints(request)
    given: dict[str, Any] = {}
    for one in dataclasses.fields(request):
        if one.name in left:
            given[one.name] = left.pop(one.name)
        elif one.metadata.get(_GROUP):
            given[one.name] = _construct(hints[one.name], left)
    return request(**given)


def flat_values(request: Any) -> dict[str, Any]:
    """The values of all options of a request and of its groups, by name: `request_from` undone."""
    return {
        one.name: functools.reduce(getattr, one.path, request)
        for one in option_fields(type(request))
    }


def with_keywords(kind: type) -> Callable[[Callable[..., Result]], Callable[..., Result]]:
    """Let a function of a request be called with its options, as Python's callers do.

        @with_keywords(DownloadRequest)
        def download(request: DownloadRequest, listener: Listener | None = None) -> list[Path]:

        download(DownloadRequest(("anny",)))       # by the command line
        download("anny", retries=0)                # by people

    Options are named as on the command line; those without flags may stand first, by place.

    Args:
        kind: the dataclass of the function's first parameter.
    """

    def decorate(job: Callable[..., Result]) -> Callable[..., Result]:
        own = list(inspect.signature(job).parameters.values())[1:]

        @functools.wraps(job)
        def call(*by_place: Any, **by_name: Any) -> Result:
            if by_place and isinstance(by_place[0], kind):
                return job(*by_place, **by_name)
            more = {one.name: by_name.pop(one.name) for one in own if one.name in by_name}
            return job(request_from(kind, _by_field(kind, by_place, by_name)), **more)

        call.__signature__ = _signature(kind, own)  # type: ignore[attr-defined]
        return call

    return decorate


def keyword_of(one: OptionField) -> str:
    """What an option is called in Python: as on the command line, without dashes before it."""
    flag = (one.option.flags or (one.name,))[0].partition("/")[0]
    return flag.lstrip("-").replace("-", "_")


def _by_field(kind: type, by_place: tuple[Any, ...], by_name: dict[str, Any]) -> dict[str, Any]:
    """What a caller gave, by the names of fields."""
    fields = list(option_fields(kind))
    arguments = [one for one in fields if one.option.flags is None]
    if arguments and _is_many(arguments[-1]) and len(by_place) >= len(arguments):
        last = len(arguments) - 1
        by_place = (*by_place[:last], by_place[last:])
    if len(by_place) > len(arguments):
        raise TypeError(f"{len(arguments)} values may be given by place, not {len(by_place)}")
    names = {keyword_of(one): one.name for one in fields}
    values = {names.get(name, name): value for name, value in by_name.items()}
    for one, value in zip(arguments, by_place, strict=False):
        if one.name in values:
            raise TypeError(f"{one.name} is given twice")
        values[one.name] = value
    kinds = {one.name: one for one in fields}
    values = {
        name: _converted(value, kinds[name]) if name in kinds else value
        for name, value in values.items()
    }
    missing = [one for one in fields if one.default is MISSING and one.name not in values]
    if missing:
        raise TypeError(f"{keyword_of(missing[0])} is missing")
    return values


def _is_many(one: OptionField) -> bool:
    return get_origin(one.type) is tuple


def _converted(value: Any, one: OptionField) -> Any:
    """A text where a path is wanted, and one value or a list where a tuple is."""
    if _is_many(one):
        if isinstance(value, tuple) and len(value) == 1 and isinstance(value[0], list | tuple):
            value = value[0]
        return tuple(value) if isinstance(value, list | tuple) else (value,)
    if isinstance(value, str) and (one.type is Path or Path in get_args(one.type)):
        return Path(value)
    return value


def _signature(kind: type, own: list[inspect.Parameter]) -> inspect.Signature:
    """What `help` shows: arguments, then options with their defaults, then the job's own."""
    parameters = []
    for one in option_fields(kind):
        is_argument = one.option.flags is None
        place = (
            inspect.Parameter.POSITIONAL_OR_KEYWORD
            if is_argument
            else inspect.Parameter.KEYWORD_ONLY
        )
        default = inspect.Parameter.empty if one.default is MISSING else one.default
        parameters.append(
            inspect.Parameter(keyword_of(one), place, default=default, annotation=one.type)
        )
    parameters += [one.replace(kind=_BY_NAME) for one in own]
    return inspect.Signature(sorted(parameters, key=lambda one: one.kind))
