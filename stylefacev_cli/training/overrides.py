"""Settings laid over others: `--set` of the command line, and the rounds of a config."""

from __future__ import annotations

from typing import Any

from stylefacev_cli.common.settings import parse_value
from stylefacev_cli.errors import UsageError


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
        target[key] = parse_value(
            value.encode("utf-8", "surrogatepass"), f"--set {dotted}: the value"
        )
    return result


def merged(settings: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Settings with changes laid over them, section by section; neither is altered."""
    result: dict[str, Any] = _copied(settings)
    for key, value in changes.items():
        before = result.get(key)
        if isinstance(before, dict) and isinstance(value, dict):
            result[key] = merged(before, value)
        else:
            result[key] = _copied(value)
    return result


def _copied(value: Any) -> Any:
    return {key: _copied(item) for key, item in value.items()} if isinstance(value, dict) else value
