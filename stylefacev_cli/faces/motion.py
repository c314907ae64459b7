"""Motion of talking heads, as trajectories of the pose factors.

Curves are drawn at 25 frames a second and resampled for other rates: speech as visemes in bursts,
blinks, saccades, and Ornstein–Uhlenbeck processes for head, brows and smile.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from stylefacev_cli.faces.factors import FaceFactors
from stylefacev_cli.faces.parameters import POSE_NAMES, Pose

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
Curves = dict[str, F64]

NATIVE_FPS = 25.0

# Mouth shapes of speech, and how often they come.
_VISEMES: tuple[tuple[float, dict[str, float]], ...] = (
    (0.20, {"jaw": 0.55, "lips": 0.25}),  # a
    (0.14, {"jaw": 0.28, "pucker": -0.45, "smile": 0.15, "lips": 0.2}),  # e
    (0.14, {"jaw": 0.14, "pucker": -0.40, "smile": 0.3, "lips": 0.2}),  # i
    (0.12, {"jaw": 0.38, "pucker": 0.55}),  # o
    (0.07, {"jaw": 0.14, "pucker": 0.75}),  # u
    (0.11, {"press": 0.45}),  # m
    (0.05, {"press": 0.25, "lips": 0.2, "jaw": 0.06}),  # f
    (0.07, {"jaw": 0.22, "lips": 0.15}),  # l
    (0.07, {"jaw": 0.05, "pucker": -0.35, "lips": 0.35}),  # s
    (0.03, {"jaw": 0.06, "pucker": 0.6}),  # w
)
_BLINK_PROFILE = np.array([0.3, 0.8, 1, 1, 0.7, 0.4, 0.15])
_MARGIN = 10  # frames drawn before and after, so that filters have neighbours


def sample_motion(
    factors: FaceFactors, rng: np.random.Generator, num_frames: int, fps: float = NATIVE_FPS
) -> F32:
    """Pose factors of a lively talking head.

    Args:
        factors: gives the ranges; its framing says how far the head turns and moves.
        rng: source of randomness.
        num_frames: length of the clip.
        fps: frames a second.

    Returns:
        [num_frames, P] float32; `factors.with_poses` makes latents of them.
    """
    num_native = int(np.ceil(num_frames * NATIVE_FPS / fps)) + 2 * _MARGIN + 1
    curves = {name: np.zeros(num_native) for name in POSE_NAMES}
    _talk(curves, rng)
    _mood(curves, rng)
    _turn_head(curves, rng, factors)
    _look_around(curves, rng)
    _blink(curves, rng)
    at = _MARGIN + np.arange(num_frames) * NATIVE_FPS / fps
    native = np.arange(num_native)
    rows = {name: np.interp(at, native, curve) for name, curve in curves.items()}
    poses = [Pose(**{name: float(rows[name][t]) for name in rows}) for t in range(num_frames)]
    return np.stack([factors.pose_factors(pose) for pose in poses])


def ornstein_uhlenbeck(
    rng: np.random.Generator, num: int, relaxation_s: float, sigma: float
) -> F64:
    """A smoothed stationary process [num] of that standard deviation at 25 frames a second."""
    spare = 60
    decay = float(np.exp(-1 / (NATIVE_FPS * relaxation_s)))
    noise = rng.standard_normal(num + 2 * spare) * np.sqrt(1 - decay**2)
    walk = np.empty_like(noise)
    value = float(rng.standard_normal())
    for i, step in enumerate(noise):
        value = decay * value + step
        walk[i] = value
    smooth = gaussian_filter1d(walk, 0.2 * relaxation_s * NATIVE_FPS)[spare:-spare]
    # The variance that the filter leaves, of a process with covariance exp(-|t| / relaxation).
    return np.asarray(smooth * sigma / 0.90)


def _talk(curves: Curves, rng: np.random.Generator) -> None:
    """Bursts of visemes of two to five frames each, and pauses, smoothed like muscles do."""
    num = len(curves["jaw"])
    strength = rng.uniform(0.9, 1.4)
    odds = np.array([share for share, _ in _VISEMES])
    talking = bool(rng.random() < 0.75)
    left, i = int(rng.integers(15, 60)), 0
    raw = {name: np.zeros(num) for name in ("jaw", "smile", "pucker", "lips", "press")}
    while i < num:
        length = int(rng.integers(2, 6))
        if talking:
            shape = _VISEMES[int(rng.choice(len(odds), p=odds))][1]
            gain = strength * rng.uniform(0.6, 1.2)
            for name, value in shape.items():
                raw[name][i : i + length] += value * gain
        i += length
        left -= length
        if left <= 0:
            talking = not talking
            left = int(rng.integers(15, 70) if talking else rng.integers(5, 25))
    for name, curve in raw.items():
        curves[name] += gaussian_filter1d(curve, 1.3, mode="nearest")


def _mood(curves: Curves, rng: np.random.Generator) -> None:
    num = len(curves["smile"])
    level = float(rng.choice([0.1, 0.25, 0.4, 0.65]))
    curves["smile"] += np.clip(level + ornstein_uhlenbeck(rng, num, 1.5, 0.2), -0.35, 1)
    curves["brows"] += 0.1 + rng.normal(0, 0.1) + ornstein_uhlenbeck(rng, num, 0.6, 0.18)
    curves["squint"] += rng.normal(0, 0.1) + ornstein_uhlenbeck(rng, num, 1.2, 0.12)


def _turn_head(curves: Curves, rng: np.random.Generator, factors: FaceFactors) -> None:
    """A resting pose and Ornstein–Uhlenbeck processes around it; speech nods a little."""
    num, f = len(curves["jaw"]), factors.framing
    for name, sigma, limit, relaxation_s in (
        ("yaw_deg", f.yaw_sigma_deg, f.yaw_limit_deg, 0.75),
        ("pitch_deg", f.pitch_sigma_deg, f.pitch_limit_deg, 0.65),
        ("roll_deg", f.roll_sigma_deg, f.roll_limit_deg, 0.8),
        ("shift_x", f.shift_sigma, f.shift_limit, 1.5),
        ("shift_y", f.shift_sigma, f.shift_limit, 1.5),
    ):
        rest = rng.normal(0, 0.55 * sigma)
        curve = rest + ornstein_uhlenbeck(rng, num, relaxation_s, 0.9 * sigma)
        # A soft limit: a head that reaches it slows down instead of stopping dead.
        curves[name] += limit * np.tanh(curve / limit)
    curves["pitch_deg"] += 2.0 * gaussian_filter1d(curves["jaw"], 2.0)
    size = rng.normal(0, 0.8 * f.size_sigma) + ornstein_uhlenbeck(rng, num, 2.0, 0.4 * f.size_sigma)
    curves["head_fraction"] += f.head_fraction * np.exp(np.clip(size, -f.size_limit, f.size_limit))


def _look_around(curves: Curves, rng: np.random.Generator) -> None:
    """Fixations with saccades between them; the eyes stay on their target as the head turns."""
    num, i = len(curves["jaw"]), 0
    gaze_x, gaze_y = np.zeros(num), np.zeros(num)
    while i < num:
        length = int(rng.gamma(2, 0.5) * NATIVE_FPS) + 4
        gaze_x[i : i + length] = rng.normal(0, 0.12)
        gaze_y[i : i + length] = rng.normal(-0.01, 0.06)
        i += length
    kernel = np.array([0.25, 0.5, 0.25])
    gaze_x = np.convolve(np.pad(gaze_x, 1, mode="edge"), kernel, "valid")
    gaze_y = np.convolve(np.pad(gaze_y, 1, mode="edge"), kernel, "valid")
    curves["gaze_x_rad"] += gaze_x - 0.4 * np.radians(curves["yaw_deg"])
    curves["gaze_y_rad"] += gaze_y + 0.3 * np.radians(curves["pitch_deg"])


def _blink(curves: Curves, rng: np.random.Generator) -> None:
    num = len(curves["blink"])
    i = int(rng.integers(0, 50))
    while i < num:
        profile = _BLINK_PROFILE[: num - i]
        curves["blink"][i : i + len(profile)] = profile
        i += int(np.clip(rng.gamma(2, 1.1), 0.4, 6) * NATIVE_FPS)
    curves["squint"] *= 1 - curves["blink"]
