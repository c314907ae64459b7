"""Pairs of faces and the targets of their recomposition."""

from __future__ import annotations

import numpy as np
import torch
from stage_runs import SWAPPED

from stylefacev_cli.faces.factors import FaceFactors
from stylefacev_cli.networks.stylegan3.generator import Generator
from stylefacev_cli.training.batches.clip_frames import Frames, SwapSampler
from stylefacev_cli.training.batches.recomposition_pairs import (
    PoseFactors,
    swapped_examples,
    targets_of,
)
from stylefacev_cli.training.settings import load_settings


def test_a_swap_is_somebody_in_the_pose_of_another() -> None:
    factors = FaceFactors()
    random = np.random.default_rng(4)
    a, b = (np.stack([factors.sample(random) for _ in range(3)]) for _ in range(2))
    where = PoseFactors(factors.pose.start, factors.pose.stop)
    made = where.swapped(torch.from_numpy(a), torch.from_numpy(b))
    wanted = np.stack([factors.combine(*pair) for pair in zip(a, b, strict=True)])
    np.testing.assert_allclose(made, wanted, atol=1e-5)
    config = load_settings("default-128")
    assert config.appearance.pose_factors == where
    assert config.joint is not None and config.joint.pose_factors == where


def test_swaps_are_made_of_two_people_and_aim_at_the_generator(
    clips: Frames, generator: Generator
) -> None:
    sampler = SwapSampler(clips, 1)
    pairs = sampler.next(200)
    assert not clips.held_out[pairs].any()
    clip_of = np.searchsorted(clips.starts, pairs, side="right") - 1
    assert (clip_of[:, 0] != clip_of[:, 1]).mean() > 0.5
    pairs = pairs[clip_of[:, 0] != clip_of[:, 1]][:4]
    examples = swapped_examples(generator, clips, pairs, SWAPPED)
    z = SWAPPED.swapped(clips.factor_batch(pairs[:, 0]), clips.factor_batch(pairs[:, 1]))
    assert torch.equal(examples.ws, generator.mapping(z))
    assert torch.equal(examples.appearance_from, clips.image_batch(pairs[:, 0]))
    assert torch.equal(examples.frames, clips.image_batch(pairs[:, 1]))
    is_swap = torch.tensor([False, False, True, True])
    few = torch.tensor([1, 2])
    targets = targets_of(generator, examples, few, is_swap, "float32")
    assert torch.equal(targets[0], examples.frames[1])
    torch.testing.assert_close(targets[1], generator.synthesis(examples.ws[2:3])[0].clamp(-1, 1))
