"""A safetensors file of a stranger: its header is checked whole before a number is read.

    eight bytes (length of the header), the header as JSON, the numbers of all tensors

Read here and not by the library `safetensors`, which believes a header's sizes, and for minutes:
a tensor of two million sides took it 179 s.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stylefacev_cli.common.untrusted.pieces import Piece

MAX_HEADER_BYTES = 2**22  # 10,000 tensors need 1 MB, and a description of 1 MB may lie in it
MAX_TENSORS = 10_000  # the largest known network has some 1,500
MAX_SIDES = 8  # of a tensor; convolutions over time have 5
_MAX_NAME = 512  # characters; names of layers have up to 60
ITEM_BYTES = {
    **{"F64": 8, "I64": 8, "F32": 4, "I32": 4, "F16": 2, "BF16": 2, "I16": 2},
    **{"U8": 1, "I8": 1, "BOOL": 1},
}
_NUMPY = {kind: np.dtype(f"<{kind[0].lower()}{ITEM_BYTES[kind]}") for kind in ("F64", "F32", "F16")}
_NUMPY |= {kind: np.dtype(f"<i{ITEM_BYTES[kind]}") for kind in ("I64", "I32", "I16", "I8")}
_NUMPY |= {"U8": np.dtype("u1"), "BOOL": np.dtype("?")}


class NotSafetensors(ValueError):  # noqa: N818 - the caller's error names the file
    """The file is no whole safetensors file; the message says why, without the file's name."""


@dataclass(frozen=True)
class Entry:
    """A tensor of the file: type as the format calls it, shape, and its bytes, little-endian."""

    kind: str
    shape: tuple[int, ...]
    data: Piece


@dataclass(frozen=True)
class SafetensorsFile:
    """A file whose header was found sound: tensors by name, and its free texts."""

    entries: Mapping[str, Entry]
    metadata: Mapping[str, str]

    def array(self, name: str) -> NDArray[Any]:
        """The numbers of a tensor; bfloat16 has no type in numpy and is refused.

        Raises:
            NotSafetensors: it is bfloat16.
            IntegrityError: the file cannot be read any more.
        """
        entry = self.entries[name]
        if entry.kind not in _NUMPY:
            raise NotSafetensors(f"{name[:40]!r} is {entry.kind}")
        return np.frombuffer(entry.data.read(), _NUMPY[entry.kind]).reshape(entry.shape)


def read_safetensors(file: Piece) -> SafetensorsFile:
    """Read and check the header of a file.

    Raises:
        NotSafetensors: it is malformed, or announces other bytes than the file has.
        IntegrityError: the file cannot be read.
    """
    length = int.from_bytes(file.read(0, 8), "little")
    if len(file) < 8 or not 2 <= length <= len(file) - 8:
        raise NotSafetensors("its header is cut off")
    if length > MAX_HEADER_BYTES:
        raise NotSafetensors(f"a header of {length} bytes is longer than any")
    try:
        header = json.loads(file.read(8, length).decode("utf-8"), object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise NotSafetensors("its header is malformed") from error
    if not isinstance(header, dict) or len(header) > MAX_TENSORS + 1:
        raise NotSafetensors("its header is malformed")
    metadata = header.pop("__metadata__", None) or {}
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise NotSafetensors("its header is malformed: __metadata__ holds more than texts")
    numbers = file.part(8 + length, len(file) - 8 - length)
    entries = {name: _entry(name, told, numbers) for name, told in header.items()}
    _check_filled(entries, numbers)
    return SafetensorsFile(entries, metadata)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError("a name is there twice")
    return made


def _entry(name: str, told: Any, numbers: Piece) -> Entry:
    if not isinstance(told, dict) or set(told) != {"dtype", "shape", "data_offsets"}:
        raise NotSafetensors("its header is malformed")
    kind, shape, place = told["dtype"], told["shape"], told["data_offsets"]
    if len(name) > _MAX_NAME or not isinstance(kind, str) or kind not in ITEM_BYTES:
        raise NotSafetensors(f"its header is malformed: {name[:40]!r} has a strange type or name")
    if not _are_sizes(shape) or not _are_sizes(place) or len(place) != 2:
        raise NotSafetensors(f"its header is malformed: {name[:40]!r} has a strange shape or place")
    num_bytes = math.prod(shape) * ITEM_BYTES[kind]
    begin, end = place
    if end - begin != num_bytes or end > len(numbers):
        raise NotSafetensors(f"it announces {num_bytes} bytes for {name[:40]!r}")
    return Entry(kind, tuple(shape), numbers.part(begin, num_bytes))


def _are_sizes(values: Any) -> bool:
    return (
        isinstance(values, list)
        and len(values) <= MAX_SIDES
        and all(type(value) is int and 0 <= value < 2**40 for value in values)
    )


def _check_filled(entries: Mapping[str, Entry], numbers: Piece) -> None:
    """The tensors fill the file: none shares bytes with another, and none are left over."""
    at = numbers.start
    for entry in sorted(entries.values(), key=lambda one: (one.data.start, one.data.length)):
        if entry.data.start != at:
            raise NotSafetensors("its tensors overlap, or leave gaps")
        at += entry.data.length
    if at != numbers.start + len(numbers):
        raise NotSafetensors(f"{numbers.start + len(numbers) - at} bytes follow its tensors")
