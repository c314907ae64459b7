"""Matroska and WebM: elements with sizes, checksums where the writer made them, an index."""

from __future__ import annotations

import zlib

from stylefacev_cli.media.containers.file_bytes import FaultError, FileBytes

_HEADER, _SEGMENT, _CLUSTER, _CUES = 0x1A45DFA3, 0x18538067, 0x1F43B675, 0x1C53BB6B
_VOID, _CHECKSUM = 0xEC, 0xBF
_OF_SEGMENT = {0x114D9B74, 0x1549A966, 0x1654AE6B, _CLUSTER, _CUES}
_OF_SEGMENT |= {0x1941A469, 0x1043A770, 0x1254C367, _VOID, _CHECKSUM}
_OF_CLUSTER = {0xA3, 0xA0, 0xE7, 0xA7, 0xAB, 0xAF, 0x5854, _VOID, _CHECKSUM}
_CUE_POINT, _CUE_PLACES, _CUE_CLUSTER = 0xBB, 0xB7, 0xF1
_BLOCK = 2**20


def check(data: FileBytes) -> None:
    """Check sizes, checksums and the index.

    Raises:
        FaultError: one is wrong, or something is missing.
    """
    name, at, size = _element(data, 0, data.size)
    if name != _HEADER or size is None:
        raise FaultError("its beginning is damaged")
    name, begins, size = _element(data, at + size, data.size)
    if name != _SEGMENT:
        raise FaultError("its beginning is damaged")
    end = data.size if size is None else begins + size
    if end > data.size:
        raise FaultError("it is cut off: it is shorter than it claims")
    _check_segment(data, begins, end)


def _check_segment(data: FileBytes, begins: int, end: int) -> None:
    at, clusters, cues = begins, set[int](), list[int]()
    while at < end:
        name, inside, size = _element(data, at, end)
        if name not in _OF_SEGMENT:
            raise FaultError("it has bytes that belong to no element")
        if size is not None:
            _check_sum(data, inside, inside + size)
        if name == _CLUSTER:
            clusters.add(at - begins)
            at = _after_cluster(data, inside, end if size is None else inside + size)
            continue
        if size is None:
            raise FaultError("the size of an element is wrong")
        if name == _CUES:
            cues += _places(data, inside, inside + size)
        at = inside + size
    if not clusters.issuperset(cues):
        raise FaultError("its index tells of parts that are not there")


def _after_cluster(data: FileBytes, at: int, end: int) -> int:
    """Where a cluster ends; one of unknown size at the next element that cannot be in it."""
    while at < end:
        name, inside, size = _element(data, at, end)
        if name not in _OF_CLUSTER:
            if name in _OF_SEGMENT:
                return at
            raise FaultError("it has bytes that belong to no element")
        if size is None:
            raise FaultError("the size of an element is wrong")
        at = inside + size
    return at


def _places(data: FileBytes, at: int, end: int) -> list[int]:
    """Places of the clusters that an index tells of."""
    places = []
    while at < end:
        name, inside, size = _element(data, at, end)
        if size is None:
            raise FaultError("the size of an element is wrong")
        if name == _CUE_CLUSTER and 0 < size <= 8:
            places.append(data.number(inside, size))
        at = inside if name in (_CUE_POINT, _CUE_PLACES) else inside + size
    return places


def _check_sum(data: FileBytes, at: int, end: int) -> None:
    """Compare the checksum that an element may begin with, with the rest of it."""
    if end - at < 6 or data.take(at, 2) != b"\xbf\x84":
        return
    value = 0
    for place in range(at + 6, end, _BLOCK):
        value = zlib.crc32(data.take(place, min(_BLOCK, end - place)), value)
    if value != data.small_number(at + 2, 4):
        raise FaultError("a checksum is wrong")


def _element(data: FileBytes, at: int, end: int) -> tuple[int, int, int | None]:
    """Name of the element at a place, where its content begins, and its size; None: unknown."""
    head = data.take(at, min(12, end - at))
    name_size = 9 - head[0].bit_length()
    if not 1 <= name_size <= 4 or len(head) <= name_size:
        raise FaultError("it has bytes that belong to no element")
    length = 9 - head[name_size].bit_length()
    if not 1 <= length <= 8:
        raise FaultError("the size of an element is wrong")
    if len(head) < name_size + length:
        raise FaultError("it is cut off")
    bits = int.from_bytes(head[name_size : name_size + length], "big") & (2 ** (7 * length) - 1)
    name, inside = int.from_bytes(head[:name_size], "big"), at + name_size + length
    if bits == 2 ** (7 * length) - 1:
        return name, inside, None
    if inside + bits > end and name != _SEGMENT:
        raise FaultError("it is cut off: an element is longer than what it is in")
    return name, inside, bits
