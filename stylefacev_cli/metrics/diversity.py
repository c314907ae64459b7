"""How different videos are: of different people, and of one person in different motions.

Which videos are compared is drawn by a seed; a number comes with that of its pairs.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stylefacev_cli.metrics.motion import LEFT_EYE, RIGHT_EYE, Track

Pair = tuple[int, int]


@dataclass(frozen=True)
class PairStatistics:
    """What pairs of videos are apart: mean and sd over pairs, and how many of them there are."""

    mean: float
    sd: float
    num_pairs: int


@dataclass(frozen=True)
class VideoPairs:
    """Which videos are compared, by their numbers."""

    people: list[Pair]  # different ones
    motions: list[Pair]  # of one person


def draw_pairs(people: list[str], num_pairs: int, seed: int) -> VideoPairs:
    """Draw at most `num_pairs` pairs of each kind, each pair once.

    Args:
        people: who is in each video.
        num_pairs: of each kind.
        seed: of the draw.
    """
    who = np.unique(people, return_inverse=True)[1]
    upper = np.triu(np.ones((len(who), len(who)), bool), k=1)
    same = who[:, None] == who[None]
    random = np.random.default_rng(seed)
    kinds = [_drawn(np.argwhere(upper & kind), num_pairs, random) for kind in (~same, same)]
    return VideoPairs(*kinds)


def key_point_distance(first: Track, second: Track) -> float:
    """Mean distance of two tracks [T, 14, 2] at the same times, in distances between the eyes."""
    both = np.concatenate([first, second])
    unit = float(np.median(np.linalg.norm(both[:, LEFT_EYE[1]] - both[:, RIGHT_EYE[1]], axis=1)))
    apart = np.linalg.norm(first.astype(np.float64) - second, axis=-1)
    return float(apart.mean()) / max(unit, 1e-9)


def pair_statistics(values: Iterable[float]) -> PairStatistics | None:
    """Mean and sd of the values of pairs; None if there are none. The sd of a single one is 0."""
    found = np.fromiter(values, np.float64)
    if not len(found):
        return None
    sd = float(found.std(ddof=1)) if len(found) > 1 else 0.0
    return PairStatistics(float(found.mean()), sd, len(found))


def _drawn(pairs: NDArray[np.intp], count: int, random: np.random.Generator) -> list[Pair]:
    chosen = random.permutation(len(pairs))[:count]
    return [(int(a), int(b)) for a, b in pairs[np.sort(chosen)]]
