"""Stage 3: appearance encoder and recomposer, on image data alone (self-augmentation).

    w = M(z),  x = G(w),  x' = G_T(w) turned and shifted by T      p = E_pose(x)
    ŵ = R(E_app(x'), p)      loss: G(ŵ) ~ x, features, |ŵ − w| but for the first w

The appearance comes from the moved picture, the pose from the other: so the pose must say where the
face is, and the appearance must not. T acts in the generator's input layer, and the background
stays natural. A generator of configuration T is equivariant to shifts only: set `max_rotation_deg`
to 0 and let pairs of the same person from the clips (`pair_share`) show the rest.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from stylefacev_cli.networks.appearance import AppearanceConfig, AppearanceRecomposer
from stylefacev_cli.networks.generator import Generator
from stylefacev_cli.networks.initial_weights import start_residual
from stylefacev_cli.networks.landmarks import LandmarkDetector
from stylefacev_cli.networks.pose import PoseExtractor
from stylefacev_cli.training import sheets
from stylefacev_cli.training.best import Measure
from stylefacev_cli.training.examples import (
    ExamplePool,
    PoseTable,
    Recomposition,
    drawn_examples,
    joined,
    linear_places,
    linear_view,
    moved_frames,
    paired_examples,
)
from stylefacev_cli.training.extraction import (
    DTYPES,
    arrange_for,
    check_dtype,
    detected_key_points,
    pose_of,
    products_in,
    set_norms_training,
)
from stylefacev_cli.training.frames import Frames, PairSampler, Sampler
from stylefacev_cli.training.loop import Losses
from stylefacev_cli.training.losses import psnr
from stylefacev_cli.training.optim import Optimisers, Schedule, restored_if_bad
from stylefacev_cli.training.perceptual import PerceptualLoss
from stylefacev_cli.training.reconstruction import reconstruction_losses
from stylefacev_cli.training.stage import NetworkStage, step_generator
from stylefacev_cli.weights.settings import to_plain

VALIDATION_SEED = 7
VALIDATION_IMAGES = 32
SHEET_COLUMNS = 10


@dataclass(frozen=True)
class AppearanceStageConfig:
    """Settings of the appearance stage."""

    architecture: AppearanceConfig = field(default_factory=AppearanceConfig)
    num_images: int = 100_000
    minutes: float | None = None
    batch_size: int = 8
    dtype: str = "float32"  # or bfloat16: products, weights and sums stay float32
    lr: float = 2e-4
    betas: tuple[float, float] = (0.5, 0.999)
    schedule: Schedule = field(default_factory=Schedule)
    max_rotation_deg: float = 45.0
    max_translation: float = 0.25  # in image widths
    pool_images: int = 0  # different drawn examples, kept and used again; 0: new ones every time
    pair_share: float = 0.0  # of a batch: two frames of a clip instead of x' and x
    frame_share: float = 0.0  # of a batch: a frame of the data, shifted, instead of x'
    l1_weight: float = 1.0
    face_weight: float = 1.0  # of the L1 on the face, where the background has 1
    feature_weight: float = 1.0  # of the L1 on eyes and mouth
    perceptual_weight: float = 100.0
    embedding_weight: float = 100.0
    view_weight: float = 0.0  # of the linear view's difference, a cheap stand-in for the L1
    places_weight: float = 0.0  # of the linear guess where the key points are; needs labels
    image_share: float = 1.0  # of a batch: those that are made as images; of the others, ws alone
    freeze_norms_from: float = 0.7  # progress from which on batch statistics stay

    def __post_init__(self) -> None:
        """Check the values once."""
        check_dtype(self.dtype)


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
        super().__init__(config.batch_size)
        self.config, self.frames, self._seed = config, frames, seed
        self._generator, self._perceptual = generator, perceptual
        self._detector, self._pose_extractor = detector, pose_extractor
        torch.manual_seed(seed)
        self.appearance_net = AppearanceRecomposer(config.architecture)
        start_residual(self.appearance_net)  # at these learning rates better than the authors'
        self.appearance_net.centre_on(generator.mapping.w_avg)
        arrange_for(config.dtype, detector, pose_extractor, self.appearance_net)
        self._optimisers = Optimisers(
            torch.optim.Adam(self.appearance_net.parameters(), config.lr, betas=config.betas)
        )
        self._num_pairs = round(config.batch_size * config.pair_share)
        self._num_frames = round(config.batch_size * config.frame_share)
        self._num_drawn = config.batch_size - self._num_pairs - self._num_frames
        self.networks = {"appearance": self.appearance_net}
        self.others = {"optimisers": self._optimisers}
        if config.view_weight:
            self._view = self.others["view"] = linear_view(generator, seed)
        if config.places_weight:
            self._places = self.others["places"] = linear_places(generator, frames, seed)
        self._pose_table = PoseTable(frames, self._pose_of)
        if self._num_pairs or self._num_frames:
            self.others["poses"] = self._pose_table
        if self._num_pairs:
            self._pairs = PairSampler(frames, seed, held_out=False)
            self.others["pairs"] = self._pairs
        if self._num_frames:
            self._rows = Sampler(frames.rows(held_out=False), seed)
            self.others["rows"] = self._rows
        if self._num_drawn and config.pool_images:
            self._pool = ExamplePool(config.pool_images, self._draw, self._pose_of)
            self._pool_order = Sampler(np.arange(self._pool.num_images), seed)
            self.others["pool"] = self._pool_order
        self.architecture = {"appearance": to_plain(config.architecture)}

    def step(self, index: int, progress: float) -> Losses:
        """Train on one batch of generated images (and pairs of frames)."""
        config = self.config
        examples, poses = self._examples(index)
        set_norms_training(self.appearance_net, progress < config.freeze_norms_from)
        with restored_if_bad(self.appearance_net) as marks:
            found = self._losses(examples, poses)
            total = torch.stack([*found.values()]).sum()
            marks.append(self._optimisers.step(total, config.schedule.scale(index, progress)))
        if not marks[0]:
            return {"total": float("nan")}
        return {key: float(value.detach()) for key, value in found.items()}

    @torch.no_grad()
    def _pose_of(self, frames: Tensor) -> Tensor:
        with products_in(self.config.dtype):
            return pose_of(self._detector, self._pose_extractor, frames).float()

    def _draw(self, count: int, index: int) -> Recomposition:
        config = self.config
        return drawn_examples(
            self._generator,
            count,
            config.max_rotation_deg,
            config.max_translation,
            step_generator(self._seed, index),
            config.dtype,
        )

    def _examples(self, index: int) -> tuple[Recomposition, Tensor]:
        """A batch: drawn examples, pairs, single frames; and the poses of what is to be made."""
        parts, poses = [], []
        if self._num_drawn and self.config.pool_images:
            drawn, drawn_poses = self._pool.take(self._pool_order.next(self._num_drawn))
            parts.append(drawn)
            poses.append(drawn_poses)
        elif self._num_drawn:
            parts.append(self._draw(self._num_drawn, index))
            poses.append(self._pose_of(parts[-1].frames))
        if self._num_pairs:
            pairs = self._pairs.next(self._num_pairs)
            parts.append(paired_examples(self._generator, self.frames, pairs))
            poses.append(self._pose_table.of(pairs[:, 1]))
        if self._num_frames:
            rows = self._rows.next(self._num_frames)
            reach, random = self.config.max_translation, step_generator(self._seed + 1, index)
            parts.append(moved_frames(self._generator, self.frames, rows, reach, random))
            poses.append(self._pose_table.of(rows))
        return joined(parts), torch.cat(poses)

    def _recompose(self, examples: Recomposition, poses: Tensor) -> Tensor:
        """Ws, made from appearance and pose."""
        with products_in(self.config.dtype):
            ws: Tensor = self.appearance_net(examples.appearance_from, poses)
        return ws.float()

    def _losses(self, examples: Recomposition, poses: Tensor) -> dict[str, Tensor]:
        config = self.config
        ws = self._recompose(examples, poses)
        found = {"embed": config.embedding_weight * embedding_loss(ws, examples.ws)}
        if config.view_weight:
            found["view"] = config.view_weight * self._view.distance(ws, examples.ws)
        if config.places_weight:
            found["places"] = config.places_weight * self._places.distance(ws, examples.ws)
        few = evenly(len(ws), config.image_share)
        images = self._generator.synthesis(ws[few], conv_dtype=DTYPES[config.dtype])
        with torch.no_grad():
            points = self._pose_extractor.key_points(poses[few])
        return found | reconstruction_losses(
            config, self._perceptual, images, examples.frames[few], points
        )

    @torch.no_grad()
    def _validation_examples(self) -> Recomposition:
        random = torch.Generator().manual_seed(VALIDATION_SEED)
        config = self.config
        return drawn_examples(
            self._generator,
            VALIDATION_IMAGES,
            config.max_rotation_deg,
            config.max_translation,
            random,
        )

    @torch.no_grad()
    def sheet(self) -> np.ndarray:
        """See `sheets.recomposition`; the poses of the swaps are those of the next picture."""
        self.appearance_net.eval()
        few = self._validation_examples().first(SHEET_COLUMNS)
        poses = self._pose_of(few.frames)
        return sheets.recomposition(
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


def evenly(count: int, share: float) -> Tensor:
    """Indices of a share of a batch, at least one, spread over it so that every kind is there."""
    return torch.linspace(0, count - 1, max(1, round(count * share))).round().long()


def embedding_loss(ws: Tensor, wanted: Tensor) -> Tensor:
    """Mean |ŵ − w| [N, num_ws, w_dim], without the first w, which carries the placement."""
    return (ws[:, 1:] - wanted[:, 1:]).abs().mean()
