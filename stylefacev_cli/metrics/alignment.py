"""Faces brought into the place where a recognition network expects them.

A similarity (turn, scale, shift) takes five of the 98 WFLW points as near as it can to those of a
template. Places are in pixels from the corner of the picture: a pixel's centre is at its index
+ 0.5.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Picture = NDArray[np.uint8]  # [H, W, 3]
Points = NDArray[np.floating]  # [K, 2], x and y


@dataclass(frozen=True)
class Template:
    """Where five points of a face are to be.

    Attributes:
        size_px: side of the aligned picture.
        landmarks: which of the 98 WFLW points.
        places_px: x and y of each of them.
    """

    size_px: int
    landmarks: tuple[int, ...]
    places_px: tuple[tuple[float, float], ...]


def _dlib_chip(size_px: int, padding: float) -> Template:
    """Dlib's `get_face_chip_details` for five points; its mean face has a border of `padding`."""
    mean_face = (
        (0.8595674595992, 0.2134981538014),
        (0.6460604764104, 0.2289674387677),
        (0.1205750620789, 0.2137274526848),
        (0.3340850613712, 0.2290642403242),
        (0.4901123135679, 0.6277975316475),
    )
    places = [[(padding + x) / (2 * padding + 1) * size_px for x in point] for point in mean_face]
    # Corners of the eyes (outer, inner, on the right; outer, inner, on the left), below the nose.
    return Template(size_px, (72, 68, 60, 64, 57), tuple((x, y) for x, y in places))


DLIB_CHIP = _dlib_chip(150, padding=0.25)  # as dlib's own `compute_face_descriptor` takes it
# Pupils, tip of the nose, corners of the mouth, in the 112 px crop of ArcFace (insightface); as
# published, pixel centres are at whole numbers.
_ARCFACE_PLACES = (
    (38.2946, 51.6963),
    (73.5318, 51.5014),
    (56.0252, 71.7366),
    (41.5493, 92.3655),
    (70.7299, 92.2041),
)
ARCFACE_CROP = Template(
    112, (96, 97, 54, 76, 82), tuple((x + 0.5, y + 0.5) for x, y in _ARCFACE_PLACES)
)


def align_face(picture: Picture, landmarks: Points, template: Template) -> Picture:
    """Cut a face out of a picture, upright and at the template's size.

    Bilinear; a face that shrinks to less than half is first averaged over whole pixels. What lies
    outside of the picture is black.

    Args:
        picture: uint8 [H, W, 3].
        landmarks: the 98 WFLW points [98, 2], px.
        template: where five of them are to be.

    Returns:
        uint8 [size, size, 3].
    """
    wanted = np.array(template.places_px)
    factor, shift = similarity(landmarks[list(template.landmarks)], wanted)
    shrinking = max(1, int(1 / abs(factor) + 1e-6))
    image = Image.fromarray(picture).reduce(shrinking)
    # Pillow asks for each pixel of the result where it comes from: the similarity, inverted.
    back = 1 / factor / shrinking
    start = -shift * back
    rows = (back.real, -back.imag, start.real, back.imag, back.real, start.imag)
    size = (template.size_px, template.size_px)
    aligned = image.transform(size, Image.Transform.AFFINE, rows, Image.Resampling.BILINEAR)
    return np.asarray(aligned)


def similarity(points: Points, wanted: Points) -> tuple[complex, complex]:
    """The turn, scale and shift that bring points [K, 2] nearest to others, by least squares.

    With points as complex numbers z = x + iy, the similarity is z → a·z + b. Source: Umeyama 1991,
    for two dimensions and without reflection.

    Returns:
        a and b.
    """
    z, w = (p[:, 0].astype(np.float64) + 1j * p[:, 1] for p in (points, wanted))
    centred = z - z.mean()
    spread = float((abs(centred) ** 2).sum())
    # Points that all coincide (no face was found) have no size: any scale is as good.
    factor = complex(np.vdot(centred, w - w.mean())) / spread if spread > 0 else 1 + 0j
    if factor == 0:
        factor = 1 + 0j
    return factor, complex(w.mean()) - factor * complex(z.mean())
