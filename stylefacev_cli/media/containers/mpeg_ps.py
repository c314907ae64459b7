"""MPEG program streams (MPG, VOB): packets with sizes, one after the other."""

from __future__ import annotations

from stylefacev_cli.media.containers.file_bytes import FaultError, FileBytes

_END, _PACK = 0xB9, 0xBA  # codes that begin a part; those above begin packets
_BLOCK = 4096


def check(data: FileBytes) -> None:
    """Check that packets follow each other without gaps, and that the last is complete.

    Raises:
        FaultError: they do not.
    """
    if data.take(0, 4) == b"RIFF":  # a video CD: sectors with headers and checksums of their own
        return
    at = 0
    while at < data.size:
        head = data.take(at, 4)
        if head == bytes(4) and _only_zeros(data, at):
            return
        if head[:3] != b"\x00\x00\x01" or head[3] < _END:
            raise FaultError("it has bytes that belong to no packet")
        if head[3] == _END:
            at += 4
        elif head[3] == _PACK:
            at += _pack_size(data, at)
        else:
            size = 6 + data.number(at + 4, 2)
            data.take(at + size - 1, 1)
            at += size


def _pack_size(data: FileBytes, at: int) -> int:
    kind = data.take(at + 4, 1)[0]
    if kind & 0xF0 == 0x20:  # MPEG-1
        data.take(at + 11, 1)
        return 12
    return 14 + (data.take(at + 13, 1)[0] & 7)


def _only_zeros(data: FileBytes, at: int) -> bool:
    """Whether nothing but stuffing follows."""
    return all(
        not data.take(place, min(_BLOCK, data.size - place)).strip(b"\x00")
        for place in range(at, data.size, _BLOCK)
    )
