"""Frames of poses, with gradients into the poses, in little memory."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from stylefacev_cli.networks.stylefacev.appearance import AppearanceRecomposer
from stylefacev_cli.networks.stylefacev.batch_norm import batch_statistics
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
    def appearance_of(self, frames: Tensor, *, as_batch: bool = False) -> Tensor:
        """Appearances [N, num_channels, 8, 8] of frames [N, 3, S, S]; see `clips_of`."""
        with batch_statistics(self.appearance_net) if as_batch else nullcontext():
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
        return self._images_of(self._ws_of(appearance, poses, dtype), dtype)

    def _ws_of(
        self, appearance: Tensor, poses: Tensor, dtype: str, as_batch: bool = False
    ) -> Tensor:
        norms = batch_statistics(self.appearance_net) if as_batch else nullcontext()
        with norms, products_in(dtype):
            return self.appearance_net.recompose(appearance, as_maps(poses)).float()

    def _images_of(self, ws: Tensor, dtype: str) -> Tensor:
        images: Tensor = self.generator.synthesis(ws, conv_dtype=DTYPES[dtype])
        return images

    def clips_of(
        self,
        appearance: Tensor,
        poses: Tensor,
        num_at_once: int,
        dtype: str = "float32",
        *,
        as_batch: bool = False,
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
            as_batch: the ws of all poses are made at once, normalised by the statistics of them
                all, as R is in training mode; the pictures still a few at a time.

        Returns:
            [N, T, 3, S, S], with a gradient into the poses.
        """
        count, length = poses.shape[:2]
        looks, flat = appearance.repeat_interleave(length, dim=0), poses.flatten(0, 1)
        if as_batch:
            ws = _made_again(self._ws_of, looks, flat, dtype, True)
            parts = torch.split(ws, num_at_once)
            pictures = [_made_again(self._images_of, few, dtype) for few in parts]
        else:
            pairs = zip(
                torch.split(looks, num_at_once), torch.split(flat, num_at_once), strict=True
            )
            pictures = [_made_again(self.frames_of, *pair, dtype) for pair in pairs]
        together = torch.cat(pictures)
        return together.view(count, length, *together.shape[1:])


def _made_again(make: Callable[..., Tensor], *inputs: Any) -> Tensor:
    """What `make` gives, of which only the inputs are remembered for the way back."""
    made: Tensor = checkpoint(make, *inputs, use_reentrant=False, preserve_rng_state=False)
    return made


def as_maps(poses: Tensor) -> Tensor:
    """Poses as pictures, [..., 64] → [..., 1, 8, 8]."""
    return poses.reshape(*poses.shape[:-1], 1, POSE_SIZE, POSE_SIZE)
