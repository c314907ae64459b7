"""Whether a person stays the same: cosines of identity features over time.

The numbers carry the name of the network that gave the features: cosines of different networks are
not comparable, and say something only beside the cosine of different people.

ACD, the average content distance, comes from MoCoGAN (Tulyakov et al. 2018): the mean L2 distance
of all pairs of frames of a video, in OpenFace's features, which are of unit length. MoCoGAN-HD's
maintainers did not put their code for it into their repository; asked in its issue 13, they said
that they follow MoCoGAN, and posted a script: facenet-pytorch's InceptionResnetV1 (VGGFace2; unit
length as well), 1,024 videos of 16 frames, halved by averaging to 128 px. Only the beginning of
that script could be read here, not how it goes from features to the number, so `acd` is MoCoGAN's
formula: all pairs of frames, L2, unit length, mean over videos. It is that variant in the features
of the network named beside it, and not comparable with either paper's numbers. (Another thing goes
by the same name for talking heads: the distance to a reference picture.)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stylefacev_cli.errors import DataError
from stylefacev_cli.metrics.feature_distances import Estimate

Embeddings = NDArray[np.floating]  # [T, D]
MIN_FRAMES = 2
NUMBERS = ("mean_to_first", "last_to_first", "neighbours", "acd")  # of a video, without its curves
NUM_EXTREMES = 3


@dataclass(frozen=True)
class Identity:
    """How a face stays who it is, or the means over several.

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
    """Cosines of different people: what a video that changes its person comes down to."""

    mean: float
    sd: float
    num_pairs: int

    def kept(self, cosine: float) -> float | None:
        """How much of the way from other people's cosine (0) to the same picture's (1) is left."""
        return (cosine - self.mean) / (1 - self.mean) if self.mean < 1 else None


def measure_identity(embeddings: Embeddings) -> Identity:
    """Measure one video.

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


def mean_identity(found: list[Identity]) -> Identity:
    """The mean over videos of the same length."""
    assert found and len({len(one.to_first) for one in found}) == 1
    return Identity(
        to_first=_mean_curve([one.to_first for one in found]),
        to_previous=_mean_curve([one.to_previous for one in found]),
        **{name: estimate.mean for name, estimate in spread(found).items()},
    )


def spread(found: list[Identity]) -> dict[str, Estimate]:
    """Mean and sd over videos of each of `NUMBERS`; of a single video the sd is 0."""
    values = {name: [getattr(one, name) for one in found] for name in NUMBERS}
    return {
        name: Estimate(float(np.mean(some)), float(np.std(some, ddof=1)) if len(some) > 1 else 0.0)
        for name, some in values.items()
    }


def other_people(pictures: list[NDArray[np.floating]], people: list[str]) -> OtherPeople | None:
    """The cosines of all pairs of different people; None if there are not two of them.

    Args:
        pictures: identity features [D] of one picture of each.
        people: who is in it.

    Raises:
        DataError: features without direction.
    """
    directions, who = _directions(np.stack(pictures)), np.array(people)
    cosines = (directions @ directions.T)[np.triu(who[:, None] != who[None], k=1)]
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
