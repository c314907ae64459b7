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
from typing import Any

from stylefacev_cli.errors import UsageError

PROJECT_CONFIG = "stylefacev.yaml"
_MAX_BYTES = 2**20

Options = Mapping[str, "Options | str"]
"""Names of commands and sub-commands → their options; long names of options → parameters."""


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
            _merge(merged, _checked(_read(path), known, str(path)))
    return merged


def user_config() -> Path:
    """The path of the user's own file, which need not be there."""
    base = os.environ.get("XDG_CONFIG_HOME")
    return (Path(base) if base else Path("~/.config").expanduser()) / "stylefacev" / "config.yaml"


def _read(path: Path) -> object:
    import yaml

    try:
        with path.open("rb") as file:
            data = file.read(_MAX_BYTES + 1)
        if len(data) > _MAX_BYTES:
            raise UsageError(f"{path} is too long for a file of settings")
        return yaml.safe_load(data.decode("utf-8"))
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UsageError(f"{path} is not valid YAML: {reason}") from error


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
        if not isinstance(below, str):
            checked[name] = _checked(value, below, f"{where}: {key}")
        elif isinstance(value, bool):
            checked[below] = value
        elif isinstance(value, int | float | str):
            checked[below] = str(value)  # read as if it stood on the command line
        else:
            raise UsageError(f"{where}: {key} must be one value")
    return checked


def _merge(into: dict[str, Any], more: dict[str, Any]) -> None:
    for key, value in more.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = value
