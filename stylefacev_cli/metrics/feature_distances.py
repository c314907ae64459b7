"""Distances of two sets of features, and how much of one set the other covers.

Rows are samples, columns are features; everything is computed in float64.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stylefacev_cli.errors import DataError

Features = NDArray[np.floating]
KERNEL_SUBSET = 1000  # as in Bińkowski et al. 2018


@dataclass(frozen=True)
class Estimate:
    """A mean and the spread around it: of resamples, or of the pairs that were measured."""

    mean: float
    sd: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Estimate:
        """The mean and the standard deviation of a sample; 0 if there is only one value."""
        return cls(float(np.mean(values)), float(np.std(values, ddof=min(1, len(values) - 1))))


@dataclass(frozen=True)
class Coverage:
    """How many made samples look real, and how many real ones could have been made."""

    precision: float
    recall: float


def check_features(features: Features, name: str, minimum: int = 2) -> Features:
    """Features [N, D] as float64.

    Raises:
        DataError: there are fewer than `minimum` samples, or values that are not finite.
    """
    assert features.ndim == 2, f"features [N, D] expected, got {list(features.shape)}"
    if len(features) < minimum:
        raise DataError(f"{name}: {len(features)} samples; at least {minimum} are needed")
    if not np.isfinite(features).all():
        raise DataError(f"{name}: the feature network gave values that are not finite")
    return features.astype(np.float64)


def frechet_distance(fake: Features, real: Features) -> float:
    """Fréchet distance of the Gaussians with the means and covariances of two sets.

        |μ₁ − μ₂|² + tr Σ₁ + tr Σ₂ − 2·tr (Σ₁Σ₂)^½

    With centred features A and B divided by √(n−1), so that Σ₁ = AᵀA and Σ₂ = BᵀB, the last trace
    is the sum of the singular values of A·Bᵀ: no square root of a matrix, and no negative
    eigenvalues from rounding. QR decompositions bring that product down to at most D × D.
    Source: Dowson and Landau 1982; Heusel et al. 2017 for its use.

    Raises:
        DataError: fewer than two samples, or values that are not finite.
    """
    a, b = check_features(fake, "fake"), check_features(real, "real")
    difference = a.mean(axis=0) - b.mean(axis=0)
    a, b = _root_of_covariance(a), _root_of_covariance(b)
    cross = np.linalg.svd(a @ b.T, compute_uv=False).sum()
    return float(difference @ difference + (a * a).sum() + (b * b).sum() - 2 * cross)


@dataclass(frozen=True)
class Floor:
    """The Fréchet distance of real from real: what no made set can be expected to beat."""

    distance: float
    count: int  # samples in each of the two sets

    def warning(self, num_compared: int, what: str) -> list[str]:
        """What is to be said if the floor is that of fewer samples than were compared."""
        if self.count >= num_compared:
            return []
        return [
            f"the floor is that of {self.count} {what} a side, for want of real ones: at the size "
            "of this measurement it would be lower"
        ]


def frechet_floor(real: Features, at_most: int) -> Floor:
    """The floor from real samples [N, D] in random order, with `at_most` in each set.

    Raises:
        DataError: there are too few, or values that are not finite.
    """
    count = min(len(real) // 2, at_most)
    return Floor(frechet_distance(real[:count], real[count : 2 * count]), count)


def _root_of_covariance(samples: Features) -> Features:
    """R [≤ D, D] with RᵀR the covariance."""
    centred = (samples - samples.mean(axis=0)) / np.sqrt(len(samples) - 1)
    if len(centred) <= centred.shape[1]:
        return np.asarray(centred)
    return np.asarray(np.linalg.qr(centred, mode="r"))


def kernel_subset(num_samples: int) -> int:
    """Samples in each of a kernel distance's subsets: 1,000, or half of what there is."""
    return KERNEL_SUBSET if num_samples >= 2 * KERNEL_SUBSET else max(2, num_samples // 2)


def kernel_distance(
    fake: Features,
    real: Features,
    *,
    num_subsets: int = 100,
    subset_size: int = 1000,
    seed: int = 2020,
) -> Estimate:
    """Kernel distance (KID, KVD): unbiased MMD² with the kernel (x·y/D + 1)³, over subsets.

    Source: Bińkowski et al. 2018. Subsets are drawn as torch-fidelity draws them.

    Raises:
        DataError: a set is smaller than the subsets, or has values that are not finite.
    """
    a = check_features(fake, "fake", subset_size)
    b = check_features(real, "real", subset_size)
    random = np.random.RandomState(seed)
    found = []
    for _ in range(num_subsets):
        x = a[random.choice(len(a), subset_size, replace=False)]
        y = b[random.choice(len(b), subset_size, replace=False)]
        found.append(_mmd2(x, y))
    return Estimate(float(np.mean(found)), float(np.std(found)))


def _mmd2(x: Features, y: Features) -> float:
    size, scale = len(x), x.shape[1]

    def kernel(p: Features, q: Features) -> Features:
        values: Features = (p @ q.T / scale + 1) ** 3
        return values

    xx, yy, xy = kernel(x, x), kernel(y, y), kernel(x, y)
    within = (xx.sum() - np.trace(xx) + yy.sum() - np.trace(yy)) / (size * (size - 1))
    return float(within - 2 * xy.mean())


def precision_recall(fake: Features, real: Features, *, neighbours: int = 3) -> Coverage:
    """Improved precision and recall: shares within the other set's balls.

    A sample's ball reaches to its `neighbours`-th nearest of the same set.
    Source: Kynkäänniemi et al. 2019.

    Raises:
        DataError: too few samples, or values that are not finite.
    """
    a = check_features(fake, "fake", neighbours + 1)
    b = check_features(real, "real", neighbours + 1)
    between = _distances(a, b)
    real_radii = np.sort(_distances(b, b), axis=1)[:, neighbours]
    fake_radii = np.sort(_distances(a, a), axis=1)[:, neighbours]
    return Coverage(
        precision=float((between <= real_radii[None]).any(axis=1).mean()),
        recall=float((between.T <= fake_radii[None]).any(axis=1).mean()),
    )


def _distances(a: Features, b: Features) -> Features:
    squares = (a * a).sum(axis=1)[:, None] + (b * b).sum(axis=1)[None] - 2 * a @ b.T
    distances: Features = np.sqrt(np.maximum(squares, 0))
    return distances
