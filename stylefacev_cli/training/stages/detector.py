"""The landmark detector, on renders and on what the generator makes of the same latents.

Generated faces look softer than renders; since a paired generator puts the landmarks of z where the
render of z has them, its images are training data with exact labels too.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from stylefacev_cli.common.settings import to_plain
from stylefacev_cli.networks.stylefacev.landmarks import (
    LandmarkDetector,
    LandmarkDetectorConfig,
    boundary_target,
    heatmap_targets,
    key_points_from_landmarks,
    landmarks_from_heatmaps,
)
from stylefacev_cli.networks.stylegan3.generator import Generator
from stylefacev_cli.training.batches.clip_frames import Frames, Sampler, spread
from stylefacev_cli.training.batches.pose_features import (
    DTYPES,
    check_dtype,
    heatmaps_of,
    products_in,
    random_shifts,
    set_norms_training,
    shifted,
)
from stylefacev_cli.training.engine import sample_grids
from stylefacev_cli.training.engine.batch_split import BatchSplit, own_splits
from stylefacev_cli.training.engine.best import Measure
from stylefacev_cli.training.engine.optim import Schedule, muon_and_adam, restored_if_bad
from stylefacev_cli.training.engine.stage import NetworkStage, step_generator
from stylefacev_cli.training.engine.stage_protocol import Losses
from stylefacev_cli.training.losses import image_losses
from stylefacev_cli.training.losses.image_losses import openings

OUTER_EYE_CORNERS = (60, 72)
MAX_SHIFT = 0.12  # of the translation augmentation, in image widths
MAX_BRIGHTNESS, MAX_CONTRAST = 0.15, 0.2  # of the colour augmentation, on a scale of 2
SIGMA_PX = 1.5  # of the target heatmaps
FOREGROUND_WEIGHT = 20.0  # added where the target is high
HIDDEN_WEIGHT = 0.3  # of landmarks that are not visible
PEAK_SHARPNESS = 20.0  # of the softmax that says where in its neighbourhood a heatmap peaks
PEAK_RADIUS_PX = 4.0  # of the neighbourhood, in the heatmap
OUT_OF_REACH = 1e4
HEATMAP_WEIGHT = 30.0  # of the heatmaps' own error beside that of the place of their peak
VALIDATION_IMAGES = 96
GRID_COLUMNS = 8


@dataclass(frozen=True)
class DetectorStageConfig:
    """Settings of the detector stage."""

    architecture: LandmarkDetectorConfig = field(default_factory=LandmarkDetectorConfig)
    num_images: int = 120_000
    minutes: float | None = None
    batch_size: int = 16  # of all processes together
    accumulate: int = 1  # parts of a process's share of the batch, one after the other
    dtype: str = "float32"  # or bfloat16: products, weights and sums stay float32
    lr: float = 1e-3
    muon_lr: float = 0.0  # of the convolutions; 0 gives them to Adam too
    schedule: Schedule = field(default_factory=Schedule)
    generated_share: float = 0.5  # of a batch that the generator draws, if one is trained
    openings_weight: float = 0.0  # of how far eyes and mouth are open, heatmap px
    freeze_batch_norm_from: float = 0.7  # progress from which on batch statistics stay

    def __post_init__(self) -> None:
        """Check the values once."""
        check_dtype(self.dtype)

    @property
    def must_split(self) -> dict[str, int]:
        """What must split evenly over processes and parts."""
        return {"batch_size": self.batch_size}


class DetectorStage(NetworkStage):
    """Trains the landmark detector."""

    name = "detector"
    measure = Measure("nme", higher_is_better=False)

    def __init__(
        self, config: DetectorStageConfig, frames: Frames, seed: int, generator: Generator | None
    ) -> None:
        splits = own_splits(self.name, config)
        super().__init__(config.batch_size, splits, frames.device)
        frames.need_landmarks("the stage detector")
        self.config, self.frames, self._seed = config, frames, seed
        has_factors = frames.factors.shape[1] > 0
        self._generator = generator if has_factors else None
        torch.manual_seed(seed)
        self.detector = LandmarkDetector(config.architecture).to(self.device)
        self._optimisers = muon_and_adam(self.detector, config.lr, (0.9, 0.999), config.muon_lr)
        self._sampler = Sampler(frames.rows(held_out=False), seed, frames.digest)
        self._held_out = spread(frames.rows(held_out=True), VALIDATION_IMAGES)
        self.networks = {"landmarks": self.detector}
        self.others = {"optimisers": self._optimisers, "sampler": self._sampler}
        self.architecture = {"landmarks": to_plain(config.architecture)}

    def step(self, index: int, progress: float) -> Losses:
        """Train on one batch."""
        config = self.config
        rows = self._sampler.next(self.images_per_step)
        random = step_generator(self._seed, index)
        shifts = random_shifts(len(rows), MAX_SHIFT, random)
        colours = torch.rand(2, len(rows), 3, generator=random)
        scale = config.schedule.scale(index, progress)

        def losses_of(split: BatchSplit) -> dict[str, Tensor]:
            samples = split.of(np.arange(len(rows)))
            chosen, own = torch.from_numpy(samples), rows[samples]
            with torch.no_grad():
                frames = self._with_generated(rows, samples)
                landmarks = self.frames.landmark_batch(own)
                frames, landmarks = shifted(frames, landmarks, shifts[chosen])
                noise = colours[:, chosen].to(self.device)
                frames = recoloured(frames, noise, MAX_BRIGHTNESS, MAX_CONTRAST)
            return self._losses(frames, landmarks, self.frames.visible_batch(own))

        set_norms_training(self.detector, progress < config.freeze_batch_norm_from)
        with restored_if_bad(self.detector) as marks:
            parts = (losses_of(split) for split in self.splits)
            losses = self._optimisers.learn(parts, len(self.splits), scale)
            marks.append(losses is not None)
        return losses or {"total": float("nan")}

    def _with_generated(self, rows: np.ndarray, samples: np.ndarray) -> Tensor:
        """Frames of the rows at `samples`; of the first rows, what the generator makes of them."""
        frames = self.frames.image_batch(rows[samples])
        drawn = samples[samples < round(len(rows) * self.config.generated_share)]
        if self._generator is not None and len(drawn):
            z, dtype = self.frames.factor_batch(rows[drawn]), DTYPES[self.config.dtype]
            images = self._generator(z, conv_dtype=dtype)
            frames[: len(drawn)] = images.clamp(-1, 1)
        return frames

    def _losses(self, frames: Tensor, landmarks: Tensor, visible: Tensor) -> dict[str, Tensor]:
        config = self.config
        size = config.architecture.heatmap_size
        with products_in(config.dtype):
            predicted_maps = self.detector.heatmaps_and_boundary((frames + 1) / 2)
        heatmaps, boundary = (maps.float() for maps in predicted_maps)
        target = heatmap_targets(landmarks, size, SIGMA_PX)
        edges = boundary_target(landmarks, size, SIGMA_PX)
        weight_of = torch.where(visible, 1.0, HIDDEN_WEIGHT)  # [N, 98]
        losses: dict[str, Tensor] = {}
        if config.openings_weight:
            distance = openings_distance(heatmaps, landmarks, visible)
            losses["openings"] = config.openings_weight * distance
        weights = (1 + FOREGROUND_WEIGHT * target) * weight_of[:, :, None, None]
        return losses | {
            "place": (image_losses.location_loss(heatmaps, target) * weight_of).mean(),
            "points": HEATMAP_WEIGHT * ((heatmaps - target).square() * weights).mean(),
            "boundary": F.mse_loss(boundary, edges),
        }

    @torch.no_grad()
    def _detect(self, frames: Tensor) -> Tensor:
        self.detector.eval()
        return landmarks_from_heatmaps(heatmaps_of(self.detector, frames))

    @torch.no_grad()
    def sample_grid(self) -> np.ndarray:
        """Held-out renders and generated faces, with the landmarks predicted."""
        rows = self.frames.for_grid(GRID_COLUMNS)
        frames = self.frames.image_batch(rows)
        pictures = [sample_grids.with_points(frames, self._detect(frames))]
        if self._generator is not None:
            drawn = self._generator(self.frames.factor_batch(rows)).clamp(-1, 1)
            pictures.append(sample_grids.with_points(drawn, self._detect(drawn)))
        return sample_grids.grid(pictures)

    @torch.no_grad()
    def validate(self) -> Losses:
        """Mean error of visible landmarks over the distance of the outer eye corners.

        `openings` is how much of the variance of eyes' and mouths' openings is predicted.
        """
        predicted: dict[str, list[Tensor]] = {"": [], "_generated": []}
        for start in range(0, len(self._held_out), self.images_per_step):
            rows = self._held_out[start : start + self.images_per_step]
            predicted[""].append(self._detect(self.frames.image_batch(rows)))
            if self._generator is not None:
                drawn = self._generator(self.frames.factor_batch(rows)).clamp(-1, 1)
                predicted["_generated"].append(self._detect(drawn))
        targets = openings(self.frames.key_point_batch(self._held_out))
        numbers: Losses = {}
        for suffix, parts in predicted.items():
            if parts:
                points = torch.cat(parts)
                numbers["nme" + suffix] = float(self._errors(points, self._held_out).mean())
                ours = openings(key_points_from_landmarks(points))
                numbers["openings" + suffix] = image_losses.explained(ours, targets)
        return numbers

    def _errors(self, predicted: Tensor, rows: np.ndarray) -> Tensor:
        landmarks = self.frames.landmark_batch(rows)
        visible = self.frames.visible_batch(rows).float()
        distances = (predicted - landmarks).norm(dim=2)  # [N, 98]
        left, right = (landmarks[:, corner] for corner in OUTER_EYE_CORNERS)
        scale = (left - right).norm(dim=1).clamp(min=0.05)
        errors: Tensor = (distances * visible).sum(dim=1) / visible.sum(dim=1).clamp(min=1) / scale
        return errors


def recoloured(
    frames: Tensor, uniform: Tensor, max_brightness: float, max_contrast: float
) -> Tensor:
    """Frames [N, 3, S, S] in [−1, 1] with other brightness, contrast and tint.

    `uniform` [2, N, 3] are random numbers in [0, 1): which ones.
    """
    noise = uniform * 2 - 1
    brightness = (noise[0].mean(dim=1, keepdim=True) + 0.5 * noise[0]) * max_brightness
    contrast = 1 + noise[1, :, :1] * max_contrast
    return (frames * contrast[:, :, None, None] + brightness[:, :, None, None]).clamp(-1, 1)


def openings_distance(heatmaps: Tensor, landmarks: Tensor, visible: Tensor) -> Tensor:
    """Mean error of the openings of visible eyes and mouths, in heatmap px, with a gradient.

    A landmark is the centre of mass of a sharp softmax over its heatmap, near where it should be:
    over all of the heatmap, far places would have the most leverage, and no peak would form.

    Args:
        heatmaps: [N, 98, H, H].
        landmarks: the true ones [N, 98, 2], fractions of the frame.
        visible: [N, 98] bool.
    """
    size = heatmaps.shape[-1]
    centres = torch.arange(size, device=heatmaps.device) + 0.5
    is_near = (landmarks[..., None] * size - centres).abs() <= PEAK_RADIUS_PX  # [N, 98, 2, H]
    columns, rows = is_near[:, :, None, 0], is_near[:, :, 1, :, None]
    logits = (PEAK_SHARPNESS * heatmaps).masked_fill(~(columns & rows), -OUT_OF_REACH)
    mass = logits.flatten(2).softmax(dim=2).view(heatmaps.shape)
    predicted = torch.stack([mass.sum(dim=2) @ centres, mass.sum(dim=3) @ centres], dim=2)
    ours, targets = (openings(key_points_from_landmarks(p)) for p in (predicted, landmarks * size))
    # An eye or mouth counts if all the landmarks of its key points are visible.
    seen = (_visibility(visible.float()[:, :, None].expand(-1, -1, 2)) > 1 - 1e-3).float()
    return ((ours - targets).abs().sum(dim=2) * seen).sum() / seen.sum().clamp(min=1)


def _visibility(flags: Tensor) -> Tensor:
    """The lower of both key points' visibility: flags [N, 98, 2] of 0 or 1 → [N, 3]."""
    points = key_points_from_landmarks(flags)[..., 0]  # means of flags
    upper, lower = (points[:, list(places)] for places in (image_losses.UPPER, image_losses.LOWER))
    return torch.minimum(upper, lower)
