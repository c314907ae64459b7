"""Config keys of earlier versions, refused with what stands for them now."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from stylefacev_cli.errors import UsageError

RENAMED: dict[str, str] = {}
"""Keys of version 0.1, each with its section, and their names now."""

GONE: dict[str, str] = {}
"""Keys of version 0.1 that nothing stands for any more, and what to do about it."""


def refuse_old_keys(settings: dict[str, Any], where: str) -> None:
    """Refuse a key of an earlier version with its new name.

    Args:
        settings: as YAML gives them, nested.
        where: what they are called in messages, such as the file's name.

    Raises:
        UsageError: there is such a key.
    """
    for key in _keys(settings, ""):
        if key in RENAMED:
            raise UsageError(f"{where}: {key} is now called {RENAMED[key]}: rename it")
        if key in GONE:
            raise UsageError(f"{where}: there is no {key} any more: {GONE[key]}")


def _keys(settings: dict[str, Any], prefix: str) -> Iterator[str]:
    for key, value in settings.items():
        yield prefix + str(key)
        if isinstance(value, dict):
            yield from _keys(value, f"{prefix}{key}.")
