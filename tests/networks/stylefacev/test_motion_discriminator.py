from __future__ import annotations

import conformance_vectors as vectors
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from stylefacev_cli.networks.stylefacev.motion_discriminator import (
    ClipDiscriminator,
    MotionDiscriminatorConfig,
    PairDiscriminator,
    clip_with_first,
    pair_with_first,
)

SMALL = MotionDiscriminatorConfig(base_channels=4, num_frames=6)


def check(v: vectors.Vectors, network: torch.nn.Module, x: Tensor) -> None:
    with torch.no_grad():
        logits = v.fill(network)(x)
    assert len(logits) == 2
    for scale, found in enumerate(logits):
        assert vectors.relative_error(found, v[f"s{scale}"]) < 1e-4


@pytest.mark.conformance
def test_pairs_of_poses_give_the_numbers_of_the_original():
    v = vectors.load("stylefacev-motion-discriminator-2d-pose")
    check(v, PairDiscriminator(), v.value("disc2d/x", (2, 2, 8, 8)))


@pytest.mark.conformance
def test_clips_of_poses_give_the_numbers_of_the_original():
    v = vectors.load("stylefacev-motion-discriminator-3d-pose")
    check(v, ClipDiscriminator(), v.value("disc3d/x", (2, 2, 29, 8, 8)))


@pytest.mark.conformance
def test_pairs_of_images_give_the_numbers_of_the_original():
    v = vectors.load("stylefacev-motion-discriminator-2d-image")
    seed = v.value("disc2d/img", (1, 6, 16, 16), std=0.6)
    pairs = F.interpolate(seed, scale_factor=4, mode="bicubic", align_corners=False)
    check(v, PairDiscriminator(MotionDiscriminatorConfig(frame_channels=3)), pairs)


@pytest.mark.conformance
def test_clips_of_images_give_the_numbers_of_the_original():
    v = vectors.load("stylefacev-motion-discriminator-3d-image")
    seed = v.value("disc3d/img", (1, 6, 11, 16, 16), std=0.6)
    clips = F.interpolate(seed, size=(11, 64, 64), mode="trilinear", align_corners=False)
    config = MotionDiscriminatorConfig(frame_channels=3, num_frames=12)
    check(v, ClipDiscriminator(config), clips)


def test_the_first_frame_stands_beside_the_others():
    clips = torch.randn(2, 6, 3, 8, 8)
    pairs = pair_with_first(clips, frame=4)
    assert torch.equal(pairs[:, :3], clips[:, 0]) and torch.equal(pairs[:, 3:], clips[:, 4])
    together = clip_with_first(clips)
    assert together.shape == (2, 6, 5, 8, 8)
    for t in range(5):
        assert torch.equal(together[:, :, t], pair_with_first(clips, t + 1))


@pytest.mark.parametrize("network", [PairDiscriminator, ClipDiscriminator])
def test_every_parameter_learns_at_batch_1_except_biases_that_the_norm_removes(network):
    torch.manual_seed(0)
    discriminator = network(SMALL)
    clips = torch.randn(1, 6, 1, 8, 8)
    x = pair_with_first(clips, 3) if network is PairDiscriminator else clip_with_first(clips)
    sum(logits.square().sum() for logits in discriminator(x)).backward()
    for name, parameter in discriminator.named_parameters():
        before_norm = name.endswith("bias") and any(f"layer{i}" in name for i in (1, 2, 3))
        assert parameter.grad is not None
        assert before_norm or parameter.grad.abs().sum() > 0, name


def test_gradient_penalty_reaches_the_weights():
    torch.manual_seed(0)
    discriminator = ClipDiscriminator(SMALL)
    clips = clip_with_first(torch.randn(2, 6, 1, 8, 8)).requires_grad_()
    for logits in discriminator(clips):
        (slope,) = torch.autograd.grad(logits.sum(), clips, create_graph=True)
        (slope.norm(dim=1) - 1).square().mean().backward(retain_graph=True)
    for name, parameter in discriminator.named_parameters():
        if name.endswith("weight"):
            assert parameter.grad is not None and parameter.grad.isfinite().all(), name
            assert parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize("num_frames", [4, 12])  # 3 are left for the first layer, for the last ones
def test_gradients_of_short_clips_in_bfloat16_are_those_in_float32(num_frames):
    torch.manual_seed(0)
    config = MotionDiscriminatorConfig(base_channels=16, max_channels=64, num_frames=num_frames)
    discriminator = ClipDiscriminator(config)
    clips = clip_with_first(torch.randn(2, num_frames, 1, 32, 32))

    def gradients(enabled: bool) -> list[Tensor]:
        discriminator.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled):
            logits = discriminator(clips)
        sum(scale.float().square().mean() for scale in logits).backward()
        return [p.grad for n, p in discriminator.named_parameters() if n.endswith("weight")]

    for rough, exact in zip(gradients(True), gradients(False), strict=True):
        assert (rough - exact).norm() < 0.1 * exact.norm()


def test_more_scales_and_narrower_layers():
    config = MotionDiscriminatorConfig(
        frame_channels=3, base_channels=4, max_channels=8, num_layers=2, num_scales=3
    )
    shapes = [logits.shape[-1] for logits in PairDiscriminator(config)(torch.zeros(2, 6, 64, 64))]
    assert len(shapes) == 3 and shapes == sorted(shapes, reverse=True)


def test_starts_from_normal_convolutions():
    weight = PairDiscriminator().netD.get_parameter("scale0_layer2.0.weight")
    assert weight.std().item() == pytest.approx(0.02, rel=0.05)


def test_other_shapes_are_refused():
    with pytest.raises(AssertionError, match="pairs"):
        PairDiscriminator(SMALL)(torch.zeros(1, 1, 8, 8))
    with pytest.raises(AssertionError, match="clips"):
        ClipDiscriminator(SMALL)(torch.zeros(1, 2, 6, 8, 8))
    with pytest.raises(AssertionError, match="clips"):
        pair_with_first(torch.zeros(1, 2, 8, 8), 1)
    with pytest.raises(AssertionError, match="clips"):
        clip_with_first(torch.zeros(1, 2, 8, 8))


@pytest.mark.parametrize(("num_frames", "coarse"), [(16, 4), (17, 3)])
def test_clips_as_they_are(num_frames: int, coarse: int) -> None:
    """Between domains (MoCoGAN-HD) frames are not put beside the first one; 17 are halved, too."""
    config = MotionDiscriminatorConfig(3, base_channels=4, num_frames=num_frames)
    discriminator = ClipDiscriminator(config, beside_first=False).eval()
    fine, halved = discriminator(torch.randn(2, 3, num_frames, 16, 16))
    assert fine.shape[:2] == halved.shape[:2] == (2, 1)
    assert halved.shape[2] == fine.shape[2] - (num_frames == 17) and halved.shape[2] >= coarse
    with pytest.raises(AssertionError, match="expected"):
        discriminator(torch.randn(2, 6, num_frames - 1, 16, 16))
