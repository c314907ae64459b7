"""Settings of a training run: a YAML file mapped onto frozen dataclasses, unknown keys refused."""

from __future__ import annotations

import dataclasses
import types
import typing
from pathlib import Path
from typing import Any, TypeVar

import yaml

from stylefacev_cli.errors import UsageError

T = TypeVar("T")


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML file that holds a mapping.

    Raises:
        UsageError: it is not there, is no YAML or holds something else.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise UsageError(f"{path} is not valid YAML: {reason}") from error
    if not isinstance(content, dict):
        raise UsageError(f"{path} must hold settings, one `key: value` per line")
    return content


def with_overrides(settings: dict[str, Any], overrides: list[str]) -> dict[str, Any]:
    """Settings with `section.key=value` overrides put in; values are YAML.

    Raises:
        UsageError: an override has another form.
    """
    result: dict[str, Any] = _copied(settings)
    for override in overrides:
        dotted, equals, value = override.partition("=")
        *sections, key = dotted.split(".")
        if not equals or not all([*sections, key]):
            raise UsageError(f"--set {override}: write section.key=value")
        target = result
        for section in sections:
            target = target.setdefault(section, {})
            if not isinstance(target, dict):
                raise UsageError(f"--set {override}: {section} is a value, not a section")
        try:
            target[key] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise UsageError(f"--set {override}: the value is not valid YAML") from error
    return result


def build(kind: type[T], values: Any, where: str) -> T:
    """Make a dataclass from a mapping, nested dataclasses too.

    Args:
        kind: a frozen dataclass whose fields are plain values, tuples, None or dataclasses.
        values: a mapping, as YAML gives it.
        where: what the values are called in messages, like `train.yaml: generator`.

    Raises:
        UsageError: a key is unknown or missing, or a value has the wrong type.
    """
    if not isinstance(values, dict):
        raise UsageError(f"{where} must be a section with keys, not {values!r}")
    assert dataclasses.is_dataclass(kind)
    hints = typing.get_type_hints(kind)
    fields = {field.name: field for field in dataclasses.fields(kind) if field.init}
    for key in values:
        if key not in fields:
            raise UsageError(f"{where}: unknown key {key!r}; known are {', '.join(fields)}")
    made: dict[str, Any] = {}
    for name, field in fields.items():
        if name in values:
            made[name] = _convert(hints[name], values[name], f"{where}.{name}")
        elif _is_required(field):
            raise UsageError(f"{where}: the key {name!r} is missing")
    try:
        return kind(**made)
    except UsageError as error:
        raise UsageError(f"{where}: {error}") from error


def to_plain(config: Any) -> dict[str, Any]:
    """A dataclass as nested plain values that YAML and a save can hold; `build` reads it back."""
    plain = _plain(dataclasses.asdict(config))
    assert isinstance(plain, dict)
    return plain


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


def _copied(value: Any) -> Any:
    return {key: _copied(item) for key, item in value.items()} if isinstance(value, dict) else value


def _is_required(field: dataclasses.Field[Any]) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _convert(hint: Any, value: Any, where: str) -> Any:
    if dataclasses.is_dataclass(hint):
        assert isinstance(hint, type)
        return build(hint, value, where)
    origin = typing.get_origin(hint)
    if origin in (types.UnionType, typing.Union):
        choices = typing.get_args(hint)
        if value is None and type(None) in choices:
            return None
        (choice,) = (choice for choice in choices if choice is not type(None))
        return _convert(choice, value, where)
    if origin is tuple:
        if not isinstance(value, list | tuple):
            raise UsageError(f"{where} must be a list, not {value!r}")
        inner = typing.get_args(hint)
        if len(inner) == 2 and inner[1] is Ellipsis:
            return tuple(_convert(inner[0], item, where) for item in value)
        if len(inner) != len(value):
            raise UsageError(f"{where} must have {len(inner)} entries, not {len(value)}")
        return tuple(_convert(kind, item, where) for kind, item in zip(inner, value, strict=True))
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, hint) or (isinstance(value, bool) and hint is not bool):
        raise UsageError(f"{where} must be {_NAMES.get(hint, hint)}, not {value!r}")
    return value


_NAMES = {int: "a whole number", float: "a number", str: "a text", bool: "true or false"}
