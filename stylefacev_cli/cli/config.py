"""Settings from files: `./stylefacev.yaml` before `~/.config/stylefacev/config.yaml`.

Each holds a section for a command, with its options by their long names:

    generate:
      fps: 25
      skip-existing: true

Flags and environment variables go before them.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from stylefacev_cli.errors import UsageError

PROJECT_CONFIG = "stylefacev.yaml"


class Setting(NamedTuple):
    """What a key stands for."""

    parameter: str  # of the command's function
    many: bool  # the option can be given several times, and the key hold a list


Options = Mapping[str, "Options | Setting"]
"""Names of commands and sub-commands → their options; long names of options → settings."""


def read_defaults(known: Options) -> dict[str, Any]:
    """Merge the two files into defaults, as typer's `default_map` wants them.

    Args:
        known: the options that there are, by command.

    Raises:
        UsageError: a file is no YAML, or holds an unknown key or a value that no option has.
    """
    merged: dict[str, Any] = {}
    for path in (user_config(), Path(PROJECT_CONFIG)):
        if path.is_file():
            from stylefacev_cli.common.settings import read_yaml

            _merge(merged, _checked(read_yaml(path), known, str(path)))
    return merged


def user_config() -> Path:
    """The path of the user's own file, which need not be there."""
    base = os.environ.get("XDG_CONFIG_HOME")
    return (Path(base) if base else Path("~/.config").expanduser()) / "stylefacev" / "config.yaml"


def _checked(content: object, known: Options, where: str) -> dict[str, Any]:
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise UsageError(f"{where} must hold `key: value` lines")
    checked: dict[str, Any] = {}
    for key, value in content.items():
        name = str(key).replace("-", "_")
        if name not in known:
            names = ", ".join(sorted(known)).replace("_", "-")
            raise UsageError(f"{where}: unknown key '{str(key)[:40]}'; known are {names}")
        below = known[name]
        if not isinstance(below, Setting):
            checked[name] = _checked(value, below, f"{where}: {key}")
        elif below.many:
            checked[below.parameter] = [
                _plain(one, key, where) for one in (value if isinstance(value, list) else [value])
            ]
        elif isinstance(value, bool):
            checked[below.parameter] = value
        else:
            checked[below.parameter] = _plain(value, key, where)
    return checked


def _plain(value: object, key: object, where: str) -> str:
    """A value as if it stood on the command line."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise UsageError(f"{where}: {key} must be one value")
    return str(value)


def _merge(into: dict[str, Any], more: dict[str, Any]) -> None:
    for key, value in more.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = value
