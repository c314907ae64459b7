"""Folders of this program, and paths that begin with `~`."""

from __future__ import annotations

import os
from pathlib import Path

from stylefacev_cli.errors import UsageError


def expand_home(name: str, option: str) -> Path:
    """A path with its leading `~` replaced by the home folder.

    Args:
        name: of a file or folder.
        option: where it was given, for the message.

    Raises:
        UsageError: there is no such home folder.
    """
    try:
        return Path(name).expanduser()
    except RuntimeError as error:
        raise UsageError(f"{option} {name}: there is no such home folder") from error


def home_folder() -> Path | None:
    """`$STYLEFACEV_HOME`; None where it is not set. Raises as `expand_home`."""
    home = os.environ.get("STYLEFACEV_HOME")
    return expand_home(home, "STYLEFACEV_HOME") if home else None


def shipped_folder() -> Path:
    """The folder of the models that come with the package: in the wheel, or in the repository."""
    package = Path(__file__).resolve().parent.parent
    in_wheel = package / "shipped"
    return in_wheel if in_wheel.is_dir() else package.parent / "weights"
