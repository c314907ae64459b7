"""GIF: blocks, compressed pictures that say where they end, and a mark at the end of the file."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from stylefacev_cli.media.containers.file_bytes import FaultError, FileBytes

_PICTURE, _EXTENSION, _END = 0x2C, 0x21, 0x3B
_MAX_BITS = 12
_MAX_CODES = 2**_MAX_BITS
_FEW_CODES = 512  # that are tried first: some writers clear the table often
_MAX_RUNS = 100_000  # between codes that clear the table, of a file; more are not counted
_MAX_PACKED_BYTES = 2**26  # of a picture


def check(data: FileBytes) -> None:
    """Check that all blocks are there, and that each picture has as many pixels as it claims.

    Raises:
        FaultError: they are not, or it has not.
    """
    head = data.take(0, 13)
    if head[:4] != b"GIF8":
        raise FaultError("its beginning is damaged")
    at, runs_left = 13 + _palette_size(head[10]), _MAX_RUNS
    while (kind := data.take(at, 1)[0]) != _END:
        if kind == _EXTENSION:
            at = _blocks(data, at + 2, [])
        elif kind == _PICTURE:
            head, parts = data.take(at + 1, 9), list[bytes]()
            at += 10 + _palette_size(head[8])
            bits = data.take(at, 1)[0]
            if not 1 <= bits <= 8:
                raise FaultError("a picture has codes of an odd size")
            at = _blocks(data, at + 1, parts)
            width, height = int.from_bytes(head[4:6], "little"), int.from_bytes(head[6:8], "little")
            found, runs = num_pixels(b"".join(parts), bits, runs_left)
            runs_left -= runs
            if runs_left and found != width * height:
                raise FaultError("a picture has more or fewer pixels than it claims")
        else:
            raise FaultError("it has bytes that belong to no block")


def _palette_size(flags: int) -> int:
    return 3 * 2 ** ((flags & 7) + 1) if flags & 0x80 else 0


def _blocks(data: FileBytes, at: int, parts: list[bytes]) -> int:
    """Where the blocks from a place on end; what is in them is added to some parts."""
    num_bytes = 0
    while size := data.take(at, 1)[0]:
        parts.append(data.take(at + 1, size))
        at, num_bytes = at + 1 + size, num_bytes + size
        if num_bytes > _MAX_PACKED_BYTES:
            raise FaultError(f"a part of it takes more than {_MAX_PACKED_BYTES} bytes")
    return at + 1


def num_pixels(packed: bytes, bits: int, max_runs: int = _MAX_RUNS) -> tuple[int, int]:
    """How many pixels LZW codes stand for, up to the code that ends them, or to their end.

    Args:
        packed: the codes, the lowest bit first.
        bits: of a pixel.
        max_runs: between codes that clear the table; counting stops behind them.

    Returns:
        The number of pixels, and of runs.

    Raises:
        FaultError: a code stands for nothing.
    """
    stream = _CodeStream(packed, 2**bits)
    total = runs = 0
    while not stream.is_over and runs < max_runs:
        codes, runs = stream.until_clear(), runs + 1
        lengths = _lengths(codes, stream.clear)
        total += int(lengths.sum())
        if len(codes) == len(stream.widths):  # a full table stays as it is until it is cleared
            table = np.concatenate([np.ones(stream.clear + 2, np.int64), lengths + 1])
            while len(codes) and stream.goes_on:
                codes = stream.widest()
                total += int(table[codes].sum())
    return total, runs


class _CodeStream:
    """Codes of LZW, taken many at a time: how wide each is, its number behind a clear code says."""

    def __init__(self, packed: bytes, clear: int) -> None:
        self.clear = clear
        numbers = np.arange(_MAX_CODES - clear - 1)
        self.widths = np.minimum(np.frexp(clear + 2 + np.maximum(numbers - 1, 0))[1], _MAX_BITS)
        self.is_over = False
        self.goes_on = True  # no clear code was met
        self._offsets = np.concatenate([[0], np.cumsum(self.widths)])
        self._stream = np.frombuffer(packed + bytes(4), np.uint8)
        self._num_bits = 8 * len(packed)
        self._at = 0

    def until_clear(self) -> NDArray[np.int64]:
        """Codes that fill the table, without the one that clears it or ends all."""
        self.goes_on = True
        return self._take(self.widths, self._offsets)

    def widest(self) -> NDArray[np.int64]:
        """Codes that a full table is used for."""
        return self._take(np.full(_MAX_CODES, _MAX_BITS), np.arange(_MAX_CODES + 1) * _MAX_BITS)

    def _take(self, widths: NDArray[np.int64], offsets: NDArray[np.int64]) -> NDArray[np.int64]:
        for count in (_FEW_CODES, len(widths)):
            there = int(np.searchsorted(offsets, self._num_bits - self._at, side="right")) - 1
            codes = self._codes(self._at + offsets[: min(there, count)], widths)
            stops = np.flatnonzero((codes == self.clear) | (codes == self.clear + 1))
            if len(stops):
                break
        stop = int(stops[0]) if len(stops) else there
        if len(stops):
            self.goes_on, self.is_over = False, bool(codes[stop] == self.clear + 1)
        else:
            self.is_over = there < len(widths)
        self._at += int(offsets[stop]) + (int(widths[stop]) if len(stops) else 0)
        return codes[:stop]

    def _codes(self, places: NDArray[np.int64], widths: NDArray[np.int64]) -> NDArray[np.int64]:
        """Codes at some places, in bits."""
        first, stream = places >> 3, self._stream
        three = [stream[first + n].astype(np.int64) << 8 * n for n in range(3)]
        bits = (three[0] | three[1] | three[2]) >> (places & 7)
        return np.asarray(bits & ((1 << widths[: len(places)]) - 1))


def _lengths(codes: NDArray[np.int64], clear: int) -> NDArray[np.int64]:
    """How many pixels each code stands for: one that makes a string longer is one more."""
    numbers = np.arange(len(codes))
    shorter = codes - (clear + 2)
    is_string = codes >= clear
    if (is_string & (shorter >= numbers)).any():
        raise FaultError("its pixels are damaged")
    before = np.where(is_string, shorter, numbers)
    longer_by = is_string.astype(np.int64)
    while (before != before[before]).any():
        longer_by += longer_by[before]
        before = before[before]
    return longer_by + 1
