"""Pose factors ↔ expression, head pose, gaze and place in the frame, within a framing's ranges."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stylefacev_cli.faces.parameters import Pose

F64 = NDArray[np.float64]


@dataclass(frozen=True)
class FramingRange:
    """How far heads turn and move in the frame; a curriculum widens it.

    Sigmas are standard deviations of normal draws, limits clip them.
    """

    yaw_sigma_deg: float = 10.0
    yaw_limit_deg: float = 25.0
    pitch_sigma_deg: float = 5.0
    pitch_limit_deg: float = 14.0
    roll_sigma_deg: float = 3.0
    roll_limit_deg: float = 12.0
    shift_sigma: float = 0.015  # fraction of the frame
    shift_limit: float = 0.06
    size_sigma: float = 0.03  # of the logarithm of the head's height
    size_limit: float = 0.1
    head_fraction: float = 0.84  # height of the head in frames

    @classmethod
    def named(cls, name: str) -> FramingRange:
        """One of `FRAMINGS`.

        Raises:
            KeyError: any other name.
        """
        return FRAMINGS[name]


CANONICAL = FramingRange()  # eyes nearly in place
UNALIGNED = FramingRange(  # as a tracker's box cuts talking heads out of footage
    yaw_sigma_deg=13.0,
    yaw_limit_deg=35.0,
    pitch_sigma_deg=6.0,
    pitch_limit_deg=17.0,
    roll_sigma_deg=4.0,
    roll_limit_deg=14.0,
    shift_sigma=0.03,
    shift_limit=0.08,
    size_sigma=0.07,
    size_limit=0.18,
    head_fraction=0.74,
)
WIDE = FramingRange(  # off-centre, small and turned heads
    yaw_sigma_deg=16.0,
    yaw_limit_deg=45.0,
    pitch_sigma_deg=7.0,
    pitch_limit_deg=20.0,
    roll_sigma_deg=5.0,
    roll_limit_deg=15.0,
    shift_sigma=0.05,
    shift_limit=0.09,
    size_sigma=0.1,
    size_limit=0.2,
    head_fraction=0.66,
)
FRAMINGS = {"canonical": CANONICAL, "unaligned": UNALIGNED, "wide": WIDE}

# Mean, standard deviation near it, lowest and highest value of what expression and gaze are made
# of; the framing adds its own. A clipped normal is flat where a face is at rest.
_POSE_RANGES = {
    "jaw": (0.0, 0.16, 0.0, 0.8),
    "smile": (0.24, 0.22, -0.35, 1.1),
    "pucker": (-0.02, 0.13, -0.8, 0.8),
    "lips": (0.02, 0.13, 0.0, 0.6),
    "press": (-0.25, 0.25, 0.0, 0.6),
    "brows": (0.14, 0.16, -0.8, 1.0),
    "blink": (-1.05, 1.0, 0.0, 1.0),
    "squint": (-0.08, 0.13, -0.7, 0.8),
    "gaze_x_rad": (0.0, 0.12, -0.5, 0.5),
    "gaze_y_rad": (0.0, 0.06, -0.35, 0.35),
}
# Most faces are nearly at rest, and yet those of speech are no rarer than clips show them:
# value = mean + sigma · (x + _TAIL · x³) of a factor x, for these.
_TAIL = 0.12
_TAILED = ("jaw", "smile", "pucker", "lips", "press", "brows", "squint")
# Parts of a face move together: each target follows its source's distance from the mean.
_FOLLOWS = {
    ("squint", "smile"): 0.12,
    ("pucker", "smile"): -0.18,
    ("lips", "smile"): 0.10,
    ("brows", "jaw"): 0.25,
    ("press", "jaw"): -0.6,
}
# Eyes stay on their target while the head turns: shares of yaw and pitch they make up for.
_GAZE_AGAINST_YAW = 0.3
_GAZE_AGAINST_PITCH = 0.3
_EYE_LIMITS_RAD = {"gaze_x_rad": (-0.55, 0.55), "gaze_y_rad": (-0.4, 0.4)}


class PoseMap:
    """Maps between pose factors [P] float64, in the order of `names`, and poses."""

    def __init__(self, names: tuple[str, ...], framing: FramingRange) -> None:
        self.names, self.framing = names, framing
        ranges = {**_POSE_RANGES, **_framed_ranges(framing)}
        table = np.array([ranges[name] for name in names])
        self._mean, self._sigma, self._low, self._high = table.T
        self._tail = np.array([_TAIL * (name in _TAILED) for name in names])

    def factors_of(self, pose: Pose) -> F64:
        """The factors [P] whose pose is `pose`, as far as it lies in the ranges."""
        values = np.array([getattr(pose, name) for name in self.names])
        at = self.names.index
        values[at("head_fraction")] = np.log(pose.head_fraction / self.framing.head_fraction)
        values[at("gaze_x_rad")] += _GAZE_AGAINST_YAW * np.radians(pose.yaw_deg)
        values[at("gaze_y_rad")] -= _GAZE_AGAINST_PITCH * np.radians(pose.pitch_deg)
        values = np.clip(values, self._low, self._high)
        for (target, source), share in _FOLLOWS.items():
            values[at(target)] -= share * (values[at(source)] - self._mean[at(source)])
        return _unbend((values - self._mean) / self._sigma, self._tail)

    def pose_of(self, factors: F64) -> Pose:
        """The pose of factors [P]."""
        drawn = self._mean + self._sigma * (factors + self._tail * factors**3)
        at = self.names.index
        clipped = np.clip(drawn, self._low, self._high)
        for (target, source), share in _FOLLOWS.items():
            drawn[at(target)] += share * (clipped[at(source)] - self._mean[at(source)])
        clipped = np.clip(drawn, self._low, self._high)
        values = dict(zip(self.names, clipped.tolist(), strict=True))
        values["head_fraction"] = self.framing.head_fraction * np.exp(values["head_fraction"])
        values["gaze_x_rad"] -= _GAZE_AGAINST_YAW * np.radians(values["yaw_deg"])
        values["gaze_y_rad"] += _GAZE_AGAINST_PITCH * np.radians(values["pitch_deg"])
        for name in ("gaze_x_rad", "gaze_y_rad"):
            values[name] = np.clip(values[name], *_EYE_LIMITS_RAD[name])
        return Pose(**{name: float(value) for name, value in values.items()})


def _framed_ranges(f: FramingRange) -> dict[str, tuple[float, float, float, float]]:
    """As `_POSE_RANGES`, of head pose and place in the frame."""
    return {
        "yaw_deg": (0.0, f.yaw_sigma_deg, -f.yaw_limit_deg, f.yaw_limit_deg),
        "pitch_deg": (0.0, f.pitch_sigma_deg, -f.pitch_limit_deg, f.pitch_limit_deg),
        "roll_deg": (0.0, f.roll_sigma_deg, -f.roll_limit_deg, f.roll_limit_deg),
        "shift_x": (0.0, f.shift_sigma, -f.shift_limit, f.shift_limit),
        "shift_y": (0.0, f.shift_sigma, -f.shift_limit, f.shift_limit),
        "head_fraction": (0.0, f.size_sigma, -f.size_limit, f.size_limit),  # logarithm
    }


def _unbend(values: F64, tail: F64) -> F64:
    """The x [P] with x + tail · x³ = values, by Newton's method."""
    x = np.cbrt(values / np.maximum(tail, 1e-3))
    x = np.where(np.abs(x) < np.abs(values), x, values)
    for _ in range(40):
        x = x - (x + tail * x**3 - values) / (1 + 3 * tail * x * x)
    return np.asarray(x)
