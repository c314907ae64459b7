"""Diversity of videos: between people, and between motions of one person.

The pairs of videos that are compared are drawn by a seed.
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
    """Mean and sd of a distance over pairs of videos, and the number of pairs."""

    mean: float
    sd: float
    num_pairs: int


@dataclass(frozen=True)
class VideoPairs:
    """Pairs of videos to compare, as indices."""

    people: list[Pair]  # different ones
    motions: list[Pair]  # of one person


def draw_pairs(people: list[str], num_pairs: int, seed: int) -> VideoPairs:
    """At most `num_pairs` random pairs of each kind, without repetition.

    Args:
        people: the person in each video.
        num_pairs: of each kind.
        seed: of the draw.
    """
    person_index = np.unique(people, return_inverse=True)[1]
    upper = np.triu(np.ones((len(person_index), len(person_index)), bool), k=1)
    same = person_index[:, None] == person_index[None]
    random = np.random.default_rng(seed)
    kinds = [_sample(np.argwhere(upper & kind), num_pairs, random) for kind in (~same, same)]
    return VideoPairs(*kinds)


def key_point_distance(first: Track, second: Track) -> float:
    """Mean distance of two tracks [T, 14, 2] at the same times, in distances between the eyes."""
    both = np.concatenate([first, second])
    unit = float(np.median(np.linalg.norm(both[:, LEFT_EYE[1]] - both[:, RIGHT_EYE[1]], axis=1)))
    apart = np.linalg.norm(first.astype(np.float64) - second, axis=-1)
    return float(apart.mean()) / max(unit, 1e-9)


def pair_statistics(values: Iterable[float]) -> PairStatistics | None:
    """Mean and sd of the values of pairs; None if there are none. The sd of a single one is 0."""
    distances = np.fromiter(values, np.float64)
    if not len(distances):
        return None
    sd = float(distances.std(ddof=1)) if len(distances) > 1 else 0.0
    return PairStatistics(float(distances.mean()), sd, len(distances))


def _sample(pairs: NDArray[np.intp], count: int, random: np.random.Generator) -> list[Pair]:
    chosen = random.permutation(len(pairs))[:count]
    return [(int(a), int(b)) for a, b in pairs[np.sort(chosen)]]
