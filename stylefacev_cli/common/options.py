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
import keyword
import math
from collections.abc import Callable, Iterator
from dataclasses import MISSING, dataclass, field
from pathlib import Path, PurePath
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from stylefacev_cli.errors import UsageError

Result = TypeVar("Result")
_BY_PLACE = inspect.Parameter.POSITIONAL_OR_KEYWORD
_BY_NAME = inspect.Parameter.KEYWORD_ONLY

MAX_COUNT = 10_000_000
"""The largest number that options of counts take: what is beyond it was mistyped."""

_KEY = "stylefacev_option"
_GROUP = "stylefacev_group"
_NAMES_OF_TYPES = {
    bool: "True or False", int: "a whole number", float: "a number", str: "text", Path: "a path",
}  # fmt: skip


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
        UsageError: a value is of another type or out of range, or two say the same thing
            differently.
    """
    fields = list(option_fields(request))
    values = values | {
        one.name: _fitting(values[one.name], one) for one in fields if one.name in values
    }
    left = dict(values)
    made = _construct(request, left)
    if left:
        known = ", ".join(one.name for one in fields)
        raise TypeError(f"no option {sorted(left)[0]!r}; there are {known}")
    given = {one.name for one in fields if values.get(one.name, one.default) != one.default}
    for one in fields:
        if one.name in given:
            _check(one, values[one.name], given)
    return made


def _check(one: OptionField, value: Any, given: set[str]) -> None:
    shown = one.option
    for other in shown.excludes:
        if other in given:
            raise UsageError(f"{one.name} and {other} contradict each other; give one of them")
    if shown.choices and value not in shown.choices:
        raise UsageError(f"{one.name} {value!r}: give one of {', '.join(shown.choices)}")
    if isinstance(value, int | float) and not isinstance(value, bool):
        least = -math.inf if shown.minimum is None else shown.minimum
        most = math.inf if shown.maximum is None else shown.maximum
        if not least <= value <= most or not math.isfinite(value):
            bounds = f"from {least:g} to {most:g}" if most < math.inf else f"of at least {least:g}"
            raise UsageError(f"{one.name} {value}: give a number {bounds}")


def _fitting(value: Any, one: OptionField) -> Any:
    """A value in the type of its option; None, where it cannot be, stands for the default.

    Raises:
        UsageError: it is of another type.
    """
    value = _without_numpy(value)
    kinds = set(get_args(one.type)) - {type(None), Ellipsis} or {one.type}
    if not kinds <= _NAMES_OF_TYPES.keys():
        return value
    if value is None and type(None) in get_args(one.type):
        return None
    if value is None and one.default is not MISSING:
        return one.default
    values = value if _is_many(one) and isinstance(value, tuple) else (value,)
    fitting = tuple(_number(each, kinds) for each in values)
    for each in fitting:
        if type(each) not in kinds and not (Path in kinds and isinstance(each, PurePath)):
            names = " or ".join(sorted(_NAMES_OF_TYPES[kind] for kind in kinds))
            raise UsageError(f"{one.name} {str(each)[:60]!r}: give {names}")
    return fitting if _is_many(one) else fitting[0]


def _number(value: Any, kinds: set[Any]) -> Any:
    """A whole float as an int, and an int as a float, where that is asked for."""
    if float in kinds and type(value) is int:
        return float(value)
    is_whole = isinstance(value, float) and value.is_integer()
    return int(value) if kinds == {int} and is_whole else value


def _without_numpy(value: Any) -> Any:
    """Numbers and arrays of numpy or torch as Python's own."""
    return value.tolist() if hasattr(value, "tolist") else value


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


