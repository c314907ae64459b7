"""What a step of the joint stage is about: frames of clips, generated images, swaps.

Whatever is said about frames here, poses and key points, comes of the networks as they were when
the stage began.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from stylefacev_cli.networks.stylefacev.appearance import AppearanceRecomposer
from stylefacev_cli.networks.stylefacev.landmarks import LandmarkDetector
from stylefacev_cli.networks.stylefacev.pose import PoseExtractor
from stylefacev_cli.networks.stylegan3.generator import Generator
from stylefacev_cli.training.batches.clip_frames import Frames, WindowSampler
from stylefacev_cli.training.batches.pose_features import detected_key_points, pose_of, products_in
from stylefacev_cli.training.batches.recomposition_pairs import (
    LatentBatch,
    PoseTable,
    Recomposition,
    appearance_rows,
    generated_examples,
    joined,
    random_latents,
    swapped_examples,
    target_rows,
    window_examples,
)
from stylefacev_cli.training.stages.joint_settings import JointStageConfig

VALIDATION_CLIPS = 16


@dataclass(frozen=True)
class JointNetworks:
    """The frozen networks that the stage starts from, and looks at its data with.

    Attributes:
        generator: makes the images.
        detector: the pose extractor works behind it; a copy learns.
        pose_extractor: a copy learns.
        appearance_net: a copy learns.
        key_point_detector: finds the key points that are targets: another one than `detector` where
            that has been trained with a pose extractor before.
    """

    generator: Generator
    detector: LandmarkDetector
    pose_extractor: PoseExtractor
    appearance_net: AppearanceRecomposer
    key_point_detector: LandmarkDetector


@dataclass(frozen=True)
class JointDraws:
    """What was drawn for a step, of all processes together."""

    windows: np.ndarray  # [num_clips, 1 + num_frames] rows, see `WindowSampler`
    latents: LatentBatch  # of the generated images
    swaps: np.ndarray  # [num_swaps, 2] rows of appearance and pose
    poses: Tensor | None  # [N, 1, 8, 8] of the clips' frames, then the swaps', where poses stay


@dataclass(frozen=True)
class JointBatch:
    """Examples of the video part, then generated ones, then swaps."""

    examples: Recomposition
    key_points: Tensor  # [N, 14, 2] that the poses stand for
    generated: slice
    factors: tuple[Tensor, Tensor] | None  # [N, Z] of the appearances, and of the poses
    poses: Tensor | None  # [N, 1, 8, 8] of the frames, where they are known

    @property
    def video(self) -> slice:
        """The examples before the generated ones."""
        return slice(0, self.generated.start)

    @property
    def parts(self) -> dict[str, slice]:
        """Where the parts are that have any examples, by the prefixes of their losses."""
        swaps = slice(self.generated.stop, len(self.examples.frames))
        parts = {"v_": self.video, "i_": self.generated, "s_": swaps}
        return {prefix: part for prefix, part in parts.items() if part.start != part.stop}


class JointBatches:
    """Makes batches from draws."""

    def __init__(
        self,
        config: JointStageConfig,
        frames: Frames,
        before: JointNetworks,
    ) -> None:
        """Keep the networks of the stage's beginning."""
        self._config, self._frames, self._generator = config, frames, before.generator
        self._detector, self._pose_extractor = before.detector, before.pose_extractor
        self._key_point_detector = before.key_point_detector
        stay = not config.pose_lr_factor
        self.pose_table = PoseTable(frames, self.pose_of) if stay else None

    def known_poses(self, windows: np.ndarray, swaps: np.ndarray) -> Tensor | None:
        """Poses of all of a step's frames of the data, if poses stay: of clips, then of swaps.

        All processes ask for all of them, and share the work.
        """
        if self.pose_table is None:
            return None
        video = target_rows(windows, np.arange(self._config.num_video))
        return self.pose_table.of(np.concatenate([video, swaps[:, 1]]))

    def latents(self, random: torch.Generator) -> LatentBatch:
        """Faces and movements of the image part of a step."""
        config, seeds = self._config, None
        if config.num_latents:
            shape = (config.num_generated,)
            seeds = torch.randint(config.num_latents, shape, generator=random).numpy()
        return random_latents(
            self._generator.config.z_dim,
            config.num_generated,
            config.max_rotation_deg,
            config.max_translation,
            random,
            seeds,
        )

    def of(self, draws: JointDraws, samples: np.ndarray) -> JointBatch:
        """The batch of some samples (sorted) of a step."""
        config, windows = self._config, draws.windows
        first_generated, first_swap = config.num_video, config.num_video + config.num_generated
        own_video, own_generated, own_swaps = np.split(
            samples, np.searchsorted(samples, [first_generated, first_swap])
        )
        pairs = draws.swaps[own_swaps - first_swap]
        own = draws.latents.of(own_generated - first_generated)
        parts = []
        if len(own_video):
            parts.append(self._video_examples(windows, own_video))
        if len(own_generated):
            parts.append(generated_examples(self._generator, own, config.dtype))
        if len(pairs):
            assert config.pose_factors is not None
            parts.append(
                swapped_examples(self._generator, self._frames, pairs, config.pose_factors)
            )
        examples = joined(parts)
        generated = slice(len(own_video), len(own_video) + len(own_generated))
        poses, poses_of_generated = None, None
        if draws.poses is not None:
            poses_of_generated = self.pose_of(examples.frames[generated])
            of_swaps = draws.poses[torch.from_numpy(own_swaps - config.num_generated)]
            of_video = draws.poses[torch.from_numpy(own_video)]
            poses = torch.cat([of_video, poses_of_generated, of_swaps])
        rows = np.concatenate([target_rows(windows, own_video), pairs[:, 1]])
        key_points = self._key_points(examples, generated, rows, poses_of_generated)
        factors = None
        if config.num_swap_poses:
            of_appearance = appearance_rows(windows, own_video), pairs[:, 0]
            of_pose = target_rows(windows, own_video), pairs[:, 1]
            factors = self._factors(of_appearance, own.z), self._factors(of_pose, own.z)
        return JointBatch(examples, key_points, generated, factors, poses)

    @torch.no_grad()
    def held_out(self) -> tuple[Recomposition, Tensor] | None:
        """Windows of held-out people, of the others' if nobody's clips are held out; key points."""
        for held_out in (True, False):
            if len(self._frames.clips(held_out=held_out, min_frames=self._config.window.span)):
                sampler = WindowSampler(self._frames, self._config.window, 7, held_out=held_out)
                windows = sampler.next(VALIDATION_CLIPS)
                samples = np.arange(windows[:, 1:].size)
                examples = self._video_examples(windows, samples)
                none_generated = slice(len(samples), len(samples))
                key_points = self._key_points(
                    examples, none_generated, target_rows(windows, samples)
                )
                return examples, key_points
        return None

    @torch.no_grad()
    def pose_of(self, frames: Tensor) -> Tensor:
        """Poses [N, 1, 8, 8] as they were at the start of the stage."""
        with products_in(self._config.dtype):
            return pose_of(self._detector, self._pose_extractor, frames).float()

    def _video_examples(self, windows: np.ndarray, samples: np.ndarray) -> Recomposition:
        has_ws = bool(
            self._config.video_embedding_weight or self._config.key_point_surrogate_weight
        )
        return window_examples(self._generator, self._frames, windows, samples, has_ws=has_ws)

    def _factors(self, rows: tuple[np.ndarray, np.ndarray], of_generated: Tensor) -> Tensor:
        """Of frames of clips, generated faces and frames of swaps [N, Z]."""
        video, swaps = (self._frames.factor_batch(some) for some in rows)
        return torch.cat([video, of_generated.to(video), swaps])

    @torch.no_grad()
    def _key_points(
        self,
        examples: Recomposition,
        generated: slice,
        rows: np.ndarray,
        poses_of_generated: Tensor | None = None,
    ) -> Tensor:
        """Key points that the poses stand for; all but the generated examples are frames at `rows`.

        Generated ones have no labels: theirs are those of their poses before, so that they stay.
        """
        with products_in(self._config.dtype):
            if self._config.targets != "labels":
                return detected_key_points(self._key_point_detector, examples.frames).float()
            if poses_of_generated is None:
                poses_of_generated = self.pose_of(examples.frames[generated])
            points = self._pose_extractor.key_points(poses_of_generated).float()
        labels = self._frames.key_point_batch(rows)
        return torch.cat([labels[: generated.start], points, labels[generated.start :]])
