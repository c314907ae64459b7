"""Tars of strangers: names of any form, and none that takes memory or time."""

from __future__ import annotations

import gzip
import io
import resource
import tarfile
import time
from pathlib import Path

import pytest

from stylefacev_cli.common.untrusted.tar_file import tar_members
from stylefacev_cli.errors import IntegrityError

NAMES = ["a", "folder/b", "x" * 150, "y" * 90 + "/" + "z" * 90, "ü/\N{SNOWMAN}", "long/" * 60 + "c"]


def archive_of(path: Path, form: int, mode: str) -> Path:
    with tarfile.open(path, mode, format=form) as tar:  # type: ignore[call-overload]
        for number, name in enumerate(NAMES):
            info = tarfile.TarInfo(name)
            info.size = number * 300
            tar.addfile(info, io.BytesIO(b"q" * info.size))
    return path


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_members_are_those_of_tarfile(tmp_path: Path, form: int, mode: str) -> None:
    path = archive_of(tmp_path / "a.tar", form, mode)
    found = [(m.name, m.size, m.is_plain, m.content.read(m.size)) for m in tar_members(path)]
    with tarfile.open(path) as tar:
        expected = [(m.name, m.size, True, tar.extractfile(m).read()) for m in tar]  # type: ignore[union-attr]
    assert found == expected and [name for name, *_ in found] == NAMES


def header(name: bytes, size: int, kind: bytes) -> bytes:
    field = b"%011o\0" % size if size < 8**11 else b"\x80" + size.to_bytes(11, "big")
    made = bytearray(name.ljust(100, b"\0") + b"0000644\0" * 3 + field + b"0" * 12)
    made += b" " * 8 + kind + bytes(100) + b"ustar\x0000" + bytes(247)
    made[148:156] = b"%06o\0 " % sum(made)
    assert len(made) == 512
    return bytes(made)


@pytest.mark.parametrize(
    "content",
    [
        header(b"././@LongLink", 3 * 2**30, b"L") + bytes(2**20),
        header(b"././@LongLink", 2**70, b"L"),
        header(b"x", 2**15, b"x") + b"9 " * 2**14,
        header(b"x", 512, b"x") + b"1" * 512,
        header(b"././@LongLink", 8192, b"L") + b"x" * 8192 + header(b"a", 0, b"0"),
        header(b"a", 2**40, b"0"),
        header(b"a", 10**6, b"0") + bytes(600),
        header(b"a", 3, b"0")[:300],
        header(b"a", 3, b"0").replace(b"0000644", b"0000645", 1),
        b"hello" * 200,
        b"",
    ],
)
def test_damaged_ones_and_floods_end_at_once(tmp_path: Path, content: bytes) -> None:
    before_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for packed in (content, gzip.compress(content)):
        (tmp_path / "a.tar").write_bytes(packed)
        begin_s = time.process_time()
        with pytest.raises(IntegrityError):
            list(tar_members(tmp_path / "a.tar"))
        assert time.process_time() - begin_s < 3
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kb < 100_000
