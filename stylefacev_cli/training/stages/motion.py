"""The motion sampler, against two discriminators on sequences of poses or of images.

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
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stylefacev_cli.common.settings import to_plain
from stylefacev_cli.errors import DataError, UsageError
from stylefacev_cli.networks.stylefacev.landmarks import LandmarkDetector
from stylefacev_cli.networks.stylefacev.motion import MotionSampler
from stylefacev_cli.networks.stylefacev.motion_discriminator import (
    ClipDiscriminator,
    PairDiscriminator,
    clip_with_first,
    pair_with_first,
)
from stylefacev_cli.networks.stylefacev.pose import PoseExtractor
from stylefacev_cli.training.batches.clip_frames import Frames
from stylefacev_cli.training.batches.pose_cache import PoseTracks
from stylefacev_cli.training.batches.pose_features import products_in
from stylefacev_cli.training.batches.rendering import Renderer
from stylefacev_cli.training.engine import sample_grids
from stylefacev_cli.training.engine.batch_split import own_splits
from stylefacev_cli.training.engine.best import Measure
from stylefacev_cli.training.engine.optim import Optimisers, average_buffers
from stylefacev_cli.training.engine.stage import NetworkStage, frozen
from stylefacev_cli.training.engine.stage_protocol import Losses
from stylefacev_cli.training.extensions.motion_supervision import MotionSupervision
from stylefacev_cli.training.losses.motion_losses import (
    gradient_penalty,
    in_reverse,
    relativistic,
)
from stylefacev_cli.training.stages.motion_batches import MotionBatch, MotionBatches
from stylefacev_cli.training.stages.motion_settings import MotionStageConfig

VALIDATION_SEED = 7
VALIDATION_CLIPS = 32
LONG_ROLL_OUT = 4  # times the training length, to see drift
GRID_COLUMNS = 12
RENDERED_AT_ONCE = 4  # frames, with images: memory is that of so many


@dataclass(frozen=True)
class RollOut:
    """Generated sequences beside real ones, as discriminators and losses see them."""

    batch: MotionBatch
    real: Tensor  # [num_judged, T, C, H, W]: poses as maps (and maps of openings), or images
    generated: Tensor  # the same shape, with a gradient into the sampler
    poses: Tensor  # [N, T, 64], generated, with a gradient
    diversity: Tensor  # scalar: cosine of the noise and its reconstruction from the sampler's state


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
        """Start from random weights.

        Args:
            config: the settings.
            tracks: poses of the clips.
            seed: of the weights and of all that is drawn.
            renderer: makes frames of poses.
            frames: the data.
            pose_extractor: reads key points from poses, where losses look at those.
            detector: finds key points in pictures of generated poses (`num_opening_people`).
        """
        frames.need_one_rate(config.num_frames, "the stage motion")
        super().__init__(config.batch_size, own_splits(self.name, config), frames.device)
        self.config, self._tracks, self._seed = config, tracks, seed
        self._renderer, self._frames, self._detector = renderer, frames, detector
        # Clips of the data, in the order of the tracks.
        self._first_rows = frames.clips(held_out=False, min_frames=config.num_frames)[:, 0]
        needs_frames = config.supervise == "images" or config.num_opening_people
        assert not needs_frames or len(self._first_rows) == len(tracks.spans)
        check_moving(tracks, config.num_frames)
        poses = tracks.poses.to(frames.device)
        self._supervision = MotionSupervision(config, tracks, poses, seed, pose_extractor)
        torch.manual_seed(seed)
        self.sampler = MotionSampler(config.architecture).to(self.device)
        is_of_images = config.supervise == "images"
        discriminator_config = replace(
            config.discriminator,
            num_frames=config.num_frames,
            frame_channels=3 if is_of_images else self._supervision.num_channels,
        )
        self.pair_discriminator = PairDiscriminator(discriminator_config).to(self.device)
        self.clip_discriminator = ClipDiscriminator(discriminator_config).to(self.device)
        self._optimisers = self._adam(self.sampler)
        self._d_optimisers = self._adam(self.pair_discriminator, self.clip_discriminator)
        self.batches = MotionBatches(config, tracks.spans, seed)
        self.networks = {
            "motion": self.sampler,
            "pair_critic": self.pair_discriminator,
            "clip_critic": self.clip_discriminator,
        }
        self.others = {
            "optimisers": self._optimisers,
            "critics": self._d_optimisers,
            "clips": self.batches.order,
        }
        if self._supervision.openings is not None:
            self.others["shown_openings"] = self._supervision.openings
        self.architecture = {"motion": to_plain(config.architecture)}

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
                f"motion: the checkpoints were supervised on {before}, not "
                f"{self.config.supervise}: train into another --out"
            )
        openings = self._supervision.openings
        if openings is not None and "shown_openings" not in state["others"]:
            others = state["others"] | {"shown_openings": openings.state_dict()}
            state = state | {"others": others}
        super().load_state_dict(state)

    def _prepare(self) -> None:
        self._supervision.prepare(
            self.sampler,
            self._renderer,
            lambda clips: self._frames.image_batch(self._first_rows[clips]),
            self._detector,
        )

    def step(self, index: int, progress: float) -> Losses:
        """Train the discriminators, then the sampler, on one batch of sequences."""
        self._prepare()
        config, count = self.config, len(self.splits)
        batch, scale = self.batches.next(index), config.schedule.scale(index, progress)
        if index % config.discriminators_every:
            own = (batch.of(split) for split in self.splits)
            parts = (self._supervised(part, self._sequences(part)[1]) for part in own)
            return self._optimisers.learn(parts, count, scale) or {"total": float("nan")}
        kept: list[RollOut] = []  # that the sampler learns from

        def discriminator_parts() -> Iterator[dict[str, Tensor]]:
            for split in self.splits:
                with torch.set_grad_enabled(not config.fresh_roll_outs):
                    roll_out = self._roll_out(batch.of(split))
                if not config.fresh_roll_outs:
                    kept.append(roll_out)
                yield self._discriminator_losses(roll_out)

        def sampler_roll_outs() -> Iterator[RollOut]:
            yield from kept
            if config.fresh_roll_outs:
                redrawn = self.batches.redrawn(batch, index)
                yield from (self._roll_out(redrawn.of(split)) for split in self.splits)

        discriminator_losses = self._d_optimisers.learn(discriminator_parts(), count, scale)
        if discriminator_losses is None:
            return {"total": float("nan")}
        with frozen(self.pair_discriminator, self.clip_discriminator):
            both = (
                self._sampler_losses(x) | self._supervised(x.batch, x.poses)
                for x in sampler_roll_outs()
            )
            losses = self._optimisers.learn(both, count, scale)
        average_buffers(self.pair_discriminator, self.clip_discriminator)
        return {"total": float("nan")} if losses is None else losses | discriminator_losses

    def _sequences(self, batch: MotionBatch) -> tuple[Tensor, Tensor, Tensor]:
        """Real and generated poses [N, T, 64], and how well the state tells of the noise."""
        poses = self._tracks.poses[self._rows_of(batch)].to(self.device)
        noise = batch.noise.to(self.device)
        generated, reconstruction = self._generate(poses[:, 0], noise)
        return poses, generated, F.cosine_similarity(reconstruction, noise, dim=-1).mean()

    def _generate(self, first: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Sequences [N, T, 64] that begin with the first pose, and the reconstructed noise."""
        poses, reconstruction = self.sampler.roll_out(first, noise)
        return torch.cat([first[:, None], poses], dim=1), reconstruction

    def _rows_of(self, batch: MotionBatch) -> Tensor:
        return batch.rows(self._tracks.spans[:, 0], self.config.num_frames)

    def _roll_out(self, batch: MotionBatch) -> RollOut:
        poses, generated, diversity = self._sequences(batch)
        if self.config.supervise == "poses":
            maps_of = self._supervision.maps_of
            real, shown = (maps_of(x[: batch.num_judged]) for x in (poses, generated))
            return RollOut(batch, real, shown, generated, diversity)
        real, as_batch = self._real_clips(batch), self.config.batch_statistics
        appearance = self._renderer.appearance_of(real[:, 0], as_batch=as_batch)
        images = self._renderer.clips_of(
            appearance, generated, RENDERED_AT_ONCE, self.config.dtype, as_batch=as_batch
        )
        return RollOut(batch, real, images, generated, diversity)

    def _real_clips(self, batch: MotionBatch) -> Tensor:
        """[N, T, 3, S, S] of the data."""
        rows = batch.rows(self._first_rows, self.config.num_frames).numpy()
        images = self._frames.image_batch(rows.reshape(-1))
        return images.view(*rows.shape, *images.shape[1:])

    def _judge(
        self, clips: Tensor, frame: int, backwards: Tensor
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Logits of both discriminators, each for every scale."""
        with products_in(self.config.dtype):
            pair = self.pair_discriminator(pair_with_first(clips, frame))
            clip = self.clip_discriminator(in_reverse(clip_with_first(clips), backwards))
        return [logits.float() for logits in pair], [logits.float() for logits in clip]

    def _discriminator_losses(self, roll_out: RollOut) -> dict[str, Tensor]:
        real, generated, batch = roll_out.real, roll_out.generated.detach(), roll_out.batch
        (real_pair, real_clip), (fake_pair, fake_clip) = (
            self._judge(clips, batch.frame, backwards)
            for clips, backwards in zip((real, generated), batch.backwards, strict=True)
        )
        inputs = clip_with_first(real), clip_with_first(generated)
        penalty = gradient_penalty(self.clip_discriminator, *inputs, batch.mix)  # in float32
        return {
            "d_pair": relativistic(real_pair, fake_pair),
            "d_clip": relativistic(real_clip, fake_clip),
            "penalty": self.config.gradient_penalty * penalty,
        }

    def _sampler_losses(self, roll_out: RollOut) -> dict[str, Tensor]:
        batch, (of_real, of_fake) = roll_out.batch, roll_out.batch.backwards
        (fake_pair, fake_clip), (real_pair, real_clip) = (
            self._judge(clips, batch.frame, backwards)
            for clips, backwards in ((roll_out.generated, of_fake), (roll_out.real, of_real))
        )
        return {
            "g_pair": relativistic(fake_pair, real_pair),
            "g_clip": relativistic(fake_clip, real_clip),
            "diversity": -self.config.diversity_weight * roll_out.diversity,
        }

    def _supervised(self, batch: MotionBatch, poses: Tensor) -> dict[str, Tensor]:
        """Losses of generated poses [N, T, 64] that are not the discriminators'."""
        return self._supervision.losses(poses, batch.clips, self._rows_of(batch))

    @torch.no_grad()
    def _long_sequences(self) -> tuple[Tensor, Tensor]:
        """Real ones, and sampled ones `LONG_ROLL_OUT` times as long, from the same first poses."""
        length = self.config.num_frames
        real = validation_poses(self._tracks, length).to(self.device)
        noise = torch.randn(
            (len(real), LONG_ROLL_OUT * length, self.config.architecture.pose_dim),
            generator=torch.Generator().manual_seed(VALIDATION_SEED),
        )
        return real, self._generate(real[:, 0], noise.to(self.device))[0]

    @torch.no_grad()
    def sample_grid(self) -> np.ndarray:
        """Frames of a real sequence and of sampled ones, long after training's length too."""
        real, generated = self._long_sequences()
        length = self.config.num_frames
        ends = (real[0], length), (generated[0], length), (generated[0], generated.shape[1])
        rows = []
        for sequence, last in ends:
            chosen = np.linspace(0, last - 1, GRID_COLUMNS).round().astype(int)
            rows.append(self._render(sequence[chosen]))
        return sample_grids.grid(rows)

    def _render(self, poses: Tensor) -> Tensor:
        appearance = self._renderer.appearance_of(self._renderer.frame)
        return self._renderer.frames_of(appearance, poses)

    @torch.no_grad()
    def validate(self) -> Losses:
        """Speed and spread of sampled poses over those of real ones; 1 is right.

        `late_spread` is that of the last frames of a long roll-out: above 1 it drifts. `mismatch`
        is the mean |ln| of the three, 0 at best. For the others see `MotionSupervision.measures`.

        """
        self._prepare()
        real, generated = self._long_sequences()
        length = self.config.num_frames
        centre = real.mean(dim=(0, 1))

        def speed(sequence: Tensor) -> float:
            return float((sequence[:, 1:] - sequence[:, :-1]).norm(dim=2).mean())

        def spread_of(sequence: Tensor) -> float:
            return float((sequence - centre).norm(dim=2).mean())

        numbers = {
            "speed": speed(generated[:, :length]) / speed(real),
            "spread": spread_of(generated[:, :length]) / spread_of(real),
            "late_spread": spread_of(generated[:, -length:]) / spread_of(real),
        }
        logarithms = [abs(math.log(max(ratio, 1e-6))) for ratio in numbers.values()]
        mismatch = sum(logarithms) / len(logarithms)
        more = self._supervision.measures(generated[:, :length], real)
        return numbers | more | {"mismatch": mismatch}


def validation_poses(tracks: PoseTracks, num_frames: int) -> Tensor:
    """The beginnings [N, num_frames, 64] of the clips that sampled poses are compared with."""
    starts = tracks.spans[:VALIDATION_CLIPS, 0]
    return torch.stack([tracks.poses[start : start + num_frames] for start in starts])


def check_moving(tracks: PoseTracks, num_frames: int) -> None:
    """Check before the first step that the poses which validation compares with move.

    Raises:
        DataError: they do not: the pose extractor says the same of all frames.
    """
    real = validation_poses(tracks, num_frames)
    if not (real != real[:, :1]).any():
        raise DataError("motion: all poses of the clips are alike: train the stage pose anew")
