"""Follow-through: how a face moves beside the face that drives it, signal by signal."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stylefacev_cli.motion.face_signals import face_signals
from stylefacev_cli.motion.head_frame import head_frames

F64 = NDArray[np.float64]

MIN_FRAMES = 8
CLEAR = 3.0  # of a driver's signal, in its jitters: below, there is nothing to follow
_TO_SIGMA = 1.4826  # from the median of absolute deviations of a normal distribution
_TINY = 1e-9


@dataclass(frozen=True)
class FollowThrough:
    """Signals of a face beside those of its driver, in the order of `SIGNAL_NAMES`.

    Attributes:
        correlation: [9] over time, from -1 to 1.
        gain: [9] of the least squares line result = gain · driver + constant.
        driver_range: [9] standard deviations of the driver's signals.
        driver_jitter: [9] of them, see `signal_jitter`.
    """

    correlation: F64
    gain: F64
    driver_range: F64
    driver_jitter: F64

    @property
    def is_clear(self) -> NDArray[np.bool_]:
        """Which of the driver's signals [9] have more than three times their jitter."""
        return self.driver_range > CLEAR * self.driver_jitter


def follow_through(driver: NDArray[np.floating], result: NDArray[np.floating]) -> FollowThrough:
    """How a face follows another one.

    Args:
        driver: [T, 478, 3] points of the face mesh, T at least `MIN_FRAMES`.
        result: [T, 478, 3], frame by frame.
    """
    assert len(driver) == len(result) >= MIN_FRAMES, f"{len(driver)} and {len(result)} frames"
    first, second = (face_signals(head_frames(points)) for points in (driver, result))
    jitter = signal_jitter(first)
    first, second = first - first.mean(0), second - second.mean(0)
    covariance = (first * second).mean(0)
    spread, other = first.std(0), second.std(0)
    return FollowThrough(
        covariance / np.maximum(spread * other, _TINY),
        covariance / np.maximum(np.square(spread), _TINY),
        spread,
        jitter,
    )


def signal_jitter(signals: F64) -> F64:
    """Jitter [S] of signals [T, S]: what does not go on from one frame to the next.

    It is the standard deviation of white noise whose second differences would be of the signals'
    median size; of quick movements it counts a part, too.
    """
    second = signals[2:] - 2 * signals[1:-1] + signals[:-2]
    return np.asarray(_TO_SIGMA * np.median(np.abs(second), axis=0) / np.sqrt(6))