def with_keywords(
    kind: type, *by_place: str
) -> Callable[[Callable[..., Result]], Callable[..., Result]]:
    """Let a function of a request be called with its options, as Python's callers do.

        @with_keywords(DownloadRequest)
        def download(request: DownloadRequest, listener: Listener | None = None) -> list[Path]:

        download(DownloadRequest(("anny",)))       # by the command line
        download("anny", retries=0)                # by people

    Options are named as on the command line. Values are taken as people write them: numbers and
    paths for their text, one value for a tuple, a range for the text with commas. An option that
    may be None and has no default is None where it is left out.

    Args:
        kind: the dataclass of the function's first parameter.
        by_place: options that may stand first, without their names, beside those without flags.
    """
    fields = {keyword_of(one): one for one in option_fields(kind)}
    places = [name for name, one in fields.items() if one.option.flags is None or name in by_place]

    def decorate(job: Callable[..., Result]) -> Callable[..., Result]:
        own = list(inspect.signature(job).parameters.values())[1:]
        options = {name: one for name, one in fields.items() if name not in {x.name for x in own}}

        @functools.wraps(job)
        def call(*first: Any, **by_name: Any) -> Result:
            if first and isinstance(first[0], kind):
                return job(*first, **by_name)
            more = {one.name: by_name.pop(one.name) for one in own if one.name in by_name}
            return job(request_from(kind, _by_field(fields, places, first, by_name)), **more)

        call.__signature__ = _signature(options, places, own)  # type: ignore[attr-defined]
        lines = [f"    {name}: {one.option.help}" for name, one in options.items()]
        call.__doc__ = "\n".join([inspect.getdoc(job) or "", "", "Options:", *lines])
        return call

    return decorate


def keyword_of(one: OptionField) -> str:
    """What an option is called in Python: as on the command line, without dashes before it."""
    flag = (one.option.flags or (one.name,))[0].partition("/")[0]
    name = flag.lstrip("-").replace("-", "_")
    return f"{name}_" if keyword.iskeyword(name) else name


def _by_field(
    fields: dict[str, OptionField],
    places: list[str],
    first: tuple[Any, ...],
    by_name: dict[str, Any],
) -> dict[str, Any]:
    """What a caller gave, by the names of fields."""
    if places and _is_many(fields[places[-1]]) and len(first) >= len(places):
        last = len(places) - 1
        first = (*first[:last], first[last:])
    if len(first) > len(places):
        raise TypeError(f"{len(places)} values may be given by place, not {len(first)}")
    names = {one.name: name for name, one in fields.items()}  # a field's own name will do, too
    given = {names.get(name, name): value for name, value in by_name.items()}
    for name, value in zip(places, first, strict=False):
        if name in given:
            raise TypeError(f"{name} is given twice")
        given[name] = value
    for name, one in fields.items():
        if one.default is MISSING and name not in given:
            if type(None) not in get_args(one.type):
                raise TypeError(f"{name} is missing")
            given[name] = None
    unknown = {name: value for name, value in given.items() if name not in fields}
    known = {name: value for name, value in given.items() if name in fields}
    return unknown | {fields[n].name: _converted(value, fields[n]) for n, value in known.items()}


def _is_many(one: OptionField) -> bool:
    return get_origin(one.type) is tuple


def _converted(value: Any, one: OptionField) -> Any:
    """A value as a request holds it."""
    value = _without_numpy(value)
    kinds = (one.type, *get_args(one.type))
    if _is_many(one):
        if isinstance(value, tuple) and len(value) == 1 and isinstance(value[0], list | tuple):
            value = value[0]
        several = isinstance(value, list | tuple | range)
        values = value if several else () if value is None else (value,)
        return tuple(_as_text(each) if Path not in kinds else each for each in values)
    if Path in kinds and isinstance(value, str):
        return Path(value)
    if str in kinds and Path not in kinds:
        if isinstance(value, list | tuple | range):
            texts = [_as_text(each) for each in value]
            return ",".join(texts) if all(isinstance(text, str) for text in texts) else value
        return _as_text(value)
    return value


def _as_text(value: Any) -> Any:
    value = _without_numpy(value)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return str(value) if is_number or isinstance(value, PurePath) else value


def _signature(
    options: dict[str, OptionField], places: list[str], own: list[inspect.Parameter]
) -> inspect.Signature:
    """What `help` shows: arguments, then options with their defaults, then the job's own."""
    parameters = []
    for name, one in options.items():
        default = one.default
        if default is MISSING:
            may_be_none = type(None) in get_args(one.type)
            default = None if may_be_none else inspect.Parameter.empty
        place = _BY_PLACE if name in places else _BY_NAME
        parameters.append(inspect.Parameter(name, place, default=default, annotation=one.type))
    parameters += [one.replace(kind=_BY_NAME) for one in own]
    return inspect.Signature(sorted(parameters, key=lambda one: one.kind))
