from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg
import torch
import torch_fidelity.metric_fid as fidelity_fid
import torch_fidelity.metric_kid as fidelity_kid
import torch_fidelity.metric_prc as fidelity_prc
from hypothesis import given, settings
from hypothesis import strategies as st

from stylefacev_cli.errors import DataError
from stylefacev_cli.metrics.feature_distances import (
    Features,
    frechet_distance,
    kernel_distance,
    precision_recall,
)


def two_sets(num: int, size: int, seed: int = 0) -> tuple[Features, Features]:
    random = np.random.default_rng(seed)
    mixing = random.normal(size=(size, size)) / size**0.5
    fake = random.normal(size=(num, size)) @ mixing + 0.3
    real = random.gamma(2.0, size=(num + 7, size)) @ mixing
    return fake.astype(np.float32), real.astype(np.float32)


def near_sets() -> tuple[Features, Features]:
    """A wide real set, and a made one that covers half of it."""
    random = np.random.default_rng(1)
    fake, real = random.normal(size=(300, 5)), random.normal(size=(250, 5))
    fake[:, 0] = np.abs(fake[:, 0])
    return fake * 0.8, real


@pytest.mark.parametrize(("num", "size"), [(300, 24), (40, 64)])
def test_frechet_distance_is_that_of_the_matrix_square_root(num: int, size: int) -> None:
    fake, real = (part.astype(np.float64) for part in two_sets(num, size))
    first, second = np.cov(fake, rowvar=False), np.cov(real, rowvar=False)
    root = scipy.linalg.sqrtm(first @ second).real
    difference = fake.mean(axis=0) - real.mean(axis=0)
    wanted = difference @ difference + np.trace(first + second - 2 * root)
    tolerance = 1e-9 if num > size else 1e-5  # the square root of a singular matrix is poor
    assert frechet_distance(fake, real) == pytest.approx(wanted, rel=tolerance)


def test_agrees_with_torch_fidelity() -> None:
    fake, real = two_sets(400, 32)
    features = torch.from_numpy(fake).double(), torch.from_numpy(real).double()
    statistics = [fidelity_fid.fid_features_to_statistics(part) for part in features]
    theirs = fidelity_fid.fid_statistics_to_metric(*statistics, verbose=False)
    assert frechet_distance(fake, real) == pytest.approx(
        theirs["frechet_inception_distance"], rel=1e-5
    )

    theirs = fidelity_kid.kid_features_to_metric(
        *features, kid_subsets=20, kid_subset_size=150, rng_seed=5, verbose=False
    )
    ours = kernel_distance(fake, real, num_subsets=20, subset_size=150, seed=5)
    assert ours.mean == pytest.approx(theirs["kernel_inception_distance_mean"], rel=1e-5)
    assert ours.sd == pytest.approx(theirs["kernel_inception_distance_std"], rel=1e-5)

    fake, real = near_sets()
    features = torch.from_numpy(fake).double(), torch.from_numpy(real).double()
    theirs = fidelity_prc.prc_features_to_metric(*features, verbose=False)
    assert 0.1 < theirs["recall"] < theirs["precision"] < 0.99
    coverage = precision_recall(fake, real)
    assert coverage.precision == pytest.approx(theirs["precision"], abs=1e-6)
    assert coverage.recall == pytest.approx(theirs["recall"], abs=1e-6)


@given(st.integers(0, 2**31), st.floats(0.1, 10), st.integers(4, 60))
@settings(max_examples=25, deadline=None)
def test_frechet_distance_is_a_distance(seed: int, scale: float, num: int) -> None:
    fake, real = two_sets(num, 12, seed)
    distance = frechet_distance(fake, real)
    assert distance >= -1e-9
    assert frechet_distance(real, fake) == pytest.approx(distance, rel=1e-6, abs=1e-6)
    assert frechet_distance(fake * scale, real * scale) == pytest.approx(
        distance * scale**2, rel=1e-4, abs=1e-6
    )
    assert abs(frechet_distance(fake, fake)) < 1e-6 * max(1, float(np.square(fake).sum()))


def test_coverage_of_the_same_set_is_whole_and_of_strangers_is_none() -> None:
    fake, _ = two_sets(60, 8)
    same = precision_recall(fake, fake)
    assert (same.precision, same.recall) == (1, 1)
    far = precision_recall(fake, fake + 1000)
    assert (far.precision, far.recall) == (0, 0)


def test_refused() -> None:
    fake, real = two_sets(40, 8)
    with pytest.raises(DataError, match="not finite"):
        frechet_distance(np.where(fake > 2, np.nan, fake), real)
    with pytest.raises(DataError, match="at least 100"):
        kernel_distance(fake, real, subset_size=100)
    with pytest.raises(DataError, match="1 samples"):
        frechet_distance(fake[:1], real)
