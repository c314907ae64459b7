"""MPEG transport streams (TS, M2TS): packets of one size, each with its mark."""

from __future__ import annotations

import numpy as np

from stylefacev_cli.media.containers.file_bytes import FaultError, FileBytes

_MARK, _IS_DAMAGED = 0x47, 0x80
_SIZES = {188: 0, 192: 4, 204: 0}  # of packets, and where the mark is
_LOOKED_AT = 8
_AT_ONCE = 100_000


def check(data: FileBytes) -> None:
    """Check that every packet has its mark, that none says it is damaged, that the last is whole.

    Raises:
        FaultError: one has not, one says so, or it is not.
    """
    first, size, mark = _layout(data)
    num_packets, rest = divmod(data.size - first, size)
    for number in range(0, num_packets, _AT_ONCE):
        count = min(_AT_ONCE, num_packets - number)
        block = np.frombuffer(data.take(first + number * size, count * size), np.uint8)
        packets = block.reshape(count, size)[:, mark:]
        if (packets[:, 0] != _MARK).any():
            raise FaultError("it has bytes that belong to no packet")
        if (packets[:, 1] & _IS_DAMAGED).any():
            raise FaultError("packets are marked as damaged")
    if rest:
        raise FaultError("it is cut off: its last packet is not complete")


def _layout(data: FileBytes) -> tuple[int, int, int]:
    """Where the first packet begins, the size of packets, and where in them the mark is."""
    head = data.take(0, min(data.size, (_LOOKED_AT + 1) * max(_SIZES)))
    for first in range(min(_SIZES)):
        for size, mark in _SIZES.items():
            marks = head[first + mark :: size][:_LOOKED_AT]
            if marks and marks == bytes([_MARK]) * len(marks):
                return first, size, mark
    raise FaultError("its packets do not begin with their mark")
