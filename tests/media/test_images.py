from __future__ import annotations

import contextlib
import io
import os
import random
import re
import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from stylefacev_cli.datasets.clip_maker import PrepareSettings, prepare_source
from stylefacev_cli.datasets.footage_sources import Source
from stylefacev_cli.datasets.videos import open_videos
from stylefacev_cli.errors import DataError, StyleFaceVWarning
from stylefacev_cli.generation.photo_crop import read_photo
from stylefacev_cli.media import VideoSettings, read_frames, video_writer
from stylefacev_cli.media.frames import GROUND
from stylefacev_cli.media.images import MAX_PIXELS, open_image, read_image, shrunk

ODD_NAMES = ("p%03d", "p*", "[a]?", "-x", "concat:p001|p002", "file:p", "a\nb", "\x1b[31m")
PACKAGE = Path(__file__).parents[2] / "stylefacev_cli"


def picture(width: int = 24, height: int = 16) -> Image.Image:
    """Columns of unlike red, rows of unlike green: any turn shows."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[..., 0] = np.linspace(0, 255, width)
    pixels[..., 1] = np.linspace(0, 255, height)[:, None]
    pixels[..., 2] = 77
    return Image.fromarray(pixels)


def test_nobody_else_opens_pictures() -> None:
    opened = {
        str(path.relative_to(PACKAGE))
        for path in PACKAGE.rglob("*.py")
        if re.search(r"Image\.open\(|from PIL\.Image import|exif_transpose", path.read_text())
    }
    assert opened == {"media/images.py"}


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp"])
@pytest.mark.parametrize("turn", range(1, 9))
def test_exif_orientation_in_every_format(tmp_path: Path, suffix: str, turn: int) -> None:
    stored_as = {
        1: None, 2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM, 5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90, 7: Image.Transpose.TRANSVERSE, 8: Image.Transpose.ROTATE_270,
    }[turn]  # fmt: skip
    shown = picture()
    exif = Image.Exif()
    exif[0x112] = turn
    stored = shown if stored_as is None else shown.transpose(stored_as)
    stored.save(path := tmp_path / f"a.{suffix}", exif=exif, quality=95)
    difference = np.abs(read_image(path).astype(int) - np.asarray(shown).astype(int))
    assert difference.mean() < 8
    assert read_image(path, upright=False).shape == np.asarray(stored).shape


def test_grey_of_sixteen_bits_is_scaled(tmp_path: Path) -> None:
    levels = np.arange(256, dtype=np.uint16)[None].repeat(2, 0)
    Image.fromarray(levels * 257).save(path := tmp_path / "a.png")
    np.testing.assert_array_equal(read_image(path)[0, :, 0], np.arange(256))


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparency_goes_on_grey_and_is_said(tmp_path: Path, mode: str) -> None:
    full = picture().convert("RGBA")
    alpha = np.full((16, 24), 255, np.uint8)
    alpha[:, :4] = 0
    full.putalpha(Image.fromarray(alpha))
    path = tmp_path / "a.png"
    if mode == "P":
        flat = picture().quantize(64)
        first = flat.getpixel((0, 0))
        flat.save(path, transparency=first)
    else:
        full.convert(mode).save(path)
    with pytest.warns(StyleFaceVWarning, match="neutral grey"):
        frame = read_image(path)
    assert frame[0, 0].tolist() == [GROUND] * 3
    assert frame[8, 20].tolist() != [GROUND] * 3
    opaque = picture().convert("RGBA")
    opaque.save(path)
    np.testing.assert_array_equal(read_image(path), np.asarray(picture()))  # without a word


def rotated_primaries() -> bytes:
    """A profile of RGB whose red is sRGB's green: bytes of sRGB's own with two tags exchanged."""
    data = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    for at in range(132, 132 + 12 * struct.unpack(">I", data[128:132])[0], 12):
        name = bytes(data[at : at + 4])
        data[at : at + 4] = {b"rXYZ": b"gXYZ", b"gXYZ": b"rXYZ"}.get(name, name)
    return bytes(data).replace("sRGB".encode("utf-16-be"), "odd ".encode("utf-16-be"))


def test_profiles_become_srgb(tmp_path: Path) -> None:
    shown = Image.new("RGB", (8, 8), (200, 30, 60))
    shown.save(path := tmp_path / "a.png", icc_profile=rotated_primaries())
    red, green, blue = read_image(path)[0, 0].tolist()
    assert abs(red - 30) < 4 and abs(green - 200) < 4 and abs(blue - 60) < 4
    own = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for profile in (own, b"no profile", own[:200]):  # nothing to do, or nothing that can be done
        shown.save(path, icc_profile=profile)
        assert read_image(path)[0, 0].tolist() == [200, 30, 60]


@pytest.mark.parametrize("mode", ["CMYK", "L", "1", "P"])
def test_other_modes(tmp_path: Path, mode: str) -> None:
    suffix = "jpg" if mode == "CMYK" else "png"
    picture().convert(mode).save(path := tmp_path / f"a.{suffix}")
    assert read_image(path).shape == (16, 24, 3)


@pytest.mark.parametrize("format_name", ["EPS", "TIFF", "BMP", "GIF", "PPM", "ICO"])
def test_formats_by_list(tmp_path: Path, format_name: str) -> None:
    picture(16, 16).save(tmp_path / "a.png", format=format_name)
    with pytest.raises(DataError, match="PNG, JPEG or WEBP"):
        read_image(tmp_path / "a.png")


def huge_png(width: int, height: int) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = zlib.compress(b"\0" * 1000)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


@pytest.mark.parametrize("side", [8100, 10_000, 30_000, 100_000])
def test_floods_of_pixels_are_refused_before_they_are_decoded(tmp_path: Path, side: int) -> None:
    assert side * side > MAX_PIXELS
    (tmp_path / "a.png").write_bytes(huge_png(side, side))
    with pytest.raises(DataError, match="pixels"):
        read_image(tmp_path / "a.png")


@pytest.mark.parametrize("kind", [b"VP8X", b"VP8L", b"VP8 "])
def test_a_large_webp_is_refused_before_its_canvas_is_made(tmp_path: Path, kind: bytes) -> None:
    side = 16_383
    body = {
        b"VP8X": struct.pack("<I", 0x10) + 2 * (side - 1).to_bytes(3, "little"),
        b"VP8L": b"\x2f" + ((side - 1) | (side - 1) << 14).to_bytes(4, "little") + b"\0" * 20,
        b"VP8 ": b"\0\0\0\x9d\x01\x2a" + struct.pack("<HH", side, side) + b"\0" * 20,
    }[kind]
    chunk = kind + struct.pack("<I", len(body)) + body
    (tmp_path / "a.webp").write_bytes(b"RIFF" + struct.pack("<I", 4 + len(chunk)) + b"WEBP" + chunk)
    with pytest.raises(DataError, match="16383×16383 pixels"):
        read_image(tmp_path / "a.webp")


def test_floods_of_scans_are_refused(tmp_path: Path) -> None:
    picture(4000, 4000).save(path := tmp_path / "a.jpg", progressive=True, quality=5)
    data = path.read_bytes()
    assert read_image(path).shape == (4000, 4000, 3)
    last = data.rindex(b"\xff\xda")
    path.write_bytes(data[:-2] + data[last:-2] * 1000 + data[-2:])
    with pytest.raises(DataError, match="too many scans"):
        read_image(path)


def test_mutated_exif_ends_in_one_line(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x112], exif[0x10F], exif[0x11A] = 6, "maker" * 5, 72.0
    exif.get_ifd(0x8769)[0x9003] = "2026:01:01 00:00:00"
    for suffix in ("jpg", "png", "webp"):
        data = io.BytesIO()
        format_name = {"jpg": "JPEG"}.get(suffix, suffix.upper())
        picture().save(data, format=format_name, exif=exif)
        fresh, rng = data.getvalue(), random.Random(0)
        begin = fresh.find(b"II*\0" if b"II*\0" in fresh else b"MM\0*")
        assert begin > 0
        for _ in range(int(os.environ.get("STYLEFACEV_FUZZ_EXAMPLES", "300"))):
            mutated = bytearray(fresh)
            for _ in range(rng.randint(1, 4)):
                mutated[begin + rng.randrange(len(exif.tobytes()) - 6)] = rng.randrange(256)
            (path := tmp_path / f"a.{suffix}").write_bytes(mutated)
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                try:
                    assert read_image(path).shape[2] == 3
                except DataError as error:
                    assert "\n" not in str(error)


def test_truncated_and_missing(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        read_image(tmp_path / "none.png")
    for suffix in ("png", "jpg", "webp"):
        picture(200, 200).save(path := tmp_path / f"a.{suffix}")
        path.write_bytes(path.read_bytes()[:-60])
        with pytest.raises(DataError):
            read_image(path)
    (tmp_path / "empty.png").touch()
    with pytest.raises(DataError, match="cannot be read"), open_image(tmp_path / "empty.png"):
        pass


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "1", "RGBA", "LA", "I;16"])
@pytest.mark.parametrize("turn", [1, 6])
def test_large_pictures_shrink_by_a_whole_number(tmp_path: Path, mode: str, turn: int) -> None:
    exif = Image.Exif()
    exif[0x112] = turn
    if mode == "I;16":
        whole = Image.fromarray(np.asarray(picture(90, 60).convert("L")).astype(np.uint16) * 257)
    else:
        whole = picture(90, 60).convert(mode)
    whole.save(path := tmp_path / "a.png", exif=exif)
    large, small = read_image(path), read_image(path, max_side_px=30)
    assert small.shape == ((20, 30, 3) if turn == 1 else (30, 20, 3))
    apart = np.abs(small.astype(int) - shrunk(large, 3).astype(int))
    assert apart.mean() < 0.6
    np.testing.assert_array_equal(read_image(path, max_side_px=90), large)


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_large_jpegs_shrink_while_they_are_decoded(tmp_path: Path, mode: str) -> None:
    picture(1000, 700).convert(mode).save(path := tmp_path / "a.jpg", quality=95)
    small = read_image(path, max_side_px=240)  # a fifth: a quarter by the decoder, then a half
    assert small.shape == (88, 125, 3)
    again = Image.fromarray(read_image(path)).resize((125, 88), Image.Resampling.BOX)
    assert np.abs(small.astype(int) - np.asarray(again).astype(int)).mean() < 2


def test_shrunk_is_the_mean_of_blocks() -> None:
    whole = np.random.default_rng(0).integers(0, 256, (1537, 20, 3), np.uint8)
    np.testing.assert_array_equal(shrunk(whole, 3), np.asarray(Image.fromarray(whole).reduce(3)))


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(path := tmp_path / "a.png")
    with pytest.raises(DataError, match="not a regular file"):
        read_image(path)


def test_names_are_no_patterns(tmp_path: Path) -> None:
    for number in range(3):
        Image.new("RGB", (8, 8), (255, 0, 0)).save(tmp_path / f"p{number:03}.png")
    for number, name in enumerate(ODD_NAMES):
        Image.new("RGB", (8, 8), (number, 7, 9)).save(path := tmp_path / f"{name}.png")
        assert read_image(path)[0, 0].tolist() == [number, 7, 9]
        with contextlib.suppress(DataError):  # ffmpeg takes the first for a pattern, and is kept
            assert [frame[0, 0].tolist() for frame in read_frames(path)] == [[number, 7, 9]]


def test_names_of_videos_are_no_patterns(tmp_path: Path) -> None:
    def write(path: Path, level: int) -> Path:
        with video_writer(path, "mkv", VideoSettings(16, 16, 25, lossless=True)) as video:
            video.write(np.full((16, 16, 3), level, np.uint8))
        return path

    for number in range(2):
        write(tmp_path / f"p{number:03}.mkv", 255)
    for number, name in enumerate(ODD_NAMES):
        path = write(tmp_path / f"{name}.mkv", 10 * number)
        assert [int(frame[0, 0, 0]) for frame in read_frames(path)] == [10 * number]


def odd_photo(path: Path, kind: str) -> Path:
    """A photo of a kind that a careless reader shows wrong; the path of its file."""
    photo = picture()
    exif = Image.Exif()
    exif[0x112] = 6
    path = path.with_suffix(".jpg" if kind == "CMYK" else ".webp" if kind == "animated" else ".png")
    if kind == "turned":
        photo.save(path, exif=exif)
    elif kind == "profile":
        photo.save(path, icc_profile=rotated_primaries())
    elif kind == "16 bits":
        Image.fromarray(np.asarray(photo.convert("L")).astype(np.uint16) * 257).save(path)
    elif kind == "animated":
        photo.save(path, save_all=True, append_images=[Image.new("RGB", photo.size)], lossless=True)
    else:
        (photo.quantize(128) if kind == "P" else photo.convert(kind)).save(path)
    return path


@pytest.mark.parametrize("kind", ["turned", "profile", "16 bits", "CMYK", "P", "animated"])
def test_every_command_that_reads_photos_reads_them_alike(tmp_path: Path, kind: str) -> None:
    """`invert` and `reenact` by `read_photo`, `eval` by folders, `data prepare` by its own."""
    path = odd_photo(tmp_path / "a", kind)
    frame = read_image(path)
    colours = picture()
    upright = colours.transpose(Image.Transpose.ROTATE_270) if kind == "turned" else colours
    if kind == "16 bits":
        upright = colours.convert("L").convert("RGB")
    elif kind == "profile":  # whose red is green
        upright = Image.merge("RGB", [colours.getchannel(name) for name in "GRB"])
    apart = np.abs(frame.astype(int) - np.asarray(upright).astype(int)).mean()
    assert apart < (12 if kind in ("CMYK", "P", "profile") else 1)
    np.testing.assert_array_equal(read_photo(path), frame)
    np.testing.assert_array_equal(open_videos(tmp_path).videos[0].read(0, 1, 1)[0], frame)
    seen: list[np.ndarray] = []

    class Finder:
        def find(self, photo: np.ndarray) -> list[object]:
            seen.append(photo)
            return []

    settings = PrepareSettings("images", size_px=16)
    prepare_source(Source(path, path.name, "a"), settings, tmp_path, "set", Finder())  # type: ignore[arg-type]
    np.testing.assert_array_equal(seen[0], frame)
