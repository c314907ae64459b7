from __future__ import annotations

import numpy as np
import pytest
from footage import face_template

from stylefacev_cli.detection.crop_window import (
    LEAVES_PICTURE,
    LEAVES_WINDOW,
    NO_FACE,
    TOO_SHORT,
    TWO_FACES,
    Run,
    RunRule,
    Window,
    face_squares,
    fit_window,
    shifted_window,
    split_runs,
)

RULE = RunRule(min_frames=5, max_frames=20)


def faces_at(centres: list[tuple[float, float]], side: float = 100) -> np.ndarray:
    template = face_template()
    return np.stack([template * side + np.array(c) - side / 2 for c in centres])


def still(count: int) -> tuple[np.ndarray, list[str | None]]:
    return np.tile([100.0, 100.0, 80.0], (count, 1)), [None] * count


def test_the_square_is_that_of_ffhq() -> None:
    # Worked out by hand: eyes a quarter of the square apart, so it is four times their distance.
    x, y, side = face_squares(face_template() * 200)
    assert (x, side) == (pytest.approx(100), pytest.approx(200))
    assert y == pytest.approx(200 * (0.472 + 0.1 * (0.735 - 0.472)))
    # A head turned away has its eyes close together: then the mouth's distance counts.
    narrow = face_template() * [100, 200]
    assert face_squares(narrow)[2] == pytest.approx(3.6 * 200 * (0.735 - 0.472))


def test_98_points_give_the_same_square() -> None:
    points = np.zeros((98, 2))
    points[60:68], points[68:76] = [0.3, 0.4], [0.7, 0.4]
    points[76], points[82] = [0.4, 0.8], [0.6, 0.8]
    assert face_squares(points) == pytest.approx([0.5, 0.44, 1.6])


def test_good_frames_are_one_run_and_long_ones_are_cut_evenly() -> None:
    assert split_runs(*still(12), RULE) == [Run(0, 12, None)]
    assert split_runs(*still(50), RULE) == [Run(0, 16, None), Run(16, 33, None), Run(33, 50, None)]
    assert split_runs(*still(4), RULE) == [Run(0, 4, TOO_SHORT)]


def test_lost_and_second_faces_cut() -> None:
    squares, reasons = still(20)
    reasons[6:8], reasons[8] = [NO_FACE, NO_FACE], TWO_FACES
    squares[6:9] = np.nan
    assert split_runs(squares, reasons, RULE) == [
        Run(0, 6, None), Run(6, 8, NO_FACE), Run(8, 9, TWO_FACES), Run(9, 20, None),
    ]  # fmt: skip


def test_jumps_cut_and_so_does_a_face_that_walks_away() -> None:
    squares, reasons = still(20)
    squares[10:, 0] += 40
    assert split_runs(squares, reasons, RULE) == [Run(0, 10, None), Run(10, 20, None)]
    squares, reasons = still(20)
    squares[10:, 2] *= 1.4
    assert [run[:2] for run in split_runs(squares, reasons, RULE)] == [(0, 10), (10, 20)]
    squares, reasons = still(20)
    squares[:, 0] += 15 * np.arange(20)  # 80 px wide, so five steps stay within 3/4 of it
    runs = split_runs(squares, reasons, RunRule(min_frames=2, max_frames=20))
    assert [run.last - run.first for run in runs] == [5, 5, 5, 5]
    assert all(run.reason is None for run in runs)


def test_the_window_holds_all_squares_and_has_whole_pixels() -> None:
    landmarks = faces_at([(200, 150), (220, 150)])
    window = fit_window(face_squares(landmarks), landmarks, 400, 300, 0.0)
    assert window == Window(150, 90, 120)
    wider = fit_window(face_squares(landmarks), landmarks, 400, 300, 0.25)
    assert isinstance(wider, Window) and wider.side == 180


def test_the_window_moves_and_shrinks_to_stay_in_the_picture() -> None:
    landmarks = faces_at([(45, 150), (55, 150)])
    window = fit_window(face_squares(landmarks), landmarks, 400, 300, 0.0)
    assert isinstance(window, Window) and (window.left, window.side) == (0, 110)
    low = fit_window(face_squares(landmarks), landmarks, 400, 100, 0.0)
    assert low == LEAVES_WINDOW  # 100 px are enough, but the faces lie below them
    assert fit_window(face_squares(landmarks), landmarks, 400, 80, 0.0) == LEAVES_PICTURE


def test_images_are_shifted_but_stay_inside() -> None:
    landmarks = faces_at([(200, 150)])[0]

    def draw(seed: int, shift: float = 0.1, width: int = 400, height: int = 300) -> Window | str:
        random = np.random.default_rng(seed)
        return shifted_window(landmarks, width, height, shift=shift, tries=20, random=random)

    drawn = [draw(seed) for seed in range(400)]
    offsets = np.array([window[:2] for window in drawn if isinstance(window, Window)]) - [150, 99]
    assert len(offsets) == 400 and all(w.side == 100 for w in drawn if isinstance(w, Window))
    # Wide shifts are drawn anew where a landmark leaves the window, so a little below 0.1.
    assert offsets.std(0) == pytest.approx([9, 9], abs=2)
    assert abs(offsets.mean(0)).max() < 4  # the chin has less room than the brows
    assert draw(5) == draw(5)
    assert draw(0, shift=0.0) == Window(150, 100, 100)
    # There is just room without a shift: narrower and narrower ones are tried until one fits.
    assert isinstance(draw(0, width=251, height=201), Window)
    assert draw(0, width=400, height=165) == LEAVES_PICTURE


def test_cutting() -> None:
    picture = np.arange(10 * 12 * 3, dtype=np.uint8).reshape(10, 12, 3)
    window = Window(2, 1, 8)
    np.testing.assert_array_equal(window.cut(picture, 8), picture[1:9, 2:10])
    assert window.cut(picture, 4).shape == (4, 4, 3)
    # Antialiased: a fine pattern becomes its mean.
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 200
    small = Window(0, 0, 64).cut(stripes, 8)
    assert abs(small.astype(int) - 100).max() <= 5
    np.testing.assert_allclose(
        window.fractions(np.array([[2.0, 1.0], [6.0, 9.0]])), [[0, 0], [0.5, 1]]
    )
