"""Heads of meshes: rotation, size and place out, expression left."""

import numpy as np
import pytest

from stylefacev_cli.motion.head_frame import head_frames
from tests.support.mesh_faces import expression, face_shape, posed, rotation_of


def test_rotation_size_and_place_come_back() -> None:
    angles = np.array([[0, 0, 0], [20, -5, 3], [-25, 10, -8], [5, 15, 12]], float)
    sizes, places = (
        np.array([1, 1.2, 0.8, 1]),
        np.array([[0, 0, 0], [3, 1, 0], [-2, 4, 0], [9] * 3]),
    )
    shape = face_shape()
    points = posed(rotation_of(angles), sizes, places.astype(float), np.repeat(shape[None], 4, 0))
    heads = head_frames(points, shape)
    assert heads.angles_deg - heads.angles_deg[0] == pytest.approx(angles, abs=1e-6)
    assert heads.size / heads.size[0] == pytest.approx(sizes)
    assert heads.place - heads.place[0] == pytest.approx(places - places[0], abs=1e-6)
    assert heads.local == pytest.approx(np.repeat(heads.local[:1], 4, 0), abs=1e-6)
    assert posed(heads.rotation, heads.size, heads.place, heads.local) == pytest.approx(points)


def test_expressions_do_not_turn_the_head() -> None:
    still = face_shape()
    heads = head_frames(np.stack([still, expression(mouth=0.3, lids=0.0, brows=0.1)]))
    assert np.abs(heads.angles_deg[1] - heads.angles_deg[0]).max() < 1e-6


def test_angles_point_as_they_are_named() -> None:
    ahead, to_the_right, down = -rotation_of(np.array([[0, 0, 0], [30, 0, 0], [0, 30, 0.0]]))[
        :, :, 2
    ]
    assert to_the_right[0] > ahead[0] and down[1] > ahead[1]
    clockwise = rotation_of(np.array([[0, 0, 30.0]]))[0]
    assert clockwise[1, 0] > 0  # the left side of the face, right in the picture, goes down
