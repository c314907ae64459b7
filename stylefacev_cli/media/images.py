"""Untrusted pictures → pixels: few formats, bounded size and work; upright, sRGB, opaque, 8 bits.

The one place of the package that opens a picture which is not its own.
"""

from __future__ import annotations

import contextlib
import io
import math
import mmap
import struct
import threading
import warnings
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
from PIL import Image, ImageCms, UnidentifiedImageError

from stylefacev_cli.errors import DataError, StyleFaceVWarning
from stylefacev_cli.media.frames import GROUND, Frame

IMAGE_FORMATS = ("PNG", "JPEG", "WEBP")
MAX_PIXELS = 64_000_000  # of a picture that is decoded
_MAX_SCANNED_PIXELS = 1_500_000_000  # of a progressive JPEG: pixels times scans
_MIN_SCANS = 24  # that any JPEG may have; usual are 10, and 2 of its thumbnail
_STRIP_PX = 512  # rows of a picture that are copied at a time
_ORIENTATION = 0x112
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_FAULTS = (
    *(OSError, SyntaxError, ValueError, TypeError, KeyError, IndexError, AttributeError),
    *(OverflowError, ZeroDivisionError, RecursionError, AssertionError, MemoryError, EOFError),
    *(struct.error, zlib.error, Image.DecompressionBombError, Image.DecompressionBombWarning),
)
"""What Pillow raises at damaged files, in its decoders, its EXIF and its text blocks."""
_QUIET = threading.Lock()  # filters of warnings belong to all threads


@contextlib.contextmanager
def open_image(
    path: Path,
    formats: tuple[str, ...] = IMAGE_FORMATS,
    max_pixels: int = MAX_PIXELS,
    data: bytes | None = None,
) -> Iterator[Image.Image]:
    """Open an image; only its header is read before the block asks for pixels.

    Args:
        path: of the file.
        formats: that it may have, as Pillow calls them.
        max_pixels: of an image that is to be decoded.
        data: the content of the file, where it is taken out of an archive.

    Yields:
        The image, in the mode of the file.

    Raises:
        DataError: it is damaged, too large, or of another format.
    """
    if data is None and path.exists() and not path.is_file():  # a pipe would be waited for
        raise DataError(f"{path}: cannot be read as an image (not a regular file)")
    try:
        with path.open("rb") if data is None else io.BytesIO(data) as file:
            _check_size(path, _webp_size(file), max_pixels)
            with _opened(file, formats) as image:
                _check_size(path, image.size, max_pixels)
                if data is None:
                    _check_scans(path, image)
                yield image
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise DataError(f"{path}: more pixels than are read; make it smaller") from error
    except UnidentifiedImageError as error:
        read = " or ".join([", ".join(formats[:-1]), formats[-1]] if formats[1:] else formats)
        raise DataError(
            f"{path}: cannot be read as an image: it is damaged, or not {read}: convert it"
        ) from error
    except _FAULTS as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise DataError(f"{path}: cannot be read as an image ({reason})") from error


def read_image(
    path: Path, *, upright: bool = True, said_of: object = None, max_side_px: int | None = None
) -> Frame:
    """An image as uint8 [H, W, 3], sRGB; of an animated one the first picture.

    Args:
        path: of the file.
        upright: turn it as its camera noted; False where places in it are counted without.
        said_of: what a warning of transparency names; None: the file.
        max_side_px: a larger one is shrunk by a whole number; JPEGs while they are decoded.

    Raises:
        DataError: it is damaged, too large, or of another format than is read.
    """
    with open_image(path) as image:
        turn = _turn_of(path, image) if upright else None
        profile = image.info.get("icc_profile")
        colours, alpha = _parts_of(_small(image, max_side_px))
        colours = _in_srgb(colours, profile)
        if alpha is not None and alpha.getextrema() != (255, 255):
            about = f"{said_of or path}: transparent parts are put on neutral grey"
            warnings.warn(about, StyleFaceVWarning, stacklevel=2)
            ground = Image.new("RGB", colours.size, (GROUND,) * 3)
            ground.paste(colours, mask=alpha)
            colours = ground
        return _pixels(colours if turn is None else colours.transpose(turn))


