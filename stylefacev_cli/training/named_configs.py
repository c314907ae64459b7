"""The configs that ship with this package, by name: `stylefacev train --config paper-256`."""

from __future__ import annotations

from pathlib import Path

from stylefacev_cli.errors import UsageError

FOLDER = Path(__file__).parent / "configs"
SUFFIXES = (".yaml", ".yml")


def list_configs() -> dict[str, str]:
    """What each shipped config is for, by name: the first line of its file, a comment."""
    purposes = {}
    for path in sorted(FOLDER.glob("*.yaml"), key=lambda path: path.stem):
        with path.open(encoding="utf-8") as file:
            purposes[path.stem] = file.readline().lstrip("# ").rstrip()
    return purposes


def find_config(config: str | Path) -> Path:
    """The file of a config that is given as a shipped name or as a path.

    Raises:
        UsageError: there is no shipped config of that name, and no such file.
    """
    path = Path(config)
    if path.suffix not in SUFFIXES and len(path.parts) == 1 and not path.is_file():
        path = FOLDER / f"{config}.yaml"
    if path.is_file():
        return path
    names = ", ".join(list_configs())
    raise UsageError(f"no config {str(config)!r}: give a YAML file, or one of {names}")
