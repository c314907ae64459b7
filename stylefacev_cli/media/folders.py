"""The media files of a folder in natural order, and a reason for each file that is none.

The one place that walks folders of videos and pictures.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from stylefacev_cli.errors import DataError

VIDEO_SUFFIXES = (
    *(".mp4", ".m4v", ".mov", ".qt", ".3gp", ".3g2", ".mkv", ".webm", ".avi", ".gif"),
    *(".mpg", ".mpeg", ".ts", ".mts", ".m2ts", ".vob", ".ogv", ".ogg", ".flv", ".wmv", ".asf"),
)
LOSSY_SUFFIXES = tuple(suffix for suffix in VIDEO_SUFFIXES if suffix != ".mkv")
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp")

NOT_UTF8 = "its name is not UTF-8: rename it"
NOT_REGULAR = "not a regular file"
NO_VIDEO = "not a video that is read here"
NO_PICTURE = "not a picture that is read here: PNG, JPEG or WebP"
NO_RECORD = "no record of a video"
_LEAVINGS = {"@eadir", "thumbs.db", "ehthumbs.db", "desktop.ini", "__macosx", "$recycle.bin"}
_MOST_NAMED = 3  # files passed over, in a note


@dataclass(frozen=True)
class PassedOver:
    """A file that is not read."""

    name: str  # relative to the folder, with forward slashes; printable
    reason: str


@dataclass(frozen=True)
class MediaFiles:
    """What a folder holds, its subfolders too.

    Attributes:
        paths: files with one of the suffixes, in natural order.
        passed_over: the others, but for hidden files and what systems leave behind.
    """

    paths: list[Path]
    passed_over: list[PassedOver]


def find_media(folder: Path, suffixes: tuple[str, ...]) -> MediaFiles:
    """The files of a folder and its subfolders that have one of some suffixes.

    Hidden files and folders, and what systems leave behind (`.ipynb_checkpoints`, `@eaDir`,
    `.Trash-1000`, `.DS_Store`, `Thumbs.db`, `__MACOSX`), are never looked at.

    Args:
        folder: where to look; links to folders are not followed.
        suffixes: in small letters; those of files may be in any.

    Raises:
        DataError: there is no such folder, or it cannot be read.
    """
    if not folder.is_dir():
        raise DataError(f"no such folder: {folder}")
    found, passed_over = list[Path](), list[PassedOver]()
    for path in _walk(folder, passed_over):
        reason = _reason_against(path, suffixes)
        if reason is None:
            found.append(path)
        elif reason != NO_RECORD:
            passed_over.append(PassedOver(_name_in(folder, path), reason))
    return MediaFiles(
        sorted(found, key=lambda path: natural_key(path.relative_to(folder))),
        sorted(passed_over, key=lambda one: natural_key(one.name)),
    )


def natural_key(path: Path | str) -> list[tuple[list[tuple[int, int, str]], str]]:
    """A key that sorts paths as people count: `frame2` before `frame10`, folder by folder."""
    return [(_counted(part), part) for part in Path(path).parts]


def is_leaving(name: str) -> bool:
    """Whether a name is of a hidden file or folder, or of one that a system leaves behind."""
    return name.startswith(".") or name.lower() in _LEAVINGS


def passed_over_line(folder: str, passed_over: list[PassedOver]) -> str:
    """A note of what is not read: how many files, a few of them, and why."""
    named = ", ".join(f"{one.name} ({one.reason})" for one in passed_over[:_MOST_NAMED])
    more = len(passed_over) - _MOST_NAMED
    files = "1 file" if len(passed_over) == 1 else f"{len(passed_over)} files"
    return f"{folder}: {files} not read: {named}" + (f" and {more} more" if more > 0 else "")


def _walk(folder: Path, passed_over: list[PassedOver]) -> Iterator[Path]:
    def refused(error: OSError) -> None:
        if error.filename in (str(folder), folder):
            raise DataError(f"cannot read {folder}: {error.strerror}") from error
        name = _name_in(folder, Path(error.filename))
        passed_over.append(PassedOver(name, f"cannot be read: {error.strerror}"))

    for place, folders, files in os.walk(folder, onerror=refused):
        folders[:] = [name for name in folders if not is_leaving(name)]
        yield from (Path(place, name) for name in files if not is_leaving(name))


def _reason_against(path: Path, suffixes: tuple[str, ...]) -> str | None:
    suffix = path.suffix.lower()
    if suffix == ".json" and Path(path.stem).suffix.lower() in VIDEO_SUFFIXES + IMAGE_SUFFIXES:
        return NO_RECORD  # `generate` writes one beside each file
    if suffix not in suffixes:
        is_of_videos = suffixes[0] in VIDEO_SUFFIXES
        return NO_VIDEO if is_of_videos else NO_PICTURE
    if not path.is_file():
        return NOT_REGULAR
    return None if is_utf8(str(path)) else NOT_UTF8


def is_utf8(name: str) -> bool:
    """Whether the bytes of a file's name are UTF-8."""
    return not any("\ud800" <= letter <= "\udfff" for letter in name)


def _name_in(folder: Path, path: Path) -> str:
    """The name within a folder as text that can be shown: other bytes by their numbers."""
    name = path.relative_to(folder).as_posix()
    text = os.fsencode(name).decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _counted(name: str) -> list[tuple[int, int, str]]:
    """Numbers by value, text by letters; numbers first."""
    pieces = re.findall(r"[0-9]+|[^0-9]+", name)
    return [_counted_piece(piece) for piece in pieces]


def _counted_piece(piece: str) -> tuple[int, int, str]:
    if not piece[0].isdigit():
        return 1, 0, piece.casefold()
    digits = piece.lstrip("0")  # by length, then by digits: whatever the length, no number is made
    return 0, len(digits), digits
