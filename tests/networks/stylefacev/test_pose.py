from __future__ import annotations

import conformance_vectors as vectors
import pytest
import torch

from stylefacev_cli.errors import UsageError
from stylefacev_cli.networks.stylefacev.pose import PoseExtractor, PoseExtractorConfig

SMALL = PoseExtractorConfig(
    channels=(16, 8, 1),
    inner_channels=(16, 8, 4),
    head_channels=8,
    head_inner_channels=8,
    blocks_per_stage=2,
)


@pytest.mark.conformance
@torch.no_grad()
def test_extractor_gives_the_numbers_of_the_original():
    v = vectors.load("stylefacev-pose-extractor")
    extractor = v.fill(PoseExtractor())
    poses = extractor(v.value("pose/heatmaps", (2, 98, 64, 64), 0, 0.3))
    assert vectors.relative_error(poses, v["pose"]) < 1e-4
    assert vectors.relative_error(extractor.key_points(poses), v["key_points"]) < 1e-4


def test_shapes_and_ranges():
    extractor = PoseExtractor(SMALL).eval()
    poses = extractor(torch.randn(3, 98, 64, 64))
    key_points = extractor.key_points(poses)
    assert poses.shape == (3, 1, 8, 8) and poses.min() >= 0
    assert key_points.shape == (3, 14, 2) and 0 <= key_points.min() and key_points.max() <= 1


def test_every_parameter_learns_at_batch_1():
    torch.manual_seed(0)
    extractor = PoseExtractor(SMALL)
    extractor.key_points(extractor(torch.rand(1, 98, 64, 64))).square().sum().backward()
    for name, parameter in extractor.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name


def test_starts_from_the_initialisation_of_residual_networks():
    conv = PoseExtractor(SMALL).layer1[0].conv2.weight
    assert conv.std().item() == pytest.approx((2 / (16 * 9)) ** 0.5, rel=0.1)


def test_other_shapes_are_refused():
    extractor = PoseExtractor(SMALL)
    with pytest.raises(AssertionError, match="heatmaps"):
        extractor(torch.zeros(1, 99, 64, 64))
    with pytest.raises(AssertionError, match="heatmaps"):
        extractor(torch.zeros(1, 98, 32, 32))
    with pytest.raises(AssertionError, match="poses"):
        extractor.key_points(torch.zeros(1, 64))


@pytest.mark.parametrize("settings", [{"channels": (8, 8, 2)}, {"inner_channels": (8, 8)}])
def test_impossible_settings_are_refused(settings):
    with pytest.raises(UsageError, match="channels"):
        PoseExtractorConfig(**settings)
