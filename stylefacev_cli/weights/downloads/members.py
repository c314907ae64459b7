"""One named file out of an archive: nothing else of it is unpacked, and no path of it is used.

The bytes go to a path that we chose, so that `..`, absolute paths and links in an archive have
nothing to act on; sizes are counted, so that a small archive cannot fill the disk.
"""

from __future__ import annotations

import gzip
import lzma
import stat
import zipfile
import zlib
from pathlib import Path
from typing import IO

from stylefacev_cli.common.untrusted.tar_file import tar_members
from stylefacev_cli.errors import IntegrityError, StyleFaceVError

_MAX_MEMBERS = 100_000
_BLOCK_BYTES = 2**20


def copy_member(archive: Path, member: str, to: Path, max_bytes: int) -> None:
    """Copy one file of a zip or tar archive.

    Args:
        archive: of either kind, recognised by its content.
        member: its path in the archive, or the end of that path where it is unique.
        to: the file to write.
        max_bytes: the most that it may have.

    Raises:
        IntegrityError: the archive is damaged, or does not hold exactly one such plain file of
            that size.
        StyleFaceVError: the file cannot be written.
    """
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as file:
                _from_zip(file, archive.name, member, to, max_bytes)
        else:
            _from_tar(archive, member, to, max_bytes)
    except (
        *(zipfile.BadZipFile, gzip.BadGzipFile, zlib.error, lzma.LZMAError),
        *(EOFError, NotImplementedError, RuntimeError, ValueError),
    ) as error:
        raise IntegrityError(f"{archive.name} is no archive that can be read: {error}") from error
    except OSError as error:
        raise StyleFaceVError(f"cannot unpack {archive.name}: {error.strerror or error}") from error


def choose_member(names: list[str], member: str, where: str) -> str:
    """Find the one name that is `member`, or ends in it at a slash.

    Raises:
        IntegrityError: there is none, or more than one.
    """
    found = [name for name in names if name == member]
    found = found or [name for name in names if name.endswith(f"/{member}")]
    if len(found) != 1:
        number = "no" if not found else "more than one"
        raise IntegrityError(f"{where} holds {number} file {member}")
    return found[0]


def _from_zip(file: zipfile.ZipFile, where: str, member: str, to: Path, max_bytes: int) -> None:
    infos = file.infolist()
    _check_number(len(infos), where)
    name = choose_member([info.filename for info in infos], member, where)
    info = file.getinfo(name)
    mode = info.external_attr >> 16
    if info.is_dir() or (mode and not stat.S_ISREG(mode) and stat.S_IFMT(mode) != 0):
        raise IntegrityError(f"{where}: {member} is no plain file")
    with file.open(info) as source:
        _copy(source, info.file_size, to, where, member, max_bytes)


def _from_tar(archive: Path, member: str, to: Path, max_bytes: int) -> None:
    """Twice through it: once for its names, once for the member."""
    where = archive.name
    name = choose_member([one.name for one in tar_members(archive)], member, where)
    for found in tar_members(archive):
        if found.name == name:
            if not found.is_plain:
                raise IntegrityError(f"{where}: {member} is no plain file")
            _copy(found.content, found.size, to, where, member, max_bytes)
            return


def _copy(source: IO[bytes], size: int, to: Path, where: str, member: str, max_bytes: int) -> None:
    if size > max_bytes:
        raise IntegrityError(f"{where}: {member} has {size} bytes; {max_bytes} are the most")
    copied = 0
    with to.open("wb") as file:
        while block := source.read(min(_BLOCK_BYTES, size - copied)):
            copied += len(block)
            file.write(block)
    if copied != size:
        raise IntegrityError(f"{where}: {member} does not have the {size} bytes that it claims")


def _check_number(number: int, where: str) -> None:
    if number > _MAX_MEMBERS:
        raise IntegrityError(f"{where} holds more than {_MAX_MEMBERS} files")
