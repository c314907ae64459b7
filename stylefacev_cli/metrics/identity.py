"""Identity over time: cosines of a video's identity features.

The numbers carry the name of the network of the features: cosines of different networks are not
comparable, and are to be read beside the cosine of different people.

ACD, the average content distance, comes from MoCoGAN (Tulyakov et al. 2018): the mean L2 distance
of all pairs of frames of a video, in OpenFace's features, which are of unit length. `acd` is
MoCoGAN's formula in the features of the network named beside it, and not comparable with the
numbers of MoCoGAN or MoCoGAN-HD, which use other networks (OpenFace; facenet-pytorch's
InceptionResnetV1 on 1,024 videos of 16 frames at 128 px, by issue 13 of its repository). For
talking heads, the distance to a reference image goes by the same name.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stylefacev_cli.errors import DataError
from stylefacev_cli.metrics.feature_distances import Estimate

Embeddings = NDArray[np.floating]  # [T, D]
MIN_FRAMES = 2
NUMBERS = ("mean_to_first", "last_to_first", "neighbours", "acd")  # scalars of a video
NUM_EXTREMES = 3


@dataclass(frozen=True)
class Identity:
    """Identity preservation of one video, or the means over several.

    Attributes:
        to_first: cosine of each frame to the first one, from the second frame on.
        to_previous: cosine of each frame to the one before, from the second frame on.
        mean_to_first: the mean of `to_first`.
        last_to_first: the same over its last quarter.
        neighbours: the mean of `to_previous`.
        acd: average content distance: the mean L2 distance of all pairs of frames, of features of
            unit length (0 to 2).
    """

    to_first: tuple[float, ...]
    to_previous: tuple[float, ...]
    mean_to_first: float
    last_to_first: float
    neighbours: float
    acd: float


@dataclass(frozen=True)
class OtherPeople:
    """Cosines of different people: the floor of all identity cosines."""

    mean: float
    sd: float
    num_pairs: int

    def kept(self, cosine: float) -> float | None:
        """A cosine rescaled so that different people are at 0 and the same image is at 1."""
        return (cosine - self.mean) / (1 - self.mean) if self.mean < 1 else None


def measure_identity(embeddings: Embeddings) -> Identity:
    """Identity preservation of one video.

    Args:
        embeddings: identity features of each frame [T, D], of any length but 0.

    Raises:
        DataError: there are too few frames, or features without direction.
    """
    if len(embeddings) < MIN_FRAMES:
        raise DataError(f"{len(embeddings)} frames; identity needs at least {MIN_FRAMES}")
    directions = _directions(embeddings)
    to_first = directions[1:] @ directions[0]
    to_previous = (directions[1:] * directions[:-1]).sum(axis=1)
    last = max(1, len(to_first) // 4)
    cosines = (directions @ directions.T)[np.triu_indices(len(directions), k=1)]
    return Identity(
        to_first=tuple(to_first.tolist()),
        to_previous=tuple(to_previous.tolist()),
        mean_to_first=float(to_first.mean()),
        last_to_first=float(to_first[-last:].mean()),
        neighbours=float(to_previous.mean()),
        acd=float(np.sqrt(np.maximum(2 - 2 * cosines, 0)).mean()),  # |a − b|² = 2 − 2·a·b
    )


def mean_identity(videos: list[Identity]) -> Identity:
    """The mean over videos of the same length."""
    assert videos and len({len(one.to_first) for one in videos}) == 1
    return Identity(
        to_first=_mean_curve([one.to_first for one in videos]),
        to_previous=_mean_curve([one.to_previous for one in videos]),
        **{name: estimate.mean for name, estimate in spread(videos).items()},
    )


def spread(videos: list[Identity]) -> dict[str, Estimate]:
    """Mean and sd over videos of each of `NUMBERS`; of a single video the sd is 0."""
    values = {name: [getattr(one, name) for one in videos] for name in NUMBERS}
    return {name: Estimate.of(numbers) for name, numbers in values.items()}


def other_people(features: list[NDArray[np.floating]], people: list[str]) -> OtherPeople | None:
    """The cosines of all pairs of different people; None if there are not two of them.

    Args:
        features: identity features [D] of one image of each video.
        people: the person in it.

    Raises:
        DataError: features without direction.
    """
    directions, person = _directions(np.stack(features)), np.array(people)
    cosines = (directions @ directions.T)[np.triu(person[:, None] != person[None], k=1)]
    if not len(cosines):
        return None
    return OtherPeople(float(cosines.mean()), float(cosines.std()), len(cosines))


def _directions(embeddings: Embeddings) -> NDArray[np.float64]:
    features = embeddings.astype(np.float64)
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    if not (np.isfinite(lengths).all() and (lengths > 0).all()):
        raise DataError("the identity network gave features without direction")
    return np.asarray(features / lengths)


def _mean_curve(curves: list[tuple[float, ...]]) -> tuple[float, ...]:
    return tuple(np.mean(curves, axis=0).tolist())
