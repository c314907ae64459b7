"""Writers that need no encoder: bare numbers, numpy arrays, PNG pictures."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from stylefacev_cli.common.files import remove, writing
from stylefacev_cli.media.formats import VideoSettings
from stylefacev_cli.media.frames import Frame, FrameWriter, finishing, write_all

if TYPE_CHECKING:
    from PIL.PngImagePlugin import PngInfo

_PNG_LEVEL = 4  # half the time of the usual 6 for 2 % more bytes


def _raw_writer(stream: BinaryIO, settings: VideoSettings) -> FrameWriter:
    return FrameWriter(settings, lambda frame: write_all(stream, frame))


def _npy_writer(stream: BinaryIO, settings: VideoSettings) -> FrameWriter:
    """The header of numpy's format, then frame after frame: memory stays what a frame takes."""
    assert settings.num_frames is not None, "a .npy file says at its beginning how long it is"
    shape = (settings.num_frames, settings.height_px, settings.width_px, 3)
    np.lib.format.write_array_header_1_0(
        stream, {"descr": "|u1", "fortran_order": False, "shape": shape}
    )
    return FrameWriter(settings, lambda frame: write_all(stream, frame))


def _sheet_writer(stream: BinaryIO, settings: VideoSettings) -> FrameWriter:
    """One PNG picture."""
    from PIL import Image

    info = _png_text(settings)

    def save(frame: Frame) -> None:
        Image.fromarray(frame).save(stream, "png", pnginfo=info, compress_level=_PNG_LEVEL)

    return FrameWriter(settings, save)


OWN_WRITERS = {"raw": _raw_writer, "npy": _npy_writer, "sheet": _sheet_writer}
"""Formats that need no encoder."""


def _png_text(settings: VideoSettings) -> PngInfo:
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    if settings.provenance:
        info.add_itxt("Comment", settings.provenance)
    return info


@contextlib.contextmanager
def png_folder(folder: Path, settings: VideoSettings) -> Iterator[FrameWriter]:
    """Write 000000.png, 000001.png … with the provenance as a text chunk of each."""
    from PIL import Image

    info = _png_text(settings)
    paths = (folder / f"{index:06d}.png" for index in range(10**9))

    def save(frame: Frame) -> None:
        Image.fromarray(frame).save(next(paths), pnginfo=info, compress_level=_PNG_LEVEL)

    with writing(folder):
        remove(folder)
        folder.mkdir()
        writer = FrameWriter(settings, save)
        with finishing(writer):
            yield writer


def is_frame_folder(folder: Path) -> bool:
    """Whether a folder holds numbered PNG frames only: replacing it loses nothing else."""
    return all(re.fullmatch(r"[0-9]{6,9}\.png", path.name) for path in folder.iterdir())
