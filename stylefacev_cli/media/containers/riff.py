"""AVI: chunks with sizes, and an index of them."""

from __future__ import annotations

import re

from stylefacev_cli.media.containers.file_bytes import FaultError, FileBytes

_OF_STREAM = re.compile(rb"[0-9]{2}[a-z]{2}|ix[0-9]{2}|JUNK", re.IGNORECASE)
_UNFINISHED = (0, 0xFFFFFFFF)  # sizes of a file whose writer could not go back
_HEADER = 12  # of a list


def check(data: FileBytes) -> None:
    """Check that chunks are complete, and that the index tells of those that are there.

    Raises:
        FaultError: they are not, or it does not.
    """
    at = 0
    while at + _HEADER <= data.size:
        head = data.take(at, _HEADER)
        if head[:4] != b"RIFF" or head[8:] not in (b"AVI ", b"AVIX"):
            return  # what follows belongs to something else
        size = int.from_bytes(head[4:8], "little")
        if size in _UNFINISHED:
            return
        end = at + 8 + size
        if end > data.size:
            raise FaultError("it is cut off: it is shorter than it claims")
        _check_lists(data, at + _HEADER, end)
        at = end + size % 2


def _check_lists(data: FileBytes, at: int, end: int) -> None:
    chunks, begins = dict[int, bytes](), 0
    while at + 8 <= end:
        head = data.take(at, 8)
        size = int.from_bytes(head[4:], "little")
        if at + 8 + size > end:
            raise FaultError("a chunk is longer than what it is in")
        if head[:4] == b"LIST" and size >= 4 and data.take(at + 8, 4) == b"movi":
            begins = at + 8
            _walk(data, at + _HEADER, at + 8 + size, chunks)
        elif head[:4] == b"idx1" and chunks:
            _check_index(data.take(at + 8, size), chunks, begins)
        at += 8 + size + size % 2


def _walk(data: FileBytes, at: int, end: int, chunks: dict[int, bytes]) -> None:
    """Note name and size of each chunk of a list by its place, those of lists in it as well."""
    while at + 8 <= end:
        head = data.take(at, 8)
        size = int.from_bytes(head[4:], "little")
        if at + 8 + size > end:
            raise FaultError("a chunk is longer than what it is in")
        if head[:4] == b"LIST":
            chunks[at] = head
            at += _HEADER
            continue
        if not _OF_STREAM.fullmatch(head[:4]):
            raise FaultError("it has bytes that belong to no chunk")
        chunks[at] = head
        at += 8 + size + size % 2


def _check_index(index: bytes, chunks: dict[int, bytes], begins: int) -> None:
    """Compare the entries of an index with the chunks; places count from the list or the file."""
    entries = [index[at : at + 16] for at in range(0, len(index) - 15, 16)]
    if not entries:
        return
    first = int.from_bytes(entries[0][8:12], "little")
    base = 0 if first in chunks else begins
    for entry in entries:
        place = base + int.from_bytes(entry[8:12], "little")
        if chunks.get(place) != entry[:4] + entry[12:]:
            raise FaultError("its index tells of other chunks than there are")
    named = sum(head[2:4].lower() in (b"dc", b"db") for head in chunks.values())
    told = sum(entry[2:4].lower() in (b"dc", b"db") for entry in entries)
    if told < named:
        raise FaultError(f"it has {named} pictures where its index has {told}")
