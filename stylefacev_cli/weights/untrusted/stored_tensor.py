"""Tensors that lie in a file: checked descriptions first, numbers only when they are asked for."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from stylefacev_cli.weights.untrusted.pickle_values import PickleRefused, shown

if TYPE_CHECKING:
    import torch

ITEM_BYTES = {  # of the types that files of weights hold
    "float64": 8,
    "float32": 4,
    "float16": 2,
    "bfloat16": 2,
    "int64": 8,
    "int32": 4,
    "int16": 2,
    "int8": 1,
    "uint8": 1,
    "bool": 1,
}
STORAGE_TYPES = {
    "DoubleStorage": "float64",
    "FloatStorage": "float32",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "int64",
    "IntStorage": "int32",
    "ShortStorage": "int16",
    "CharStorage": "int8",
    "ByteStorage": "uint8",
    "BoolStorage": "bool",
}
_MAX_DIMENSIONS = 8
_MAX_SIDE = 2**40


@dataclass(eq=False)
class Storage:
    """A row of numbers in a file.

    Attributes:
        dtype: a key of `ITEM_BYTES`.
        num_elements: how many numbers; checked against the length of the bytes by whoever sets
            `read`.
        read: reads the bytes, little-endian, from the file that was checked; None: not found yet.
    """

    dtype: str
    num_elements: int
    read: Callable[[], bytearray] | None = None

    @property
    def num_bytes(self) -> int:
        """Length of the data."""
        return self.num_elements * ITEM_BYTES[self.dtype]

    def load(self) -> torch.Tensor:
        """Read the numbers: [num_elements] on the CPU."""
        import torch

        kind: torch.dtype = getattr(torch, self.dtype)
        if not self.num_elements:
            return torch.empty(0, dtype=kind)
        assert self.read is not None
        return torch.frombuffer(self.read(), dtype=kind)


@dataclass(frozen=True, eq=False)
class StoredTensor:
    """A tensor that is a view of a storage; that it lies within was checked when it was made."""

    storage: Storage
    offset: int  # elements
    shape: tuple[int, ...]
    strides: tuple[int, ...]  # elements

    @classmethod
    def contiguous(cls, storage: Storage, shape: tuple[int, ...]) -> StoredTensor:
        """A whole storage in row-major order; its length has been compared with the shape."""
        strides = tuple(math.prod(shape[side + 1 :]) for side in range(len(shape)))
        return cls(storage, 0, shape, strides)

    @property
    def dtype(self) -> str:
        """The type of the numbers, a key of `ITEM_BYTES`."""
        return self.storage.dtype

    @property
    def num_bytes(self) -> int:
        """What the tensor takes in memory."""
        return math.prod(self.shape) * ITEM_BYTES[self.dtype]

    def load(self, row: torch.Tensor | None = None) -> torch.Tensor:
        """A contiguous tensor of this shape on the CPU; it may share the memory of its storage.

        Args:
            row: the numbers of the storage, where they have been read.
        """
        row = self.storage.load() if row is None else row
        if math.prod(self.shape) == 0:
            return row.new_empty(self.shape)
        return row.as_strided(self.shape, self.strides, self.offset).contiguous()


def load_tensors(tensors: Mapping[str, StoredTensor]) -> dict[str, torch.Tensor]:
    """Load tensors; a storage that several of them share is read once and then let go."""
    left = Counter(id(tensor.storage) for tensor in tensors.values())
    rows: dict[int, torch.Tensor] = {}
    loaded: dict[str, torch.Tensor] = {}
    for name, tensor in tensors.items():
        key = id(tensor.storage)
        row = rows[key] if key in rows else tensor.storage.load()
        left[key] -= 1
        if left[key]:
            rows[key] = row
        else:
            rows.pop(key, None)
        loaded[name] = tensor.load(row)
    return loaded


def stored_tensor(storage: object, offset: object, shape: object, strides: object) -> StoredTensor:
    """Describe a tensor after checking that it lies within its storage and is no larger.

    Raises:
        PickleRefused: it does not; the message says how.
    """
    if not isinstance(storage, Storage):
        raise PickleRefused("a tensor in it has no storage")
    lengths, steps = _sizes(shape, "shape"), _sizes(strides, "strides")
    start = _sizes((offset,), "offset")[0]
    if len(lengths) != len(steps):
        raise PickleRefused(f"a tensor in it has {len(lengths)} sides, but {len(steps)} strides")
    num_elements = math.prod(lengths)
    if num_elements > storage.num_elements:
        wanted_gb = num_elements * ITEM_BYTES[storage.dtype] / 1e9
        raise PickleRefused(
            f"a tensor of shape {list(lengths)} ({wanted_gb:.3g} GB) is larger than its storage "
            f"of {storage.num_elements} numbers"
        )
    if num_elements and start + _reach(lengths, steps) >= storage.num_elements:
        raise PickleRefused(
            f"a tensor of shape {list(lengths)} at {start} reaches beyond its storage "
            f"of {storage.num_elements} numbers"
        )
    return StoredTensor(storage, start, lengths, steps)


def storage_of(reference: tuple[Any, ...], known: dict[str, Storage]) -> Storage:
    """The storage that a persistent id of `torch.save` names; the same key gives the same one.

    Args:
        reference: ("storage", type, key, location, number of elements[, view]).
        known: the storages so far, by key; is added to.

    Raises:
        PickleRefused: it is no such id.
    """
    if len(reference) not in (5, 6) or reference[0] != "storage":
        raise PickleRefused("its reference to a storage is malformed")
    _, kind, key, _, num_elements = reference[:5]
    if len(reference) == 6 and reference[5] is not None:
        raise PickleRefused("it has a storage that is a view of another one")
    make = getattr(kind, "make", None)
    dtype = make(()) if make is not None else None
    if not isinstance(dtype, str) or dtype not in ITEM_BYTES or not isinstance(key, str):
        raise PickleRefused("its reference to a storage is malformed")
    (count,) = _sizes((num_elements,), "storage")
    storage = known.setdefault(key, Storage(dtype, count))
    if (storage.dtype, storage.num_elements) != (dtype, count):
        raise PickleRefused(f"it describes the storage {shown(key, 40)!r} in two ways")
    return storage


def total_bytes(tensors: Mapping[str, StoredTensor]) -> int:
    """What all of the tensors take in memory."""
    return sum(tensor.num_bytes for tensor in tensors.values())


def _reach(shape: tuple[int, ...], strides: tuple[int, ...]) -> int:
    """The index of the last element, counted from the first."""
    return sum((length - 1) * step for length, step in zip(shape, strides, strict=True))


def _sizes(values: object, what: str) -> tuple[int, ...]:
    """Sizes from 0 up, as a tuple."""
    if not isinstance(values, tuple | list) or len(values) > _MAX_DIMENSIONS:
        raise PickleRefused(f"the {what} of a tensor in it cannot be")
    for value in values:
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= _MAX_SIDE:
            raise PickleRefused(f"the {what} of a tensor in it cannot be")
    return tuple(values)
