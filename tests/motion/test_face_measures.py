"""Measures of made-up faces, and what is carried over from one to another."""

import numpy as np
import pytest

from stylefacev_cli.motion.face_measures import (
    BROWS,
    EYES,
    GAZE,
    LIPS,
    NUM_MEASURES,
    PLACE,
    TURN,
    carried_over,
    eye_openings,
    face_measures,
    rest_frames,
    still_usual_openings,
    usual_openings,
)
from stylefacev_cli.motion.head_frame import head_frames
from tests.support.mesh_faces import expression, posed, rotation_of

NO_PLACES = np.zeros((3, 3))


def measures(*faces: np.ndarray) -> np.ndarray:
    heads = head_frames(np.stack(faces))
    return face_measures(heads, usual_openings(eye_openings(heads.local)))


def test_each_part_has_its_places() -> None:
    rest, moved = measures(
        expression(), expression(mouth=0.2, smile=0.1, lids=0.5, brows=0.1, gaze=0.04)
    )
    assert rest.shape == (NUM_MEASURES,)
    change = moved - rest
    assert change[TURN] == pytest.approx(0, abs=1e-5)
    assert (change[EYES] < -0.3).all() and (change[BROWS] > 0.05).all() and change[GAZE][0] > 0.05
    assert np.abs(change[LIPS]).max() > 0.05


def test_a_panned_still_gives_a_still_face() -> None:
    still = expression(mouth=0.1)
    places = np.array([[0, 0, 0], [5, 2, 0], [-3, 1, 0], [1, 7, 0.0]])
    sizes = np.array([1, 1.3, 0.7, 1])
    points = posed(np.repeat(np.eye(3)[None], 4, 0), sizes, places, np.repeat(still[None], 4, 0))
    driver = measures(*points)
    moved = carried_over(driver, driver[0], driver[2], NO_PLACES, relative=True)
    assert moved == pytest.approx(np.repeat(driver[2:3], 4, 0), abs=1e-6)


def test_relative_motion_starts_from_the_person() -> None:
    turns = rotation_of(np.array([[20, 0, 0], [30, 5, 0.0]]))
    faces = np.repeat(expression()[None], 2, 0)
    driver = measures(*posed(turns, np.ones(2), np.zeros((2, 3)), faces))
    person = measures(expression(mouth=0.1))[0]
    relative, absolute = (
        carried_over(driver, driver[0], person, np.full((3, 3), 0.01), relative=r)
        for r in (True, False)
    )
    assert relative[:, TURN] - person[TURN] == pytest.approx(driver[:, TURN] - driver[0, TURN])
    assert absolute[:, TURN] == pytest.approx(driver[:, TURN])
    assert relative[0] == pytest.approx(person)
    assert relative[1, PLACE] - person[PLACE] == pytest.approx([0.15] * 3, abs=0.01)


def test_eyes_close_as_far_as_the_drivers() -> None:
    driver = measures(*(expression(lids=lids) for lids in (1, 1, 1, 0.5, 0.0)))
    narrow = expression(lids=0.6)
    heads = head_frames(narrow[None])
    person = face_measures(heads, still_usual_openings(eye_openings(heads.local)))[0]
    moved = carried_over(driver, driver[0], person, NO_PLACES, relative=True)
    assert moved[:, EYES].mean(1) == pytest.approx([1, 1, 1, 0.5, 0])
    assert (person[EYES] < 1).all()  # half-closed eyes of a still are not taken for its usual ones


def test_rest_is_where_the_face_mostly_is() -> None:
    rest = expression()
    faces = [expression(mouth=0.4), rest, expression(lids=0.2), *[rest] * 3, expression(smile=0.5)]
    faces += [rest, expression(brows=0.2, mouth=0.1)]
    assert set(rest_frames(measures(*faces))) == {1, 3, 4, 5, 7}
