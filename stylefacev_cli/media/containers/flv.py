"""FLV: tags, each followed by its size."""

from __future__ import annotations

from stylefacev_cli.media.containers.file_bytes import FaultError, FileBytes

_KINDS = (8, 9, 18)  # sound, picture, data


def check(data: FileBytes) -> None:
    """Check that tags follow each other without gaps, and that the last is complete.

    Raises:
        FaultError: they do not.
    """
    at = data.number(5, 4) + 4
    while at < data.size:
        head = data.take(at, 11)
        size = int.from_bytes(head[1:4], "big")
        if head[0] & 0x1F not in _KINDS:
            raise FaultError("it has bytes that belong to no tag")
        if data.number(at + 11 + size, 4) not in (11 + size, 0):  # some writers leave it out
            raise FaultError("the size of a tag is wrong")
        at += 11 + size + 4
