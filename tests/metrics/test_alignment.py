from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from stylefacev_cli.metrics.alignment import (
    ARCFACE_CROP,
    DLIB_CHIP,
    Template,
    align_face,
    similarity,
)


def picture(size: int) -> np.ndarray:
    coarse = np.random.default_rng(0).integers(0, 256, size=(16, 16, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((size, size), Image.Resampling.BICUBIC))


def face_in(template: Template, factor: complex, shift: complex) -> np.ndarray:
    """98 points, of which those of the template are its places, turned, scaled and moved."""
    places = np.array(template.points_px)
    moved = (places[:, 0] + 1j * places[:, 1]) * factor + shift
    points = np.zeros((98, 2))
    points[list(template.landmarks)] = np.stack([moved.real, moved.imag], axis=1)
    return points


def test_a_similarity_is_found_again() -> None:
    points = face_in(DLIB_CHIP, 0.5 + 0.2j, 30 - 4j)[list(DLIB_CHIP.landmarks)]
    factor, shift = similarity(np.array(DLIB_CHIP.points_px), points)
    assert (factor, shift) == (pytest.approx(0.5 + 0.2j), pytest.approx(30 - 4j))
    assert similarity(np.zeros((5, 2)), points)[0] == 1  # no face at all: no crash


@pytest.mark.parametrize("template", [DLIB_CHIP, ARCFACE_CROP])
@pytest.mark.parametrize("scale", [1, 3])
def test_the_same_face_gives_the_same_chip_wherever_it_is(template: Template, scale: int) -> None:
    size = template.size_px
    image = picture(size)
    straight = align_face(image, face_in(template, 1, 0), template)
    np.testing.assert_array_equal(straight, image)
    wide = np.zeros((4 * size, 4 * size, 3), np.uint8)
    shown = np.asarray(Image.fromarray(image).resize((scale * size, scale * size), 0))
    wide[6 : 6 + scale * size, 21 : 21 + scale * size] = shown
    # Places are from the corner, so a corner stays a corner; 6 and 21 are multiples of 3.
    again = align_face(wide, face_in(template, scale, 21 + 6j), template)
    inner = (slice(2, -2), slice(2, -2))
    assert abs(again[inner].astype(int) - image[inner].astype(int)).max() <= 1


def test_agrees_with_dlib_s_own_chip() -> None:
    dlib = pytest.importorskip("dlib")
    image = picture(400)
    points = face_in(DLIB_CHIP, 1.3 + 0.15j, 90 + 60j)
    whole = [dlib.point(*map(round, points[i] - 0.5)) for i in DLIB_CHIP.landmarks]
    for i, place in zip(DLIB_CHIP.landmarks, whole, strict=True):
        points[i] = place.x + 0.5, place.y + 0.5
    shape = dlib.full_object_detection(dlib.rectangle(0, 0, 400, 400), whole)
    theirs = dlib.get_face_chip(image, shape, size=150, padding=0.25)
    ours = align_face(image, points, DLIB_CHIP)
    assert abs(ours.astype(int) - theirs.astype(int)).mean() < 1.5
