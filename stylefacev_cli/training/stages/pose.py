"""The pose extractor alone, on key points of frames and of generated images.

Without this start the joint training hardly converges (paper.md, stage "pose"). The paper's targets
are key points that the detector finds. Where the data has labels they can be the targets, and at
first heatmaps can be drawn from them, which costs next to nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from stylefacev_cli.common.settings import to_plain
from stylefacev_cli.errors import DataError, UsageError
from stylefacev_cli.networks.stylefacev.landmarks import (
    LandmarkDetector,
    heatmap_targets,
    key_points_from_landmarks,
    landmarks_from_heatmaps,
)
from stylefacev_cli.networks.stylefacev.pose import PoseExtractor, PoseExtractorConfig
from stylefacev_cli.networks.stylegan3.generator import Generator
from stylefacev_cli.training.batches.clip_frames import Frames, Sampler, spread
from stylefacev_cli.training.batches.pose_features import (
    DTYPES,
    check_dtype,
    check_targets,
    detected_key_points,
    heatmaps_of,
    pose_of,
    products_in,
    set_norms_training,
)
from stylefacev_cli.training.batches.video_image_sampler import MixedSampler
from stylefacev_cli.training.engine import sample_grids
from stylefacev_cli.training.engine.batch_split import BatchSplit, own_splits
from stylefacev_cli.training.engine.best import Measure
from stylefacev_cli.training.engine.optim import Schedule, muon_and_adam, restored_if_bad
from stylefacev_cli.training.engine.stage import NetworkStage, step_generator
from stylefacev_cli.training.engine.stage_protocol import Losses
from stylefacev_cli.training.losses.image_losses import explained, key_point_loss, openings

VALIDATION_IMAGES = 96
GRID_COLUMNS = 8
SIGMA_PX = 1.5  # of exact heatmaps


@dataclass(frozen=True)
class PoseStageConfig:
    """Settings of the pose stage."""

    architecture: PoseExtractorConfig = field(default_factory=PoseExtractorConfig)
    num_images: int = 60_000
    minutes: float | None = None
    batch_size: int = 16  # of all processes together
    accumulate: int = 1  # parts of a process's share of the batch, one after the other
    dtype: str = "float32"  # or bfloat16: products, weights and sums stay float32
    lr: float = 2e-4
    muon_lr: float = 0.0  # of the convolutions; 0 gives them to Adam too
    betas: tuple[float, float] = (0.5, 0.999)
    schedule: Schedule = field(default_factory=Schedule)
    key_point_weight: float = 10.0
    openings_weight: float = 0.0  # of eyes and mouth, beside 1 for the key points
    targets: str = "detected"  # key points, as in the paper; or labels, which know small movements
    exact_heatmaps_until: float = 0.0  # progress; until then heatmaps are drawn from the labels
    generated_share: float = 0.5  # of a batch
    video_share: float | None = None  # of the frames: those of clips, others are stills; with a
    # batch of one and a half of each they take turns; null: as in the data
    flips: bool = False  # every frame is mirrored with probability ½
    freeze_batch_norm_from: float = 0.7  # progress from which on batch statistics stay

    def __post_init__(self) -> None:
        """Check the values once."""
        check_targets(self.targets)
        if self.exact_heatmaps_until and self.targets != "labels":
            raise UsageError("pose.exact_heatmaps_until needs targets: labels")
        if self.flips and self.targets == "labels":
            raise UsageError("pose.flips needs targets: detected, since labels are not mirrored")
        if self.video_share is not None and not 0 <= self.video_share <= 1:
            raise UsageError("pose.video_share is not between 0 and 1")
        check_dtype(self.dtype)

    @property
    def must_split(self) -> dict[str, int]:
        """What must split evenly over processes and parts."""
        return {"batch_size": self.batch_size}


class PoseStage(NetworkStage):
    """Trains the pose extractor behind a fixed landmark detector."""

    name = "pose"
    measure = Measure("error_percent", higher_is_better=False)

    def __init__(
        self,
        config: PoseStageConfig,
        frames: Frames,
        seed: int,
        detector: LandmarkDetector,
        generator: Generator,
    ) -> None:
        splits = own_splits(self.name, config)
        super().__init__(config.batch_size, splits, frames.device)
        self.config, self.frames, self._seed = config, frames, seed
        self._detector, self._generator = detector, generator
        if config.targets == "labels":
            frames.need_landmarks("the stage pose with labels as targets")
            if config.generated_share and not frames.factors.shape[1]:
                raise DataError(
                    "with pose.targets: labels, generated faces need the latents of rendered ones, "
                    "which the data lacks: give 0 for pose.generated_share"
                )
        torch.manual_seed(seed)
        self.pose_extractor = PoseExtractor(config.architecture).to(self.device)
        self._optimisers = muon_and_adam(
            self.pose_extractor, config.lr, config.betas, config.muon_lr
        )
        self._sampler = (
            Sampler(frames.rows(held_out=False), seed, frames.digest)
            if config.video_share is None
            else MixedSampler(frames, seed, config.video_share)
        )
        self._held_out = spread(frames.rows(held_out=True), VALIDATION_IMAGES)
        self.networks = {"pose": self.pose_extractor}
        self.others = {"optimisers": self._optimisers, "sampler": self._sampler}
        self.architecture = {"pose": to_plain(config.architecture)}

    def step(self, index: int, progress: float) -> Losses:
        """Train on one batch of video frames and generated images."""
        config = self.config
        rows = self._sampler.next(self.images_per_step)
        num_generated = round(len(rows) * config.generated_share)
        random = step_generator(self._seed, index)
        if not num_generated:
            z = torch.zeros(0, self._generator.config.z_dim)
        elif config.targets == "labels":  # a paired generator puts faces where the renders are
            z = self.frames.factor_batch(rows[:num_generated])
        else:
            z = torch.randn((num_generated, self._generator.config.z_dim), generator=random)
        mirrored = torch.rand(len(rows), generator=random) < 0.5 * config.flips
        scale = config.schedule.scale(index, progress)
        set_norms_training(self.pose_extractor, progress < config.freeze_batch_norm_from)
        is_exact = progress < config.exact_heatmaps_until
        with restored_if_bad(self.pose_extractor) as marks:
            parts = (self._losses(rows, z, mirrored, split, is_exact) for split in self.splits)
            losses = self._optimisers.learn(parts, len(self.splits), scale)
            marks.append(losses is not None)
        return losses or {"key_points": float("nan")}

    def _losses(
        self, rows: np.ndarray, z: Tensor, mirrored: Tensor, split: BatchSplit, is_exact: bool
    ) -> dict[str, Tensor]:
        """Of a share of frames, the first of which are drawn from z instead, some mirrored."""
        samples = split.of(np.arange(len(rows)))
        dtype = self.config.dtype
        with torch.no_grad():
            heatmaps = (
                self._exact_heatmaps(rows[samples])
                if is_exact
                else self._detected_heatmaps(rows, z, mirrored, samples)
            )
            if self.config.targets == "labels":
                targets = self.frames.key_point_batch(rows[samples])
            else:
                targets = key_points_from_landmarks(landmarks_from_heatmaps(heatmaps))
        with products_in(dtype):
            poses = self.pose_extractor(heatmaps)
            predicted = self.pose_extractor.key_points(poses).float()
        loss = key_point_loss(predicted, targets, self.config.openings_weight)
        return {"key_points": self.config.key_point_weight * loss}

    def _exact_heatmaps(self, rows: np.ndarray) -> Tensor:
        """What a detector without errors would give: many more of them can be seen in the time."""
        size = self.pose_extractor.config.heatmap_size
        return heatmap_targets(self.frames.landmark_batch(rows), size, SIGMA_PX)

    def _detected_heatmaps(
        self, rows: np.ndarray, z: Tensor, mirrored: Tensor, samples: np.ndarray
    ) -> Tensor:
        """The detector's heatmaps of the frames at `samples`; of the first rows, drawn from z."""
        drawn = samples[samples < len(z)]
        frames = self.frames.image_batch(rows[samples])
        if len(drawn):
            own_z = z[torch.from_numpy(drawn)].to(self.device)
            images = self._generator(own_z, conv_dtype=DTYPES[self.config.dtype])
            frames[: len(drawn)] = images.clamp(-1, 1)
        turned = mirrored[torch.from_numpy(samples)].to(self.device)
        frames = torch.where(turned.view(-1, 1, 1, 1), frames.flip(-1), frames)
        with products_in(self.config.dtype):
            return heatmaps_of(self._detector, frames).float()

    @torch.no_grad()
    def _predict(self, rows: np.ndarray) -> tuple[Tensor, Tensor]:
        """Key points that the poses of frames give, and the targets ones."""
        self.pose_extractor.eval()
        frames = self.frames.image_batch(rows)
        predicted = self.pose_extractor.key_points(
            pose_of(self._detector, self.pose_extractor, frames)
        )
        if self.config.targets == "labels":
            return predicted, self.frames.key_point_batch(rows)
        return predicted, detected_key_points(self._detector, frames)

    @torch.no_grad()
    def sample_grid(self) -> np.ndarray:
        """Held-out frames with the key points that the pose gives, and below with targets ones."""
        rows = self.frames.for_grid(GRID_COLUMNS)
        frames = self.frames.image_batch(rows)
        return sample_grids.grid(
            [sample_grids.with_points(frames, points) for points in self._predict(rows)]
        )

    @torch.no_grad()
    def validate(self) -> Losses:
        """Mean distance of predicted to targets key points, in percent of the frame.

        `openings` is how much of the variance of eyes' and mouths' openings is predicted.
        """
        pairs = []
        for start in range(0, len(self._held_out), self.images_per_step):
            rows = self._held_out[start : start + self.images_per_step]
            pairs.append(self._predict(rows))
        if not pairs:
            return {}
        predicted, targets = (torch.cat(points) for points in zip(*pairs, strict=True))
        return {
            "error_percent": 100 * float((predicted - targets).norm(dim=2).mean()),
            "openings": explained(openings(predicted), openings(targets)),
        }
