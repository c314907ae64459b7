"""Zip archives of strangers: looked through before anything is read, unpacked by our own names.

Nothing is ever written under a name from the archive: members are asked for by name and go to a
path of the caller's.
"""

from __future__ import annotations

import contextlib
import io
import re
import stat
import struct
import unicodedata
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

from stylefacev_cli.common.untrusted.pieces import Piece, open_piece
from stylefacev_cli.errors import IntegrityError, StyleFaceVError

MAX_ENTRIES = 4096
MAX_BYTES = 2**33  # of all members, unpacked
MAX_RATIO = 100  # unpacked to packed
MAX_ARCHIVE_BYTES = 2**33  # of the zip itself; that of all released files has 1.3 GB
_RATIO_FREE_BYTES = 2**20  # a short member may be as regular as it likes
_MAX_DIRECTORY_BYTES = 2**22  # of the list of members; that of 10,000 tensors has 0.7 MB
_MAX_NAME = 512
_BLOCK_BYTES = 2**20
_ADVICE = "fetch it again from its publisher"
_DAMAGES = (  # what `zipfile` raises on damaged files
    *(zipfile.BadZipFile, zlib.error, NotImplementedError),
    *(EOFError, ValueError, struct.error),
)


@contextlib.contextmanager
def open_archive(
    path: Path,
    file: Piece | None = None,
    *,
    max_entries: int = MAX_ENTRIES,
    max_bytes: int = MAX_BYTES,
) -> Iterator[zipfile.ZipFile]:
    """Open a zip whose directory has been checked.

    Args:
        path: the zip.
        file: the same, where it is open already, or part of another file.
        max_entries: the most members it may have.
        max_bytes: the most bytes that all members together may unpack to.

    Yields:
        The zip; read it with `member_bytes`, `stored_piece` or `unpack`.

    Raises:
        IntegrityError: it is damaged or no zip, or a member is a link, is encrypted, bears a name
            that leads elsewhere, is there twice, or unpacks to far more than it is.
    """
    try:
        opened = open_piece(path, MAX_ARCHIVE_BYTES) if file is None else file
        with _Bounded(opened) as bounded, zipfile.ZipFile(bounded) as archive:
            bounded.most = None
            _check_members(archive.infolist(), path, max_entries, max_bytes)
            yield archive
    except _DAMAGES as error:
        raise IntegrityError(f"{path} is no whole zip ({error}): {_ADVICE}") from error
    except OSError as error:
        raise IntegrityError(f"cannot read {path}: {error.strerror or error}") from error


class _Bounded(io.BufferedReader):
    """A file of which no more is read at once than a directory may have, until it has been read.

    What the directory's end announces is not asked: there may be several ends.
    """

    def __init__(self, piece: Piece) -> None:
        super().__init__(piece.raw())
        self.piece, self.most = piece, _MAX_DIRECTORY_BYTES

    most: int | None

    def read(self, size: int | None = -1) -> bytes:
        left = len(self.piece) - self.tell()
        wanted = left if size is None or size < 0 else min(size, left)
        if self.most is not None and wanted > self.most:
            raise zipfile.BadZipFile(f"its directory has {wanted} bytes")
        return super().read(wanted)


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


def stored_piece(file: Piece, info: zipfile.ZipInfo, name: str) -> Piece | None:
    """Where a member lies that is not packed; None for one that is.

    Args:
        file: the zip.
        info: of the member, from `open_archive` of this zip.
        name: of the zip, for messages.

    Raises:
        IntegrityError: the member does not begin where the directory says.
    """
    if info.compress_type != zipfile.ZIP_STORED:
        return None
    header = file.read(info.header_offset, 30)
    lengths = struct.unpack("<HH", header[26:30]) if len(header) == 30 else (0, 0)
    begin = info.header_offset + 30 + sum(lengths)
    if header[:4] != b"PK\x03\x04" or begin + info.file_size > len(file):
        raise IntegrityError(f"{name} is no whole zip (a member is cut off): {_ADVICE}")
    return file.part(begin, info.file_size)


def checked_bytes(piece: Piece, info: zipfile.ZipInfo, name: str) -> bytearray:
    """The bytes of a member that is not packed; its checksum has to fit, where it has one.

    Raises:
        IntegrityError: it does not.
    """
    data = piece.read()
    if info.CRC and zlib.crc32(data) != info.CRC:
        raise IntegrityError(
            f"{name} is damaged: the checksum of {_shown(info.filename)} in it does not fit; "
            f"{_ADVICE}"
        )
    return data


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
