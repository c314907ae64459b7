"""The reader of TensorFlow Lite files: what is in ours, and that no file leads it astray."""

from __future__ import annotations

import struct
import tracemalloc
from functools import lru_cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stylefacev_cli.common.untrusted.archives import member_bytes, open_archive
from stylefacev_cli.errors import IntegrityError
from stylefacev_cli.weights.convert.face_mesh_weights import face_mesh_file
from stylefacev_cli.weights.untrusted.tflite import CONV_2D, DEPTHWISE_CONV_2D, read_tflite


@lru_cache(maxsize=3)
def member(name: str) -> bytes:
    with open_archive(face_mesh_file()) as archive:
        return member_bytes(archive, name, 2**24)


def detector() -> bytes:
    return member("face_detector.tflite")


def test_operators_and_constants_of_the_detector() -> None:
    operators = read_tflite(detector(), "x")
    convolutions = [one for one in operators if one.code == CONV_2D]
    depthwise = [one for one in operators if one.code == DEPTHWISE_CONV_2D]
    assert (len(convolutions), len(depthwise)) == (21, 16)
    kernel, bias = convolutions[0].constants
    assert (kernel.shape, bias.shape, kernel.dtype) == ((24, 5, 5, 3), (24,), np.float32)
    assert np.isfinite(kernel).all() and 0 < kernel.std() < 1
    strides = convolutions[0].strides
    assert strides is not None
    assert (strides.stride, strides.is_same, strides.activation) == ((2, 2), True, 0)
    assert [one.strides.stride for one in depthwise if one.strides].count((2, 2)) == 3
    assert all(one.strides is None for one in operators if one not in convolutions + depthwise)


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "does not begin as one"),
        (b"PK\x03\x04" * 8, "does not begin as one"),
        (b"\xff\xff\xff\xffTFL3", "beyond its end"),
        (b"\x08\0\0\0TFL3\x10\0\0\0" + bytes(8), "beyond its end"),
        (struct.pack("<I4sHHIi", 16, b"TFL3", 4, 4, 0, 8), "0 graphs"),
    ],
)
def test_files_that_are_none(data: bytes, told: str) -> None:
    with pytest.raises(IntegrityError, match=told) as error:
        read_tflite(data, "f.tflite")
    assert str(error.value).startswith("f.tflite is no whole TensorFlow Lite file")
    assert "\n" not in str(error.value)


def is_refused_or_read(data: bytes) -> bool:
    """Whether a file is refused in one line; False if it is read, which takes little memory."""
    try:
        read_tflite(data, "f.tflite")
    except IntegrityError as error:
        assert "\n" not in str(error) and len(str(error)) < 400
        return True
    return False


def test_every_cut_is_refused_or_read() -> None:
    data = detector()
    assert all(is_refused_or_read(data[:length]) for length in range(0, len(data), 12_347))


@given(
    st.lists(
        st.tuples(
            st.floats(0, 1), st.sampled_from([0, 1, 0x7F, 0x80, 0xFF, 0x7FFFFFFF, 2**32 - 1])
        ),
        min_size=1,
        max_size=12,
    )
)
def test_damaged_files_are_refused_or_read(changes: list[tuple[float, int]]) -> None:
    """The tables lie behind the buffers, in the last part of the file, and before them."""
    data = bytearray(detector())
    for share, value in changes:
        # Most of the file are weights; damage the first 300 bytes and the last 30,000.
        at = int(share * 30_300)
        at = at if at < 300 else len(data) - 30_300 + at
        struct.pack_into("<I", data, min(at, len(data) - 4), value)
    is_refused_or_read(bytes(data))


@given(st.binary(max_size=400))
def test_any_bytes(data: bytes) -> None:
    is_refused_or_read(b"\x1c\0\0\0TFL3" + data)


def test_a_vector_that_is_longer_than_its_file_takes_no_memory() -> None:
    listed = struct.pack("<HHHH", 8, 8, 0, 4)
    # A table with one field (operator codes, number 1), a vector that claims 2**30 items.
    root = struct.pack("<iII", 8, 4, 2**30)
    data = struct.pack("<I4s", 16, b"TFL3") + listed + root + bytes(64)
    tracemalloc.start()
    with pytest.raises(IntegrityError, match="1073741824 items"):
        read_tflite(data, "f.tflite")
    assert tracemalloc.get_traced_memory()[1] < 2**20
    tracemalloc.stop()


def test_many_tensors_on_the_same_bytes_take_no_memory() -> None:
    """A thousand operators, each with a tensor of its own, all in one buffer of 400,000 bytes."""
    data = many_tensors(1000, 400_000)
    tracemalloc.start()
    with pytest.raises(IntegrityError, match="constants are larger than the file"):
        read_tflite(data, "f.tflite")
    assert tracemalloc.get_traced_memory()[1] < 8 * len(data)
    tracemalloc.stop()
    (operator,) = read_tflite(many_tensors(1, 4000), "f.tflite")
    assert operator.constants[0].shape == (1000,)


class Builder:
    """Writes a FlatBuffer from front to back: tables first, what they point to behind them."""

    def __init__(self) -> None:
        self.data = bytearray(8)
        self.data[4:8] = b"TFL3"

    def table(self, *fields: int) -> tuple[int, list[int]]:
        """A table of four-byte fields with these numbers: where it is, and where its fields are."""
        length = 4 + 4 * len(fields)
        places = {field: 4 + 4 * k for k, field in enumerate(fields)}
        listed = [places.get(field, 0) for field in range(max(fields, default=-1) + 1)]
        head = struct.pack(f"<{2 + len(listed)}H", 4 + 2 * len(listed), length, *listed)
        start = len(self.data)
        self.data += head + bytes(-len(head) % 4)
        at = len(self.data)
        self.data += struct.pack("<i", at - start) + bytes(length - 4)
        return at, [at + places[field] for field in fields]

    def vector(self, reference: int, count: int) -> list[int]:
        """A vector of four-byte items that a place points to: where they are."""
        self.point(reference, len(self.data))
        start = len(self.data) + 4
        self.data += struct.pack("<I", count) + bytes(4 * count)
        return [start + 4 * k for k in range(count)]

    def point(self, reference: int, target: int) -> None:
        self.number(reference, target - reference)

    def number(self, place: int, value: int) -> None:
        struct.pack_into("<i", self.data, place, value)


def many_tensors(count: int, num_bytes: int) -> bytes:
    """A file of operators with a tensor each, all of them on the same bytes."""
    build = Builder()
    root, (codes, graphs, buffers) = build.table(1, 2, 4)
    build.number(0, root)
    (code,) = build.vector(codes, 1)
    (graph,) = build.vector(graphs, 1)
    (buffer,) = build.vector(buffers, 1)
    at, _ = build.table()
    build.point(code, at)
    at, (tensors, operators) = build.table(0, 3)
    build.point(graph, at)
    tensor_places, operator_places = build.vector(tensors, count), build.vector(operators, count)
    tensor, (shape,) = build.table(0)
    (side,) = build.vector(shape, 1)
    build.number(side, num_bytes // 4)
    for index, (tensor_place, operator_place) in enumerate(
        zip(tensor_places, operator_places, strict=True)
    ):
        build.point(tensor_place, tensor)
        at, (inputs,) = build.table(1)
        build.point(operator_place, at)
        (value,) = build.vector(inputs, 1)
        build.number(value, index)
    at, (content,) = build.table(0)
    build.point(buffer, at)
    build.point(content, len(build.data))
    build.data += struct.pack("<I", num_bytes) + bytes(num_bytes)
    return bytes(build.data)
