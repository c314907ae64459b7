"""Recomposition metrics: recomposed faces against rendered ground truth.

    A's image, B's image → recomposed image, measured against the truth: A in the pose of B

The scores of a model stand beside those of baselines (a copy of A, one image for all, …) and of the
truth itself, whose landmark errors are those of the detector. Lengths are in distances between the
outer corners of the true eyes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stylefacev_cli.metrics.feature_distances import Estimate
from stylefacev_cli.metrics.image_quality import face_box, psnr, ssim
from stylefacev_cli.metrics.motion import LEFT_EYE, MOUTH_BOTTOM, MOUTH_TOP, RIGHT_EYE
from stylefacev_cli.networks.stylefacev.landmarks import key_points_from_landmarks

Images = NDArray[np.uint8]  # [N, S, S, 3], of one: [S, S, 3]
Points = NDArray[np.floating]  # [N, K, 2] fractions of the frame, of one: [K, 2]

# Images of the appearances, images of the poses → the recomposed images.
Recompose = Callable[[Images, Images], Images]

OUTER_CORNERS = (60, 72)  # of the eyes, in the 98 WFLW points
BROWS, NOSE_TIP = (0, 1), 8  # in the 14 key points
LEAST_CORRELATED = 8  # pairs; fewer give no meaningful correlation
GESTURES = ("turn", "eyes", "mouth", "brows")

# Images measured for each pair. All but `self` are compared with A in the pose of B.
ROWS = {
    "recomposed": "A's appearance, B's pose",
    "same_person": "A's appearance, the pose from A's image in that pose",
    "self": "A's appearance and pose, against A",
    "copy": "A's image as it is",
    "donor": "B's image as it is",
    "constant": "the mean of all true images",
    "generator": "the generator, from the true factors",
    "truth": "the truth itself",
}


@dataclass(frozen=True)
class Pair:
    """Two faces and the ground truth of their recomposition."""

    a: Images  # the appearance
    b: Images  # the pose
    truth: Images  # A in the pose of B
    a_landmarks: Points  # [98, 2]
    truth_landmarks: Points
    generated: Images | None = None  # the generator's image of the truth's latent


@dataclass(frozen=True)
class ImageMeasures:
    """The networks that measure images.

    Attributes:
        find_landmarks: images → [N, 98, 2].
        perceptual: two images [1, 3, S, S] in [−1, 1] → their distance; None: not measured.
    """

    find_landmarks: Callable[[Images], Points]
    perceptual: Callable[[Tensor, Tensor], Tensor] | None = None


@dataclass(frozen=True)
class Gestures:
    """Measures of head turn and expression from key points, in eye distances."""

    turn: float  # of the head: the nose's tip aside of the middle of the eyes, along their line
    eyes: float  # their opening, the mean of both
    mouth: float  # its opening, between the outer lips
    brows: float  # their height over the pupils, the mean of both


@dataclass(frozen=True)
class Scores:
    """Scores of one image against its ground truth."""

    psnr: float  # dB; 106 for equal images
    ssim: float
    face_psnr: float  # in the box around the true landmarks
    face_ssim: float
    perceptual: float | None
    landmarks: float  # mean error of the 98, eye distances; so are all that follow
    outline: float  # … of the 33 of the face's outline
    points: float  # … of the 14 key points
    position: float  # error of the key points' mean: where the head is
    turn: float  # errors of the gestures
    eyes: float
    mouth: float
    brows: float
    generated_gestures: Gestures
    true_gestures: Gestures


def measure_pairs(
    pairs: Iterable[Pair],
    recompose: Recompose,
    measures: ImageMeasures,
    constant: Images,
    *,
    batch: int = 8,
) -> Iterator[dict[str, Scores]]:
    """Scores of one pair after the other; `batch` of them are in memory.

    Args:
        pairs: with images of one size, at least 7 px.
        recompose: the model.
        measures: the networks that measure images.
        constant: one image [S, S, 3] for all pairs.
        batch: pairs recomposed at once.

    Yields:
        The scores of each of `ROWS`, without `generator` where the pair has no such image.
    """
    iterator = iter(pairs)
    while group := list(islice(iterator, batch)):
        a, b = np.stack([pair.a for pair in group]), np.stack([pair.b for pair in group])
        truth = np.stack([pair.truth for pair in group])
        own = np.stack([pair.a_landmarks for pair in group])
        truth_landmarks = np.stack([pair.truth_landmarks for pair in group])
        images_of = {
            "recomposed": recompose(a, b),
            "same_person": recompose(a, truth),
            "self": recompose(a, a),
            "copy": a,
            "donor": b,
            "constant": np.repeat(constant[None], len(group), axis=0),
            "generator": _stacked([pair.generated for pair in group]),
            "truth": truth,
        }
        rows = {
            row: score_images(
                images, *((a, own) if row == "self" else (truth, truth_landmarks)), measures
            )
            for row, images in images_of.items()
            if images is not None
        }
        for i in range(len(group)):
            yield {row: scores[i] for row, scores in rows.items()}


def _stacked(images: list[Images | None]) -> Images | None:
    present = [image for image in images if image is not None]
    return np.stack(present) if len(present) == len(images) else None


def score_images(
    images: Images, truth: Images, landmarks: Points, measures: ImageMeasures
) -> list[Scores]:
    """Scores of images against their ground truth.

    Args:
        images: [N, S, S, 3].
        truth: [N, S, S, 3].
        landmarks: of the truth [N, 98, 2].
        measures: the networks that measure images.
    """
    x, y = _as_tensor(images), _as_tensor(truth)
    face = face_box(torch.from_numpy(landmarks.astype(np.float32)), truth.shape[1])
    frame = torch.ones_like(face)
    of_frame = psnr(x, y, frame), ssim(x, y, frame)
    of_face = psnr(x, y, face), ssim(x, y, face)
    detected = measures.find_landmarks(images)
    return [
        Scores(
            psnr=float(of_frame[0][i]),
            ssim=float(of_frame[1][i]),
            face_psnr=float(of_face[0][i]),
            face_ssim=float(of_face[1][i]),
            perceptual=_perceptual(measures, x[i : i + 1], y[i : i + 1]),
            **point_errors(detected[i], landmarks[i]),
        )
        for i in range(len(images))
    ]


def point_errors(generated: Points, true: Points) -> dict[str, Any]:
    """The fields of `Scores` that come from landmarks [98, 2], by name."""
    unit = float(np.linalg.norm(true[OUTER_CORNERS[0]] - true[OUTER_CORNERS[1]]))
    assert unit > 0, "the true eyes are at one place"
    generated, true = generated.astype(np.float64) / unit, true.astype(np.float64) / unit
    distances = np.linalg.norm(generated - true, axis=1)
    points, true_points = (
        key_points_from_landmarks(torch.from_numpy(marks)).numpy() for marks in (generated, true)
    )
    of_generated, of_truth = gestures(points), gestures(true_points)
    return {
        "landmarks": float(distances.mean()),
        "outline": float(distances[:33].mean()),
        "points": float(np.linalg.norm(points - true_points, axis=1).mean()),
        "position": float(np.linalg.norm((points - true_points).mean(axis=0))),
        **{name: abs(getattr(of_generated, name) - getattr(of_truth, name)) for name in GESTURES},
        "generated_gestures": of_generated,
        "true_gestures": of_truth,
    }


def gestures(points: Points) -> Gestures:
    """Head turn and expression from 14 key points [14, 2] in eye distances."""
    left, right = points[LEFT_EYE[1]], points[RIGHT_EYE[1]]  # pupils
    line = (right - left) / max(float(np.linalg.norm(right - left)), 1e-9)

    def apart(first: int, second: int) -> float:
        return float(np.linalg.norm(points[first] - points[second]))

    return Gestures(
        turn=float((points[NOSE_TIP] - (left + right) / 2) @ line),
        eyes=float(np.mean([apart(eye[0], eye[2]) for eye in (LEFT_EYE, RIGHT_EYE)])),
        mouth=apart(MOUTH_TOP, MOUTH_BOTTOM),
        brows=float(np.mean([apart(BROWS[0], LEFT_EYE[1]), apart(BROWS[1], RIGHT_EYE[1])])),
    )


def summary(scores: list[Scores]) -> dict[str, Any]:
    """Summary of one row: mean and sd over the pairs, and correlations of gestures.

    Returns:
        Each number of `Scores` as {mean, sd}, and `correlation` of each gesture with the true
        one; None where either is constant, or there are fewer than 8 pairs.
    """
    assert scores
    plain = [name for name, value in asdict(scores[0]).items() if isinstance(value, float)]
    result: dict[str, Any] = {
        name: asdict(Estimate.of([getattr(one, name) for one in scores])) for name in plain
    }
    result["correlation"] = {
        name: _correlation(
            [getattr(one.generated_gestures, name) for one in scores],
            [getattr(one.true_gestures, name) for one in scores],
        )
        for name in GESTURES
    }
    return result


def _correlation(generated: list[float], true: list[float]) -> float | None:
    if len(generated) < LEAST_CORRELATED or min(np.ptp(generated), np.ptp(true)) < 1e-6:
        return None
    return float(np.corrcoef(generated, true)[0, 1])


def _perceptual(measures: ImageMeasures, images: Tensor, true: Tensor) -> float | None:
    if measures.perceptual is None:
        return None
    with torch.inference_mode():
        return float(measures.perceptual(images, true))


def _as_tensor(images: Images) -> Tensor:
    """Images [N, S, S, 3] → [N, 3, S, S] in [−1, 1]."""
    return torch.tensor(images).permute(0, 3, 1, 2).float() / 127.5 - 1
