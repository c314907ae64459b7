"""Stage 3: appearance encoder and recomposer, on image data alone (self-augmentation).

    w = M(z),  x = G(w),  x' = G_T(w) turned and shifted by T      p = E_pose(x)
    ŵ = R(E_app(x'), p)      loss: G(ŵ) ~ x, features, |ŵ − w| but for the first w

The appearance comes from the moved picture, the pose from the other: so the pose must say where the
face is, and the appearance must not. T acts in the generator's input layer, and the background
stays natural. A generator of configuration T is equivariant to shifts only: set `max_rotation_deg`
to 0 and let pairs of the same person from the clips (`pair_share`) show the rest. Where the factors
of frames are known, `swap_share` gives people the poses of others: see `joint_stage`. Poses of
frames are extracted once, so that `further_swaps` of these cost no more than recomposing.
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
    Drawing,
    ExamplePool,
    PoseFactors,
    PoseTable,
    Recomposition,
    drawn_examples,
    joined,
    moved_frames,
    paired_examples,
    random_drawing,
    swapped_examples,
    targets_of,
)
from stylefacev_cli.training.engine import sample_grids
from stylefacev_cli.training.engine.batch_split import Share, own_shares
from stylefacev_cli.training.engine.best import Measure
from stylefacev_cli.training.engine.loop import Losses
from stylefacev_cli.training.engine.optim import Schedule, muon_and_adam, restored_if_bad
from stylefacev_cli.training.engine.stage import NetworkStage, step_generator
from stylefacev_cli.training.extensions.identity_swaps import further_swaps
from stylefacev_cli.training.extensions.surrogates import linear_view, places_guess
from stylefacev_cli.training.losses.reconstruction import reconstruction_losses

VALIDATION_SEED = 7
VALIDATION_IMAGES = 32
SHEET_COLUMNS = 10


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
    num_latents: int = 0  # different faces drawn, those of the seeds from 0; 0: new ones every time
    pool_images: int = 0  # different drawn examples, kept and used again; 0: new ones every time
    pair_share: float = 0.0  # of a batch: two frames of a clip instead of x' and x
    frame_share: float = 0.0  # of a batch: a frame of the data, shifted, instead of x'
    swap_share: float = 0.0  # of a batch: somebody in the pose of somebody else, by their factors
    further_swaps: int = 0  # other poses of the swaps that each of them gets besides, as ws alone
    pose_factors: PoseFactors | None = None  # where those are that swap_share swaps
    l1_weight: float = 1.0
    face_weight: float = 1.0  # of the L1 on the face, where the background has 1
    feature_weight: float = 1.0  # of the L1 on eyes and mouth
    perceptual_weight: float = 100.0
    embedding_weight: float = 100.0
    view_weight: float = 0.0  # of the linear view's difference, a cheap stand-in for the L1
    places_weight: float = 0.0  # of the guessed difference of where key points are; needs labels
    image_share: float = 1.0  # of a batch: those that are made as images; of the others, ws alone
    freeze_norms_from: float = 0.7  # progress from which on batch statistics stay; with
    # architecture.normalisation per_image, from which on each sample's own are used

    def __post_init__(self) -> None:
        """Check the values once."""
        check_dtype(self.dtype)
        check_swaps(self.swap_share, self.pose_factors, "appearance.swap_share")
        if self.num_latents and self.pool_images:
            raise UsageError("appearance.pool_images keeps its faces: give num_latents 0")
        if self.further_swaps and not self.swap_share:
            raise UsageError("appearance.further_swaps needs a swap_share: theirs are the poses")

    @property
    def must_split(self) -> dict[str, int]:
        """What must split evenly over processes and parts."""
        made, _ = evenly(np.arange(self.batch_size), self.image_share)
        return {"batch_size": self.batch_size, "image_share of the batch": len(made)}


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
        super().__init__(config.batch_size, own_shares(self.name, config), frames.device)
        # Samples that are made as images, and those that are not.
        self._made, self._others = evenly(np.arange(config.batch_size), config.image_share)
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
        self._num_drawn = config.batch_size - self._num_pairs - self._num_frames - self._num_swaps
        self.networks = {"appearance": self.appearance_net}
        self.others = {"optimisers": self._optimisers}
        if config.view_weight:
            self._view = self.others["view"] = linear_view(generator, seed)
        if config.places_weight:
            self._places = self.others["places"] = places_guess(generator, frames, seed)
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
        if self._num_drawn and config.num_latents:
            self._seeds = self.others["seeds"] = Sampler(np.arange(config.num_latents), seed)
        if self._num_drawn and config.pool_images:
            self._pool = ExamplePool(config.pool_images, self._draw_chunk, self._pose_of)
            self._pool_order = Sampler(np.arange(self._pool.num_images), seed)
            self.others["pool"] = self._pool_order
        self.architecture = {"appearance": to_plain(config.architecture)}

    def step(self, index: int, progress: float) -> Losses:
        """Train on one batch of generated images (and pairs of frames)."""
        config = self.config
        batch, scale = self._next_batch(index), config.schedule.scale(index, progress)
        set_norms_training(self.appearance_net, progress < config.freeze_norms_from)
        with restored_if_bad(self.appearance_net) as marks:
            parts = (self._losses_of(batch, share) for share in self.shares)
            found = self._optimisers.learn(parts, len(self.shares), scale)
            marks.append(found is not None)
        return found or {"total": float("nan")}

    @torch.no_grad()
    def _pose_of(self, frames: Tensor) -> Tensor:
        with products_in(self.config.dtype):
            return pose_of(self._detector, self._pose_extractor, frames).float()

    def _drawing(
        self, count: int, random: torch.Generator, seeds: np.ndarray | None = None
    ) -> Drawing:
        z_dim, config = self._generator.config.z_dim, self.config
        return random_drawing(
            z_dim, count, config.max_rotation_deg, config.max_translation, random, seeds
        )

    def _draw_chunk(self, count: int, index: int) -> Recomposition:
        drawing = self._drawing(count, step_generator(self._seed, index))
        return drawn_examples(self._generator, drawing, self.config.dtype)

    def _next_batch(self, index: int) -> Batch:
        """The batch: drawn examples, pairs, single frames, each with how to make some of them."""
        sources: list[Source] = []
        swaps = np.zeros((0, 2), int)
        if self._num_drawn and self.config.pool_images:
            kept = self._pool_order.next(self._num_drawn)
            sources.append((len(kept), lambda chosen: self._pool.take(kept[chosen])))
        elif self._num_drawn:
            seeds = self._seeds.next(self._num_drawn) if self.config.num_latents else None
            drawing = self._drawing(self._num_drawn, step_generator(self._seed, index), seeds)

            def draw(chosen: np.ndarray) -> tuple[Recomposition, Tensor]:
                drawn = drawn_examples(self._generator, drawing.of(chosen), self.config.dtype)
                return drawn, self._pose_of(drawn.frames)

            sources.append((self._num_drawn, draw))
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
        return Batch(sources, swaps)

    def _losses_of(self, batch: Batch, share: Share) -> dict[str, Tensor]:
        samples = share.of(self._made, self._others)
        examples, poses = chosen_examples(batch.sources, samples)
        few = torch.from_numpy(np.flatnonzero(np.isin(samples, self._made)))
        first_swap = self.config.batch_size - self._num_swaps
        is_swap = torch.from_numpy(samples >= first_swap)
        targets = targets_of(self._generator, examples, few, is_swap, self.config.dtype)
        swaps = batch.swaps[samples[samples >= first_swap] - first_swap]
        return self._losses(examples, poses, few, targets, swaps)

    def _recompose(self, examples: Recomposition, poses: Tensor) -> tuple[Tensor, Tensor]:
        """Appearance, and the ws made from it and the pose."""
        with products_in(self.config.dtype):
            appearance = self.appearance_net.encode(examples.appearance_from)
            ws = self.appearance_net.recompose(appearance, poses)
        return appearance, ws.float()

    def _further_swaps(
        self, appearance: Tensor, poses: Tensor, swaps: np.ndarray
    ) -> dict[str, Tensor]:
        """Losses of the swaps, rows [N, 2], in each other's poses."""
        config = self.config
        assert config.pose_factors is not None
        who, how = (self.frames.factor_batch(rows) for rows in swaps.T)
        with products_in(config.dtype):
            ws, wanted = further_swaps(
                self.appearance_net,
                self._generator,
                config.pose_factors,
                appearance,
                poses,
                (who, how),
                config.further_swaps,
            )
        losses = self._losses_of_ws(ws, wanted) if len(ws) else {}
        return {f"x_{name}": loss for name, loss in losses.items()}

    def _losses_of_ws(self, ws: Tensor, wanted: Tensor) -> dict[str, Tensor]:
        config = self.config
        found = {"embed": config.embedding_weight * embedding_loss(ws, wanted)}
        if config.view_weight:
            found["view"] = config.view_weight * self._view.distance(ws, wanted)
        if config.places_weight:
            found["places"] = config.places_weight * self._places.distance(ws, wanted)
        return found

    def _losses(
        self,
        examples: Recomposition,
        poses: Tensor,
        few: Tensor,
        targets: Tensor,
        swaps: np.ndarray,
    ) -> dict[str, Tensor]:
        """Of the ws of all examples, of which the last are swaps, and of the images of a few."""
        config = self.config
        appearance, ws = self._recompose(examples, poses)
        found = self._losses_of_ws(ws, examples.ws)
        if config.further_swaps:
            first = len(ws) - len(swaps)
            found |= self._further_swaps(appearance[first:], poses[first:], swaps)
        images = self._generator.synthesis(ws[few], conv_dtype=DTYPES[config.dtype])
        with torch.no_grad():
            points = self._pose_extractor.key_points(poses[few])
        return found | reconstruction_losses(config, self._perceptual, images, targets, points)

    @torch.no_grad()
    def _validation_examples(self) -> Recomposition:
        random = torch.Generator().manual_seed(VALIDATION_SEED)
        return drawn_examples(self._generator, self._drawing(VALIDATION_IMAGES, random))

    @torch.no_grad()
    def sheet(self) -> np.ndarray:
        """See `sample_grids.recomposition`; poses of the swaps are those of the next picture."""
        self.appearance_net.eval()
        few = self._validation_examples().first(SHEET_COLUMNS)
        poses = self._pose_of(few.frames)
        return sample_grids.recomposition(
            few.appearance_from,
            few.frames,
            self._generator.synthesis(self._recompose(few, poses)[1]),
            self._generator.synthesis(self._recompose(few, poses.roll(-1, dims=0))[1]),
            detected_key_points(self._detector, few.frames),
            self._pose_extractor.key_points(poses),
        )

    @torch.no_grad()
    def validate(self) -> Losses:
        """PSNR and distance in w on fixed latents that training does not draw."""
        self.appearance_net.eval()
        examples = self._validation_examples()
        _, ws = self._recompose(examples, self._pose_of(examples.frames))
        images = self._generator.synthesis(ws)
        everywhere = torch.ones_like(images[:, :1])
        return {
            "psnr": float(psnr(images, examples.frames, everywhere).mean()),
            "embedding": float(embedding_loss(ws, examples.ws)),
        }


Source = tuple[int, Callable[[np.ndarray], tuple[Recomposition, Tensor]]]
"""How many examples there are, and what gives those at some places with their poses."""


@dataclass(frozen=True)
class Batch:
    """Where the examples of a step come from; the last are the swaps, if any."""

    sources: list[Source]
    swaps: np.ndarray  # rows [N, 2]: appearance, pose


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


def embedding_loss(ws: Tensor, wanted: Tensor) -> Tensor:
    """Mean |ŵ − w| [N, num_ws, w_dim], without the first w, which carries the placement."""
    return (ws[:, 1:] - wanted[:, 1:]).abs().mean()
