from __future__ import annotations

import numpy as np
import pytest
import torch

from stylefacev_cli.errors import DataError, UsageError
from stylefacev_cli.metrics.feature_distances import frechet_distance
from stylefacev_cli.metrics.fvd import (
    PROTOCOLS,
    FvdProtocol,
    clip_features,
    compare,
    frozen,
    shuffled,
)

RANDOM = np.random.default_rng(0)


def test_protocols_are_named_as_in_stylegan_v() -> None:
    assert {name: protocol.id for name, protocol in PROTOCOLS.items()} == {
        name: name for name in PROTOCOLS
    }
    for wrong in ((2048, 8, 1), (15, 16, 1), (64, 16, 0)):
        with pytest.raises(UsageError):
            FvdProtocol(*wrong)


def test_a_number_comes_with_its_floor_and_a_warning() -> None:
    real = RANDOM.normal(size=(400, 12))
    fake = RANDOM.normal(size=(200, 12)) + 2
    found = compare(fake, real, 200)
    assert found.fvd == pytest.approx(frechet_distance(fake, real[:200]))
    assert found.fvd > 20 > 5 > found.floor and found.floor_clips == 200
    assert found.kvd.mean > 1
    assert abs(found.fvd_resampled.mean - found.fvd) < 5 and found.fvd_resampled.sd > 0
    assert len(found.warnings) == 1 and "200 clips are few" in found.warnings[0]
    few = compare(fake, real[:250], 200)
    assert few.floor_clips == 125 and few.floor > found.floor
    assert any("125" in warning for warning in few.warnings)
    assert compare(fake, real, 200) == found  # the resampling is seeded


def test_refused() -> None:
    with pytest.raises(DataError, match="at least 16"):
        compare(RANDOM.normal(size=(15, 4)), RANDOM.normal(size=(99, 4)), 99)
    features = RANDOM.normal(size=(20, 4))
    features[3, 1] = np.inf
    with pytest.raises(DataError, match="not finite"):
        compare(features, RANDOM.normal(size=(20, 4)), 20)


def test_controls() -> None:
    clip = RANDOM.integers(0, 256, size=(9, 4, 4, 3), dtype=np.uint8)
    assert (frozen(clip) == clip[0]).all() and frozen(clip).shape == clip.shape
    mixed = shuffled(clip)
    assert not np.array_equal(mixed, clip)
    before, after = (sorted(frame.tobytes() for frame in frames) for frames in (clip, mixed))
    assert before == after


def test_features_are_those_of_each_clip() -> None:
    clips = [RANDOM.integers(0, 256, size=(9, 8, 8, 3), dtype=np.uint8) for _ in range(3)]

    def network(inputs: torch.Tensor) -> torch.Tensor:
        assert inputs.shape == (1, 3, 9, 224, 224) and inputs.abs().max() <= 1
        return inputs.mean(dim=(2, 3, 4)).repeat(1, 134)[:, :400]

    features = clip_features(network, clips)
    assert features.shape == (3, 400)
    means = [clip[..., 0].mean() / 127.5 - 1 for clip in clips]
    np.testing.assert_allclose(features[:, 0], means, atol=0.02)


@pytest.mark.slow
def test_golden_black_and_white() -> None:
    from stylefacev_cli.weights.convert.i3d_weights import load_i3d

    network = load_i3d()
    black = np.zeros((15, 64, 64, 3), np.uint8)
    sides = [clip_features(network, [black + level]) for level in (0, 255)]
    # Sixteen equal clips: one pass, sixteen rows.
    found = compare(sides[0].repeat(16, axis=0), sides[1].repeat(16, axis=0), 16)
    assert found.fvd == pytest.approx(133.908, abs=0.01)


@pytest.mark.slow
def test_golden_noise() -> None:
    """The published comparison: clips of noise go into the network as they are."""
    from stylefacev_cli.weights.convert.i3d_weights import load_i3d

    network = load_i3d()
    sides = []
    for seed in (1, 2):
        random = np.random.RandomState(seed)
        rows = []
        for _ in range(128):
            clip = torch.from_numpy(random.rand(16, 224, 224, 3).astype(np.float32))
            with torch.inference_mode():
                rows.append(network(clip.permute(3, 0, 1, 2)[None]).numpy())
        sides.append(np.concatenate(rows))
    assert frechet_distance(*sides) == pytest.approx(10.1381, abs=0.001)
