from __future__ import annotations

import numpy as np
import pytest

from stylefacev_cli.errors import DataError
from stylefacev_cli.metrics.identity import mean_identity, measure_identity

RANDOM = np.random.default_rng(0)


def test_one_frame_again_and_again_is_the_same_person() -> None:
    found = measure_identity(np.repeat(RANDOM.normal(size=(1, 16)), 12, axis=0))
    assert (found.mean_to_first, found.last_to_first, found.neighbours) == pytest.approx((1, 1, 1))
    assert found.acd == pytest.approx(0) and len(found.to_first) == 11


def test_a_swap_half_way_is_seen_in_the_curve() -> None:
    first, second = np.eye(16)[:2]
    found = measure_identity(np.array([first] * 10 + [second] * 10))
    assert found.to_first == pytest.approx([1.0] * 9 + [0.0] * 10)
    assert found.last_to_first == pytest.approx(0)
    assert found.neighbours == pytest.approx(18 / 19)
    assert found.acd == pytest.approx(np.sqrt(2) * 100 / 190)
    both = mean_identity([found, measure_identity(np.array([first] * 20))])
    assert both.last_to_first == pytest.approx(0.5)


def test_length_of_the_features_does_not_count_for_cosines() -> None:
    features = RANDOM.normal(size=(9, 8))
    scaled = features * RANDOM.uniform(0.5, 2, size=(9, 1))
    assert measure_identity(features).to_first == pytest.approx(measure_identity(scaled).to_first)


def test_refused() -> None:
    with pytest.raises(DataError, match="at least 2"):
        measure_identity(np.ones((1, 8)))
    with pytest.raises(DataError, match="without direction"):
        measure_identity(np.zeros((5, 8)))
