"""Frames of video files as they are measured: one at a time, large ones shrunk."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stylefacev_cli.errors import DataError
from stylefacev_cli.media import read_frames
from stylefacev_cli.media.images import shrunk

MAX_FRAMES = 100_000  # of a video; a longer one is read no further
MAX_FRAME_PIXELS = 1920 * 1080  # of a video's frame as it is measured; larger ones are shrunk
U8 = NDArray[np.uint8]


def of_movie(path: Path) -> Callable[[int, int, int], U8]:
    """The function that reads frames of a file, as `Video.read` is."""

    def read(first: int, step: int, count: int) -> U8:
        last = first + step * (count - 1) + 1
        return of_stream(str(path), lambda: stream_of(path, last))(first, step, count)

    return read


def of_stream(name: str, stream: Callable[[], Iterator[U8]]) -> Callable[[int, int, int], U8]:
    """The function that takes frames of a stream that begins anew at each call."""

    def read(first: int, step: int, count: int) -> U8:
        last = first + step * (count - 1) + 1
        chosen = list(islice(stream(), first, last, step))
        if not chosen:
            raise DataError(f"{name} has no frame {first}")
        return np.stack(chosen)

    return read


def stream_of(path: Path, most: int = MAX_FRAMES) -> Iterator[U8]:
    """Frames as they are measured, one at a time."""
    return map(measured, read_frames(path, max_frames=most))


def measured(frame: U8) -> U8:
    """A frame, shrunk by a whole number if it is larger than is measured."""
    factor = math.ceil(math.sqrt(frame.shape[0] * frame.shape[1] / MAX_FRAME_PIXELS))
    return frame if factor == 1 else shrunk(frame, factor)