def shrunk(picture: Frame, factor: int) -> Frame:
    """A picture [H, W, 3] shrunk by a whole number: means of blocks; in the memory of the result.

    Blocks at the right and at the bottom may be smaller.
    """
    rows = max(1, _STRIP_PX // factor) * factor
    strips = [
        np.asarray(Image.fromarray(np.ascontiguousarray(picture[top : top + rows])).reduce(factor))
        for top in range(0, len(picture), rows)
    ]
    return np.concatenate(strips)


def _small(image: Image.Image, max_side_px: int | None) -> Image.Image:
    """An image that is not decoded yet, no side of which is longer than some."""
    longest = max(image.size)
    if max_side_px is None or longest <= max_side_px:
        return image
    if image.mode in ("1", "P"):  # whose numbers are no brightness
        image = image.convert("RGBA" if image.has_transparency_data else "RGB")
    elif image.mode[0] in "IF":
        image = _eight_bits(image)
    scale = 2 ** int(math.log2(-(-longest // max_side_px)))
    image.draft(None, (-(-image.width // scale), -(-image.height // scale)))  # of JPEGs alone
    factor = -(-max(image.size) // max_side_px)
    return image if factor == 1 else _keeping(image, image.reduce(factor))


def _keeping(image: Image.Image, smaller: Image.Image) -> Image.Image:
    """A smaller image with the facts of the one that it was made of."""
    smaller.info = image.info
    return smaller


def _pixels(image: Image.Image) -> Frame:
    """The pixels of an RGB image, strip by strip: never three times in memory."""
    pixels = np.empty((image.height, image.width, 3), np.uint8)
    for top in range(0, image.height, _STRIP_PX):
        strip = image.crop((0, top, image.width, min(top + _STRIP_PX, image.height)))
        pixels[top : top + _STRIP_PX] = np.asarray(strip)
    return pixels


def _opened(file: IO[bytes], formats: tuple[str, ...]) -> Image.Image:
    """Open it without warnings: of size is an error, of metadata that nobody reads is nothing."""
    with _QUIET, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        return Image.open(file, formats=formats)


def _check_size(path: Path, size: tuple[int, int], max_pixels: int) -> None:
    """Check the number of pixels before they are decoded.

    Raises:
        DataError: there are too many.
    """
    if size[0] * size[1] > max_pixels:
        raise DataError(
            f"{path}: {size[0]}×{size[1]} pixels are too many; make it smaller, "
            f"{max_pixels // 1_000_000} million at most"
        )


def _webp_size(file: IO[bytes]) -> tuple[int, int]:
    """Width and height of a WebP file, whose canvas is made when it is opened; of others (0, 0)."""
    head = file.read(30)
    file.seek(0)
    if len(head) < 30 or head[:4] != b"RIFF" or head[8:12] != b"WEBP":
        return 0, 0
    if head[12:16] == b"VP8X":
        return 1 + int.from_bytes(head[24:27], "little"), 1 + int.from_bytes(head[27:30], "little")
    if head[12:16] == b"VP8L":
        bits = int.from_bytes(head[21:25], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    width, height = struct.unpack("<HH", head[26:30])
    return width & 0x3FFF, height & 0x3FFF


def _check_scans(path: Path, image: Image.Image) -> None:
    """Check how often the decoder goes over all pixels.

    Raises:
        DataError: a JPEG has too many scans.
    """
    if image.format != "JPEG" or not image.info.get("progressive"):
        return
    most = max(_MIN_SCANS, _MAX_SCANNED_PIXELS // (image.width * image.height))
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        if _count(data, b"\xff\xda", most + 1) > most:
            raise DataError(f"{path}: a progressive JPEG of too many scans; save it anew")


def _count(data: mmap.mmap, marker: bytes, most: int) -> int:
    """How often a marker is there, up to some number."""
    found, at = 0, data.find(marker)
    while at >= 0 and found < most:
        found, at = found + 1, data.find(marker, at + len(marker))
    return found


def _turn_of(path: Path, image: Image.Image) -> Image.Transpose | None:
    """How the picture is turned upright, as its EXIF says; None: it is.

    Raises:
        DataError: its EXIF is damaged: which way is up is not known.
    """
    try:
        with _QUIET, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            value = image.getexif().get(_ORIENTATION)
    except _FAULTS as error:
        raise DataError(f"{path}: its EXIF block is damaged; save it anew without it") from error
    return _TURNS.get(value) if isinstance(value, int) else None


def _parts_of(image: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    """Colours in the mode L, RGB or CMYK of the profile, and how opaque each pixel is."""
    if image.mode[0] in "IF" and image.mode != "1":
        return _eight_bits(image), None
    if image.has_transparency_data:
        grey = image.mode in ("L", "LA", "La")
        full = image.convert("RGBA")
        colours = full.convert("L" if grey else "RGB")
        return colours, full.getchannel("A")
    if image.mode in ("L", "RGB", "CMYK"):
        return image, None
    return image.convert("L" if image.mode == "1" else "RGB"), None


def _eight_bits(image: Image.Image) -> Image.Image:
    """A picture of one channel of 16 bits with its values scaled, not cut off."""
    values = np.asarray(image).astype(np.int64).clip(0, 65535)
    return Image.fromarray(((values + 128) // 257).astype(np.uint8))


def _in_srgb(colours: Image.Image, profile: Any) -> Image.Image:
    """Colours of an ICC profile as sRGB; without a profile, or with a broken one, as they are."""
    if not isinstance(profile, bytes) or not profile:
        return _as_rgb(colours)
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        space = source.profile.xcolor_space.strip()
        if _is_srgb(source):
            return _as_rgb(colours)
        mode = {"GRAY": "L", "RGB": "RGB", "CMYK": "CMYK"}[space]
        if colours.mode != mode and "CMYK" in (colours.mode, mode):
            return _as_rgb(colours)  # a profile of other colours than these
        shown = ImageCms.profileToProfile(
            colours.convert(mode), source, ImageCms.createProfile("sRGB"), outputMode="RGB"
        )
    except (ImageCms.PyCMSError, *_FAULTS):
        return _as_rgb(colours)
    return _as_rgb(colours if shown is None else shown)


def _as_rgb(colours: Image.Image) -> Image.Image:
    return colours if colours.mode == "RGB" else colours.convert("RGB")


def _is_srgb(source: ImageCms.ImageCmsProfile) -> bool:
    """Whether a profile says that it is of sRGB: a conversion would only round."""
    return "srgb" in str(source.profile.profile_description or "").lower()
