from __future__ import annotations

import conformance_vectors as vectors
import pytest
import torch

from stylefacev_cli.networks.stylefacev.motion import MotionSampler, MotionSamplerConfig

SMALL = MotionSamplerConfig(pose_dim=12, hidden_dim=20, step_size=0.1)


@pytest.mark.conformance
@torch.no_grad()
def test_sampler_gives_the_numbers_of_the_original():
    v = vectors.load("stylefacev-motion-sampler")
    sampler = v.fill(MotionSampler())
    first_pose = v.value("motion/pose0", (2, 64)).abs()
    num_steps = v["noise_reconstruction"].shape[1]
    noise = torch.stack([v.value(f"motion/noise/{t}", (2, 64)) for t in range(num_steps)], dim=1)
    poses, reconstruction = sampler.roll_out(first_pose, noise)
    with_first = torch.cat([first_pose[:, None], poses], dim=1)
    assert vectors.relative_error(with_first, v["poses"]) < 1e-4
    assert vectors.relative_error(reconstruction, v["noise_reconstruction"]) < 1e-4


def test_streaming_gives_the_poses_of_roll_out():
    torch.manual_seed(0)
    sampler = MotionSampler(SMALL)
    first_pose, noise = torch.rand(3, 12), torch.randn(3, 9, 12)
    poses, reconstruction = sampler.roll_out(first_pose, noise)
    state = sampler.start(first_pose)
    for t in range(9):
        pose, state = sampler.step(state, noise[:, t])
        assert torch.equal(pose, poses[:, t])
        assert torch.equal(sampler.reconstruct_noise(state), reconstruction[:, t])


def test_a_longer_roll_out_begins_like_a_shorter_one():
    torch.manual_seed(0)
    sampler = MotionSampler(SMALL)
    first_pose, noise = torch.rand(1, 12), torch.randn(1, 30, 12)
    long, _ = sampler(first_pose, noise)
    short, _ = sampler(first_pose, noise[:, :10])
    assert torch.equal(long[:, :10], short)


def test_no_number_moves_more_than_the_step_size():
    torch.manual_seed(0)
    sampler = MotionSampler(SMALL)
    torch.nn.init.normal_(sampler.w, std=10.0)
    first_pose = torch.rand(2, 12)
    poses, _ = sampler.roll_out(first_pose, torch.randn(2, 20, 12))
    steps = torch.cat([first_pose[:, None], poses], dim=1).diff(dim=1).abs()
    assert 0.09 < steps.max() <= 0.1 + 1e-5


def test_every_parameter_learns_except_one_that_only_ever_sees_zeros():
    torch.manual_seed(0)
    sampler = MotionSampler(SMALL)
    poses, reconstruction = sampler.roll_out(torch.rand(2, 12), torch.randn(2, 5, 12))
    (poses.square().mean() + reconstruction.square().mean()).backward()
    for name, parameter in sampler.named_parameters():
        assert parameter.grad is not None, name
        # The encoder cell takes one step, from a hidden state of zeros.
        assert name == "enc_cell.weight_hh" or parameter.grad.abs().sum() > 0, name


def test_starts_with_orthogonal_gates():
    gate = MotionSampler().cell.weight_hh[64:128]
    assert torch.allclose(gate @ gate.T, torch.eye(64), atol=1e-5)


def test_other_shapes_are_refused():
    sampler = MotionSampler(SMALL)
    with pytest.raises(AssertionError, match="first_pose"):
        sampler.start(torch.zeros(1, 1, 3, 4))
    with pytest.raises(AssertionError, match="noise"):
        sampler.step(sampler.start(torch.zeros(1, 12)), torch.zeros(1, 11))
    with pytest.raises(AssertionError, match="noise"):
        sampler.roll_out(torch.zeros(1, 12), torch.zeros(1, 0, 12))
