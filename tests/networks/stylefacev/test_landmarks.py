from __future__ import annotations

import conformance_vectors as vectors
import pytest
import torch
import torch.nn.functional as F

from stylefacev_cli.errors import UsageError
from stylefacev_cli.networks.stylefacev.landmarks import (
    LandmarkDetector,
    LandmarkDetectorConfig,
    boundary_target,
    heatmap_targets,
    key_points_from_landmarks,
    landmarks_from_heatmaps,
)

TINY = LandmarkDetectorConfig(input_size=32, stem_stride=1, width=16, depth=3)


@pytest.mark.conformance
@torch.no_grad()
def test_detector_gives_the_numbers_of_the_original():
    v = vectors.load("stylefacev-landmark-detector")
    detector = v.fill(LandmarkDetector())
    heatmaps = detector(vectors.test_image() * 0.5 + 0.5)
    landmarks = landmarks_from_heatmaps(heatmaps, size=256)
    mean_std = torch.stack([heatmaps.mean((2, 3)), heatmaps.std((2, 3))])
    pooled = F.adaptive_avg_pool2d(heatmaps, 8)
    assert vectors.relative_error(pooled, v["heatmaps_pooled"]) < 1e-4
    assert vectors.relative_error(mean_std, v["heatmap_mean_std"]) < 1e-4
    assert vectors.relative_error(landmarks, v["landmarks"]) < 1e-4
    key_points = key_points_from_landmarks(landmarks, size=256)
    assert vectors.relative_error(key_points, v["key_points"]) < 1e-4


@pytest.mark.parametrize("stem_stride, input_size", [(1, 32), (2, 64), (4, 128)])
def test_any_stem_and_any_image_size_give_heatmaps_of_the_configured_size(stem_stride, input_size):
    config = LandmarkDetectorConfig(
        input_size=input_size, stem_stride=stem_stride, width=16, depth=3
    )
    detector = LandmarkDetector(config).eval()
    for size in (24, input_size, 150):
        heatmaps, boundary = detector.heatmaps_and_boundary(torch.rand(1, 3, size, size))
        assert heatmaps.shape == (1, 98, 32, 32)
        assert boundary.shape == (1, 1, 32, 32)


def test_every_parameter_learns_from_heatmaps_and_boundary_at_batch_1():
    torch.manual_seed(0)
    detector = LandmarkDetector(TINY)
    heatmaps, boundary = detector.heatmaps_and_boundary(torch.rand(1, 3, 32, 32))
    (heatmaps.square().mean() + boundary.square().mean()).backward()
    for name, parameter in detector.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name


def test_gradients_reach_the_image():
    images = torch.rand(1, 3, 48, 48, requires_grad=True)
    LandmarkDetector(TINY)(images).square().sum().backward()
    assert images.grad is not None and images.grad.abs().sum() > 0


@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 1, 32, 32), (1, 3, 32, 40)])
def test_other_shapes_are_refused(shape):
    with pytest.raises(AssertionError, match="expected"):
        LandmarkDetector(TINY)(torch.zeros(shape))


@pytest.mark.parametrize("settings", [{"stem_stride": 3}, {"width": 20}, {"input_size": 100}])
def test_impossible_settings_are_refused(settings):
    with pytest.raises(UsageError, match=next(iter(settings))):
        LandmarkDetectorConfig(**settings)


def test_landmarks_survive_the_way_through_heatmaps():
    torch.manual_seed(0)
    landmarks = torch.rand(3, 98, 2) * 0.9 + 0.05
    heatmaps = heatmap_targets(landmarks, heatmap_size=64, sigma_px=1.5)
    assert heatmaps.shape == (3, 98, 64, 64)
    found = landmarks_from_heatmaps(heatmaps)
    assert (found - landmarks).abs().max() <= 0.26 / 64  # a quarter of a heatmap pixel


