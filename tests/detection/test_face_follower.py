"""Following, losing and finding again, with a mesh that sees bright columns for faces."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import pytest
from numpy.typing import NDArray

from stylefacev_cli.detection.face_finders import TrackRule
from stylefacev_cli.detection.face_follower import FaceFollower
from stylefacev_cli.detection.face_mesh import FaceMesh, MeshFace
from stylefacev_cli.errors import DataError

U8 = NDArray[np.uint8]
RULE = TrackRule(fps=8.0)  # half a second: four frames


def face(left: float, width: float) -> MeshFace:
    points = np.zeros((478, 3), np.float32)
    points[1] = [width, 1, 0]
    return MeshFace(points + np.float32([left, 0, 0]), 1.0)


def frame(*faces: tuple[int, int]) -> U8:
    """A picture with faces: left edge and width."""
    picture = np.zeros((1, 200, 3), np.uint8)
    for left, width in faces:
        picture[0, left, 0] = width
    return picture


class Columns:
    """In place of the mesh."""

    def __init__(self) -> None:
        self.searches = 0

    def find(self, picture: U8) -> list[MeshFace]:
        self.searches += 1
        return [face(int(x), int(picture[0, x, 0])) for x in np.flatnonzero(picture[0, :, 0])]

    def find_near(self, picture: U8, last: MeshFace) -> list[MeshFace]:
        self.searches -= 1
        near = [one for one in self.find(picture) if abs(one.box[0] - last.box[0]) < 40]
        return near

    def follow(self, picture: U8, last: MeshFace) -> MeshFace | None:
        near = self.find_near(picture, last)
        return next((one for one in near if abs(one.box[0] - last.box[0]) < 10), None)


def lefts(frames: list[U8], rule: TrackRule = RULE) -> tuple[list[float | None], FaceFollower, Any]:
    mesh = Columns()
    follower = FaceFollower(cast(FaceMesh, mesh), rule, "x.mp4")
    seen = [follower.step(one) for one in frames]
    return [None if one is None else float(one.box[0]) for one in seen], follower, mesh


def test_one_search_then_the_face_is_followed() -> None:
    seen, follower, mesh = lefts([frame((10 + 5 * k, 20)) for k in range(12)])
    assert seen == [10 + 5 * k for k in range(12)]
    assert mesh.searches == 1 and follower.notes == []


def test_the_largest_face_or_that_of_a_number() -> None:
    frames = [frame((10, 20), (100, 30), (150, 25))] * 3
    seen, follower, _ = lefts(frames)
    assert seen == [100] * 3 and follower.num_faces == 3
    assert follower.notes == [
        "3 faces found: the largest is taken, number 2 from the left; --face chooses another"
    ]
    for number, left in ((1, 10), (3, 150)):
        seen, follower, _ = lefts(frames, TrackRule(8.0, face_number=number))
        assert seen == [left] * 3 and follower.notes == []
    with pytest.raises(DataError, match="x.mp4: 3 faces found, there is no --face 4"):
        lefts(frames, TrackRule(8.0, face_number=4))


def test_a_lost_face_is_found_again_nearby() -> None:
    gone = [frame((150, 60))]  # another one
    both = [frame((22, 20), (150, 60))]
    frames = [frame((10, 20)), *gone * 2, *both * 2]
    seen, follower, _ = lefts(frames)
    assert seen == [10, None, None, 22, 22]
    assert follower.notes == []


def test_another_face_takes_its_place_after_half_a_second() -> None:
    frames = [frame((10, 20)), *[frame((150, 60))] * 10]
    seen, _, mesh = lefts(frames)
    assert seen[1:5] == [None] * 4 and seen[-1] == 150
    assert mesh.searches <= 4  # whole pictures, while it was lost
    assert lefts([frame()] * 6)[0] == [None] * 6


def test_whole_searches_tell_of_other_faces() -> None:
    mesh = Columns()
    follower = FaceFollower(cast(FaceMesh, mesh), RULE, "x")
    follower.step(frame((10, 20)))
    found = follower.step(frame((12, 20), (100, 50)), search=True)
    assert found is not None and found.box[0] == 12 and follower.num_faces == 2
