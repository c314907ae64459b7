"""Settings ↔ YAML: strict reading of YAML, and frozen dataclasses built from what it holds.

YAML comes from users and from strangers: plain values only, never code. Two things are refused
besides: an alias lets a small file stand for a huge one, and of a key that is there twice YAML
readers take the last without a word. Unknown keys of a dataclass are errors.
"""

from __future__ import annotations

import dataclasses
import math
import re
import types
import typing
from collections.abc import Hashable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import yaml

from stylefacev_cli.errors import UsageError

T = TypeVar("T")

MAX_BYTES = 2**20
MAX_NODES = 200_000  # values that a file stands for
MAX_DEPTH = 100  # levels; a model trained from one trained from another … takes 4 each
_MAX_REASON = 200
_MAX_DIGITS = 40  # of a whole number
_MAX_KEY_DIGITS = 9

_NAMES = {int: "a whole number", float: "a number", str: "a text", bool: "true or false"}


def build(kind: type[T], values: object, where: str) -> T:
    """Make a dataclass from a mapping, nested dataclasses too.

    Args:
        kind: a frozen dataclass whose fields are plain values, tuples, None or dataclasses.
        values: a mapping, as YAML gives it.
        where: what the values are called in messages, like `train.yaml: generator`.

    Raises:
        UsageError: a key is unknown or missing, or a value has the wrong type.
    """
    if not isinstance(values, Mapping):
        raise UsageError(f"{where} must be a section with keys, not {_short(values)}")
    assert dataclasses.is_dataclass(kind)
    hints = _hints(kind)
    fields = {field.name: field for field in dataclasses.fields(kind) if field.init}
    for key in values:
        if key not in fields:
            known = ", ".join(fields)
            raise UsageError(f"{where}: unknown key {_short(key)}; known are {known}")
    made: dict[str, Any] = {}
    for name, field in fields.items():
        if name in values:
            made[name] = _convert(hints[name], values[name], f"{where}.{name}")
        elif _is_required(field):
            raise UsageError(f"{where}: the key {name!r} is missing")
    try:
        return typing.cast(T, kind(**made))
    except (AssertionError, ValueError) as error:
        raise UsageError(f"{where}: {error}") from error


def to_plain(config: Any) -> dict[str, Any]:
    """A dataclass as nested plain values that YAML can hold; `build` reads it back."""
    plain = _plain(dataclasses.asdict(config))
    assert isinstance(plain, dict)
    return plain


@lru_cache(maxsize=256)
def _hints(kind: type) -> dict[str, Any]:
    return typing.get_type_hints(kind)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


def _is_required(field: dataclasses.Field[Any]) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _short(value: object) -> str:
    """A value in a message: on one line, and never longer than a screen's line."""
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else text[:57] + "..."


def _convert(hint: Any, value: Any, where: str) -> Any:
    if dataclasses.is_dataclass(hint):
        assert isinstance(hint, type)
        return build(hint, value, where)
    origin = typing.get_origin(hint)
    if origin in (types.UnionType, typing.Union):
        if value is None and type(None) in typing.get_args(hint):
            return None
        (choice,) = (choice for choice in typing.get_args(hint) if choice is not type(None))
        return _convert(choice, value, where)
    if origin is tuple:
        return _convert_tuple(typing.get_args(hint), value, where)
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if not isinstance(value, hint) or (isinstance(value, bool) and hint is not bool):
        raise UsageError(f"{where} must be {_NAMES.get(hint, hint)}, not {_short(value)}")
    if isinstance(value, float) and not math.isfinite(value):
        raise UsageError(f"{where} must be a finite number, not {value}")
    return value


def _convert_tuple(inner: tuple[Any, ...], value: Any, where: str) -> tuple[Any, ...]:
    if not isinstance(value, list | tuple):
        raise UsageError(f"{where} must be a list, not {_short(value)}")
    if len(inner) == 2 and inner[1] is Ellipsis:
        return tuple(_convert(inner[0], item, where) for item in value)
    if len(inner) != len(value):
        raise UsageError(f"{where} must have {len(inner)} entries, not {len(value)}")
    return tuple(_convert(kind, item, where) for kind, item in zip(inner, value, strict=True))


