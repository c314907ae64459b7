"""Whether recomposed faces keep who they show: cosines of an identity network.

The paper's reconstruction similarity, and what is needed to read it: how like each other different
people are to the same network, and whose identity a face in another's pose has. Cosines of
different networks are not comparable.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from stylefacev_cli.errors import DataError
from stylefacev_cli.metrics.feature_distances import Estimate
from stylefacev_cli.metrics.recomposition import Images, Recompose

Embed = Callable[[Images], NDArray[np.float32]]  # [N, H, W, 3] → [N, D]


@dataclass(frozen=True)
class IdentityPair:
    """Images of two people [S, S, 3]."""

    a: Images
    b: Images
    truth: Images | None = None  # A in the pose of B, where that is known


@dataclass(frozen=True)
class Similarities:
    """Cosines of one couple."""

    reconstruction: float  # A and A's appearance in A's pose: the paper's number
    kept: float  # A and A's appearance in B's pose
    leaked: float  # B and A's appearance in B's pose
    strangers: float  # A and B: the floor
    same_person: float | None = None  # A and A in B's pose, the truth: what the pose alone costs


def measure_similarity(
    couples: Iterable[IdentityPair], recompose: Recompose, embed: Embed, *, batch: int = 8
) -> Iterator[Similarities]:
    """Measure one couple after the other; `batch` of them are in memory.

    Args:
        couples: with images of one size.
        recompose: the model.
        embed: the identity network.
        batch: couples recomposed at once.

    Raises:
        DataError: the network gave features without direction.
    """
    iterator = iter(couples)
    while some := list(islice(iterator, batch)):
        a, b = np.stack([one.a for one in some]), np.stack([one.b for one in some])
        at_a, at_b = _directions(embed(a)), _directions(embed(b))
        again, crossed = _directions(embed(recompose(a, a))), _directions(embed(recompose(a, b)))
        for i, couple in enumerate(some):
            same = None
            if couple.truth is not None:
                same = float(at_a[i] @ _directions(embed(couple.truth[None]))[0])
            yield Similarities(
                reconstruction=float(at_a[i] @ again[i]),
                kept=float(at_a[i] @ crossed[i]),
                leaked=float(at_b[i] @ crossed[i]),
                strangers=float(at_a[i] @ at_b[i]),
                same_person=same,
            )


def mean_similarities(found: list[Similarities]) -> dict[str, Estimate]:
    """Mean and sd over the couples of each number that there is."""
    assert found
    names = [name for name, value in asdict(found[0]).items() if value is not None]
    return {name: Estimate.of([getattr(one, name) for one in found]) for name in names}


def _directions(features: NDArray[np.float32]) -> NDArray[np.float64]:
    lengths = np.linalg.norm(features.astype(np.float64), axis=1, keepdims=True)
    if not (np.isfinite(lengths).all() and (lengths > 0).all()):
        raise DataError("the identity network gave features without direction")
    return np.asarray(features / lengths)
