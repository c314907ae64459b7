"""Grids and contact sheets: several videos side by side, or some frames of each as one picture."""

from __future__ import annotations

import math
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from stylefacev_cli.errors import UsageError
from stylefacev_cli.generation.outputs.output_paths import Target, check_sides, grid_shape
from stylefacev_cli.media import Frame

SHEET_FRAMES = 8
_T = TypeVar("_T")


@dataclass(frozen=True)
class Sheet:
    """A contact sheet.

    Attributes:
        num_frames: of each video, evenly spread from the first to the last.
        num_columns: where its frames go on in the next row.
    """

    num_frames: int
    num_columns: int

    def picks(self, length: int) -> list[int]:
        """The indices of the frames shown of a video of some length."""
        num = min(self.num_frames, length)
        if num == 1:
            return [0]
        return [round(i * (length - 1) / (num - 1)) for i in range(num)]


def plan_sheet(
    format_name: str, num_frames: int | None, num_columns: int | None, length: int
) -> Sheet | None:
    """The sheet of a request; None for other formats.

    Raises:
        UsageError: its options are there, but not the format.
    """
    for option, value in (("--sheet-frames", num_frames), ("--sheet-columns", num_columns)):
        if value is not None and format_name != "sheet":
            raise UsageError(f"{option} is for --format sheet, not for {format_name}")
    if format_name != "sheet":
        return None
    num = min(num_frames or SHEET_FRAMES, length)
    return Sheet(num, min(num_columns or num, num))


def layout(
    target: Target, *, grid: bool, chain: bool, tile_px: int, sheet: Sheet | None
) -> tuple[int, int]:
    """Rows and columns of tiles in a picture.

    Several motions make a matrix: a row for each face, a column for each motion.

    Raises:
        UsageError: it would be larger than players show.
    """
    num_rows, num_columns = 1 if chain else len(target.seeds), len(target.columns)
    if sheet is not None:
        per_video = math.ceil(sheet.num_frames / sheet.num_columns)
        num_rows, num_columns = num_rows * num_columns * per_video, sheet.num_columns
    elif grid and num_columns == 1:
        return grid_shape(num_rows, tile_px)
    check_sides(num_rows, num_columns, tile_px)
    return num_rows, num_columns


def tiled(videos: Sequence[Iterator[Frame]], rows: int, columns: int) -> Iterator[Frame]:
    """Put videos side by side, row by row; what is left of the last row is black."""
    for tiles in zip(*videos, strict=True):
        yield _picture(tiles, rows, columns)


def contact_sheet(
    videos: Sequence[Iterator[Frame]], sheet: Sheet, rows: int, columns: int
) -> Iterator[Frame]:
    """One picture of all frames of videos that hold only those to be shown."""
    tiles: list[Frame] = []
    for video in videos:
        tiles += video
        black = np.zeros_like(tiles[0])
        tiles += [black] * (-len(tiles) % sheet.num_columns)
    yield _picture(tiles, rows, columns)


def select(items: Iterable[_T], indices: Container[int]) -> Iterator[_T]:
    """The items at some indices."""
    return (item for index, item in enumerate(items) if index in indices)


def _picture(tiles: Sequence[Frame], rows: int, columns: int) -> Frame:
    height, width = tiles[0].shape[:2]
    picture = np.zeros((rows, height, columns, width, 3), np.uint8)
    for index, tile in enumerate(tiles):
        picture[index // columns, :, index % columns] = tile
    return picture.reshape(rows * height, columns * width, 3)
