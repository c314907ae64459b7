"""Damage to bytes, for the fuzz tests: the same random numbers make the same damage.

random = np.random.default_rng(0)
for data in mutants(seeds, 500, random): ...
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

Random = np.random.Generator

# Sizes, counts and offsets that readers get wrong.
_ODD_NUMBERS = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
_ODD_NUMBERS += (2**63 - 1, 2**63, 2**64 - 1)


def mutants(seeds: Sequence[bytes], count: int, random: Random) -> Iterator[bytes]:
    """Mutated copies of some files, each of one of them, one to four mutations in each."""
    for number in range(count):
        data = seeds[number % len(seeds)]
        other = seeds[int(random.integers(len(seeds)))]
        for _ in range(int(random.choice([1, 1, 1, 2, 4]))):
            data = mutated(data, other, random)
        yield data


def mutated(data: bytes, other: bytes, random: Random) -> bytes:
    """One mutation of `data`; parts may come from `other`."""
    mutate = _MUTATIONS[int(random.integers(len(_MUTATIONS)))]
    return mutate(data, other, random) if data else other


def flipped(data: bytes, random: Random, first: float = 0.0) -> bytes:
    """One byte is another one, behind some share of the file."""
    at = int(random.integers(int(len(data) * first), len(data)))
    return data[:at] + bytes([data[at] ^ int(random.integers(1, 256))]) + data[at + 1 :]


def cut_off(data: bytes, random: Random, first: float = 0.0) -> bytes:
    """The beginning of a file, at least some share of it and never all."""
    return data[: int(random.integers(int(len(data) * first), len(data)))]


def _part(data: bytes, random: Random) -> tuple[int, int]:
    """Where a short part begins and ends; long ones are rare."""
    at = int(random.integers(len(data)))
    return at, min(len(data), at + int(2 ** random.uniform(0, 12)))


def _flip(data: bytes, other: bytes, random: Random) -> bytes:
    return flipped(data, random)


def _flip_bit(data: bytes, other: bytes, random: Random) -> bytes:
    at = int(random.integers(len(data)))
    return data[:at] + bytes([data[at] ^ (1 << int(random.integers(8)))]) + data[at + 1 :]


def _cut(data: bytes, other: bytes, random: Random) -> bytes:
    return cut_off(data, random)


def _noise(data: bytes, other: bytes, random: Random) -> bytes:
    first, last = _part(data, random)
    return data[:first] + random.bytes(last - first) + data[last:]


def _zeros(data: bytes, other: bytes, random: Random) -> bytes:
    first, last = _part(data, random)
    return data[:first] + bytes(last - first) + data[last:]


def _leave_out(data: bytes, other: bytes, random: Random) -> bytes:
    first, last = _part(data, random)
    return data[:first] + data[last:]


def _twice(data: bytes, other: bytes, random: Random) -> bytes:
    first, last = _part(data, random)
    return data[:last] + data[first:]


def _move(data: bytes, other: bytes, random: Random) -> bytes:
    first, last = _part(data, random)
    rest = data[:first] + data[last:]
    at = int(random.integers(len(rest) + 1))
    return rest[:at] + data[first:last] + rest[at:]


def _splice(data: bytes, other: bytes, random: Random) -> bytes:
    first, last = _part(other, random) if other else (0, 0)
    at = int(random.integers(len(data)))
    return data[:at] + other[first:last] + data[at + last - first :]


def _cross(data: bytes, other: bytes, random: Random) -> bytes:
    return data[: int(random.integers(len(data)))] + other[int(random.integers(len(other) + 1)) :]


def _odd_number(data: bytes, other: bytes, random: Random) -> bytes:
    size = int(random.choice([1, 2, 4, 8]))
    number = int(_ODD_NUMBERS[int(random.integers(len(_ODD_NUMBERS)))]) % 2 ** (8 * size)
    order = ("little", "big")[int(random.integers(2))]
    at = int(random.integers(len(data)))
    return (
        data[:at] + number.to_bytes(size, "big" if order == "big" else "little") + data[at + size :]
    )


def _nudge(data: bytes, other: bytes, random: Random) -> bytes:
    """A byte that is a little more or less, as a wrong count."""
    at = int(random.integers(len(data)))
    value = (data[at] + int(random.integers(-3, 4))) % 256
    return data[:at] + bytes([value]) + data[at + 1 :]


_MUTATIONS: tuple[Callable[[bytes, bytes, Random], bytes], ...] = (
    *(_flip, _flip_bit, _cut, _noise, _zeros, _leave_out, _twice, _move, _splice, _cross),
    *(_odd_number, _nudge),
)
