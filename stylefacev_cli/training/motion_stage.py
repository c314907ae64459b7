"""Stage 5: the motion sampler, against two discriminators on sequences of poses.

    p_0 real, noise e → p_1 … p_T        2D: first pose + a random later one;  3D: all of them
    relativistic average LSGAN (½ each side) + gradient penalty on the 3D one
    diversity: −cos(noise reconstructed from the LSTM's state, noise)

Only poses are supervised (the cheap one of the paper's two ways): they are extracted once from the
clips and kept.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stylefacev_cli.errors import DataError
from stylefacev_cli.networks.appearance import AppearanceRecomposer
from stylefacev_cli.networks.generator import Generator
from stylefacev_cli.networks.landmarks import LandmarkDetector
from stylefacev_cli.networks.motion import MotionSampler, MotionSamplerConfig
from stylefacev_cli.networks.motion_discriminator import (
    ClipDiscriminator,
    MotionDiscriminatorConfig,
    PairDiscriminator,
    clip_with_first,
    pair_with_first,
)
from stylefacev_cli.networks.pose import POSE_SIZE, PoseExtractor
from stylefacev_cli.training import sheets
from stylefacev_cli.training.best import Measure
from stylefacev_cli.training.checkpoint import read_checkpoint, write_checkpoint
from stylefacev_cli.training.extraction import pose_of
from stylefacev_cli.training.frames import Frames, Sampler
from stylefacev_cli.training.loop import Losses
from stylefacev_cli.training.optim import Optimisers, Schedule
from stylefacev_cli.training.stage import NetworkStage, frozen, step_generator
from stylefacev_cli.weights.settings import to_plain

POSE_DIM = POSE_SIZE * POSE_SIZE
EXTRACTION_BATCH = 32
VALIDATION_SEED = 7
VALIDATION_CLIPS = 32
LONG_ROLL_OUT = 4  # times the training length, to see drift
SHEET_COLUMNS = 12


@dataclass(frozen=True)
class MotionStageConfig:
    """Settings of the motion stage."""

    architecture: MotionSamplerConfig = field(default_factory=MotionSamplerConfig)
    discriminator: MotionDiscriminatorConfig = field(default_factory=MotionDiscriminatorConfig)
    num_images: int = 1_000_000  # frames of real sequences seen
    minutes: float | None = None
    num_clips: int = 8  # in a batch
    num_frames: int = 30  # of a training sequence
    lr: float = 2e-4
    betas: tuple[float, float] = (0.5, 0.999)
    schedule: Schedule = field(default_factory=Schedule)
    gradient_penalty: float = 10.0
    diversity_weight: float = 1.0

    @property
    def batch_size(self) -> int:
        """Real frames that one step sees."""
        return self.num_clips * self.num_frames


@dataclass(frozen=True)
class PoseTracks:
    """Poses of clips: [N, 64] rows, and (first row, number) of each clip [K, 2]."""

    poses: Tensor
    spans: np.ndarray


def extract_poses(
    frames: Frames, detector: LandmarkDetector, pose_extractor: PoseExtractor, min_frames: int
) -> PoseTracks:
    """Poses of all clips of the people that are trained on.

    Raises:
        DataError: no clip is long enough.
    """
    spans = frames.clips(held_out=False, min_frames=min_frames)
    if not len(spans):
        raise DataError(f"no clip has {min_frames} frames: render longer clips")
    poses = []
    with torch.no_grad():
        for first, length in spans:
            for start in range(first, first + length, EXTRACTION_BATCH):
                rows = np.arange(start, min(start + EXTRACTION_BATCH, first + length))
                found = pose_of(detector, pose_extractor, frames.image_batch(rows))
                poses.append(found.flatten(1))
    lengths = spans[:, 1]
    starts = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    return PoseTracks(torch.cat(poses), np.stack([starts, lengths], axis=1))


def cached_poses(
    path: Path,
    frames: Frames,
    detector: LandmarkDetector,
    pose_extractor: PoseExtractor,
    min_frames: int,
) -> PoseTracks:
    """`extract_poses`, kept in a file until networks or data change."""
    digest = hashlib.sha256(f"{len(frames.images)} {min_frames} {frames.starts[-1]}".encode())
    digest.update(frames.images[:: max(1, len(frames.images) // 64)].tobytes())
    for network in (detector, pose_extractor):
        for value in network.state_dict().values():
            digest.update(value.numpy().tobytes())
    key = digest.hexdigest()
    if path.exists():
        saved = read_checkpoint(path)
        if saved["key"] == key:
            return PoseTracks(saved["poses"], saved["spans"].numpy())
    tracks = extract_poses(frames, detector, pose_extractor, min_frames)
    path.parent.mkdir(parents=True, exist_ok=True)
    spans = torch.from_numpy(tracks.spans)
    write_checkpoint(path, {"key": key, "poses": tracks.poses, "spans": spans})
    return tracks


@dataclass(frozen=True)
class Renderer:
    """Makes frames of poses, for the sample sheet."""

    generator: Generator
    appearance_net: AppearanceRecomposer
    frame: Tensor  # [1, 3, S, S], who is shown


class MotionStage(NetworkStage):
    """Trains the motion sampler."""

    name = "motion"
    measure = Measure("mismatch", higher_is_better=False)

    def __init__(
        self, config: MotionStageConfig, tracks: PoseTracks, seed: int, renderer: Renderer
    ) -> None:
        super().__init__(config.batch_size)
        self.config, self._tracks, self._seed = config, tracks, seed
        self._renderer = renderer
        torch.manual_seed(seed)
        self.sampler = MotionSampler(config.architecture)
        critic_config = replace(config.discriminator, num_frames=config.num_frames)
        self.pair_critic = PairDiscriminator(critic_config)
        self.clip_critic = ClipDiscriminator(critic_config)
        self._optimisers = self._adam(self.sampler)
        self._critics = self._adam(self.pair_critic, self.clip_critic)
        self._clips = Sampler(np.arange(len(tracks.spans)), seed)
        self.networks = {
            "motion": self.sampler,
            "pair_critic": self.pair_critic,
            "clip_critic": self.clip_critic,
        }
        self.others = {
            "optimisers": self._optimisers,
            "critics": self._critics,
            "clips": self._clips,
        }
        self.architecture = {"motion": to_plain(config.architecture)}

    def _adam(self, *networks: nn.Module) -> Optimisers:
        config = self.config
        return Optimisers(
            *(torch.optim.Adam(n.parameters(), config.lr, betas=config.betas) for n in networks)
        )

    def step(self, index: int, progress: float) -> Losses:
        """Train the discriminators, then the sampler, on one batch of sequences."""
        config = self.config
        random = step_generator(self._seed, index)
        real = self._real_sequences(random)
        frame = int(torch.randint(1, config.num_frames, (), generator=random))
        scale = config.schedule.scale(index, progress)
        noise = torch.randn(
            len(real), config.num_frames - 1, config.architecture.pose_dim, generator=random
        )
        made, reconstruction = self._roll_out(real[:, 0], noise)

        critic_losses = self._critic_losses(real, made.detach(), frame, random)
        good = self._critics.step(torch.stack([*critic_losses.values()]).sum(), scale)

        with frozen(self.pair_critic, self.clip_critic):
            losses = self._sampler_losses(real, made, frame)
        cosine = F.cosine_similarity(reconstruction, noise, dim=-1).mean()
        losses["diversity"] = -config.diversity_weight * cosine
        good = good and self._optimisers.step(torch.stack([*losses.values()]).sum(), scale)
        if not good:
            return {"total": float("nan")}
        return {key: float(v.detach()) for key, v in (losses | critic_losses).items()}

    def _real_sequences(self, random: torch.Generator) -> Tensor:
        """[num_clips, num_frames, 64] from random places of the clips."""
        length = self.config.num_frames
        sequences = []
        for start, available in self._tracks.spans[self._clips.next(self.config.num_clips)]:
            offset = int(torch.randint(available - length + 1, (), generator=random))
            sequences.append(self._tracks.poses[start + offset : start + offset + length])
        return torch.stack(sequences)

    def _roll_out(self, first: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Sequences [N, T, 64] that begin with the first pose, and the reconstructed noise."""
        poses, reconstruction = self.sampler.roll_out(first, noise)
        return torch.cat([first[:, None], poses], dim=1), reconstruction

    def _critic_losses(
        self, real: Tensor, made: Tensor, frame: int, random: torch.Generator
    ) -> dict[str, Tensor]:
        real, made = as_maps(real), as_maps(made)
        pairs = [self.pair_critic(pair_with_first(clips, frame)) for clips in (real, made)]
        real_input, made_input = clip_with_first(real), clip_with_first(made)
        clips = [self.clip_critic(real_input), self.clip_critic(made_input)]
        penalty = gradient_penalty(self.clip_critic, real_input, made_input, random)
        return {
            "d_pair": relativistic(pairs[0], pairs[1]),
            "d_clip": relativistic(clips[0], clips[1]),
            "penalty": self.config.gradient_penalty * penalty,
        }

    def _sampler_losses(self, real: Tensor, made: Tensor, frame: int) -> dict[str, Tensor]:
        real, made = as_maps(real), as_maps(made)
        pairs = [self.pair_critic(pair_with_first(clips, frame)) for clips in (made, real)]
        clips = [self.clip_critic(clip_with_first(clips)) for clips in (made, real)]
        return {"g_pair": relativistic(*pairs), "g_clip": relativistic(*clips)}

    @torch.no_grad()
    def _long_sequences(self) -> tuple[Tensor, Tensor]:
        """Real ones, and sampled ones `LONG_ROLL_OUT` times as long, from the same first poses."""
        count, length = VALIDATION_CLIPS, self.config.num_frames
        starts = self._tracks.spans[:count, 0]
        real = torch.stack([self._tracks.poses[start : start + length] for start in starts])
        noise = torch.randn(
            (len(real), LONG_ROLL_OUT * length, self.config.architecture.pose_dim),
            generator=torch.Generator().manual_seed(VALIDATION_SEED),
        )
        return real, self._roll_out(real[:, 0], noise)[0]

    @torch.no_grad()
    def sheet(self) -> np.ndarray:
        """Frames of a real sequence and of sampled ones, long after training's length too."""
        real, made = self._long_sequences()
        length = self.config.num_frames
        rows = []
        for sequence, last in ((real[0], length), (made[0], length), (made[0], made.shape[1])):
            chosen = np.linspace(0, last - 1, SHEET_COLUMNS).round().astype(int)
            rows.append(self._render(sequence[chosen]))
        return sheets.grid(rows)

    def _render(self, poses: Tensor) -> Tensor:
        renderer = self._renderer
        appearance = renderer.appearance_net.encode(renderer.frame)
        maps = poses.view(-1, 1, POSE_SIZE, POSE_SIZE)
        ws = renderer.appearance_net.recompose(appearance, maps)
        images: Tensor = renderer.generator.synthesis(ws)
        return images

    @torch.no_grad()
    def validate(self) -> Losses:
        """Speed and spread of sampled poses over those of real ones; 1 is right.

        `late_spread` is that of the last frames of a long roll-out: above 1 it drifts. `mismatch`
        is the mean |ln| of the three, 0 at best.
        """
        real, made = self._long_sequences()
        length = self.config.num_frames
        centre = real.mean(dim=(0, 1))

        def speed(sequence: Tensor) -> float:
            return float((sequence[:, 1:] - sequence[:, :-1]).norm(dim=2).mean())

        def spread_of(sequence: Tensor) -> float:
            return float((sequence - centre).norm(dim=2).mean())

        found = {
            "speed": speed(made[:, :length]) / speed(real),
            "spread": spread_of(made[:, :length]) / spread_of(real),
            "late_spread": spread_of(made[:, -length:]) / spread_of(real),
        }
        off = [abs(math.log(max(value, 1e-6))) for value in found.values()]
        return found | {"mismatch": sum(off) / len(off)}


