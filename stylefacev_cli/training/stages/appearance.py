"""Appearance encoder and recomposer, on image data alone (self-augmentation).

    w = M(z),  x = G(w),  x' = G_T(w) turned and shifted by T      p = E_pose(x)
    ŵ = R(E_app(x'), p)      loss: G(ŵ) ~ x, features, |ŵ − w| but for the first w

The appearance comes from the moved picture, the pose from the other: so the pose must say where the
face is, and the appearance must not. T acts in the generator's input layer, and the background
stays natural. A generator of configuration T is equivariant to shifts only: set `max_rotation_deg`
to 0 and let pairs of the same person from the clips (`pair_share`) show the rest. Where the factors
of frames are known, `swap_share` gives people the poses of others: see `identity_swaps`. Poses of
frames are extracted once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from stylefacev_cli.common.settings import to_plain
from stylefacev_cli.errors import UsageError
from stylefacev_cli.metrics.image_quality import psnr
from stylefacev_cli.metrics.perceptual import PerceptualLoss
from stylefacev_cli.networks.initial_weights import init_residual
from stylefacev_cli.networks.stylefacev.appearance import AppearanceConfig, AppearanceRecomposer
from stylefacev_cli.networks.stylefacev.landmarks import LandmarkDetector
from stylefacev_cli.networks.stylefacev.pose import PoseExtractor
from stylefacev_cli.networks.stylegan3.generator import Generator
from stylefacev_cli.training.batches.clip_frames import Frames, PairSampler, Sampler, SwapSampler
from stylefacev_cli.training.batches.pose_features import (
    DTYPES,
    arrange_for,
    check_dtype,
    check_swaps,
    detected_key_points,
    pose_of,
    products_in,
    random_shifts,
    set_norms_training,
)
from stylefacev_cli.training.batches.recomposition_pairs import (
    ExamplePool,
    LatentBatch,
    PoseFactors,
    PoseTable,
    Recomposition,
    generated_examples,
    joined,
    moved_frames,
    paired_examples,
    random_latents,
    swapped_examples,
    targets_of,
)
from stylefacev_cli.training.engine import sample_grids
from stylefacev_cli.training.engine.batch_split import BatchSplit, own_splits
from stylefacev_cli.training.engine.best import Measure
from stylefacev_cli.training.engine.optim import Schedule, muon_and_adam, restored_if_bad
from stylefacev_cli.training.engine.stage import NetworkStage, step_generator
from stylefacev_cli.training.engine.stage_protocol import Losses
from stylefacev_cli.training.extensions.surrogates import key_point_surrogate, view_surrogate
from stylefacev_cli.training.losses.reconstruction import reconstruction_losses

VALIDATION_SEED = 7
VALIDATION_IMAGES = 32
GRID_COLUMNS = 10


@dataclass(frozen=True)
class AppearanceStageConfig:
    """Settings of the appearance stage."""

    architecture: AppearanceConfig = field(default_factory=AppearanceConfig)
    num_images: int = 100_000
    minutes: float | None = None
    batch_size: int = 8  # of all processes together
    accumulate: int = 1  # parts of a process's share of the batch, one after the other
    dtype: str = "float32"  # or bfloat16: products, weights and sums stay float32
    lr: float = 2e-4
    muon_lr: float = 0.0  # of the convolutions; 0 gives them to Adam too
    betas: tuple[float, float] = (0.5, 0.999)
    schedule: Schedule = field(default_factory=Schedule)
    max_rotation_deg: float = 45.0
    max_translation: float = 0.25  # in image widths
    num_latents: int = 0  # different faces, those of the seeds from 0; 0: always new ones
    num_pool_images: int = 0  # generated examples that are kept and used again; 0: new ones
    pair_share: float = 0.0  # of a batch: two frames of a clip instead of x' and x
    frame_share: float = 0.0  # of a batch: a frame of the data, shifted, instead of x'
    swap_share: float = 0.0  # of a batch: somebody in the pose of somebody else, by their factors
    pose_factors: PoseFactors | None = None  # where those are that swap_share swaps
    l1_weight: float = 1.0
    face_weight: float = 1.0  # of the L1 on the face, where the background has 1
    feature_weight: float = 1.0  # of the L1 on eyes and mouth
    perceptual_weight: float = 100.0
    embedding_weight: float = 100.0
    view_surrogate_weight: float = 0.0  # of the predicted image's L1, at low resolution
    key_point_surrogate_weight: float = 0.0  # of predicted key points; needs labels
    image_loss_share: float = 1.0  # of a batch: with losses of images; the others, of ws alone
    freeze_batch_norm_from: float = 0.7  # progress from which on batch statistics stay; with
    # architecture.normalisation per_image, from which on each sample's own are used

    def __post_init__(self) -> None:
        """Check the values once."""
        check_dtype(self.dtype)
        check_swaps(self.swap_share, self.pose_factors, "appearance.swap_share")
        if self.num_latents and self.num_pool_images:
            raise UsageError("appearance.num_pool_images keeps its faces: give num_latents 0")

    @property
    def must_split(self) -> dict[str, int]:
        """What must split evenly over processes and parts."""
        made, _ = evenly(np.arange(self.batch_size), self.image_loss_share)
        return {"batch_size": self.batch_size, "image_loss_share of the batch": len(made)}


class AppearanceStage(NetworkStage):
    """Trains the appearance encoder and the recomposer behind fixed pose networks."""

    name = "appearance"
    measure = Measure("psnr", higher_is_better=True)

    def __init__(
        self,
        config: AppearanceStageConfig,
        frames: Frames,
        seed: int,
        generator: Generator,
        detector: LandmarkDetector,
        pose_extractor: PoseExtractor,
        perceptual: PerceptualLoss | None,
    ) -> None:
        super().__init__(config.batch_size, own_splits(self.name, config), frames.device)
        # Samples whose losses are taken of images too, and those of ws alone.
        self._rendered, self._others = evenly(np.arange(config.batch_size), config.image_loss_share)
        self.config, self.frames, self._seed = config, frames, seed
        self._generator, self._perceptual = generator, perceptual
        self._detector, self._pose_extractor = detector, pose_extractor
        torch.manual_seed(seed)
        self.appearance_net = AppearanceRecomposer(config.architecture)
        init_residual(self.appearance_net)  # at these learning rates better than the authors'
        self.appearance_net.to(self.device).centre_on(generator.mapping.w_avg)
        arrange_for(config.dtype, detector, pose_extractor, self.appearance_net)
        self._optimisers = muon_and_adam(
            self.appearance_net, config.lr, config.betas, config.muon_lr
        )
        self._num_pairs = round(config.batch_size * config.pair_share)
        self._num_frames = round(config.batch_size * config.frame_share)
        self._num_swaps = round(config.batch_size * config.swap_share)
        self._num_generated = (
            config.batch_size - self._num_pairs - self._num_frames - self._num_swaps
        )
        self.networks = {"appearance": self.appearance_net}
        self.others = {"optimisers": self._optimisers}
        if config.view_surrogate_weight:
            self._view_surrogate = self.others["view"] = view_surrogate(generator, seed)
        if config.key_point_surrogate_weight:
            self._surrogate = self.others["places"] = key_point_surrogate(generator, frames, seed)
        self._pose_table = PoseTable(frames, self._pose_of)
        if self._num_pairs or self._num_frames or self._num_swaps:
            self.others["poses"] = self._pose_table
        if self._num_pairs:
            self._pairs = PairSampler(frames, seed, held_out=False)
            self.others["pairs"] = self._pairs
        if self._num_frames:
            self._rows = Sampler(frames.rows(held_out=False), seed, frames.digest)
            self.others["rows"] = self._rows
        if self._num_swaps:
            self._swaps = self.others["swaps"] = SwapSampler(frames, seed)
        if self._num_generated and config.num_latents:
            self._seeds = self.others["seeds"] = Sampler(np.arange(config.num_latents), seed)
        if self._num_generated and config.num_pool_images:
            self._pool = ExamplePool(config.num_pool_images, self._draw_chunk, self._pose_of)
            self._pool_order = Sampler(np.arange(self._pool.num_images), seed)
            self.others["pool"] = self._pool_order
        self.architecture = {"appearance": to_plain(config.architecture)}

    def step(self, index: int, progress: float) -> Losses:
        """Train on one batch of generated images (and pairs of frames)."""
        config = self.config
        batch, scale = self._next_batch(index), config.schedule.scale(index, progress)
        set_norms_training(self.appearance_net, progress < config.freeze_batch_norm_from)
        with restored_if_bad(self.appearance_net) as marks:
            parts = (self._losses_of(batch, split) for split in self.splits)
            losses = self._optimisers.learn(parts, len(self.splits), scale)
            marks.append(losses is not None)
        return losses or {"total": float("nan")}

    @torch.no_grad()
    def _pose_of(self, frames: Tensor) -> Tensor:
        with products_in(self.config.dtype):
            return pose_of(self._detector, self._pose_extractor, frames).float()

    def _latents(
        self, count: int, random: torch.Generator, seeds: np.ndarray | None = None
    ) -> LatentBatch:
        z_dim, config = self._generator.config.z_dim, self.config
        return random_latents(
            z_dim, count, config.max_rotation_deg, config.max_translation, random, seeds
        )

    def _draw_chunk(self, count: int, index: int) -> Recomposition:
        latents = self._latents(count, step_generator(self._seed, index))
        return generated_examples(self._generator, latents, self.config.dtype)

    def _next_batch(self, index: int) -> list[Source]:
        """Where the examples of a batch come from: generated, pairs, single frames, swaps."""
        sources: list[Source] = []
        if self._num_generated and self.config.num_pool_images:
            kept = self._pool_order.next(self._num_generated)
            sources.append((len(kept), lambda chosen: self._pool.take(kept[chosen])))
        elif self._num_generated:
            seeds = self._seeds.next(self._num_generated) if self.config.num_latents else None
            latents = self._latents(self._num_generated, step_generator(self._seed, index), seeds)

            def draw(chosen: np.ndarray) -> tuple[Recomposition, Tensor]:
                examples = generated_examples(
                    self._generator, latents.of(chosen), self.config.dtype
                )
                return examples, self._pose_of(examples.frames)

            sources.append((self._num_generated, draw))
        if self._num_pairs:
            pairs = self._pairs.next(self._num_pairs)
            pair_poses = self._pose_table.of(pairs[:, 1])

            def pair(chosen: np.ndarray) -> tuple[Recomposition, Tensor]:
                examples = paired_examples(self._generator, self.frames, pairs[chosen])
                return examples, pair_poses[torch.from_numpy(chosen)]

            sources.append((len(pairs), pair))
        if self._num_frames:
            rows = self._rows.next(self._num_frames)
            row_poses = self._pose_table.of(rows)
            random = step_generator(self._seed + 1, index)
            shifts = random_shifts(len(rows), self.config.max_translation, random)

            def move(chosen: np.ndarray) -> tuple[Recomposition, Tensor]:
                which = torch.from_numpy(chosen)
                moved = moved_frames(self._generator, self.frames, rows[chosen], shifts[which])
                return moved, row_poses[which]

            sources.append((len(rows), move))
        if self._num_swaps:
            swaps = self._swaps.next(self._num_swaps)
            swap_poses = self._pose_table.of(swaps[:, 1])

            def swap(chosen: np.ndarray) -> tuple[Recomposition, Tensor]:
                assert self.config.pose_factors is not None
                swapped = swapped_examples(
                    self._generator, self.frames, swaps[chosen], self.config.pose_factors
                )
                return swapped, swap_poses[torch.from_numpy(chosen)]

            sources.append((len(swaps), swap))
        return sources

    def _losses_of(self, batch: list[Source], split: BatchSplit) -> dict[str, Tensor]:
        samples = split.of(self._rendered, self._others)
        examples, poses = chosen_examples(batch, samples)
        few = torch.from_numpy(np.flatnonzero(np.isin(samples, self._rendered)))
        first_swap = self.config.batch_size - self._num_swaps
        is_swap = torch.from_numpy(samples >= first_swap)
        targets = targets_of(self._generator, examples, few, is_swap, self.config.dtype)
        return self._losses(examples, poses, few, targets)

    def _recompose(self, examples: Recomposition, poses: Tensor) -> Tensor:
        """The ws [N, num_ws, w_dim] of the appearances in the poses."""
        with products_in(self.config.dtype):
            appearance = self.appearance_net.encode(examples.appearance_from)
            ws = self.appearance_net.recompose(appearance, poses)
        return ws.float()

    def _losses_of_ws(self, ws: Tensor, targets: Tensor) -> dict[str, Tensor]:
        config = self.config
        losses = {"embed": config.embedding_weight * embedding_loss(ws, targets)}
        if config.view_surrogate_weight:
            losses["view_surrogate"] = config.view_surrogate_weight * self._view_surrogate.distance(
                ws, targets
            )
        if config.key_point_surrogate_weight:
            losses["surrogate"] = config.key_point_surrogate_weight * self._surrogate.distance(
                ws, targets
            )
        return losses

    def _losses(
        self, examples: Recomposition, poses: Tensor, few: Tensor, targets: Tensor
    ) -> dict[str, Tensor]:
        """Of the ws of all examples, and of the images of those at the places `few`."""
        config = self.config
        ws = self._recompose(examples, poses)
        losses = self._losses_of_ws(ws, examples.ws)
        images = self._generator.synthesis(ws[few], conv_dtype=DTYPES[config.dtype])
        with torch.no_grad():
            points = self._pose_extractor.key_points(poses[few])
        return losses | reconstruction_losses(config, self._perceptual, images, targets, points)

    @torch.no_grad()
    def _validation_examples(self) -> Recomposition:
        random = torch.Generator().manual_seed(VALIDATION_SEED)
        return generated_examples(self._generator, self._latents(VALIDATION_IMAGES, random))

    @torch.no_grad()
    def sample_grid(self) -> np.ndarray:
        """See `sample_grids.recomposition`; poses of the swaps are those of the next picture."""
        self.appearance_net.eval()
        few = self._validation_examples().first(GRID_COLUMNS)
        poses = self._pose_of(few.frames)
        return sample_grids.recomposition(
            few.appearance_from,
            few.frames,
            self._generator.synthesis(self._recompose(few, poses)),
            self._generator.synthesis(self._recompose(few, poses.roll(-1, dims=0))),
            detected_key_points(self._detector, few.frames),
            self._pose_extractor.key_points(poses),
        )

    @torch.no_grad()
    def validate(self) -> Losses:
        """PSNR and distance in w on fixed latents that training does not draw."""
        self.appearance_net.eval()
        examples = self._validation_examples()
        ws = self._recompose(examples, self._pose_of(examples.frames))
        images = self._generator.synthesis(ws)
        everywhere = torch.ones_like(images[:, :1])
        return {
            "psnr": float(psnr(images, examples.frames, everywhere).mean()),
            "embedding": float(embedding_loss(ws, examples.ws)),
        }


Source = tuple[int, Callable[[np.ndarray], tuple[Recomposition, Tensor]]]
"""How many examples there are, and what gives those at some places with their poses."""


def chosen_examples(batch: list[Source], samples: np.ndarray) -> tuple[Recomposition, Tensor]:
    """The examples at some places of a batch (sorted) and the poses of what is to be made."""
    parts, first = [], 0
    for count, make in batch:
        chosen = samples[(samples >= first) & (samples < first + count)] - first
        if len(chosen):
            parts.append(make(chosen))
        first += count
    return joined([examples for examples, _ in parts]), torch.cat([poses for _, poses in parts])


def evenly(samples: np.ndarray, share: float) -> tuple[np.ndarray, np.ndarray]:
    """A share of samples, at least one, spread over them so that every kind is there; the rest."""
    places = torch.linspace(0, len(samples) - 1, max(1, round(len(samples) * share))).round()
    few = samples[places.long().numpy()]
    return few, np.setdiff1d(samples, few)


def embedding_loss(ws: Tensor, targets: Tensor) -> Tensor:
    """Mean |ŵ − w| [N, num_ws, w_dim], without the first w, which carries the placement."""
    return (ws[:, 1:] - targets[:, 1:]).abs().mean()
