"""Stage 5: the motion sampler, against two discriminators on sequences of poses or of images.

    p_0 real, noise e → p_1 … p_T        2D: first frame + a random later one;  3D: all of them
    relativistic average LSGAN (½ each side) + gradient penalty on the 3D one
    diversity: −cos(noise reconstructed from the LSTM's state, noise)

The paper's two ways. `poses`: a frame is its pose, extracted once from the clips and kept; cheap.
`images`: a frame is a picture. Real ones are those of the data; made ones are rendered from the
poses with the appearance of the real clip's first frame; motion gets richer, a step much dearer.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stylefacev_cli.common.settings import to_plain
from stylefacev_cli.errors import DataError, UsageError
from stylefacev_cli.networks.stylefacev.landmarks import LandmarkDetector
from stylefacev_cli.networks.stylefacev.motion import MotionSampler, MotionSamplerConfig
from stylefacev_cli.networks.stylefacev.motion_discriminator import (
    ClipDiscriminator,
    MotionDiscriminatorConfig,
    PairDiscriminator,
    clip_with_first,
    pair_with_first,
)
from stylefacev_cli.networks.stylefacev.pose import PoseExtractor
from stylefacev_cli.training.batches.clip_frames import Frames, Sampler
from stylefacev_cli.training.batches.pose_cache import PoseTracks
from stylefacev_cli.training.batches.pose_features import check_dtype, products_in
from stylefacev_cli.training.batches.rendering import Renderer, as_maps
from stylefacev_cli.training.engine import sample_grids
from stylefacev_cli.training.engine.batch_split import Share, own_shares
from stylefacev_cli.training.engine.best import Measure
from stylefacev_cli.training.engine.loop import Losses
from stylefacev_cli.training.engine.optim import Optimisers, Schedule, average_buffers
from stylefacev_cli.training.engine.stage import NetworkStage, frozen, step_generator
from stylefacev_cli.training.extensions.eye_mouth_opening import ShownOpenings
from stylefacev_cli.training.extensions.motion_statistics import MotionValues
from stylefacev_cli.training.extensions.opening_maps import (
    NUM_PLANES,
    HeightsOf,
    OpeningPlanes,
    heights_by,
    opening_planes,
)
from stylefacev_cli.training.extensions.pose_prior import PoseManifold
from stylefacev_cli.training.losses.motion_losses import (
    gradient_penalty,
    in_reverse,
    marginal_loss,
    marginal_step_loss,
    relativistic,
    structure,
    structure_loss,
)

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
    supervise: str = "poses"  # or images: what the discriminators see
    rendered_at_once: int = 4  # frames, with images: memory is that of so many
    batch_statistics: bool = False  # with images: E_app and R normalise by all of a step together
    num_clips: int = 8  # sequences in a batch, of all processes together
    values_clips: int = 0  # in a batch, of which the discriminators see num_clips; 0: as many
    critics_every: int = 1  # steps: in those between, losses on values alone train the sampler
    accumulate: int = 1  # parts of a process's share of the batch, one after the other
    dtype: str = "float32"  # or bfloat16: products of discriminators and rendering
    num_frames: int = 30  # of a training sequence
    lr: float = 2e-4
    betas: tuple[float, float] = (0.5, 0.999)
    schedule: Schedule = field(default_factory=Schedule)
    gradient_penalty: float = 10.0
    time_reversal: float = 0.0  # probability that the 3D one sees a sequence backwards, real and
    # made ones apart
    fresh_roll_outs: bool = False  # the sampler's update draws noise, frame and reversal anew
    diversity_weight: float = 1.0
    structure_weight: float = 0.0  # of a loss that movement is of the data's size at every lag
    marginals_weight: float = 0.0  # of a loss that values are distributed as in the real sequences
    steps_weight: float = 0.0  # of the same for how far values move in 1 to 16 frames
    manifold_weight: float = 0.0  # of a loss that poses are such as faces have
    openings_scale: float = 0.0  # of planes of how far eyes and mouth are open, beside the poses
    shown_people: int = 0  # whose pictures tell how far those are open; 0: the pose's key points do

    def __post_init__(self) -> None:
        """Check the values once."""
        if self.supervise not in ("poses", "images"):
            raise UsageError(f"motion.supervise {self.supervise!r} is not poses or images")
        if self.rendered_at_once < 1:
            raise UsageError("motion.rendered_at_once is at least 1")
        if self.batch_statistics and self.supervise != "images":
            raise UsageError("motion.batch_statistics is for supervise: images")
        if not 0 <= self.time_reversal <= 1:
            raise UsageError("motion.time_reversal is a probability, from 0 to 1")
        if self.openings_scale and self.supervise != "poses":
            raise UsageError("motion.openings_scale is for discriminators of poses")
        if self.follows_values and (self.supervise != "poses" or self.num_frames < 2):
            raise UsageError(
                "structure_weight, marginals_weight, steps_weight and manifold_weight are for "
                "sequences of poses"
            )
        if self.shown_people and not (self.reads_values or self.openings_scale):
            raise UsageError(
                "motion.shown_people is for openings_scale, structure_weight, marginals_weight or "
                "steps_weight"
            )
        if not self.follows_values and (self.values_clips or self.critics_every != 1):
            raise UsageError(
                "motion.values_clips and critics_every are for structure_weight, marginals_weight, "
                "steps_weight or manifold_weight"
            )
        if self.values_clips and self.values_clips < self.num_clips:
            raise UsageError("motion.values_clips is at least num_clips, or 0 for as many")
        if self.critics_every < 1:
            raise UsageError("motion.critics_every is at least 1")
        check_dtype(self.dtype)

    @property
    def reads_values(self) -> bool:
        """Whether a loss on `MotionValues` is wanted."""
        return any((self.structure_weight, self.marginals_weight, self.steps_weight))

    @property
    def follows_values(self) -> bool:
        """Whether a loss is wanted that is not the discriminators'."""
        return self.reads_values or self.manifold_weight != 0

    @property
    def must_split(self) -> dict[str, int]:
        """What must split evenly over processes and parts."""
        return {"num_clips": self.num_clips, "values_clips": self.values_clips}

    @property
    def num_sequences(self) -> int:
        """In a batch: `num_clips` of them, the first, are for the discriminators too."""
        return max(self.num_clips, self.values_clips)

    @property
    def batch_size(self) -> int:
        """Real frames that one step sees."""
        return self.num_sequences * self.num_frames


