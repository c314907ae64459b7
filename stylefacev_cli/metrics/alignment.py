"""Alignment of faces to the template of a recognition network.

A similarity transform (rotation, scale, shift) takes five of the 98 WFLW points to those of a
template, by least squares. Points are in pixels from the corner of the image: the centre of a pixel
is at its index + 0.5.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage

Image = NDArray[np.uint8]  # [H, W, 3]
Points = NDArray[np.floating]  # [K, 2], x and y


@dataclass(frozen=True)
class Template:
    """Target positions of five points of a face.

    Attributes:
        size_px: side of the aligned image.
        landmarks: which of the 98 WFLW points.
        points_px: x and y of each of them.
    """

    size_px: int
    landmarks: tuple[int, ...]
    points_px: tuple[tuple[float, float], ...]


def _dlib_chip(size_px: int, padding: float) -> Template:
    """The template of dlib's `get_face_chip_details` for five points, with that padding."""
    mean_face = (
        (0.8595674595992, 0.2134981538014),
        (0.6460604764104, 0.2289674387677),
        (0.1205750620789, 0.2137274526848),
        (0.3340850613712, 0.2290642403242),
        (0.4901123135679, 0.6277975316475),
    )
    points = [[(padding + x) / (2 * padding + 1) * size_px for x in point] for point in mean_face]
    # Corners of the eyes (outer, inner, on the right; outer, inner, on the left), below the nose.
    return Template(size_px, (72, 68, 60, 64, 57), tuple((x, y) for x, y in points))


DLIB_CHIP = _dlib_chip(150, padding=0.25)  # as dlib's own `compute_face_descriptor` takes it
# Pupils, tip of the nose, corners of the mouth, in the 112 px crop of ArcFace (insightface); as
# published, pixel centres are at whole numbers.
_ARCFACE_POINTS = (
    (38.2946, 51.6963),
    (73.5318, 51.5014),
    (56.0252, 71.7366),
    (41.5493, 92.3655),
    (70.7299, 92.2041),
)
ARCFACE_CROP = Template(
    112, (96, 97, 54, 76, 82), tuple((x + 0.5, y + 0.5) for x, y in _ARCFACE_POINTS)
)


def align_face(image: Image, landmarks: Points, template: Template) -> Image:
    """The face of an image, aligned to a template.

    Bilinear; a face that shrinks to less than half is first averaged over whole pixels. Pixels
    outside of the image are black.

    Args:
        image: uint8 [H, W, 3].
        landmarks: the 98 WFLW points [98, 2], px.
        template: target positions of five of them.

    Returns:
        uint8 [size, size, 3].
    """
    targets = np.array(template.points_px)
    factor, shift = similarity(landmarks[list(template.landmarks)], targets)
    reduction = max(1, int(1 / abs(factor) + 1e-6))
    reduced = PillowImage.fromarray(image).reduce(reduction)
    # Pillow takes the inverse transform, from pixels of the result to those of the source.
    back = 1 / factor / reduction
    start = -shift * back
    rows = (back.real, -back.imag, start.real, back.imag, back.real, start.imag)
    size = (template.size_px, template.size_px)
    bilinear = PillowImage.Resampling.BILINEAR
    aligned = reduced.transform(size, PillowImage.Transform.AFFINE, rows, bilinear)
    return np.asarray(aligned)


def similarity(points: Points, targets: Points) -> tuple[complex, complex]:
    """The similarity transform from points [K, 2] to targets [K, 2], by least squares.

    With points as complex numbers z = x + iy, the similarity is z → a·z + b. Source: Umeyama 1991,
    for two dimensions and without reflection.

    Returns:
        a and b.
    """
    z, w = (p[:, 0].astype(np.float64) + 1j * p[:, 1] for p in (points, targets))
    centred = z - z.mean()
    spread = float((abs(centred) ** 2).sum())
    # Coinciding points (no face was found) have no size: any scale fits.
    factor = complex(np.vdot(centred, w - w.mean())) / spread if spread > 0 else 1 + 0j
    if factor == 0:
        factor = 1 + 0j
    return factor, complex(w.mean()) - factor * complex(z.mean())
