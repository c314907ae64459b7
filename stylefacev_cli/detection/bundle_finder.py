"""Faces found by the landmark detector of a model: for footage of the kind that it was trained on.

The detector expects a square that a face fills. Squares are tried all over the picture in several
sizes; where the heatmaps' peaks are high there may be a face, and detection is repeated in the
square around its landmarks until that no longer moves.

Limits: the default model was trained on rendered faces only; for photographs of people use
`face-alignment`. Faces turned by more than 45°, tilted by more than 15° or cut off by the picture's
edge were not measured. What was measured stands in docs/experiments.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from stylefacev_cli.detection.crop_window import face_squares
from stylefacev_cli.detection.face_finders import U8, Face, Track, TrackRule
from stylefacev_cli.detection.face_track import follow_face
from stylefacev_cli.errors import UsageError
from stylefacev_cli.networks.resize import resize_square
from stylefacev_cli.networks.stylefacev.landmarks import (
    NUM_LANDMARKS,
    LandmarkDetector,
    landmarks_from_heatmaps,
)
from stylefacev_cli.networks.stylegan3.generator import Generator
from stylefacev_cli.weights.bundle import load_bundle

# Measured with default-64: mean peak 0.90 (0.88 at least) on faces that fill the square, above 0.65
# where the square is 1.5 times too large or too small or shifted by a fifth, below 0.25 on noise
# and texture.
# Other detectors peak higher or lower: scores are in units of their usual peak on faces that their
# model draws (default-128: 0.78).
_PEAK = 0.92  # the usual one of default-64, which the limits were measured with
_USUAL_FACES = 16
_POSSIBLE = 0.35
_ENOUGH = 0.7  # wrong places that the search can get stuck at reach 0.65
_CERTAIN = 0.8  # no better place need be looked for
_ZOOM = 1.5  # between the sizes of the squares
_STRIDE = 1 / 3  # of the squares, in their sides
_FLAT = 0.02  # standard deviation of brightness below which there is nothing to see
_MAX_REFINEMENTS = 4
_BATCH = 16
_MIN_SIDE_PX = 40


def open_bundle_finder(name: str, device: str, min_face_px: int) -> BundleFinder:
    """The finder of a model (arguments and errors as for `open_face_finder`)."""
    bundle = load_bundle(name)
    detector = bundle.networks.landmark_detector
    if detector is None:
        raise UsageError(f"--detector {name}: this model has no landmark detector")
    facts = {"name": bundle.manifest.name, "sha256": bundle.manifest.sha256, "landmarks": "98 WFLW"}
    try:
        detector = detector.to(device)
        peak = detector_statistics(detector, bundle.networks.generator).peak
        return BundleFinder(detector, facts, min_face_px, peak)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise UsageError(f"--device {device} cannot be used: {reason}") from error


class DetectorStatistics(NamedTuple):
    """How a detector responds to the faces that a generator draws.

    Attributes:
        peak: mean peak of its heatmaps.
        face_scale: side of the frames over that of the squares around the faces in them, median:
            how large a crop has to be for faces to fill it as in training; about 1 in the
            canonical framing, more in the others.
    """

    peak: float
    face_scale: float


@lru_cache(maxsize=2)  # asked of each photo and video
@torch.inference_mode()
def detector_statistics(
    detector: LandmarkDetector, generator: Generator | None
) -> DetectorStatistics:
    """Statistics over 16 generated faces; without a generator those of default-64."""
    if generator is None:
        return DetectorStatistics(_PEAK, 1.0)
    z = torch.randn(
        _USUAL_FACES, generator.config.z_dim, generator=torch.Generator().manual_seed(0)
    )
    images = generator(z.to(next(generator.parameters()).device)).clamp(-1, 1)
    frames = (images.to(next(detector.parameters()).device) + 1) / 2
    heatmaps = detector(resize_square(frames, detector.config.input_size))
    sides = face_squares(landmarks_from_heatmaps(heatmaps).cpu().numpy())[:, 2]
    face_scale = float(np.clip(1 / np.median(sides), 1.0, 2.0))
    return DetectorStatistics(float(heatmaps.amax((2, 3)).mean()), face_scale)


class BundleFinder:
    """Finds faces with the landmark detector of a model, see above."""

    num_landmarks = NUM_LANDMARKS

    def __init__(
        self,
        detector: LandmarkDetector,
        facts: dict[str, Any],
        min_face_px: int = 64,
        usual_peak: float = _PEAK,
    ) -> None:
        self.facts = facts
        self._detector = detector
        self._gain = _PEAK / max(usual_peak, 0.1)  # of scores; 0.1: an untrained detector
        self._min_side = max(min_face_px, _MIN_SIDE_PX)

    @torch.inference_mode()
    def find(self, picture: U8) -> list[Face]:
        """All faces of a picture [H, W, 3], the most certain first."""
        image = self._as_tensor(picture)
        height, width = image.shape[-2:]
        found: list[Face] = []
        side = float(min(height, width))
        while side >= min(0.8 * self._min_side, height, width):
            for candidate in self._candidates(image, side, found):
                if any(
                    _overlap(candidate.box, face.box) > 0.3 for face in found if _is_certain(face)
                ):
                    continue
                face = self._refined(image, candidate)
                if face is not None:
                    found = _merged(found, face)
            side /= _ZOOM
        return sorted(found, key=_uncertainty)

    @torch.inference_mode()
    def follow(self, picture: U8, face: Face) -> Face | None:
        """A face of the frame before in this one; None if it is lost."""
        image = self._as_tensor(picture)
        again = self._detect(image, [_square_of(face)])[0]
        if float(again.scores.mean()) < _POSSIBLE:
            return None
        # Looked at from where it is now: the landmarks must not lag behind the movement.
        return self._refined(image, again)

    def track(self, frames: Iterator[U8], rule: TrackRule, name: str) -> Track:
        """The face of every frame of a video, see `follow_face`."""
        return follow_face(self, frames, rule, name)

    def _as_tensor(self, picture: U8) -> Tensor:
        pixels = torch.tensor(picture, device=next(self._detector.parameters()).device)
        return pixels.permute(2, 0, 1)[None].float() / 255

    def _candidates(self, image: Tensor, side: float, found: list[Face]) -> list[Face]:
        """Squares all over the picture that may hold another face, the most certain first."""
        height, width = image.shape[-2:]
        grey = image.mean(1)
        places = []
        for y in _places(height, side):
            for x in _places(width, side):
                rows = slice(int(y - side / 2), int(y + side / 2))
                part = grey[:, rows, int(x - side / 2) : int(x + side / 2)]
                if float(part.std()) > _FLAT and not any(
                    _is_in(x, y, face.box) for face in found if _is_certain(face)
                ):
                    places.append((x, y, side))
        candidates = self._detect(image, places)
        candidates = [
            candidate for candidate in candidates if float(candidate.scores.mean()) >= _POSSIBLE
        ]
        return sorted(candidates, key=_uncertainty)

    def _refined(self, image: Tensor, face: Face) -> Face | None:
        """Detect again in the square around the landmarks, until it no longer moves."""
        height, width = image.shape[-2:]
        for _ in range(_MAX_REFINEMENTS):
            x, y, side = square = _square_of(face)
            if not (0 < x < width and 0 < y < height and 16 <= side <= 2 * max(width, height)):
                return None
            face = self._detect(image, [square])[0]
            if float(face.scores.mean()) < _POSSIBLE:
                return None
            after = _square_of(face)
            moved = np.hypot(after[0] - x, after[1] - y) / side
            if moved < 0.03 and 0.93 < after[2] / side < 1.07:
                break
        return face if float(face.scores.mean()) >= _ENOUGH else None

    def _detect(self, image: Tensor, squares: list[tuple[float, float, float]]) -> list[Face]:
        """The face that the detector predicts in each square (x and y of the centre, side)."""
        size = self._detector.config.input_size
        faces = []
        for start in range(0, len(squares), _BATCH):
            cuts = [_cut(image, square, size) for square in squares[start : start + _BATCH]]
            heatmaps = self._detector(torch.cat([part for part, _ in cuts]))
            places = landmarks_from_heatmaps(heatmaps).cpu().numpy()
            scores = (self._gain * heatmaps.amax((2, 3))).clamp(0, 1).cpu().numpy()
            for (_, (left, top, side)), points, score in zip(cuts, places, scores, strict=True):
                landmarks = (points * side + [left, top]).astype(np.float32)
                faces.append(Face(landmarks, score, _box_of(landmarks)))
        return faces


def _places(length: int, side: float) -> list[float]:
    """Centres of squares along an axis, from edge to edge."""
    count = int(np.ceil((length - side) / (_STRIDE * side) - 1e-6)) + 1
    return [float(c) for c in np.linspace(side / 2, length - side / 2, count)]


def _cut(
    image: Tensor, square: tuple[float, float, float], size: int
) -> tuple[Tensor, tuple[int, int, int]]:
    """A square of the picture at the detector's size; beyond the picture its edge goes on."""
    x, y, length = square
    side = max(round(length), 1)
    left, top = round(x - side / 2), round(y - side / 2)
    height, width = image.shape[-2:]
    right, bottom = left + side, top + side
    part = image[..., max(top, 0) : min(bottom, height), max(left, 0) : min(right, width)]
    beyond = [max(-left, 0), max(right - width, 0), max(-top, 0), max(bottom - height, 0)]
    if any(beyond):
        part = F.pad(part, beyond, mode="replicate")
    return resize_square(part, size), (left, top, side)


