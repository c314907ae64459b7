from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from footage import U8, face_template

from stylefacev_cli.detection.crop_window import NO_FACE, TWO_FACES
from stylefacev_cli.detection.face_finders import Face, TrackRule
from stylefacev_cli.detection.face_track import bridge_gaps, choose_face, follow_face
from stylefacev_cli.errors import DataError

ALONE = TrackRule(25.0, search_every=4, is_alone=True)


class Dots:
    """A finder of red pixels: for what happens around a finder."""

    num_landmarks = 68
    facts: dict[str, Any] = {}

    def __init__(self) -> None:
        self.searches = 0

    def find(self, picture: U8) -> list[Face]:
        self.searches += 1
        return [
            Face(
                face_template() * 20 + [x, y],
                np.ones(68, np.float32),
                np.array([x, y, x + 2, y + 1]),
            )
            for y, x in zip(*np.nonzero(picture[..., 0] == 255), strict=True)
        ]

    def follow(self, picture: U8, face: Face) -> Face | None:
        self.searches -= 1
        return next(iter(self.find(picture)), None)


def dots(*counts: int) -> Iterator[U8]:
    for count in counts:
        picture = np.zeros((8, 8, 3), np.uint8)
        picture[0, :count, 0] = 255
        yield picture


def test_doubt_reaches_to_the_searches_around() -> None:
    finder = Dots()
    track = follow_face(finder, dots(*[1] * 8, 2, *[1] * 6), ALONE, "x")
    assert finder.searches == 5  # frames 0, 4, 8, 12 and the last
    assert track.reasons == [None] * 5 + [TWO_FACES] * 7 + [None] * 3
    assert (track.width, track.height, len(track.landmarks)) == (8, 8, 15)
    assert np.isnan(track.landmarks[8]).all() and not np.isnan(track.landmarks[4]).any()


def test_a_lost_face_is_lost_until_the_next_search() -> None:
    track = follow_face(Dots(), dots(1, 1, 0, 1, 1, 1), ALONE, "x")
    assert track.reasons == [None, None, NO_FACE, NO_FACE, None, None]


def test_frames_must_be_there_and_of_one_size() -> None:
    with pytest.raises(DataError, match="no frames"):
        follow_face(Dots(), iter(()), ALONE, "x")
    frames = iter([np.zeros((8, 8, 3), np.uint8), np.zeros((8, 9, 3), np.uint8)])
    with pytest.raises(DataError, match="size of its frames changes"):
        follow_face(Dots(), frames, ALONE, "x")


def test_of_several_faces_the_one_that_was_there_is_kept() -> None:
    rule = TrackRule(25.0, search_every=1, face_number=2)
    track = follow_face(Dots(), dots(2, 3, 2, 0, 2), rule, "x")
    assert track.reasons == [None] * 5
    assert track.notes == ["no face in 1 frame: interpolated"]
    places = track.landmarks[:, 0, 0] - track.landmarks[0, 0, 0]
    np.testing.assert_allclose(places, 0, atol=1e-5)
    with pytest.raises(DataError, match="x: 1 face found, there is no --face 2"):
        follow_face(Dots(), dots(1), rule, "x")


# --- choices and gaps ------------------------------------------------------------------------


def boxed(left: float, width: float) -> Face:
    box = np.array([left, 0, left + width, 2], np.float32)
    return Face(np.zeros((68, 2), np.float32), np.ones(68, np.float32), box)


def test_the_largest_face_is_taken_and_said() -> None:
    faces = [boxed(50, 10), boxed(5, 30), boxed(90, 20)]
    notes: list[str] = []
    for _ in range(2):
        assert choose_face(faces, None, notes, "x") is faces[1]
    assert len(notes) == 1 and "3 faces found: the largest is taken, number 1" in notes[0]
    assert choose_face(faces, 3, notes, "x") is faces[2]
    assert choose_face(faces[:1], None, notes, "x") is faces[0] and len(notes) == 1


def test_short_gaps_are_interpolated_and_long_ones_left() -> None:
    way = np.arange(40, dtype=np.float32)[:, None, None] * np.ones((1, 3, 2), np.float32)
    reasons: list[str | None] = [None] * 40
    holes = [0, 1, 10, 11, 12, *range(20, 27), 39]
    points = way.copy()
    for hole in holes:
        points[hole], reasons[hole] = np.nan, NO_FACE
    notes: list[str] = []
    found = bridge_gaps(points, reasons, fps=10.0, notes=notes)
    np.testing.assert_allclose(found[2:20], way[2:20], rtol=1e-6)
    assert (found[:2] == 2).all() and (found[39] == 38).all()
    assert np.isnan(found[20:27]).all() and reasons[20:27] == [NO_FACE] * 7
    assert [reason for reason in reasons if reason] == [NO_FACE] * 7
    assert notes == ["no face in 6 frames: interpolated"]
    nothing = np.full((3, 3, 2), np.nan, np.float32)
    assert np.isnan(bridge_gaps(nothing, [NO_FACE] * 3, 10.0, notes)).all()
