"""Untrusted image files → pixels: few formats, bounded size."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from stylefacev_cli.errors import DataError
from stylefacev_cli.media.frames import Frame

IMAGE_FORMATS = ("PNG", "JPEG", "WEBP")


@contextlib.contextmanager
def open_image(
    path: Path, formats: tuple[str, ...] = IMAGE_FORMATS, max_pixels: int | None = None
) -> Iterator[Image.Image]:
    """Open an image; only its header is read before the block asks for pixels.

    Args:
        path: of the file.
        formats: that it may have, as Pillow calls them.
        max_pixels: of an image that is to be decoded; None: as many as Pillow does.

    Yields:
        The image, in the mode of the file.

    Raises:
        DataError: it is damaged, too large, or of another format.
    """
    try:
        with Image.open(path, formats=formats) as image:
            if max_pixels is not None and image.width * image.height > max_pixels:
                raise DataError(
                    f"{path}: {image.width}×{image.height} pixels are too many; make it smaller"
                )
            yield image
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DataError(f"{path}: cannot be read as an image ({error})") from error


def read_image(path: Path, *, upright: bool = False, max_pixels: int | None = None) -> Frame:
    """An image as uint8 [H, W, 3], sRGB.

    Args:
        path: of the file.
        upright: turn it as its camera noted.
        max_pixels: that are decoded; None: as many as Pillow does.

    Raises:
        DataError: it is damaged, too large, or of another format than its name may have.
    """
    with open_image(path, max_pixels=max_pixels) as image:
        shown = ImageOps.exif_transpose(image) if upright else image
        return np.asarray(shown.convert("RGB"))