def as_maps(sequences: Tensor) -> Tensor:
    """[N, T, 64] → [N, T, 1, 8, 8]."""
    return sequences.view(*sequences.shape[:2], 1, POSE_SIZE, POSE_SIZE)


def relativistic(better: list[Tensor], worse: list[Tensor]) -> Tensor:
    """Relativistic average LSGAN (Jolicoeur-Martineau 2019), half of each side, over all scales.

        ½·E[(D(b) − E D(w) − 1)²] + ½·E[(D(w) − E D(b))²]

    Args:
        better: logits, one tensor a scale, of what should be judged the more real: real sequences
            for the discriminator, made ones for the sampler.
        worse: those of the others.
    """
    total = better[0].new_zeros(())
    for high, low in zip(better, worse, strict=True):
        total = total + 0.5 * (high - low.mean() - 1).square().mean()
        total = total + 0.5 * (low - high.mean()).square().mean()
    return total


def gradient_penalty(
    critic: nn.Module, real: Tensor, made: Tensor, random: torch.Generator
) -> Tensor:
    """(|∂D/∂x| − 1)² between real and made, its norm over channels, the mean over scales.

    Args:
        critic: gives a list of logits.
        real: [N, C, T, H, W].
        made: the same shape.
        random: source of the mixing weights.
    """
    mix = torch.rand(len(real), 1, 1, 1, 1, generator=random)
    between = (mix * real + (1 - mix) * made).detach().requires_grad_(True)
    logits = critic(between)
    total = real.new_zeros(())
    for of_scale in logits:
        (gradient,) = torch.autograd.grad(of_scale.sum(), [between], create_graph=True)
        norm = (gradient.square().sum(dim=1) + 1e-12).sqrt()
        total = total + (norm - 1).square().mean()
    return total / len(logits)