def test_x_is_the_column_and_the_rim_has_no_quarter_pixel():
    heatmaps = torch.zeros(1, 3, 8, 8)
    heatmaps[0, 0, 2, 5], heatmaps[0, 0, 2, 6], heatmaps[0, 0, 1, 5] = 1.0, 0.5, 0.5
    heatmaps[0, 1, 0, 3], heatmaps[0, 1, 0, 4] = 1.0, 0.5
    heatmaps[0, 2, 7, 7] = 1.0
    wanted = torch.tensor([[5.75, 2.25], [3.5, 0.5], [7.5, 7.5]])
    assert torch.equal(landmarks_from_heatmaps(heatmaps, size=8)[0], wanted)


def test_key_points_are_means_of_their_landmarks():
    landmarks = torch.arange(98.0)[:, None].expand(98, 2)
    found = key_points_from_landmarks(landmarks)[:, 0]
    wanted = [37, 46, 62, 96, 66, 70, 97, 74, 54, 79, 85, 88, 92, 92]
    assert found.tolist() == wanted
    assert torch.allclose(key_points_from_landmarks(landmarks, size=2.0)[:, 0], found / 2)


def test_boundary_is_1_on_the_curves_and_falls_with_distance():
    landmarks = torch.full((1, 98, 2), 0.9)
    landmarks[0, :33, 0] = torch.linspace(0.1, 0.6, 33)
    landmarks[0, :33, 1] = 16.5 / 64  # the outline is a level line through the centres of row 16
    target = boundary_target(landmarks, heatmap_size=64, sigma_px=2.0)
    assert target.shape == (1, 1, 64, 64)
    column = target[0, 0, :, 20]
    assert torch.allclose(column[16], torch.tensor(1.0))
    offsets = torch.tensor([1.0, 2.0, 3.0])
    assert torch.allclose(column[17:20], torch.exp(-offsets.square() / 8), atol=1e-4)
    assert target[0, 0, 40, 5] < 1e-6


def test_targets_of_points_outside_the_frame_are_empty():
    landmarks = torch.full((1, 98, 2), 3.0)
    assert heatmap_targets(landmarks, 16).max() == 0
    assert boundary_target(landmarks, 16).max() == 0


def test_boundary_of_landmarks_that_coincide_is_finite():
    landmarks = torch.full((1, 98, 2), 0.5, requires_grad=True)
    boundary_target(landmarks, 16).sum().backward()
    assert landmarks.grad is not None and landmarks.grad.isfinite().all()


# Which WFLW point lies where each of the 68 points of 300-W does, as the two schemes are drawn.
_OF_300_W = (
    *range(0, 33, 2),  # outline
    *(*range(33, 38), *range(42, 47)),  # upper edges of the brows
    *range(51, 60),  # nose
    *(60, 61, 63, 64, 65, 67),  # eyes: WFLW has a third point on each lid
    *(68, 69, 71, 72, 73, 75),
    *range(76, 96),  # lips
)


def test_key_points_of_68_landmarks_are_those_of_98():
    points = torch.rand(98, 2, generator=torch.Generator().manual_seed(0))
    for middle in (62, 66, 70, 74):  # of the lids
        points[middle] = (points[middle - 1] + points[middle + 1]) / 2
    for pupil, eye in ((96, (60, 61, 63, 64, 65, 67)), (97, (68, 69, 71, 72, 73, 75))):
        points[pupil] = points[list(eye)].mean(0)  # eyes that look straight ahead
    assert len(_OF_300_W) == 68
    of_98, of_68 = (
        key_points_from_landmarks(points),
        key_points_from_landmarks(points[[*_OF_300_W]]),
    )
    torch.testing.assert_close(of_68[2:], of_98[2:])
    # Brows: the mean of the upper edge, where WFLW has that of the whole outline.
    torch.testing.assert_close(of_68[0], points[33:38].mean(0))
    torch.testing.assert_close(of_68[1], points[42:47].mean(0))
