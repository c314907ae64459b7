"""Colours of skin, hair and eyes as smooth functions; all linear RGB."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

F64 = NDArray[np.float64]
Color = tuple[float, float, float]

_SKIN = np.array(
    [
        [0.60, 0.375, 0.28],
        [0.52, 0.31, 0.22],
        [0.41, 0.24, 0.165],
        [0.34, 0.19, 0.122],
        [0.20, 0.105, 0.065],
        [0.115, 0.058, 0.036],
        [0.075, 0.038, 0.025],
    ]
)
_HAIR = np.array(  # black, dark brown, brown, light brown, blond, platinum
    [
        [0.016, 0.0125, 0.0105],
        [0.034, 0.0205, 0.0135],
        [0.065, 0.037, 0.021],
        [0.14, 0.085, 0.047],
        [0.27, 0.175, 0.085],
        [0.39, 0.29, 0.17],
    ]
)
_RED_HAIR = np.array([0.17, 0.055, 0.020])
_GREY_HAIR = np.array([0.36, 0.355, 0.35])
_IRIS_RIM = np.array(  # outer and inner colour: dark brown … grey
    [
        [0.06, 0.028, 0.012],
        [0.10, 0.05, 0.02],
        [0.19, 0.12, 0.05],
        [0.12, 0.16, 0.07],
        [0.11, 0.19, 0.27],
        [0.20, 0.29, 0.36],
        [0.22, 0.25, 0.26],
    ]
)


def smooth_step(low: float, high: float, x: ArrayLike) -> F64:
    """0 below `low`, 1 above `high`, 3t² − 2t³ between."""
    t = np.clip((np.asarray(x, np.float64) - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def skin_color(tone: float) -> F64:
    """Skin albedo [3] for a tone of 0 light … 1 dark."""
    return _interpolate(_SKIN, tone)


def average_tone(ancestry: tuple[float, float, float]) -> float:
    """The tone around which people of an ancestry (african, asian, caucasian) vary."""
    return 0.76 * ancestry[0] + 0.34 * ancestry[1] + 0.17 * ancestry[2]


def hair_shade(ancestry: tuple[float, float, float], draw: float) -> float:
    """0 dark … 1 light for a standard normal draw; light shades are rare outside one ancestry."""
    light = ancestry[2] ** 1.3
    return float(np.clip(0.06 + 0.52 * light + (0.08 + 0.22 * light) * draw, 0, 1))


def hair_color(
    shade: float, red: float, grey: float, ancestry: tuple[float, float, float]
) -> Color:
    """Colour of the strands: shade 0 … 1, red a standard normal draw, grey a share."""
    color = np.exp(_interpolate(np.log(_HAIR), shade))
    redness = np.clip(0.5 * red - 0.45, 0, 1) * (1 - 0.8 * max(ancestry[:2]))
    color = color + (_RED_HAIR - color) * redness
    color = color + (_GREY_HAIR - color) * grey
    return float(color[0]), float(color[1]), float(color[2])


def iris_colors(shade: float) -> tuple[F64, F64]:
    """Rim and centre colour of the iris, each [3], for a shade of 0 dark … 1 grey."""
    rim = _interpolate(_IRIS_RIM, shade)
    return rim, rim * np.array([0.55, 0.58, 0.62])


def tinted_color(level: float, light: float, red: float, blue: float) -> Color:
    """A muted colour around a grey `level`; light, red and blue are logarithms."""
    tint = np.array([red, -0.2 * (red + blue), blue])
    color = np.clip(level * np.exp(light + tint), 0.015, 0.85)
    return float(color[0]), float(color[1]), float(color[2])


def _interpolate(table: F64, position: float) -> F64:
    x = float(np.clip(position, 0, 1)) * (len(table) - 1)
    i = min(int(x), len(table) - 2)
    return np.asarray(table[i] * (1 - (x - i)) + table[i + 1] * (x - i))
