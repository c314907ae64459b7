"""Zip archives of strangers: looked through before anything is read, unpacked by our own names.

Nothing is ever written under a name from the archive: members are asked for by name and go to a
path of the caller's.
"""

from __future__ import annotations

import contextlib
import re
import stat
import struct
import unicodedata
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from stylefacev_cli.errors import IntegrityError, StyleFaceVError

MAX_ENTRIES = 4096
MAX_BYTES = 2**33  # of all members, unpacked
MAX_RATIO = 100  # unpacked to packed
_RATIO_FREE_BYTES = 2**20  # a short member may be as regular as it likes
_MAX_DIRECTORY_BYTES = 2**22
_MAX_NAME = 512
_BLOCK_BYTES = 2**20
_ADVICE = "fetch it again from its publisher"
_DAMAGES = (  # what `zipfile` raises on damaged files
    *(zipfile.BadZipFile, zlib.error, NotImplementedError),
    *(EOFError, ValueError, struct.error),
)


@contextlib.contextmanager
def open_archive(
    path: Path, *, max_entries: int = MAX_ENTRIES, max_bytes: int = MAX_BYTES
) -> Iterator[zipfile.ZipFile]:
    """Open a zip whose directory has been checked.

    Args:
        path: the zip.
        max_entries: the most members it may have.
        max_bytes: the most bytes that all members together may unpack to.

    Yields:
        The zip; read it with `member_bytes` or `unpack`.

    Raises:
        IntegrityError: it is damaged or no zip, or a member is a link, is encrypted, bears a name
            that leads elsewhere, is there twice, or unpacks to far more than it is.
    """
    try:
        with path.open("rb") as file:
            _check_directory(file, path, max_entries)
            with zipfile.ZipFile(file) as archive:
                _check_members(archive.infolist(), path, max_entries, max_bytes)
                yield archive
    except _DAMAGES as error:
        raise IntegrityError(f"{path} is no whole zip ({error}): {_ADVICE}") from error
    except OSError as error:
        raise IntegrityError(f"cannot read {path}: {error.strerror or error}") from error


def check_name(name: str) -> str | None:
    """Say why the name of a member is refused; None if it may stay.

    Args:
        name: as it stands in the archive.
    """
    parts = name.removesuffix("/").split("/")
    if not name or len(name) > _MAX_NAME:
        return "it is empty or too long"
    if any(not c.isprintable() for c in name):
        return "it has control characters"
    if "\\" in name or ":" in name:
        return "it has a backslash or a colon"
    if name.startswith("/"):
        return "it is absolute"
    if ".." in parts:
        return "it leads out of the archive"
    if "" in parts or "." in parts or any(part != part.strip() for part in parts):
        return "it is not in its plain form"
    return None


def member_bytes(archive: zipfile.ZipFile, name: str, max_bytes: int) -> bytes:
    """Read a small member.

    Raises:
        IntegrityError: it is longer than `max_bytes`, or damaged.
    """
    info = archive.getinfo(name)
    if info.file_size > max_bytes:
        raise IntegrityError(
            f"{archive.filename or 'the zip'}: {name} has {info.file_size} bytes, "
            f"at most {max_bytes} were expected"
        )
    with archive.open(info) as member:
        return member.read(max_bytes + 1)


def unpack(archive: zipfile.ZipFile, name: str, target: Path) -> None:
    """Write a member to a path of the caller's; its length and checksum have to fit.

    Raises:
        IntegrityError: the member is damaged.
        StyleFaceVError: the path cannot be written.
    """
    info = archive.getinfo(name)
    left = info.file_size
    with archive.open(info) as member, target.open("xb") as file:
        while block := member.read(_BLOCK_BYTES):
            left -= len(block)
            if left < 0:
                raise IntegrityError(f"{name} in the zip is longer than announced: {_ADVICE}")
            try:
                file.write(block)
            except OSError as error:
                raise StyleFaceVError(f"cannot write {target}: {error.strerror}") from error
    if left:
        raise IntegrityError(f"{name} in the zip is shorter than announced: {_ADVICE}")


def _check_directory(file: BinaryIO, path: Path, max_entries: int) -> None:
    """Look at the announced size of the directory before `zipfile` takes memory for it."""
    length = file.seek(0, 2)
    file.seek(max(0, length - 2**16 - 22))
    tail = file.read()
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or at + 22 > len(tail):
        raise zipfile.BadZipFile("its directory is missing")
    num_entries, num_bytes = struct.unpack("<HI", tail[at + 10 : at + 16])
    wide = tail.rfind(b"PK\x06\x06", 0, at)
    if (num_entries == 0xFFFF or num_bytes == 0xFFFFFFFF) and 0 <= wide <= at - 56:
        num_entries, num_bytes = struct.unpack("<QQ", tail[wide + 32 : wide + 48])
    if num_entries > max_entries or num_bytes > _MAX_DIRECTORY_BYTES:
        raise IntegrityError(
            f"{path} has {num_entries} members, at most {max_entries} were expected: refused"
        )
    file.seek(0)


def _check_members(
    members: list[zipfile.ZipInfo], path: Path, max_entries: int, max_bytes: int
) -> None:
    if len(members) > max_entries:
        raise IntegrityError(
            f"{path} has {len(members)} members, at most {max_entries} were expected: refused"
        )
    seen: set[str] = set()
    for member in members:
        shown = _shown(member.orig_filename)
        reason = check_name(member.orig_filename)
        if reason is not None:
            raise IntegrityError(f"{path} is refused: the name {shown} in it is bad: {reason}")
        key = unicodedata.normalize("NFC", member.filename).casefold().removesuffix("/")
        if key in seen:
            raise IntegrityError(f"{path} is refused: {shown} is in it twice")
        seen.add(key)
        _check_member(member, path, shown)
    total = sum(member.file_size for member in members)
    if total > max_bytes:
        raise IntegrityError(
            f"{path} is refused: it would unpack to {total} bytes, "
            f"at most {max_bytes} were expected"
        )
    _check_overlaps(members, path)


def _check_member(member: zipfile.ZipInfo, path: Path, shown: str) -> None:
    kind = stat.S_IFMT(member.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        what = "a link" if kind == stat.S_IFLNK else "no plain file"
        raise IntegrityError(f"{path} is refused: {shown} in it is {what}")
    if member.flag_bits & 1:
        raise IntegrityError(f"{path} is refused: {shown} in it is encrypted")
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise IntegrityError(f"{path} is refused: {shown} in it is packed in an unusual way")
    stored = member.compress_type == zipfile.ZIP_STORED
    grows = member.file_size > max(_RATIO_FREE_BYTES, member.compress_size * MAX_RATIO)
    if grows or (stored and member.file_size != member.compress_size):
        raise IntegrityError(
            f"{path} is refused: {shown} in it would grow from {member.compress_size} "
            f"to {member.file_size} bytes"
        )


def _check_overlaps(members: list[zipfile.ZipInfo], path: Path) -> None:
    """Members that share their bytes make a small archive unpack to a huge one."""
    end, before = 0, ""
    for member in sorted(members, key=lambda member: member.header_offset):
        shown = _shown(member.orig_filename)
        if member.header_offset < end:
            raise IntegrityError(f"{path} is refused: {before} and {shown} in it overlap")
        end, before = member.header_offset + 30 + member.compress_size, shown


def _shown(name: str) -> str:
    text = re.sub(r"[^\x20-\x7e]", "?", name)
    return repr(text if len(text) <= 60 else text[:57] + "...")