def read_yaml(path: Path, *, aliases: bool = False) -> dict[str, Any]:
    """Read a YAML file that holds a mapping; an empty file is an empty one.

    Raises:
        UsageError: it cannot be read, is too long, is no YAML or holds something else.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error
    if len(data) > MAX_BYTES:
        raise UsageError(f"{path} is too long for a file of settings")
    return parse_yaml(data, str(path), aliases=aliases)


def parse_yaml(data: bytes, where: str, *, aliases: bool = False) -> dict[str, Any]:
    """The mapping that a YAML text holds; an empty text is an empty one.

    Args:
        data: the text, UTF-8.
        where: what it is, for messages.
        aliases: whether `*name` may repeat what `&name` marks: in users' own files only.

    Raises:
        UsageError: it is no YAML, has a key twice or a forbidden alias, or holds something else.
    """
    content = parse_value(data, where, aliases=aliases)
    if content is None:
        return {}
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        raise UsageError(f"{where} must hold one `key: value` per line")
    return content


def parse_value(data: bytes, where: str, *, aliases: bool = False) -> Any:
    """The value of any kind that a YAML text holds (arguments and errors as `parse_yaml`)."""
    loader = _StrictLoader if aliases else _NoAliasLoader
    try:
        return yaml.load(data.decode("utf-8"), Loader=loader)
    except (yaml.YAMLError, ValueError, OverflowError, RecursionError) as error:
        reason = " ".join(str(error).split())[:_MAX_REASON]
        raise UsageError(f"{where} is not valid YAML: {reason}") from error


class _StrictLoader(yaml.SafeLoader):
    """Plain values of YAML's core schema: no tags, no double keys, no floods by aliases.

    Texts that YAML 1.1 takes for times, numbers to the base 60 and the like are texts.
    """

    yaml_implicit_resolvers = {}  # noqa: RUF012
    _depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        if getattr(event, "tag", None) is not None:
            raise yaml.YAMLError(f"tags ({event.tag[:40]}) are not allowed")
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise yaml.YAMLError(f"it is nested deeper than {MAX_DEPTH} levels")
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node

    def get_single_node(self) -> yaml.Node | None:
        node = super().get_single_node()
        if node is not None and _num_nodes(node, {}) > MAX_NODES:
            raise yaml.YAMLError(f"it stands for more than {MAX_NODES} values")
        return node

    def construct_scalar(self, node: Any) -> Any:
        text = super().construct_scalar(node)
        if any("\ud800" <= letter <= "\udfff" for letter in text):
            raise yaml.YAMLError("it holds half a character (\\ud800 … \\udfff)")
        return text

    def construct_yaml_int(self, node: Any) -> int:
        if len(node.value) > _MAX_DIGITS:
            raise yaml.YAMLError(f"a whole number of {len(node.value)} digits is too large")
        return int(super().construct_yaml_int(node))

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        if not isinstance(node, yaml.MappingNode):
            raise yaml.YAMLError("a section with keys is expected")
        seen = set[str]()
        for key, _ in node.value:
            text = key.value
            if not isinstance(text, str):
                raise yaml.YAMLError("a key must be a text")
            if text in seen:  # `<<` too: merging many takes time by their square
                raise yaml.YAMLError(f"the key {_short(text)} is there twice")
            if key.tag.endswith(":int") and len(text) > _MAX_KEY_DIGITS:  # they can be made collide
                raise yaml.YAMLError(f"the key {_short(text)} is too large a number")
            seen.add(text)
        num_keys = len(node.value)
        made: dict[Hashable, Any] = super().construct_mapping(node, deep)
        if len(made) != num_keys and "<<" not in seen:
            raise yaml.YAMLError("a key is there twice, in two spellings")
        return made


_RESOLVED = {
    "bool": (r"true|True|TRUE|false|False|FALSE", "tTfF"),
    "float": (
        r"[-+]?(?:[0-9][0-9_]*)\.[0-9_]*(?:[eE][-+][0-9]+)?|\.[0-9][0-9_]*(?:[eE][-+][0-9]+)?"
        r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
        "-+0123456789.",
    ),
    "int": (r"[-+]?(?:0|[1-9][0-9_]*|0x[0-9a-fA-F]+)", "-+0123456789"),
    "merge": (r"<<", "<"),
    "null": (r"~|null|Null|NULL|", ["~", "n", "N", ""]),
}
for _name, (_pattern, _first) in _RESOLVED.items():
    _StrictLoader.add_implicit_resolver(
        f"tag:yaml.org,2002:{_name}", re.compile(f"^(?:{_pattern})$"), list(_first)
    )
_StrictLoader.add_constructor("tag:yaml.org,2002:int", _StrictLoader.construct_yaml_int)


def _num_nodes(node: yaml.Node, known: dict[int, int]) -> int:
    """Values that a node stands for, with what its aliases repeat."""
    if id(node) in known:
        if not known[id(node)]:
            raise yaml.YAMLError("it holds itself")
        return known[id(node)]
    known[id(node)] = 0  # while its parts are counted
    parts: list[yaml.Node] = []
    if isinstance(node, yaml.MappingNode):
        parts = [part for pair in node.value for part in pair]
    elif isinstance(node, yaml.SequenceNode):
        parts = node.value
    known[id(node)] = 1 + sum(_num_nodes(part, known) for part in parts)
    return known[id(node)]


class _NoAliasLoader(_StrictLoader):
    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("aliases (*name) are not allowed")
        return super().compose_node(parent, index)
