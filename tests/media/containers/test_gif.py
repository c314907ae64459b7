"""Pixels that LZW codes stand for, counted at once and one by one."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stylefacev_cli.media.containers import container_fault
from stylefacev_cli.media.containers.file_bytes import FaultError
from stylefacev_cli.media.containers.gif import num_pixels


def _one_by_one(packed: bytes, bits: int) -> int:
    """As the specification tells it."""
    clear, at, total, width = 2**bits, 0, 0, bits + 1
    table, before = list[int](), 0
    while at + width <= 8 * len(packed):
        window = int.from_bytes(packed[at >> 3 : (at >> 3) + 3], "little")
        code, at = (window >> (at & 7)) & (2**width - 1), at + width
        if code == clear:
            table, before, width = [], 0, bits + 1
            continue
        if code == clear + 1:
            return total
        place, may_grow = code - clear - 2, bool(before) and clear + 2 + len(table) < 4096
        if code >= clear and place > len(table) - (not may_grow):
            raise FaultError
        length = 1 if code < clear else table[place] if place < len(table) else before + 1
        total += length
        if may_grow:
            table.append(before + 1)
            width = min(12, max(width, (clear + 2 + len(table)).bit_length()))
        before = length
    return total


def _pictures() -> list[np.ndarray]:
    random = np.random.default_rng(0)
    noise = random.integers(0, 256, (90, 80)).astype(np.uint8)
    spots = (random.random((60, 200)) < 0.1).astype(np.uint8)
    stripes = (np.add.outer(np.arange(120), np.arange(130)) // 3 % 7).astype(np.uint8)
    return [noise, spots, stripes, np.zeros((150, 150), np.uint8), np.ones((1, 1), np.uint8)]


def _packed(picture: np.ndarray) -> tuple[bytes, int]:
    """Codes of a GIF that Pillow writes, and bits of a pixel."""
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "gif")
    data = file.getvalue()
    at = data.index(b"\x2c", 13 + 3 * 2 ** ((data[10] & 7) + 1)) + 10
    bits, at, parts = data[at], at + 1, []
    while data[at]:
        parts.append(data[at + 1 : at + 1 + data[at]])
        at += 1 + data[at]
    return b"".join(parts), bits


def test_pixels_are_those_of_the_plain_way() -> None:
    random = np.random.default_rng(1)
    for picture in _pictures():
        packed, bits = _packed(picture)
        assert num_pixels(packed, bits)[0] == _one_by_one(packed, bits) == picture.size
        for _ in range(20):
            other = bytearray(packed)
            other[int(random.integers(len(other)))] ^= int(random.integers(1, 256))
            found: list[int | None] = []
            for count in (_one_by_one, lambda *given: num_pixels(*given)[0]):
                try:
                    found.append(count(bytes(other), bits))
                except FaultError:
                    found.append(None)
            assert found[0] == found[1]


def test_codes_that_only_clear_end_soon() -> None:
    total, runs = num_pixels(b"\x00\x01\x02\x04\x08\x10\x20\x40\x80" * 1000, 8, max_runs=500)
    assert total == 0 and runs == 500


@pytest.mark.parametrize("share", [0.5, 0.99])
def test_cut_off(tmp_path: Path, share: float) -> None:
    path = tmp_path / "a.gif"
    frames = [Image.fromarray(np.full((20, 20), n, np.uint8)) for n in range(9)]
    frames[0].save(path, save_all=True, append_images=frames[1:])
    assert container_fault(path, "gif") == ""
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    assert "cut off" in container_fault(path, "gif")
