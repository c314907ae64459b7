"""Crop windows: one square for a clip or an image, from the landmarks of the face.

The square of a face is FFHQ's (Karras et al. 2018, appendix C) without its rotation: its centre
lies a tenth of the way from the eyes to the mouth, and its side is four times the distance of the
eyes or 3.6 times that from eyes to mouth, whichever is more. Rendered faces in `canonical` framing
fill the frame in just this way.

All lengths are in pixels of the picture; the centre of column i lies at i + 0.5.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

F64 = NDArray[np.float64]
U8 = NDArray[np.uint8]

RESIZE_RULE = "Lanczos, antialiased (Pillow), of integer windows"

# Why something was left out: the words of `sources.jsonl` and of the report.
NO_FACE = "no face"
TWO_FACES = "two faces"
TOO_SHORT = "too short"
TOO_SMALL = "face too small"
LEAVES_WINDOW = "face leaves the window"
LEAVES_PICTURE = "window leaves the picture"
NOT_SQUARE = "not square"

# Eyes (all their points) and the corners of the mouth, by the number of landmarks.
_PARTS = {
    98: (range(60, 68), range(68, 76), (76, 82)),
    68: (range(36, 42), range(42, 48), (48, 54)),
}
_MAX_STEP = 0.25  # from frame to frame, in sides of the square: a cut or a jump, no movement
_MAX_ZOOM = 1.25  # from frame to frame
_MIN_FIT = 0.8  # a window may be this much smaller than target_side, so as to stay in the picture
_BORDER = 0.01  # of the window, in which no landmark may lie


class Window(NamedTuple):
    """A square part of a picture."""

    left: int
    top: int
    side: int

    def fractions(self, landmarks: NDArray[np.floating]) -> NDArray[np.float32]:
        """Landmarks [..., 2] of the picture as fractions of the window."""
        return ((landmarks - [self.left, self.top]) / self.side).astype(np.float32)

    def cut(self, picture: U8, size_px: int) -> U8:
        """The part of a picture [H, W, 3], resized: [size_px, size_px, 3]."""
        rows = slice(self.top, self.top + self.side)
        part = picture[rows, self.left : self.left + self.side]
        assert part.shape[:2] == (self.side, self.side), "windows lie inside the picture"
        if self.side == size_px:
            return np.ascontiguousarray(part)
        image = Image.fromarray(np.ascontiguousarray(part))
        return np.asarray(image.resize((size_px, size_px), Image.Resampling.LANCZOS))


@dataclass(frozen=True)
class RunRule:
    """How a video is cut into clips."""

    min_frames: int = 60
    max_frames: int = 300
    max_travel: float = 0.75  # how far a face may move in a clip, in sides of its square


class Run(NamedTuple):
    """Frames first … last − 1 of a video; a reason if they do not become a clip."""

    first: int
    last: int
    reason: str | None


def face_squares(landmarks: NDArray[np.floating], scale: float = 1.0) -> F64:
    """The square around each face.

    Args:
        landmarks: [..., 98, 2] or [..., 68, 2] px.
        scale: side of the square in units of FFHQ's crop of the face.

    Returns:
        [..., 3]: x and y of the centre, side.
    """
    right, left, mouth = (
        landmarks[..., list(part), :].mean(-2).astype(np.float64)
        for part in _PARTS[landmarks.shape[-2]]
    )
    eyes = (right + left) / 2
    to_mouth = mouth - eyes
    apart = np.linalg.norm(left - right, axis=-1)
    side = scale * np.maximum(4.0 * apart, 3.6 * np.linalg.norm(to_mouth, axis=-1))
    return np.concatenate([eyes + 0.1 * to_mouth, side[..., None]], axis=-1)


def split_runs(squares: F64, reasons: list[str | None], rule: RunRule) -> list[Run]:
    """Split a video where faces are missing, jump or travel, and where clips grow too long.

    Args:
        squares: [T, 3]; NaN where there is no face.
        reasons: [T] why a frame cannot be used, or None.
        rule: of the clips.

    Returns:
        Runs in order, the unusable ones with their reason; together they hold every frame.
    """
    runs: list[Run] = []
    first = 0
    for i in range(1, len(reasons) + 1):
        if i < len(reasons) and reasons[i] == reasons[first]:
            if reasons[i] is not None or not _is_cut(squares[i - 1], squares[i]):
                continue
        if reasons[first] is None:
            runs += _pieces(squares, first, i, rule)
        else:
            runs.append(Run(first, i, reasons[first]))
        first = i
    return runs


def whole_frames(width: int, height: int) -> Window | str:
    """The window that is the whole picture, or the reason why there is none."""
    return Window(0, 0, width) if width == height else NOT_SQUARE


def fit_window(
    squares: F64, landmarks: NDArray[np.floating], width: int, height: int, margin: float
) -> Window | str:
    """The one window of a clip: around the squares of all its frames, inside the picture.

    Args:
        squares: [T, 3].
        landmarks: [T, K, 2] px; all of them must lie in the window.
        width: of the picture.
        height: of the picture.
        margin: added on each side, as a fraction of the squares' union.

    Returns:
        The window, or the reason why there is none.
    """
    half = squares[:, 2:] / 2
    low, high = (squares[:, :2] - half).min(0), (squares[:, :2] + half).max(0)
    target_side = float((high - low).max()) * (1 + 2 * margin)
    side = min(round(target_side), width, height)
    if side < _MIN_FIT * target_side:
        return LEAVES_PICTURE
    return _placed((low + high) / 2, side, landmarks, width, height)


def steady_window(
    squares: F64, landmarks: NDArray[np.floating], width: int, height: int
) -> Window | str:
    """The one window of a video in which the face has the size that a model was trained on.

    It is the median of the squares, which a turned or nodding head leaves and comes back to; where
    a landmark of a frame would leave it, that of `fit_window`, in which the face is smaller.

    Args:
        squares: [T, 3].
        landmarks: [T, K, 2] px.
        width: of the picture.
        height: of the picture.

    Returns:
        The window, or the reason why there is none.
    """
    *centre, target_side = np.median(squares, axis=0)
    side = min(round(float(target_side)), width, height)
    if side >= _MIN_FIT * target_side:
        window = _placed(np.array(centre), side, landmarks, width, height)
        if isinstance(window, Window):
            return window
    return fit_window(squares, landmarks, width, height, margin=0.0)


def shifted_window(
    landmarks: NDArray[np.floating],
    width: int,
    height: int,
    *,
    shift: float,
    tries: int,
    random: np.random.Generator,
) -> Window | str:
    """The window of an image as in FFHQ-U: not rotated, shifted at random, never padded.

    The shift is drawn from a normal distribution of standard deviation `shift`, in sides of the
    square, on each axis. Where the window leaves the picture or a landmark leaves the window,
    another one is drawn, from narrower and narrower distributions; the last try has no shift.

    Args:
        landmarks: [K, 2] px.
        width: of the picture.
        height: of the picture.
        shift: standard deviation; 0.1 is FFHQ-U's.
        tries: how many shifts are drawn.
        random: where from.

    Returns:
        The window, or the reason why there is none.
    """
    *centre, length = face_squares(landmarks)
    side = round(float(length))
    for k in range(tries + 1):
        sigma = shift * length * (tries - k) / max(tries, 1)
        moved = np.array(centre) + random.normal(0, 1, 2) * sigma
        left, top = np.rint(moved - side / 2).astype(int)
        window = Window(int(left), int(top), side)
        is_inside = left >= 0 and top >= 0 and left + side <= width and top + side <= height
        if is_inside and _contains(window, landmarks):
            return window
    return LEAVES_PICTURE


def _is_cut(before: F64, after: F64) -> bool:
    step = np.linalg.norm(after[:2] - before[:2]) / min(before[2], after[2])
    zoom = max(before[2], after[2]) / min(before[2], after[2])
    return bool(step > _MAX_STEP or zoom > _MAX_ZOOM)


def _pieces(squares: F64, first: int, last: int, rule: RunRule) -> list[Run]:
    """Cut a run where the face has gone too far for one window, and into even pieces."""
    runs = []
    while first < last:
        half = squares[first:last, 2:] / 2
        low = np.minimum.accumulate(squares[first:last, :2] - half)
        high = np.maximum.accumulate(squares[first:last, :2] + half)
        union = (high - low).max(1)
        fits = union <= (1 + rule.max_travel) * squares[first:last, 2].mean()
        end = first + (int(np.argmin(fits)) if not fits.all() else last - first)
        end = max(end, first + 1)
        count = -(-(end - first) // rule.max_frames)
        edges = [first + (end - first) * i // count for i in range(count + 1)]
        for a, b in zip(edges, edges[1:], strict=False):
            runs.append(Run(a, b, None if b - a >= rule.min_frames else TOO_SHORT))
        first = end
    return runs


def _placed(
    centre: F64, side: int, landmarks: NDArray[np.floating], width: int, height: int
) -> Window | str:
    """A window of that side, as near to the centre as the picture allows."""
    left, top = np.rint(centre - side / 2).astype(int)
    window = Window(int(np.clip(left, 0, width - side)), int(np.clip(top, 0, height - side)), side)
    return window if _contains(window, landmarks) else LEAVES_WINDOW


def _contains(window: Window, landmarks: NDArray[np.floating]) -> bool:
    places = window.fractions(landmarks)
    return bool(((places >= _BORDER) & (places <= 1 - _BORDER)).all())
