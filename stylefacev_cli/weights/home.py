"""The folder that people name for all that stylefacev keeps."""

from __future__ import annotations

import os
from pathlib import Path

from stylefacev_cli.errors import UsageError


def home_folder() -> Path | None:
    """`$STYLEFACEV_HOME`, which may begin with ~; None where it is not set.

    Raises:
        UsageError: it begins with the name of a user who is not there.
    """
    home = os.environ.get("STYLEFACEV_HOME")
    if not home:
        return None
    try:
        return Path(home).expanduser()
    except RuntimeError as error:
        raise UsageError(f"STYLEFACEV_HOME {home}: there is no such home folder") from error