@dataclass(frozen=True)
class Batch:
    """What a step is about, before anything is computed."""

    num_seen: int  # by the discriminators: the first
    clips: np.ndarray  # [N] which clips
    offsets: np.ndarray  # [N] where the sequences begin in them
    noise: Tensor  # [N, T − 1, pose_dim]
    mix: Tensor  # [num_seen] between real and made, for the gradient penalty
    frame: int  # that the discriminator of pairs sees
    backwards: Tensor  # bool [2, num_seen]: real and made ones that the 3D discriminator sees so

    def of(self, share: Share) -> Batch:
        """A share of the sequences."""
        seen = share.of(np.arange(self.num_seen))
        own = np.concatenate([seen, share.of(np.arange(self.num_seen, len(self.clips)))])
        noise, mix = self.noise[torch.from_numpy(own)], self.mix[torch.from_numpy(seen)]
        backwards = self.backwards[:, torch.from_numpy(seen)]
        clips, offsets = self.clips[own], self.offsets[own]
        return Batch(len(seen), clips, offsets, noise, mix, self.frame, backwards)


@dataclass(frozen=True)
class Attempt:
    """Sequences that the sampler made beside real ones, as discriminators and losses see them."""

    batch: Batch
    real: Tensor  # [num_seen, T, C, H, W]: poses as maps (and planes of openings), or images
    made: Tensor  # the same shape, with a gradient into the sampler
    rolled: Tensor  # [N, T, 64], with a gradient
    diversity: Tensor  # scalar: cosine of noise and what the sampler's state tells of it


