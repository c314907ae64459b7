"""Containers that say what is wrong with them."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import pytest
from odd_videos import CODECS, at_rate, ffmpeg

from stylefacev_cli.errors import DataError
from stylefacev_cli.media import read_frames
from stylefacev_cli.media.containers import container_fault

NAMES = {
    "mp4": "mov", "mov": "mov", "m4v": "mov", "3gp": "mov", "mkv": "matroska", "webm": "matroska",
    "ts": "mpegts", "flv": "flv", "avi": "avi", "mpg": "mpeg", "wmv": "asf", "ogv": "ogg",
    "m2ts": "mpegts", "gif": "gif", "png": "apng",
}  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A small whole file of each container."""
    folder = tmp_path_factory.mktemp("whole")
    source = folder / "source.mkv"
    ffmpeg("-f", "lavfi", "-i", "testsrc2=s=96x64:r=25:d=0.96", "-c:v", "ffv1", source)
    files = {suffix: at_rate(source, folder / f"a.{suffix}", 25) for suffix in CODECS}
    files |= {suffix: folder / f"a.{suffix}" for suffix in ("m2ts", "gif", "png")}
    ffmpeg("-i", files["ts"], "-c", "copy", files["m2ts"])
    ffmpeg("-i", source, files["gif"])
    ffmpeg("-i", source, "-f", "apng", files["png"])
    return files


def _damaged(folder: Path, suffix: str, data: bytes) -> Path:
    path = folder / f"a.{suffix}"
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("suffix", NAMES)
def test_whole_files_have_no_fault(made: dict[str, Path], suffix: str) -> None:
    assert container_fault(made[suffix], NAMES[suffix]) == ""


@pytest.mark.parametrize("suffix", NAMES)
def test_cut_off(made: dict[str, Path], tmp_path: Path, suffix: str) -> None:
    data = made[suffix].read_bytes()
    for share in (0.3, 0.6, 0.97):
        path = _damaged(tmp_path, suffix, data[: int(len(data) * share) | 1])
        assert container_fault(path, NAMES[suffix])
    with pytest.raises(DataError, match=rf"a\.{suffix}"):
        list(read_frames(path))


def _without(data: bytes, mark: bytes, number: int, size: int) -> bytes:
    """A file without `size` bytes from the number-th mark on."""
    at = -1
    for _ in range(number):
        at = data.index(mark, at + 1)
    return data[:at] + data[at + size :]


def test_missing_ogg_page(made: dict[str, Path], tmp_path: Path) -> None:
    data = made["ogv"].read_bytes()
    pages = [at for at in range(len(data)) if data.startswith(b"OggS", at)]
    cut = data[: pages[-2]] + data[pages[-1] :]
    path = _damaged(tmp_path, "ogv", cut)
    assert "pages are missing" in container_fault(path, "ogg")
    unended = bytearray(data[: pages[-1]])
    path = _damaged(tmp_path, "ogv", bytes(unended))
    assert "last page is missing" in container_fault(path, "ogg")


@pytest.mark.parametrize(
    ("suffix", "mark", "said"),
    [
        ("ogv", b"OggS", "checksum of a page"),
        ("png", b"IDAT", "checksum of a chunk"),
        ("mkv", b"\x1f\x43\xb6\x75", "checksum"),
    ],
)
def test_checksums(
    made: dict[str, Path], tmp_path: Path, suffix: str, mark: bytes, said: str
) -> None:
    data = bytearray(made[suffix].read_bytes())
    data[data.rindex(mark) + 40] ^= 1
    path = _damaged(tmp_path, suffix, bytes(data))
    assert said in container_fault(path, NAMES[suffix])
    with pytest.raises(DataError, match=said):
        list(read_frames(path))


def test_missing_pictures_of_an_apng(made: dict[str, Path], tmp_path: Path) -> None:
    data = made["png"].read_bytes()
    at = data.index(b"acTL") + 4
    claim = b"acTL" + struct.pack(">I", 30) + data[at + 4 : at + 8]
    lying = data[: at - 4] + claim + struct.pack(">I", zlib.crc32(claim)) + data[at + 12 :]
    path = _damaged(tmp_path, "png", lying)
    assert "24 pictures where it claims 30" in container_fault(path, "apng")


def test_missing_packet_of_a_transport_stream(made: dict[str, Path], tmp_path: Path) -> None:
    """Its packets are numbered, and the demuxer of ffmpeg marks what follows a gap as damaged."""
    data = made["ts"].read_bytes()
    packets = range(0, len(data), 188)
    of_picture = [at for at in packets if data[at + 1 : at + 3] == b"\x01\x00"]
    at = of_picture[len(of_picture) // 2]
    path = _damaged(tmp_path, "ts", data[:at] + data[at + 188 :])
    with pytest.raises(DataError, match=r"a\.ts"):
        list(read_frames(path))
    marked = bytearray(data)
    marked[at + 1] |= 0x80
    path = _damaged(tmp_path, "ts", bytes(marked))
    assert "marked as damaged" in container_fault(path, "mpegts")


def test_missing_bytes(made: dict[str, Path], tmp_path: Path) -> None:
    marks = {"avi": b"00dc", "flv": b"\x09\x00", "mpg": b"\x00\x00\x01\xe0", "gif": b"\x2c\x00\x00"}
    for suffix, mark in marks.items():
        data = _without(made[suffix].read_bytes(), mark, 4, 9)
        path = _damaged(tmp_path, suffix, data)
        assert container_fault(path, NAMES[suffix]), suffix


def test_index_of_an_avi(made: dict[str, Path], tmp_path: Path) -> None:
    data = bytearray(made["avi"].read_bytes())
    data[data.index(b"idx1") + 8 + 16 * 5 + 12] ^= 1
    path = _damaged(tmp_path, "avi", bytes(data))
    assert "index" in container_fault(path, "avi")


def test_count_of_a_wmv(made: dict[str, Path], tmp_path: Path) -> None:
    data = bytearray(made["wmv"].read_bytes())
    data[data.index(bytes.fromhex("3626b2758e66cf11")) + 40] += 1
    path = _damaged(tmp_path, "wmv", bytes(data))
    assert "number of packets" in container_fault(path, "asf")


def test_what_follows_a_container_is_no_fault(made: dict[str, Path], tmp_path: Path) -> None:
    for suffix in ("mp4", "mkv", "avi", "gif", "png"):
        path = _damaged(tmp_path, suffix, made[suffix].read_bytes() + b"and more of it")
        assert container_fault(path, NAMES[suffix]) == "", suffix


def test_streams_without_an_end_have_no_fault(made: dict[str, Path], tmp_path: Path) -> None:
    """As browsers and pipes write them: with sizes that are not known."""
    for suffix, muxer in (("mkv", "matroska"), ("webm", "webm"), ("avi", "avi"), ("wmv", "asf")):
        command = f"a.{suffix}"
        live = ("-live", "1") if suffix in ("mkv", "webm") else ()
        ffmpeg("-i", made[suffix], "-c", "copy", *live, "-f", muxer, tmp_path / command)
        assert container_fault(tmp_path / command, NAMES[suffix]) == ""
    fragmented = tmp_path / "a.mp4"
    ffmpeg("-i", made["mp4"], "-c", "copy", "-movflags", "frag_keyframe+empty_moov", fragmented)
    assert container_fault(fragmented, "mov") == ""
