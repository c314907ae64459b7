"""What a step of the motion stage is about: sequences of clips, noise, and a frame to judge."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from stylefacev_cli.training.batches.clip_frames import Sampler
from stylefacev_cli.training.engine.batch_split import BatchSplit
from stylefacev_cli.training.engine.stage import step_generator
from stylefacev_cli.training.stages.motion_settings import MotionStageConfig


@dataclass(frozen=True)
class MotionBatch:
    """What was drawn for a step, before anything is computed."""

    num_judged: int  # by the discriminators: the first
    clips: np.ndarray  # [N] which clips
    offsets: np.ndarray  # [N] where the sequences begin in them
    noise: Tensor  # [N, T − 1, pose_dim]
    mix: Tensor  # [num_judged] between real and generated, for the gradient penalty
    frame: int  # that the discriminator of pairs sees
    backwards: Tensor  # bool [2, num_judged]: real and generated ones shown to the 3D one reversed

    def of(self, split: BatchSplit) -> MotionBatch:
        """The sequences of one part of the batch."""
        judged = split.of(np.arange(self.num_judged))
        own = np.concatenate([judged, split.of(np.arange(self.num_judged, len(self.clips)))])
        noise, mix = self.noise[torch.from_numpy(own)], self.mix[torch.from_numpy(judged)]
        backwards = self.backwards[:, torch.from_numpy(judged)]
        clips, offsets = self.clips[own], self.offsets[own]
        return MotionBatch(len(judged), clips, offsets, noise, mix, self.frame, backwards)

    def rows(self, firsts: np.ndarray, num_frames: int) -> Tensor:
        """Rows [N, T] of the sequences' frames, where clips begin at the rows `firsts`."""
        places = (firsts[self.clips] + self.offsets)[:, None] + np.arange(num_frames)
        return torch.from_numpy(places)


class MotionBatches:
    """Draws batches.

    Attributes:
        order: of the clips; its position is saved.
    """

    def __init__(self, config: MotionStageConfig, spans: np.ndarray, seed: int) -> None:
        """Begin with a first round over the clips.

        Args:
            config: of the stage.
            spans: rows (first, number of frames) of the clips [C, 2].
            seed: of all that is drawn.
        """
        self._config, self._spans, self._seed = config, spans, seed
        self.order = Sampler(np.arange(len(spans)), seed)

    def next(self, index: int) -> MotionBatch:
        """Sequences from random places of the next clips."""
        config, random = self._config, step_generator(self._seed, index)
        clips = self.order.next(config.num_sequences)
        free = self._spans[clips, 1] - config.num_frames + 1
        offsets = [int(torch.randint(int(places), (), generator=random)) for places in free]
        frame = int(torch.randint(1, config.num_frames, (), generator=random))
        shape = len(clips), config.num_frames - 1, config.architecture.pose_dim
        noise = torch.randn(shape, generator=random)
        mix = torch.rand(config.num_clips, generator=random)
        backwards = self.backwards(random)
        return MotionBatch(config.num_clips, clips, np.array(offsets), noise, mix, frame, backwards)

    def redrawn(self, batch: MotionBatch, index: int) -> MotionBatch:
        """The same real sequences with other noise, another frame and other reversals."""
        random = step_generator(self._seed + 1, index)
        frame = int(torch.randint(1, self._config.num_frames, (), generator=random))
        noise = torch.randn(batch.noise.shape, generator=random)
        return replace(batch, noise=noise, frame=frame, backwards=self.backwards(random))

    def backwards(self, random: torch.Generator) -> Tensor:
        """Which real and which generated sequences, bool [2, num_clips], to show in reverse."""
        return torch.rand(2, self._config.num_clips, generator=random) < self._config.time_reversal
