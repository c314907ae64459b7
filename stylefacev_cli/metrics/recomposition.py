"""How near a recomposed face is to the face that was to be made, where that is known.

    A's image, B's image → made          measured against the truth: A in the pose of B

Beside what a model makes stands what others would get: the copy of A, one image for all, … and at
the top the truth itself, whose errors of landmarks are those of the detector. Lengths are in
distances between the outer corners of the true eyes.
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

# Who shows the appearance, who shows the pose → the images made, one for each two.
Recompose = Callable[[Images, Images], Images]

OUTER_CORNERS = (60, 72)  # of the eyes, in the 98 WFLW points
BROWS, NOSE_TIP = (0, 1), 8  # in the 14 key points
LEAST_CORRELATED = 8  # pairs; of fewer, a correlation is chance
GESTURES = ("turn", "eyes", "mouth", "brows")

# What is measured of each pair. All but `self` are measured against A in the pose of B.
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
    """Two faces, and what is to be made of them."""

    a: Images  # who it is
    b: Images  # how it looks and where
    truth: Images  # A in the pose of B
    a_landmarks: Points  # [98, 2]
    truth_landmarks: Points
    generated: Images | None = None  # what the generator makes of the truth's own latent


@dataclass(frozen=True)
class ImageMeasures:
    """What looks at images.

    Attributes:
        find_landmarks: images → [N, 98, 2].
        perceptual: two images [1, 3, S, S] in [−1, 1] → their distance; None: not measured.
    """

    find_landmarks: Callable[[Images], Points]
    perceptual: Callable[[Tensor, Tensor], Tensor] | None = None


@dataclass(frozen=True)
class Gestures:
    """What key points say of an expression, in eye distances."""

    turn: float  # of the head: the nose's tip aside of the middle of the eyes, along their line
    eyes: float  # their opening, the mean of both
    mouth: float  # its opening, between the outer lips
    brows: float  # their height over the pupils, the mean of both


@dataclass(frozen=True)
class Scores:
    """One image against what it should be."""

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
    made: Gestures
    true: Gestures


def measure_pairs(
    pairs: Iterable[Pair],
    recompose: Recompose,
    instruments: ImageMeasures,
    constant: Images,
    *,
    batch: int = 8,
) -> Iterator[dict[str, Scores]]:
    """Measure one pair after the other; `batch` of them are in memory.

    Args:
        pairs: with images of one size, at least 7 px.
        recompose: the model.
        instruments: what looks at the images.
        constant: one image [S, S, 3] for all pairs.
        batch: pairs recomposed at once.

    Yields:
        The scores of each of `ROWS`, without `generator` where the pair has no such image.
    """
    iterator = iter(pairs)
    while some := list(islice(iterator, batch)):
        a, b = np.stack([pair.a for pair in some]), np.stack([pair.b for pair in some])
        truth = np.stack([pair.truth for pair in some])
        own = np.stack([pair.a_landmarks for pair in some])
        wanted = np.stack([pair.truth_landmarks for pair in some])
        made = {
            "recomposed": recompose(a, b),
            "same_person": recompose(a, truth),
            "self": recompose(a, a),
            "copy": a,
            "donor": b,
            "constant": np.repeat(constant[None], len(some), axis=0),
            "generator": _stacked([pair.generated for pair in some]),
            "truth": truth,
        }
        rows = {
            row: score_images(
                images, *((a, own) if row == "self" else (truth, wanted)), instruments
            )
            for row, images in made.items()
            if images is not None
        }
        for i in range(len(some)):
            yield {row: scores[i] for row, scores in rows.items()}


def _stacked(images: list[Images | None]) -> Images | None:
    there = [image for image in images if image is not None]
    return np.stack(there) if len(there) == len(images) else None


def score_images(
    made: Images, truth: Images, landmarks: Points, instruments: ImageMeasures
) -> list[Scores]:
    """Each image against its truth.

    Args:
        made: [N, S, S, 3].
        truth: [N, S, S, 3].
        landmarks: of the truth [N, 98, 2].
        instruments: what looks at them.
    """
    x, y = _as_tensor(made), _as_tensor(truth)
    face = face_box(torch.from_numpy(landmarks.astype(np.float32)), truth.shape[1])
    everywhere = torch.ones_like(face)
    similar = psnr(x, y, everywhere), ssim(x, y, everywhere)
    face_similar = psnr(x, y, face), ssim(x, y, face)
    found = instruments.find_landmarks(made)
    return [
        Scores(
            psnr=float(similar[0][i]),
            ssim=float(similar[1][i]),
            face_psnr=float(face_similar[0][i]),
            face_ssim=float(face_similar[1][i]),
            perceptual=_perceptual(instruments, x[i : i + 1], y[i : i + 1]),
            **point_errors(found[i], landmarks[i]),
        )
        for i in range(len(made))
    ]


def point_errors(made: Points, true: Points) -> dict[str, Any]:
    """The fields of `Scores` that come from landmarks [98, 2], by name."""
    unit = float(np.linalg.norm(true[OUTER_CORNERS[0]] - true[OUTER_CORNERS[1]]))
    assert unit > 0, "the true eyes are at one place"
    made, true = made.astype(np.float64) / unit, true.astype(np.float64) / unit
    distances = np.linalg.norm(made - true, axis=1)
    points, true_points = (
        key_points_from_landmarks(torch.from_numpy(marks)).numpy() for marks in (made, true)
    )
    has, wants = gestures(points), gestures(true_points)
    return {
        "landmarks": float(distances.mean()),
        "outline": float(distances[:33].mean()),
        "points": float(np.linalg.norm(points - true_points, axis=1).mean()),
        "position": float(np.linalg.norm((points - true_points).mean(axis=0))),
        **{name: abs(getattr(has, name) - getattr(wants, name)) for name in GESTURES},
        "made": has,
        "true": wants,
    }


def gestures(points: Points) -> Gestures:
    """What 14 key points [14, 2] in eye distances say of an expression."""
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
    """Of one row: mean and sd over the pairs, and how gestures follow the true ones.

    Returns:
        Each number of `Scores` as {mean, sd}, and `correlation` of each gesture, made with true;
        None where one of both is always the same, or there are fewer than 8 pairs.
    """
    assert scores
    plain = [name for name, value in asdict(scores[0]).items() if isinstance(value, float)]
    found: dict[str, Any] = {
        name: asdict(Estimate.of([getattr(one, name) for one in scores])) for name in plain
    }
    found["correlation"] = {
        name: _correlation(
            [getattr(one.made, name) for one in scores], [getattr(one.true, name) for one in scores]
        )
        for name in GESTURES
    }
    return found


def _correlation(made: list[float], true: list[float]) -> float | None:
    if len(made) < LEAST_CORRELATED or min(np.ptp(made), np.ptp(true)) < 1e-6:
        return None
    return float(np.corrcoef(made, true)[0, 1])


def _perceptual(instruments: ImageMeasures, made: Tensor, true: Tensor) -> float | None:
    if instruments.perceptual is None:
        return None
    with torch.inference_mode():
        return float(instruments.perceptual(made, true))


def _as_tensor(images: Images) -> Tensor:
    """Images [N, S, S, 3] → [N, 3, S, S] in [−1, 1]."""
    return torch.tensor(images).permute(0, 3, 1, 2).float() / 127.5 - 1
