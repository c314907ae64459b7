from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from stylefacev_cli.errors import DataError
from stylefacev_cli.metrics.identity_similarity import (
    IdentityPair,
    Similarities,
    mean_similarities,
    measure_similarity,
)
from stylefacev_cli.metrics.recomposition import Images


def painted(*color: int) -> Images:
    return np.full((8, 8, 3), color, np.uint8)


def mean_color(images: Images) -> NDArray[np.float32]:
    """Stands for an identity network: who has the same colour is the same person."""
    return images.mean(axis=(1, 2)).astype(np.float32)


RED, GREEN = painted(200, 0, 0), painted(0, 100, 0)
COUPLES = [
    IdentityPair(RED, GREEN, painted(100, 0, 0)),
    IdentityPair(GREEN, RED, painted(0, 90, 0)),
] * 3


def test_a_model_that_keeps_who_it_is() -> None:
    found = list(measure_similarity(COUPLES, lambda a, b: a // 2, mean_color, batch=4))
    assert found == [Similarities(1, 1, 0, 0, 1)] * 6


def test_a_model_that_takes_the_face_of_the_other() -> None:
    bare = [IdentityPair(couple.a, couple.b) for couple in COUPLES]
    (one, *_) = measure_similarity(bare, lambda a, b: b, mean_color)
    assert one == Similarities(reconstruction=1, kept=0, leaked=1, strangers=0)


def test_half_way() -> None:
    def blend(a: Images, b: Images) -> Images:
        return np.maximum(a, b)

    found = list(measure_similarity([IdentityPair(RED, painted(0, 200, 0))], blend, mean_color))
    assert found[0].kept == found[0].leaked == pytest.approx(0.5**0.5)
    means = mean_similarities(found)
    assert set(means) == {"reconstruction", "kept", "leaked", "strangers"}
    assert means["kept"].sd == 0 and means["reconstruction"].mean == pytest.approx(1)


def test_features_without_direction_are_refused() -> None:
    with pytest.raises(DataError, match="without direction"):
        list(measure_similarity(COUPLES, lambda a, b: a * 0, mean_color))
