from __future__ import annotations

import numpy as np
import pytest

from stylefacev_cli.detection.one_euro import jitter, smoothed


def shaking(num_frames: int = 100) -> np.ndarray:
    random = np.random.default_rng(0)
    return random.normal(0, 0.3, (num_frames, 20, 2)).astype(np.float32) + 50


SIZES = np.full(100, 100.0)


def test_what_trembles_is_held() -> None:
    points = shaking()
    held = smoothed(points, SIZES, 25.0)
    assert jitter(held, SIZES) < 0.45 * jitter(points, SIZES)
    assert np.abs(held.mean(0) - points.mean(0)).max() < 0.1
    assert np.array_equal(held[0], points[0])


def test_what_moves_is_let_go() -> None:
    """A mouth that opens by a tenth of the face in four frames is followed by nine tenths."""
    points = np.full((100, 3, 2), 50, np.float32)
    points[40:44, 1, 1] += np.array([2.5, 5, 7.5, 10])
    points[44:, 1, 1] += 10
    held = smoothed(points, SIZES, 25.0)
    assert held[44, 1, 1] > 59 and held[50, 1, 1] > 59.8
    assert (held[:40] == 50).all() and (held[:, 0] == 50).all()
    shaken = points + shaking()[:, :3] - 50
    lag = np.abs(smoothed(shaken, SIZES, 25.0)[42:50, 1, 1] - points[42:50, 1, 1])
    assert lag.max() < 2


def test_a_gap_begins_anew_and_stays() -> None:
    points = np.full((10, 2, 2), 10, np.float32)
    points[4], points[5:] = np.nan, 90
    held = smoothed(points, SIZES[:10], 25.0)
    assert np.isnan(held[4]).all() and (held[5:] == 90).all() and (held[:4] == 10).all()


def test_jitter_is_of_the_calmest_frames() -> None:
    still = shaking()
    moving = still.copy()
    moving[20:80] += 20 * np.sin(np.arange(60) / 2)[:, None, None].astype(np.float32)
    assert jitter(moving, SIZES) == pytest.approx(jitter(still, SIZES), rel=0.15)
    assert 0.002 < jitter(still, SIZES) < 0.006
    assert np.isnan(jitter(still[:2], SIZES[:2]))
    lost = still.copy()
    lost[::2] = np.nan
    assert np.isnan(jitter(lost, SIZES))
