from __future__ import annotations

import numpy as np
import pytest
from mesh_pictures import U8, scene

from stylefacev_cli.detection.crop_window import NO_FACE, TWO_FACES, face_squares
from stylefacev_cli.detection.face_finders import TrackRule
from stylefacev_cli.detection.mesh_finder import MeshFinder
from stylefacev_cli.errors import DataError

WIDTH, HEIGHT = 320, 180


@pytest.fixture(scope="module")
def finder() -> MeshFinder:
    return MeshFinder.load("cpu")


def moving(left: int, *others: tuple[int, int, int, int]) -> U8:
    return scene((3, left, 30, 140), *others, width=WIDTH, height=HEIGHT)


EMPTY = scene(width=WIDTH, height=HEIGHT)


def test_a_track_of_a_moving_face(finder: MeshFinder) -> None:
    frames = [moving(20 + 6 * k) for k in range(8)]
    frames[4] = EMPTY
    track = finder.track(iter(frames), TrackRule(25.0), "x")
    assert track.reasons == [None] * 8 and track.notes == ["no face in 1 frame: interpolated"]
    assert (track.width, track.height) == (WIDTH, HEIGHT)
    assert track.points.shape == (8, 478, 3) and track.landmarks.shape == (8, 98, 2)
    assert track.presence[4] == 0 and np.delete(track.presence, 4).min() > 0.9
    lefts = face_squares(track.landmarks)[:, 0]
    np.testing.assert_allclose(np.diff(lefts), 6, atol=0.8)
    (face,) = finder.find(frames[0])
    np.testing.assert_allclose(face.landmarks, track.landmarks[0], atol=0.5)
    assert face.scores.shape == (98,) and face.scores.min() > 0.9


def test_smoothing_holds_the_points_and_tells_how_much(finder: MeshFinder) -> None:
    random = np.random.default_rng(0)
    still = moving(80)
    frames = [
        np.clip(still + random.normal(0, 6, still.shape), 0, 255).astype(np.uint8) for _ in range(8)
    ]
    raw = finder.track(iter(frames), TrackRule(25.0), "x")
    held = finder.track(iter(frames), TrackRule(25.0, smooth=True), "x")
    assert raw.notes == [] and "tremble by 0." in held.notes[0]
    steps = [np.abs(np.diff(one.landmarks, axis=0)).mean() for one in (raw, held)]
    assert steps[1] < 0.6 * steps[0]
    assert np.abs(raw.landmarks - held.landmarks).max() < 3


def test_long_gaps_stay_and_are_told(finder: MeshFinder) -> None:
    frames = [moving(80), *[EMPTY] * 4, moving(80)]
    track = finder.track(iter(frames), TrackRule(fps=6.0), "x")
    assert track.reasons == [None, *[NO_FACE] * 4, None] and track.notes == []
    assert np.isnan(track.landmarks[1:5]).all() and np.isfinite(track.points[[0, 5]]).all()


def test_a_face_that_is_to_be_alone(finder: MeshFinder) -> None:
    both = moving(20, (1, 220, 50, 90))
    rule = TrackRule(25.0, search_every=2, is_alone=True)
    frames = [moving(20), moving(20), moving(20), both, both, both, moving(20), EMPTY, moving(20)]
    track = finder.track(iter(frames), rule, "x")
    # Searched are frames 0, 2, 4, 6 and 8: doubt reaches from 4 to both sides.
    assert track.reasons == [None] * 3 + [TWO_FACES] * 3 + [None, NO_FACE, None]
    assert np.isnan(track.landmarks[7]).all()


def test_videos_without_frames_or_of_several_sizes(finder: MeshFinder) -> None:
    with pytest.raises(DataError, match="x has no frames"):
        finder.track(iter(()), TrackRule(25.0), "x")
    with pytest.raises(DataError, match="size of its frames changes"):
        finder.track(iter([EMPTY, EMPTY[:-2]]), TrackRule(25.0), "x")
