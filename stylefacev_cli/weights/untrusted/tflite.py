"""TensorFlow Lite files of strangers → their operators and constants; nothing in them is run.

A file is a FlatBuffer: tables that point to each other by offsets, each with a list of where its
fields lie. Field numbers are those of TensorFlow's published schema, version 3. Every offset is
checked against the file's length before it is followed, every count against what is left of the
file, sizes of tensors against the bytes that hold them, and all constants together against the
file's length, since many tables may point to the same bytes. So what is read is no larger than the
file (half floats: twice as large).
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stylefacev_cli.errors import IntegrityError

_IDENTIFIER = b"TFL3"
_MAX_BYTES = 2**28
_MAX_DIMENSIONS = 8
_MAX_TABLES = 10_000  # in a vector
_MAX_INTEGERS = 256  # in a vector: a shape, the inputs of an operator
_ADVICE = "nothing in it was run; fetch it again from its publisher"

# Types of tensors that are read; other constants are refused.
_TYPES: Mapping[int, np.dtype[np.generic]] = {
    0: np.dtype("<f4"),
    1: np.dtype("<f2"),
    2: np.dtype("<i4"),
    4: np.dtype("<i8"),
}
CONV_2D, DEPTHWISE_CONV_2D = 3, 4  # operators whose options are read
DEQUANTIZE = 6
_SAME = 0


class Strides(NamedTuple):
    """Options of a convolution."""

    stride: tuple[int, int]  # down, across
    is_same: bool  # padded to keep the size; else not padded
    activation: int  # applied to what it gives; 0: none, 1: ReLU


@dataclass(frozen=True, eq=False)
class Operator:
    """A step of the graph.

    Attributes:
        code: its number in the schema.
        constants: its inputs that are constants, in order; half floats as float32.
        strides: of convolutions; None for other operators.
    """

    code: int
    constants: tuple[NDArray[np.generic], ...]
    strides: Strides | None


def read_tflite(data: bytes, name: str) -> list[Operator]:
    """The operators of a file's one graph in order, without those that widen half floats.

    Args:
        data: of the file.
        name: of the file, for messages.

    Raises:
        IntegrityError: it is damaged, or holds what is not known here.
    """
    try:
        return _operators(_File(data))
    except _Refused as error:
        raise IntegrityError(f"{name} is no whole TensorFlow Lite file: {error}: {_ADVICE}") from (
            error
        )


class _Refused(Exception):
    """Why a file is not read on."""


def _operators(file: _File) -> list[Operator]:
    model = file.root()
    codes = [_operator_code(table) for table in model.tables(1)]
    graphs = model.tables(2)
    if len(graphs) != 1:
        raise _Refused(f"it has {len(graphs)} graphs, not one")
    constants = _Constants(graphs[0].tables(0), model.tables(4), file.num_bytes)
    widened: dict[int, int] = {}  # float32 tensors, and the half floats that they are made of
    operators: list[Operator] = []
    for table in graphs[0].tables(3):
        number = table.scalar(0, "<I", 0)
        if number >= len(codes):
            raise _Refused("an operator is of a kind that it does not list")
        inputs = table.integers(1)
        if codes[number] == DEQUANTIZE:
            outputs = table.integers(2)
            if len(inputs) != 1 or len(outputs) != 1:
                raise _Refused("an operator that widens numbers has not one input and one output")
            widened[outputs[0]] = inputs[0]
            continue
        values = [constants.read(widened.get(index, index)) for index in inputs]
        known = tuple(value for value in values if value is not None)
        operators.append(Operator(codes[number], known, _strides(codes[number], table)))
    return operators


class _Constants:
    """The constants among a graph's tensors, each read once, all of them no larger than the file.

    Half floats, which are widened, may take twice its length.
    """

    def __init__(self, tensors: list[_Table], buffers: list[_Table], file_bytes: int) -> None:
        self._tensors, self._buffers = tensors, buffers
        self._bytes_left = 2 * file_bytes
        self._known: dict[int, NDArray[np.generic] | None] = {}

    def read(self, index: int) -> NDArray[np.generic] | None:
        """The numbers of a tensor; None for one that is computed, or left out (-1)."""
        if index == -1:
            return None
        if not 0 <= index < len(self._tensors):
            raise _Refused("an operator has an input that is not there")
        if index not in self._known:
            values = _constant(self._tensors[index], self._buffers)
            self._bytes_left -= 0 if values is None else values.nbytes
            if self._bytes_left < 0:
                raise _Refused("its constants are larger than the file")
            self._known[index] = values
        return self._known[index]


def _operator_code(table: _Table) -> int:
    """The number of an operator: in a byte up to 126, else in an integer."""
    return max(table.scalar(0, "<b", 0), table.scalar(3, "<i", 0))


def _constant(tensor: _Table, buffers: list[_Table]) -> NDArray[np.generic] | None:
    """The numbers of a tensor; None for one that is computed."""
    shape, number = tensor.integers(0), tensor.scalar(2, "<I", 0)
    if number >= len(buffers):
        raise _Refused("a tensor lies in a buffer that is not there")
    data = buffers[number].bytes(0)
    if not data:
        return None
    kind = _TYPES.get(tensor.scalar(1, "<b", 0))
    if kind is None:
        raise _Refused("a constant in it is of an unknown type")
    if len(shape) > _MAX_DIMENSIONS or any(side < 0 for side in shape):
        raise _Refused("the shape of a tensor cannot be")
    if math.prod(shape) * kind.itemsize != len(data):
        raise _Refused(f"a tensor of shape {shape} has {len(data)} bytes")
    values = np.frombuffer(data, kind).reshape(shape)
    return values.astype(np.float32) if kind == np.dtype("<f2") else values


def _strides(code: int, operator: _Table) -> Strides | None:
    if code not in (CONV_2D, DEPTHWISE_CONV_2D):
        return None
    options = operator.table(4)
    if options is None:
        raise _Refused("a convolution has no options")
    is_depthwise = code == DEPTHWISE_CONV_2D
    stride = options.scalar(2, "<i", 0), options.scalar(1, "<i", 0)
    return Strides(
        stride,
        options.scalar(0, "<b", 0) == _SAME,
        options.scalar(4 if is_depthwise else 3, "<b", 0),
    )


# --- FlatBuffers -------------------------------------------------------------------------------


class _File:
    """The bytes of a file, of which only what is there can be read."""

    def __init__(self, data: bytes) -> None:
        if len(data) > _MAX_BYTES:
            raise _Refused(f"it has more than {_MAX_BYTES} bytes")
        if data[4:8] != _IDENTIFIER:
            raise _Refused("it does not begin as one")
        self._data = data

    @property
    def num_bytes(self) -> int:
        return len(self._data)

    def root(self) -> _Table:
        return _Table(self, self.number(0, "<I"))

    def number(self, at: int, form: str) -> int:
        """The integer at a place."""
        if not 0 <= at <= len(self._data) - struct.calcsize(form):
            raise _Refused("it points beyond its end")
        (value,) = struct.unpack_from(form, self._data, at)
        assert isinstance(value, int)
        return value

    def part(self, at: int, num_bytes: int) -> bytes:
        if not (0 <= at and 0 <= num_bytes <= len(self._data) - at):
            raise _Refused("it points beyond its end")
        return self._data[at : at + num_bytes]

    def vector(self, at: int, item_bytes: int, most: int) -> tuple[int, int]:
        """Where the items of a vector begin, and how many there are."""
        count = self.number(at, "<I")
        if count > most:
            raise _Refused(f"it lists {count} items where {most} may be")
        self.part(at + 4, count * item_bytes)
        return at + 4, count


class _Table:
    """A table: its fields are found through a list of places, and may be missing."""

    def __init__(self, file: _File, at: int) -> None:
        self._file, self._at = file, at
        self._list = at - file.number(at, "<i")
        self._list_bytes = file.number(self._list, "<H")
        file.part(self._list, self._list_bytes)

    def scalar(self, field: int, form: str, default: int) -> int:
        """The integer of a field."""
        place = self._place(field)
        return default if place is None else self._file.number(place, form)

    def table(self, field: int) -> _Table | None:
        """The table that a field points to."""
        place = self._target(field)
        return None if place is None else _Table(self._file, place)

    def tables(self, field: int) -> list[_Table]:
        """The tables of a vector of offsets."""
        place = self._target(field)
        if place is None:
            return []
        start, count = self._file.vector(place, 4, _MAX_TABLES)
        places = range(start, start + 4 * count, 4)
        return [_Table(self._file, at + self._file.number(at, "<I")) for at in places]

    def integers(self, field: int) -> list[int]:
        """The numbers of a vector of int32."""
        place = self._target(field)
        if place is None:
            return []
        start, count = self._file.vector(place, 4, _MAX_INTEGERS)
        return list(struct.unpack(f"<{count}i", self._file.part(start, 4 * count)))

    def bytes(self, field: int) -> bytes:
        """The bytes of a vector of them."""
        place = self._target(field)
        return b"" if place is None else self._file.part(*self._file.vector(place, 1, _MAX_BYTES))

    def _place(self, field: int) -> int | None:
        at = 4 + 2 * field
        if at + 2 > self._list_bytes:
            return None
        offset = self._file.number(self._list + at, "<H")
        return self._at + offset if offset else None

    def _target(self, field: int) -> int | None:
        place = self._place(field)
        return None if place is None else place + self._file.number(place, "<I")
