from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from face_points import FACE

from stylefacev_cli.errors import MissingWeightsError, UsageError
from stylefacev_cli.metrics.diversity import draw_pairs, key_point_distance, pair_statistics
from stylefacev_cli.metrics.image_distances import (
    ImageDistance,
    image_distance,
    lpips_measure,
)


def test_pairs_are_of_different_people_or_of_one_in_two_motions() -> None:
    people = ["a", "a", "b", "b", "b"]
    every = draw_pairs(people, 100, seed=0)
    assert every.people == [(0, 2), (0, 3), (0, 4), (1, 2), (1, 3), (1, 4)]
    assert every.motions == [(0, 1), (2, 3), (2, 4), (3, 4)]
    some = draw_pairs(people, 3, seed=0)
    assert len(some.people) == len(some.motions) == 3 and some == draw_pairs(people, 3, seed=0)
    assert some != draw_pairs(people, 3, seed=1)
    assert draw_pairs(["a", "b"], 9, 0).motions == []


def test_numbers_of_pairs() -> None:
    found = pair_statistics([1.0, 3.0])
    assert found is not None
    assert (found.mean, found.sd, found.num_pairs) == (2, pytest.approx(np.sqrt(2)), 2)
    assert pair_statistics([]) is None


def test_key_points_are_measured_in_eye_distances() -> None:
    track = np.repeat(FACE[None], 4, axis=0)
    assert key_point_distance(track, track) == 0
    assert key_point_distance(track, track + [0.1, 0]) == pytest.approx(0.1 / 0.2)
    assert key_point_distance(track / 2, track / 2 + [0.05, 0]) == pytest.approx(0.1 / 0.2)


def test_names(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(home))
    monkeypatch.setenv("STYLEFACEV_OFFLINE", "1")
    with pytest.raises(UsageError, match="lpips-alex, lpips-vgg, efficientnet-lite0"):
        image_distance("ssim")
    with pytest.raises(MissingWeightsError, match="alexnet-owt"):
        image_distance("lpips-alex")
    with pytest.raises(MissingWeightsError, match="by hand"):  # of the offline network
        image_distance("auto")


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_lpips_tells_pictures_apart_also_small_ones() -> None:
    """The published linear layers on a backbone of random weights."""
    import lpips

    torch.manual_seed(0)
    network = lpips.LPIPS(net="alex", pnet_rand=True, verbose=False).eval().requires_grad_(False)
    distance = ImageDistance("random", "", lpips_measure(network))
    pictures = np.random.default_rng(0).integers(0, 256, size=(18, 16, 16, 3), dtype=np.uint8)
    assert distance.between(pictures, pictures) == pytest.approx(np.zeros(18))
    apart = distance.between(pictures, pictures[::-1])
    assert apart.shape == (18,) and (apart > 0).all()
    assert apart[:9] == pytest.approx(apart[:8:-1], rel=1e-4)  # the other way round it is the same