class MotionStage(NetworkStage):
    """Trains the motion sampler."""

    name = "motion"
    measure = Measure("mismatch", higher_is_better=False)

    def __init__(
        self,
        config: MotionStageConfig,
        tracks: PoseTracks,
        seed: int,
        renderer: Renderer,
        frames: Frames,
        pose_extractor: PoseExtractor | None = None,
        detector: LandmarkDetector | None = None,
    ) -> None:
        shares = own_shares(self.name, config)
        super().__init__(config.batch_size, shares, frames.device)
        self.config, self._tracks, self._seed = config, tracks, seed
        self._renderer, self._frames = renderer, frames
        # Clips of the data, in the order of the tracks.
        self._first_rows = frames.clips(held_out=False, min_frames=config.num_frames)[:, 0]
        needs_frames = config.supervise == "images" or config.shown_people
        assert not needs_frames or len(self._first_rows) == len(tracks.spans)
        self._pose_extractor, self._detector = pose_extractor, detector
        self._poses = tracks.poses.to(frames.device)
        self._planes: OpeningPlanes | None = None
        self._values: MotionValues | None = None
        if config.manifold_weight:
            self._manifold = PoseManifold.of_data(self._poses, tracks.spans, seed)
        torch.manual_seed(seed)
        self.sampler = MotionSampler(config.architecture).to(self.device)
        critic_config = replace(
            config.discriminator,
            num_frames=config.num_frames,
            frame_channels=self._frame_channels,
        )
        self.pair_critic = PairDiscriminator(critic_config).to(self.device)
        self.clip_critic = ClipDiscriminator(critic_config).to(self.device)
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
        self._shown_openings: ShownOpenings | None = None
        if config.shown_people:
            assert pose_extractor is not None and detector is not None
            self._shown_openings = ShownOpenings(pose_extractor, self._poses, seed)
            self.others["shown_openings"] = self._shown_openings
        self.architecture = {"motion": to_plain(config.architecture)}

    def _learn_to_read(self) -> None:
        """What losses and discriminators read from poses: once, before the first step."""
        config = self.config
        if self._planes is not None or self._values is not None:
            return
        if not (config.openings_scale or config.reads_values):
            return
        assert self._pose_extractor is not None
        heights_of = self._heights_of(self._pose_extractor)
        if config.openings_scale:
            self._planes = opening_planes(heights_of, self._poses, config.openings_scale)
        if config.reads_values:
            self._values = MotionValues.of_data(
                self._pose_extractor, self._poses, self._tracks.spans, heights_of
            )
            self._real_values = self._values_of_data(self._values)
            self._structure = self._structure_of_data()

    def _heights_of(self, pose_extractor: PoseExtractor) -> HeightsOf:
        shown = self._shown_openings
        if shown is None:
            return heights_by(pose_extractor)
        if not shown.is_fitted:
            count = min(self.config.shown_people, len(self._tracks.spans))
            order = np.random.default_rng(self._seed).permutation(len(self._tracks.spans))
            people, clips = order[:count], np.roll(order, 1)[:count]  # nobody in own poses
            poses = [self._poses[a : a + n] for a, n in self._tracks.spans[clips].tolist()]
            assert self._detector is not None
            first_frames = self._frames.image_batch(self._first_rows[people])
            shown.fit(poses, first_frames, self.sampler, self._renderer, self._detector)
        return shown.of

    @property
    def _frame_channels(self) -> int:
        if self.config.supervise == "images":
            return 3
        return 1 + NUM_PLANES if self.config.openings_scale else 1

    @torch.no_grad()
    def _values_of_data(self, values: MotionValues) -> Tensor:
        """[frames, K] of all clips."""
        found = []
        for index, (first, frames) in enumerate(self._tracks.spans):
            clip = self._poses[first : first + frames]
            found.append(values.of(clip[None], np.array([index]))[0])
        return torch.cat(found)

    def _structure_of_data(self) -> Tensor:
        """The structure function of the clips, cut to the length of training."""
        length = self.config.num_frames
        squares = []
        for first, frames in self._tracks.spans:
            cut = self._real_values[first : first + frames // length * length]
            squares.append(structure(cut.view(-1, length, cut.shape[1])).square())
        return torch.stack(squares).mean(dim=0).sqrt()

    def _adam(self, *networks: nn.Module) -> Optimisers:
        config = self.config
        return Optimisers(
            *(torch.optim.Adam(n.parameters(), config.lr, betas=config.betas) for n in networks)
        )

    def state_dict(self) -> dict[str, Any]:
        """All that the next step depends on, and what the discriminators look at."""
        return super().state_dict() | {"supervise": self.config.supervise}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state.

        Raises:
            UsageError: its architecture or supervision is another one.
        """
        before = state.get("supervise", "poses")  # all there was once
        if before != self.config.supervise:
            raise UsageError(
                f"motion: the saves were supervised on {before}, not {self.config.supervise}: "
                "train into another --out"
            )
        if self._shown_openings is not None and "shown_openings" not in state["others"]:
            others = state["others"] | {"shown_openings": self._shown_openings.state_dict()}
            state = state | {"others": others}
        super().load_state_dict(state)

    def step(self, index: int, progress: float) -> Losses:
        """Train the discriminators, then the sampler, on one batch of sequences."""
        self._learn_to_read()
        config, count = self.config, len(self.shares)
        batch, scale = self._next_batch(index), config.schedule.scale(index, progress)
        if index % config.critics_every:
            own = (batch.of(share) for share in self.shares)
            parts = (self._values_losses(part, self._sequences(part)[1]) for part in own)
            return self._optimisers.learn(parts, count, scale) or {"total": float("nan")}
        attempts: list[Attempt] = []  # that the sampler learns from

        def critic_parts() -> Iterator[dict[str, Tensor]]:
            for share in self.shares:
                with torch.set_grad_enabled(not config.fresh_roll_outs):
                    attempt = self._attempt(batch.of(share))
                if not config.fresh_roll_outs:
                    attempts.append(attempt)
                yield self._critic_losses(attempt)

        def sampler_attempts() -> Iterator[Attempt]:
            yield from attempts
            if config.fresh_roll_outs:
                redrawn = self._redrawn(batch, index)
                yield from (self._attempt(redrawn.of(share)) for share in self.shares)

        critic_losses = self._critics.learn(critic_parts(), count, scale)
        if critic_losses is None:
            return {"total": float("nan")}
        with frozen(self.pair_critic, self.clip_critic):
            both = (
                self._sampler_losses(x) | self._values_losses(x.batch, x.rolled)
                for x in sampler_attempts()
            )
            losses = self._optimisers.learn(both, count, scale)
        average_buffers(self.pair_critic, self.clip_critic)
        return {"total": float("nan")} if losses is None else losses | critic_losses

    def _next_batch(self, index: int) -> Batch:
        """Sequences from random places of the next clips."""
        config, random = self.config, step_generator(self._seed, index)
        clips = self._clips.next(config.num_sequences)
        free = self._tracks.spans[clips, 1] - config.num_frames + 1
        offsets = [int(torch.randint(int(places), (), generator=random)) for places in free]
        frame = int(torch.randint(1, config.num_frames, (), generator=random))
        shape = len(clips), config.num_frames - 1, config.architecture.pose_dim
        noise = torch.randn(shape, generator=random)
        mix = torch.rand(config.num_clips, generator=random)
        backwards = self._backwards(random)
        return Batch(config.num_clips, clips, np.array(offsets), noise, mix, frame, backwards)

    def _redrawn(self, batch: Batch, index: int) -> Batch:
        """The same real sequences with other noise, another frame and other reversals."""
        random = step_generator(self._seed + 1, index)
        frame = int(torch.randint(1, self.config.num_frames, (), generator=random))
        noise = torch.randn(batch.noise.shape, generator=random)
        return replace(batch, noise=noise, frame=frame, backwards=self._backwards(random))

    def _backwards(self, random: torch.Generator) -> Tensor:
        """Which real and which made sequences [2, num_clips] to show in reverse."""
        return torch.rand(2, self.config.num_clips, generator=random) < self.config.time_reversal

    def _sequences(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """Real and made poses [N, T, 64], and how well the state tells of the noise, a cosine."""
        poses = self._tracks.poses[self._rows_of(batch, self._tracks.spans[:, 0])].to(self.device)
        noise = batch.noise.to(self.device)
        rolled, reconstruction = self._roll_out(poses[:, 0], noise)
        return poses, rolled, F.cosine_similarity(reconstruction, noise, dim=-1).mean()

    def _attempt(self, batch: Batch) -> Attempt:
        poses, rolled, diversity = self._sequences(batch)
        if self.config.supervise == "poses":
            real, made = (self._shown(x[: batch.num_seen]) for x in (poses, rolled))
            return Attempt(batch, real, made, rolled, diversity)
        real = self._real_clips(batch)
        config, as_batch = self.config, self.config.batch_statistics
        appearance = self._renderer.appearance_of(real[:, 0], as_batch=as_batch)
        made = self._renderer.clips_of(
            appearance, rolled, config.rendered_at_once, config.dtype, as_batch=as_batch
        )
        return Attempt(batch, real, made, rolled, diversity)

    def _rows_of(self, batch: Batch, firsts: np.ndarray) -> Tensor:
        """Frames [N, T] of the sequences, where clips begin at `firsts`."""
        places = (firsts[batch.clips] + batch.offsets)[:, None] + np.arange(self.config.num_frames)
        return torch.from_numpy(places)

    def _shown(self, poses: Tensor) -> Tensor:
        """What the discriminators see of poses [N, T, 64]: [N, T, C, 8, 8]."""
        maps = as_maps(poses)
        return maps if self._planes is None else torch.cat([maps, self._planes.of(poses)], dim=2)

    def _real_clips(self, batch: Batch) -> Tensor:
        """[N, T, 3, S, S] of the data."""
        rows = self._rows_of(batch, self._first_rows).numpy()
        images = self._frames.image_batch(rows.reshape(-1))
        return images.view(*rows.shape, *images.shape[1:])

    def _roll_out(self, first: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Sequences [N, T, 64] that begin with the first pose, and the reconstructed noise."""
        poses, reconstruction = self.sampler.roll_out(first, noise)
        return torch.cat([first[:, None], poses], dim=1), reconstruction

    def _judge(
        self, clips: Tensor, frame: int, backwards: Tensor
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Logits of both discriminators, each for every scale."""
        with products_in(self.config.dtype):
            pair = self.pair_critic(pair_with_first(clips, frame))
            clip = self.clip_critic(in_reverse(clip_with_first(clips), backwards))
        return [logits.float() for logits in pair], [logits.float() for logits in clip]

    def _critic_losses(self, attempt: Attempt) -> dict[str, Tensor]:
        real, made, batch = attempt.real, attempt.made.detach(), attempt.batch
        (real_pair, real_clip), (made_pair, made_clip) = (
            self._judge(clips, batch.frame, backwards)
            for clips, backwards in zip((real, made), batch.backwards, strict=True)
        )
        inputs = clip_with_first(real), clip_with_first(made)
        penalty = gradient_penalty(self.clip_critic, *inputs, batch.mix)  # in full precision
        return {
            "d_pair": relativistic(real_pair, made_pair),
            "d_clip": relativistic(real_clip, made_clip),
            "penalty": self.config.gradient_penalty * penalty,
        }

    def _sampler_losses(self, attempt: Attempt) -> dict[str, Tensor]:
        batch, (of_real, of_made) = attempt.batch, attempt.batch.backwards
        (made_pair, made_clip), (real_pair, real_clip) = (
            self._judge(clips, batch.frame, backwards)
            for clips, backwards in ((attempt.made, of_made), (attempt.real, of_real))
        )
        return {
            "g_pair": relativistic(made_pair, real_pair),
            "g_clip": relativistic(made_clip, real_clip),
            "diversity": -self.config.diversity_weight * attempt.diversity,
        }

    def _values_losses(self, batch: Batch, rolled: Tensor) -> dict[str, Tensor]:
        """How far made poses [N, T, 64], and their values, are from those of the data."""
        config, found = self.config, {}
        if config.manifold_weight:
            loss = self._manifold.distance(rolled).log().clamp(min=0)
            found["manifold"] = config.manifold_weight * loss
        if self._values is None:
            return found
        made = self._values.of(rolled, batch.clips)
        real = self._real_values[self._rows_of(batch, self._tracks.spans[:, 0])]
        if config.structure_weight:
            loss = self._values.mean_of(structure_loss(made, self._structure))
            found["structure"] = config.structure_weight * loss
        if config.marginals_weight:
            loss = self._values.mean_of(marginal_loss(made.flatten(0, 1), real.flatten(0, 1)))
            found["marginals"] = config.marginals_weight * loss
        if config.steps_weight:
            loss = self._values.mean_of(marginal_step_loss(made, real))
            found["steps"] = config.steps_weight * loss
        return found

    @torch.no_grad()
    def _long_sequences(self) -> tuple[Tensor, Tensor]:
        """Real ones, and sampled ones `LONG_ROLL_OUT` times as long, from the same first poses."""
        count, length = VALIDATION_CLIPS, self.config.num_frames
        starts = self._tracks.spans[:count, 0]
        real = torch.stack([self._tracks.poses[start : start + length] for start in starts])
        real = real.to(self.device)
        noise = torch.randn(
            (len(real), LONG_ROLL_OUT * length, self.config.architecture.pose_dim),
            generator=torch.Generator().manual_seed(VALIDATION_SEED),
        )
        return real, self._roll_out(real[:, 0], noise.to(self.device))[0]

    @torch.no_grad()
    def sheet(self) -> np.ndarray:
        """Frames of a real sequence and of sampled ones, long after training's length too."""
        real, made = self._long_sequences()
        length = self.config.num_frames
        rows = []
        for sequence, last in ((real[0], length), (made[0], length), (made[0], made.shape[1])):
            chosen = np.linspace(0, last - 1, SHEET_COLUMNS).round().astype(int)
            rows.append(self._render(sequence[chosen]))
        return sample_grids.grid(rows)

    def _render(self, poses: Tensor) -> Tensor:
        appearance = self._renderer.appearance_of(self._renderer.frame)
        return self._renderer.frames_of(appearance, poses)

    @torch.no_grad()
    def validate(self) -> Losses:
        """Speed and spread of sampled poses over those of real ones; 1 is right.

        `late_spread` is that of the last frames of a long roll-out: above 1 it drifts. `mismatch`
        is the mean |ln| of the three, 0 at best. `openings`, where the discriminators see them: how
        much eyes and mouth open and close in a sequence, over real ones. `shown` and
        `shown_by_points`: how much of that in pictures the network for it tells of people that it
        has not seen, and the pose's key points alone.

        Raises:
            DataError: the real ones do not move at all: the pose extractor says the same of all.
        """
        self._learn_to_read()
        real, made = self._long_sequences()
        if not (real != real[:, :1]).any():
            raise DataError("motion: all poses of the clips are alike: train the stage pose anew")
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
        if self._planes is not None:
            sizes = [self._planes.of(x)[..., 0, 0].std(dim=1) for x in (made[:, :length], real)]
            found["openings"] = float(sizes[0].mean() / sizes[1].mean())
        shown = self._shown_openings
        if shown is not None and shown.explained is not None:
            found["shown"] = shown.explained
            found["shown_by_points"] = shown.explained_by_points or 0.0
        return found | {"mismatch": sum(off) / len(off)}
