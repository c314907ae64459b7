"""Arrays of strangers: those that numpy writes, and no more memory than the file has bytes."""

from __future__ import annotations

import io
import resource
import zipfile
from pathlib import Path

import numpy as np
import pytest

from stylefacev_cli.common.untrusted.npz_file import read_npz
from stylefacev_cli.errors import IntegrityError


def test_arrays_are_those_of_numpy(tmp_path: Path) -> None:
    arrays = {
        "a": np.arange(24.0, dtype=np.float32).reshape(2, 3, 4),
        "b": np.asfortranarray(np.arange(6, dtype=np.int64).reshape(2, 3)),
        "c": np.array(True),
        "d": np.array(["x", "yz"]),
        "e": np.zeros((0, 3), np.uint8),
        "f": np.arange(3, dtype=">i2"),
    }
    for save in (np.savez, np.savez_compressed):
        save(tmp_path / "a.npz", **arrays)  # type: ignore[operator]
        found = read_npz(tmp_path / "a.npz")
        assert list(found) == list(arrays)
        for name, array in arrays.items():
            assert found[name].dtype == array.dtype and np.array_equal(found[name], array)
            assert found[name].flags.writeable


def npy(header: str, data: bytes = b"") -> bytes:
    return b"\x93NUMPY\1\0" + len(header).to_bytes(2, "little") + header.encode() + data


@pytest.mark.parametrize(
    "content",
    [
        npy("{'descr': '<f8', 'fortran_order': False, 'shape': (450000000,)}"),
        npy("{'descr': '|O', 'fortran_order': False, 'shape': (1,)}", bytes(8)),
        npy("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,)}", bytes(4)),
        npy("{'descr': '<U99999', 'fortran_order': False, 'shape': (99999999,)}"),
        npy("{'descr': '<f4', 'fortran_order': False, 'shape': (-1,)}"),
        npy("{'descr': '<f4', 'fortran_order': 1, 'shape': (1,)}", bytes(4)),
        npy("__import__('os').system('true')"),
        npy("(" * 3000),
        npy("{'descr': '<f4', 'fortran_order': False, 'shape': " + "9" * 3000 + "}"),
        b"\x93NUMPY\1\0\xff",
        b"",
    ],
)
def test_headers_that_lie_are_refused(tmp_path: Path, content: bytes) -> None:
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("a.npy", content)
    before_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(IntegrityError, match=r"the array 'a\.npy' in it is damaged") as caught:
        read_npz(tmp_path / "a.npz")
    assert "\n" not in str(caught.value)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kb < 50_000


def test_a_bomb_is_refused(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, a=np.zeros(300_000_000, np.uint8))
    (tmp_path / "a.npz").write_bytes(buffer.getvalue())
    with pytest.raises(IntegrityError, match="would grow from|would unpack to"):
        read_npz(tmp_path / "a.npz")
