"""Frames of poses, a few at a time."""

from __future__ import annotations

import numpy as np
import torch

from stylefacev_cli.training.batches.clip_frames import Frames
from stylefacev_cli.training.batches.rendering import Renderer


def test_rendering_a_few_frames_at_a_time_remembers_less_and_gives_the_same(
    renderer: Renderer, clips: Frames
) -> None:
    appearance = renderer.appearance_of(clips.image_batch(np.arange(2)))
    found = []
    for num_at_once in (1, 12):
        poses = torch.ones(2, 6, 64).requires_grad_(True)
        remembered = 0

        def count(tensor: torch.Tensor) -> torch.Tensor:
            nonlocal remembered
            remembered += tensor.numel()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
            made = renderer.clips_of(appearance, poses, num_at_once)
        assert made.shape == (2, 6, 3, 16, 16)
        made.square().mean().backward()
        assert poses.grad is not None and poses.grad.abs().sum() > 0
        assert remembered < 20 * poses.numel()  # what one frame's layers hold is a hundred times it
        found.append((made.detach(), poses.grad))
    direct = renderer.frames_of(appearance.repeat_interleave(6, 0), torch.ones(12, 64))
    for made, gradient in found:
        torch.testing.assert_close(made.flatten(0, 1), direct, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(gradient, found[0][1], atol=1e-7, rtol=1e-3)
