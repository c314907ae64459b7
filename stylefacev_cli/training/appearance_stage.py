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
from stylefacev_cli.networks.landmarks import LandmarkDetector
from stylefacev_cli.networks.pose import PoseExtractor
from stylefacev_cli.training import sheets
from stylefacev_cli.training.extraction import (
    DTYPES,
    check_dtype,
    placed,
    pose_of,
    products_in,
    random_transforms,
    set_norms_training,
)
from stylefacev_cli.training.frames import Frames, PairSampler
from stylefacev_cli.training.loop import Losses
from stylefacev_cli.training.losses import psnr
from stylefacev_cli.training.optim import Optimisers, Schedule, restored_if_bad
from stylefacev_cli.training.perceptual import PerceptualLoss
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
    pair_share: float = 0.0  # of a batch: two frames of a clip instead of x' and x
    l1_weight: float = 1.0
    perceptual_weight: float = 100.0
    embedding_weight: float = 100.0
    image_every: int = 1  # steps between those that make images; the others compare ws alone
    image_losses_from: float = 0.0  # progress; before it no step makes images
    freeze_norms_from: float = 0.7  # progress from which on batch statistics stay

    def __post_init__(self) -> None:
        """Check the values once."""
        check_dtype(self.dtype)


@dataclass(frozen=True)
class Recomposition:
    """What to look at for the appearance, and what to make in which pose."""

    appearance_from: Tensor  # frames [N, 3, S, S] in [−1, 1]
    frames: Tensor  # to be made again, and to take the pose from; the same shape
    ws: Tensor  # [N, num_ws, w_dim] of the frames


@torch.no_grad()
def drawn_examples(
    generator: Generator,
    count: int,
    max_rotation_deg: float,
    max_translation: float,
    random: torch.Generator,
    dtype: str = "float32",
) -> Recomposition:
    """Random faces x and their moved copies x'."""
    conv_dtype = DTYPES[dtype]
    ws = generator.mapping(torch.randn(count, generator.config.z_dim, generator=random))
    transforms = random_transforms(count, max_rotation_deg, max_translation, random)
    with placed(generator, transforms):
        moved = generator.synthesis(ws, conv_dtype=conv_dtype).clamp(-1, 1)
    return Recomposition(moved, generator.synthesis(ws, conv_dtype=conv_dtype).clamp(-1, 1), ws)


@torch.no_grad()
def paired_examples(generator: Generator, frames: Frames, pairs: np.ndarray) -> Recomposition:
    """Frames of clips, the appearance from another frame of the clip; w from their factors.

    Args:
        generator: gives the ws of the factors.
        frames: the data; it has factors.
        pairs: rows [N, 2]: appearance, target.
    """
    ws = generator.mapping(frames.factor_batch(pairs[:, 1]))
    return Recomposition(frames.image_batch(pairs[:, 0]), frames.image_batch(pairs[:, 1]), ws)


class AppearanceStage(NetworkStage):
    """Trains the appearance encoder and the recomposer behind fixed pose networks."""

    name = "appearance"

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
        self.appearance_net.centre_on(generator.mapping.w_avg)
        for network in (detector, pose_extractor, self.appearance_net):
            network.to(memory_format=torch.channels_last)  # faster on CPUs
        self._optimisers = Optimisers(
            torch.optim.Adam(self.appearance_net.parameters(), config.lr, betas=config.betas)
        )
        self._num_pairs = round(config.batch_size * config.pair_share)
        self.networks = {"appearance": self.appearance_net}
        self.others = {"optimisers": self._optimisers}
        if self._num_pairs:
            self._pairs = PairSampler(frames, seed, held_out=False)
            self.others["pairs"] = self._pairs
        self.architecture = {"appearance": to_plain(config.architecture)}

    def step(self, index: int, progress: float) -> Losses:
        """Train on one batch of generated images (and pairs of frames)."""
        config = self.config
        examples = self._examples(step_generator(self._seed, index))
        set_norms_training(self.appearance_net, progress < config.freeze_norms_from)
        with restored_if_bad(self.appearance_net) as marks:
            makes_images = progress >= config.image_losses_from and index % config.image_every == 0
            found = self._losses(examples, makes_images)
            total = torch.stack([*found.values()]).sum()
            marks.append(self._optimisers.step(total, config.schedule.scale(index, progress)))
        if not marks[0]:
            return {"total": float("nan")}
        return {key: float(value.detach()) for key, value in found.items()}

    def _examples(self, random: torch.Generator) -> Recomposition:
        config = self.config
        count = self.images_per_step - self._num_pairs
        drawn = drawn_examples(
            self._generator,
            count,
            config.max_rotation_deg,
            config.max_translation,
            random,
            config.dtype,
        )
        if not self._num_pairs:
            return drawn
        rows = self._pairs.next(self._num_pairs)
        pairs = paired_examples(self._generator, self.frames, rows)
        return Recomposition(
            torch.cat([drawn.appearance_from, pairs.appearance_from]),
            torch.cat([drawn.frames, pairs.frames]),
            torch.cat([drawn.ws, pairs.ws]),
        )

    def _recompose(self, examples: Recomposition) -> Tensor:
        """Ws, made from appearance and pose."""
        with products_in(self.config.dtype):
            with torch.no_grad():
                poses = pose_of(self._detector, self._pose_extractor, examples.frames)
            ws: Tensor = self.appearance_net(examples.appearance_from, poses)
        return ws.float()

    def _losses(self, examples: Recomposition, with_images: bool) -> dict[str, Tensor]:
        config = self.config
        ws = self._recompose(examples)
        found = {"embed": config.embedding_weight * embedding_loss(ws, examples.ws)}
        if not with_images:
            return found
        images = self._generator.synthesis(ws, conv_dtype=DTYPES[config.dtype])
        found["l1"] = config.l1_weight * (images - examples.frames).abs().mean()
        if self._perceptual is not None and config.perceptual_weight:
            with products_in(config.dtype):
                distance = self._perceptual(images, examples.frames)
            found["perc"] = config.perceptual_weight * distance
        return found

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
        """Moved pictures, those to be made, and those made."""
        self.appearance_net.eval()
        examples = self._validation_examples()
        few = Recomposition(
            examples.appearance_from[:SHEET_COLUMNS],
            examples.frames[:SHEET_COLUMNS],
            examples.ws[:SHEET_COLUMNS],
        )
        made = self._generator.synthesis(self._recompose(few))
        return sheets.grid([few.appearance_from, few.frames, made])

    @torch.no_grad()
    def validate(self) -> Losses:
        """PSNR and distance in w on fixed latents that training does not draw."""
        self.appearance_net.eval()
        examples = self._validation_examples()
        ws = self._recompose(examples)
        images = self._generator.synthesis(ws)
        everywhere = torch.ones_like(images[:, :1])
        return {
            "psnr": float(psnr(images, examples.frames, everywhere).mean()),
            "embedding": float(embedding_loss(ws, examples.ws)),
        }


def embedding_loss(ws: Tensor, wanted: Tensor) -> Tensor:
    """Mean |ŵ − w| [N, num_ws, w_dim], without the first w, which carries the placement."""
    return (ws[:, 1:] - wanted[:, 1:]).abs().mean()
