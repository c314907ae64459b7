"""Pictures with faces for tests of the face mesh, and what LiteRT sees in them."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

U8 = NDArray[np.uint8]
FILE = Path(__file__).parents[1] / "data" / "face-mesh" / "litert.npz"


@lru_cache(maxsize=1)
def golden() -> dict[str, NDArray[np.generic]]:
    """See `tests/data/face-mesh/README.md`."""
    with np.load(FILE) as file:
        return dict(file)


def enlarged(side_px: int) -> Tensor:
    """The golden pictures [4, 3, S, S] in [0, 1]."""
    pictures = torch.tensor(golden()["pictures"]).permute(0, 3, 1, 2).float() / 255
    return F.interpolate(pictures, (side_px, side_px), mode="bilinear")


def portrait(number: int, side_px: int) -> U8:
    """One of the golden pictures, enlarged or shrunk."""
    image = Image.fromarray(golden()["pictures"][number].astype(np.uint8))
    return np.asarray(image.resize((side_px, side_px), Image.Resampling.BICUBIC))


def scene(*portraits: tuple[int, int, int, int], width: int = 640, height: int = 360) -> U8:
    """A grey picture with portraits: number, left, top, side in pixels."""
    picture = np.full((height, width, 3), 96, np.uint8)
    for number, left, top, side_px in portraits:
        picture[top : top + side_px, left : left + side_px] = portrait(number, side_px)
    return picture
