from __future__ import annotations

import numpy as np
import pytest
from face_points import FACE

from stylefacev_cli.errors import DataError
from stylefacev_cli.metrics.motion import Track, mean_motion, measure_motion

FPS = 25.0


def swaying(num_frames: int = 100, reach: float = 0.05, period_s: float = 2.0) -> Track:
    """A face that moves from side to side."""
    time_s = np.arange(num_frames) / FPS
    shift = np.stack([reach * np.sin(2 * np.pi * time_s / period_s), 0 * time_s], axis=1)
    return FACE[None] + shift[:, None]


def test_known_motion() -> None:
    found = measure_motion(swaying(reach=0.05, period_s=1.0), FPS)
    amplitude = 0.05 / 0.2  # in eye distances
    omega = 2 * np.pi / 1.0
    assert found.speed == pytest.approx(amplitude * omega * 2 / np.pi, rel=0.01)
    assert found.jitter == pytest.approx(amplitude * omega**2 * 2 / np.pi, rel=0.02)
    assert found.range == pytest.approx(amplitude / np.sqrt(2), rel=0.01)
    assert found.mouth == pytest.approx(0, abs=1e-9)
    assert found.blinks == 0
    assert found.drift < 0.02


def test_a_frozen_face_has_no_motion_and_a_shuffled_one_jitters() -> None:
    track = swaying()
    still = measure_motion(np.repeat(track[:1], 50, axis=0), FPS)
    assert max(vars(still).values()) < 1e-9
    mixed = np.random.default_rng(0).permutation(track)
    assert measure_motion(mixed, FPS).jitter > 20 * measure_motion(track, FPS).jitter
    assert measure_motion(mixed, FPS).range == pytest.approx(measure_motion(track, FPS).range)


def test_size_and_place_of_the_face_do_not_matter() -> None:
    track = swaying()
    first, second = measure_motion(track, FPS), measure_motion(track * 0.5 + 0.2, FPS)
    assert vars(first) == pytest.approx(vars(second), abs=1e-9)


def test_blinks_and_mouth() -> None:
    track = np.repeat(FACE[None], 250, axis=0)  # ten seconds
    for start in (20, 90, 200):
        track[start : start + 4, [2, 5], 1] += 0.035  # the upper lids come down
    track[::2, 10, 1] += 0.04
    found = measure_motion(track, FPS)
    assert found.blinks == pytest.approx(18)
    assert found.mouth == pytest.approx(0.02 / 0.2, rel=0.01)


def test_drift() -> None:
    track = FACE[None] + np.linspace(0, 0.1, 80)[:, None, None] * np.array([1.0, 0.0])
    assert measure_motion(track, FPS).drift == pytest.approx(0.075 / 0.2, rel=0.02)
    both = mean_motion([measure_motion(track, FPS), measure_motion(track[:1].repeat(9, 0), FPS)])
    assert both.drift == pytest.approx(0.075 / 0.2 / 2, rel=0.02)


def test_refused() -> None:
    with pytest.raises(DataError, match="at least"):
        measure_motion(swaying(5), FPS)
    with pytest.raises(DataError, match="no face"):
        measure_motion(np.zeros((20, 14, 2)), FPS)
