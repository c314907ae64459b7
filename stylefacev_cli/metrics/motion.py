"""Motion statistics from key points over time: speed, jitter, range, blinks, mouth, drift.

Lengths are in eye distances, so that size and resolution of the face do not matter, and times in
seconds. Jitter is to be read beside speed, since smoothing lowers both.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from stylefacev_cli.errors import DataError

Track = NDArray[np.floating]  # [T, 14, 2], fractions of the frame

MIN_FRAMES = 8
# Places in the 14 key points of StyleFaceV, see `networks.landmarks.key_points_from_landmarks`.
LEFT_EYE = (2, 3, 4)  # upper lid, pupil, lower lid
RIGHT_EYE = (5, 6, 7)
MOUTH_TOP, MOUTH_BOTTOM = 9, 10
CLOSED_SHARE = 0.6  # of the median opening; below, the eye is closed
DRIFT_SHARE = 0.25  # of the video at either end


@dataclass(frozen=True)
class Motion:
    """Motion statistics of one video, or the means over several."""

    speed: float  # mean of the key points, eye distances / s
    jitter: float  # mean acceleration, eye distances / s²
    range: float  # standard deviation of the places over time, eye distances
    mouth: float  # standard deviation of its opening, eye distances
    blinks: float  # a minute
    drift: float  # mean place in the last quarter from that in the first, eye distances


def measure_motion(track: Track, fps: float) -> Motion:
    """Motion statistics of one video.

    Args:
        track: key points [T, 14, 2] as fractions of the frame.
        fps: frames a second.

    Raises:
        DataError: there are too few frames, or no two eyes.
    """
    assert track.ndim == 3 and track.shape[1:] == (14, 2), (
        f"track [T, 14, 2] expected, got {list(track.shape)}"
    )
    if len(track) < MIN_FRAMES:
        raise DataError(f"{len(track)} frames; motion needs at least {MIN_FRAMES}")
    track = track.astype(np.float64)
    eyes = track[:, LEFT_EYE[1]] - track[:, RIGHT_EYE[1]]
    unit = float(np.median(np.linalg.norm(eyes, axis=1)))
    if not unit > 0:
        raise DataError("the two eyes are at one place: no face was found")
    places = track / unit
    velocity = np.diff(places, axis=0) * fps
    acceleration = np.diff(velocity, axis=0) * fps
    edge = max(1, round(len(places) * DRIFT_SHARE))
    moved = places[-edge:].mean(axis=0) - places[:edge].mean(axis=0)
    return Motion(
        speed=_mean_length(velocity),
        jitter=_mean_length(acceleration),
        range=float(np.sqrt(places.var(axis=0).sum(axis=1)).mean()),
        mouth=float(_opening(places, MOUTH_TOP, MOUTH_BOTTOM).std()),
        blinks=_num_blinks(places) / (len(places) / fps) * 60,
        drift=_mean_length(moved),
    )


def mean_motion(motions: list[Motion]) -> Motion:
    """The mean of every statistic over several videos."""
    assert motions
    return Motion(
        **{f.name: float(np.mean([getattr(m, f.name) for m in motions])) for f in fields(Motion)}
    )


def _mean_length(vectors: Track) -> float:
    return float(np.linalg.norm(vectors, axis=-1).mean())


def _opening(places: Track, top: int, bottom: int) -> Track:
    return np.asarray(np.linalg.norm(places[:, top] - places[:, bottom], axis=1))


def _num_blinks(places: Track) -> int:
    """How often both eyes go from open to closed."""
    openings = [_opening(places, eye[0], eye[2]) for eye in (LEFT_EYE, RIGHT_EYE)]
    opening = np.mean(openings, axis=0)
    closed = opening < CLOSED_SHARE * np.median(opening)
    return int((closed[1:] & ~closed[:-1]).sum())