def _square_of(face: Face) -> tuple[float, float, float]:
    x, y, side = face_squares(face.landmarks)
    return float(x), float(y), float(side)


def _box_of(landmarks: np.ndarray) -> np.ndarray:
    return np.concatenate([landmarks.min(0), landmarks.max(0)]).astype(np.float32)


def _uncertainty(face: Face) -> float:
    return -float(face.scores.mean())


def _is_certain(face: Face) -> bool:
    return float(face.scores.mean()) >= _CERTAIN


def _merged(found: list[Face], face: Face) -> list[Face]:
    """The faces and another one; of overlapping ones the most certain stays."""
    rivals = [other for other in found if _overlap(other.box, face.box) > 0.3]
    if any(_uncertainty(other) <= _uncertainty(face) for other in rivals):
        return found
    return [other for other in found if not any(other is rival for rival in rivals)] + [face]


def _is_in(x: float, y: float, box: np.ndarray) -> bool:
    return bool(box[0] < x < box[2] and box[1] < y < box[3])


def _overlap(a: np.ndarray, b: np.ndarray) -> float:
    """The overlap of two boxes, as a fraction of the smaller one."""
    low, high = np.maximum(a[:2], b[:2]), np.minimum(a[2:], b[2:])
    common = float(np.prod(np.maximum(high - low, 0)))
    areas = [float(np.prod(box[2:] - box[:2])) for box in (a, b)]
    return common / max(min(areas), 1e-6)
