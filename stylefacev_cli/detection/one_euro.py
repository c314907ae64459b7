"""The one-euro filter: points held still where they only tremble, let go where they move.

Source: Casiez, Roussel and Vogel 2012, "1€ Filter". A low pass x̂ₜ = α xₜ + (1 − α) x̂ₜ₋₁ with
α = 1 / (1 + fps / (2π f)), whose cutoff f = f₀ + β |v̂| grows with the filtered speed v̂.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

_REST_HZ = 2.0  # f₀
_OF_SPEED = 20.0  # β, in Hz for a speed of one face a second
_SPEED_HZ = 5.0  # cutoff of the speed's own filter


class OneEuroFilter:
    """Smooths the points of one face, frame after frame."""

    def __init__(self, fps: float) -> None:
        """Begin with the next frame.

        Args:
            fps: frames a second.
        """
        self._fps = fps
        self._points: F64 | None = None
        self._speeds: F64 = np.zeros(())

    def step(self, points: F32, size: float) -> F32:
        """The smoothed points of the next frame.

        Args:
            points: [K, C] of any unit.
            size: of the face, in that unit.
        """
        exact = points.astype(np.float64)
        if self._points is None:
            self._points, self._speeds = exact, np.zeros(len(exact))
            return points
        moved = np.linalg.norm(exact - self._points, axis=1) * self._fps / max(size, 1e-6)
        self._speeds = self._speeds + self._share(_SPEED_HZ) * (moved - self._speeds)
        share = self._share(_REST_HZ + _OF_SPEED * self._speeds)[:, None]
        self._points = self._points + share * (exact - self._points)
        return self._points.astype(np.float32)

    def _share(self, cutoff_hz: NDArray[np.float64] | float) -> NDArray[np.float64]:
        return np.asarray(1 / (1 + self._fps / (2 * np.pi * np.asarray(cutoff_hz))))


def smoothed(points: F32, sizes: NDArray[np.floating], fps: float) -> F32:
    """Smoothed points [T, K, C]; a new beginning after each frame without a face.

    Args:
        points: NaN where there is no face.
        sizes: [T] of the face, in the same unit.
        fps: frames a second.
    """
    result: F32 = points.copy()
    one_euro: OneEuroFilter | None = None
    for number, size in enumerate(sizes):
        if np.isnan(points[number]).any():
            one_euro = None
            continue
        one_euro = one_euro or OneEuroFilter(fps)
        result[number] = one_euro.step(points[number], float(size))
    return result


def jitter(points: F32, sizes: NDArray[np.floating]) -> float:
    """How far points [T, K, C] tremble in the video's calmest frames, in sizes.

    A point's distance from the middle of its places one frame before and after: the median over the
    points, and of the frames the one that a tenth of them lie below; where a face moves fast it is
    movement. NaN with fewer than three frames on end.
    """
    if len(points) < 3:
        return float("nan")
    away = np.linalg.norm(points[1:-1] - (points[:-2] + points[2:]) / 2, axis=2)
    shares = np.median(away, axis=1) / np.asarray(sizes)[1:-1]
    known = shares[~np.isnan(shares)]
    return float(np.quantile(known, 0.1)) if known.size else float("nan")
