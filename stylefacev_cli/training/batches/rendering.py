"""Frames of poses, with gradients into the poses, in little memory."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from stylefacev_cli.networks.stylefacev.appearance import AppearanceRecomposer
from stylefacev_cli.networks.stylefacev.pose import POSE_SIZE
from stylefacev_cli.networks.stylegan3.generator import Generator
from stylefacev_cli.training.batches.pose_features import DTYPES, products_in


@dataclass(frozen=True)
class Renderer:
    """Frozen networks that make frames of poses, and a person for the sample sheet."""

    generator: Generator
    appearance_net: AppearanceRecomposer
    frame: Tensor  # [1, 3, S, S], who is shown

    @torch.no_grad()
    def appearance_of(self, frames: Tensor) -> Tensor:
        """Appearances of frames [N, 3, S, S]: [N, num_channels, 8, 8]."""
        return self.appearance_net.encode(frames)

    def frames_of(self, appearance: Tensor, poses: Tensor, dtype: str = "float32") -> Tensor:
        """Frames of faces in poses.

        Args:
            appearance: [N, num_channels, 8, 8], or N = 1 for one face in many poses.
            poses: [N, 64].
            dtype: precision of the products, see `extraction.DTYPES`.

        Returns:
            [N, 3, S, S], about in [−1, 1].
        """
        with products_in(dtype):
            ws = self.appearance_net.recompose(appearance, as_maps(poses))
        images: Tensor = self.generator.synthesis(ws.float(), conv_dtype=DTYPES[dtype])
        return images

    def clips_of(
        self, appearance: Tensor, poses: Tensor, num_at_once: int, dtype: str = "float32"
    ) -> Tensor:
        """Clips of faces that keep their appearance.

        A few frames are made at a time, and only their poses are remembered for the way back: there
        they are made again (activation checkpointing; Chen et al. 2016, "Training Deep Nets with
        Sublinear Memory Cost"). So memory is that of these few and of the finished pictures.

        Args:
            appearance: [N, num_channels, 8, 8].
            poses: [N, T, 64].
            num_at_once: how many frames.
            dtype: as in `frames_of`.

        Returns:
            [N, T, 3, S, S], with a gradient into the poses.
        """
        count, length = poses.shape[:2]
        looks = appearance.repeat_interleave(length, dim=0)
        pairs = zip(
            torch.split(looks, num_at_once),
            torch.split(poses.flatten(0, 1), num_at_once),
            strict=True,
        )
        pictures = [
            checkpoint(self.frames_of, *pair, dtype, use_reentrant=False, preserve_rng_state=False)
            for pair in pairs
        ]
        together = torch.cat(pictures)
        return together.view(count, length, *together.shape[1:])


def as_maps(poses: Tensor) -> Tensor:
    """Poses as pictures, [..., 64] → [..., 1, 8, 8]."""
    return poses.reshape(*poses.shape[:-1], 1, POSE_SIZE, POSE_SIZE)
