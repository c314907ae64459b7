"""Stage 4: all of decomposition and recomposition, on video and images, re-balanced.

video:  appearance from one frame, poses from frames a few apart of the same clip; make those frames
image:  the self-augmentation of stage 3, with the key points too
swaps:  where the factors of frames are known, appearance from anybody, poses from anybody else

The first two parts weigh the same until identities are made again; then the image part is lowered
to `image_weight`, so that the pose picks up fine motion such as the mouth (the paper's weight
re-balance). Swaps are ours (`num_swaps`): where only poses of the person itself are seen, faces
take size and form from the pose, and whoever is given another's pose looks like both. Most of a
step is looking (heatmaps, encoding); `further_swaps` gives each appearance that was encoded more
of the poses that were extracted, drawn people's too, and compares ws. Pose
extractor, appearance encoder, recomposer and the trainable copy of the landmark detector (the pose
extractor's first half) learn; the fixed detector supplies the key points.
One update takes all parts: after separate ones of Adam, which divides by the gradient's size,
the weights of the parts would hardly matter. `separate_updates` is the authors' way: an update of
the video part, then one of the image part, of the same optimisers.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from itertools import repeat
from typing import Any

import numpy as np
import torch
from torch import Tensor

from stylefacev_cli.common.settings import to_plain
from stylefacev_cli.metrics.image_quality import face_box, psnr, ssim
from stylefacev_cli.metrics.perceptual import PerceptualLoss
from stylefacev_cli.networks.stylefacev.appearance import AppearanceRecomposer
from stylefacev_cli.networks.stylefacev.landmarks import LandmarkDetector
from stylefacev_cli.networks.stylefacev.patch_discriminator import PatchDiscriminator
from stylefacev_cli.networks.stylefacev.pose import PoseExtractor
from stylefacev_cli.networks.stylegan3.generator import Generator
from stylefacev_cli.training.batches.clip_frames import Frames, SwapSampler, WindowSampler
from stylefacev_cli.training.batches.pose_features import (
    DTYPES,
    arrange_for,
    heatmaps_of,
    products_in,
    set_norms_training,
)
from stylefacev_cli.training.batches.recomposition_pairs import Recomposition, targets_of
from stylefacev_cli.training.engine import sample_grids
from stylefacev_cli.training.engine.batch_split import Share, own_shares
from stylefacev_cli.training.engine.best import Measure
from stylefacev_cli.training.engine.loop import Losses
from stylefacev_cli.training.engine.optim import Optimisers, optimisers_of, restored_if_bad
from stylefacev_cli.training.engine.stage import NetworkStage, frozen, step_generator
from stylefacev_cli.training.extensions.identity_swaps import further_swaps
from stylefacev_cli.training.extensions.landmark_branch_fit import FormFit
from stylefacev_cli.training.extensions.rebalance import Rebalance
from stylefacev_cli.training.extensions.surrogates import places_guess
from stylefacev_cli.training.losses.image_losses import (
    explained,
    key_point_loss,
    non_saturating,
    openings,
)
from stylefacev_cli.training.losses.reconstruction import reconstruction_losses
from stylefacev_cli.training.stages.appearance import embedding_loss, evenly
from stylefacev_cli.training.stages.joint_batches import JointBatch, JointBatches, JointDraws
from stylefacev_cli.training.stages.joint_settings import JointStageConfig

SHEET_COLUMNS = 10
IMAGE_PART = ("i_l1", "i_perc", "i_points", "i_embed")  # losses that the re-balance lowers


@dataclass(frozen=True)
class Recomposed:
    """What the networks make of examples."""

    appearance: Tensor  # [N, C, 8, 8]
    poses: Tensor  # [N, 1, 8, 8]
    ws: Tensor  # [N, num_ws, w_dim]
    key_points: Tensor  # [N, 14, 2] that the poses stand for
    heatmaps: Tensor | None  # [N, 98, 64, 64] that the poses are made of, unless they were known


class JointStage(NetworkStage):
    """Trains landmark copy, pose extractor, appearance encoder and recomposer together."""

    name = "joint"
    measure = Measure("face_psnr", higher_is_better=True)

    def __init__(
        self,
        config: JointStageConfig,
        frames: Frames,
        seed: int,
        generator: Generator,
        detector: LandmarkDetector,
        pose_extractor: PoseExtractor,
        appearance_net: AppearanceRecomposer,
        perceptual: PerceptualLoss | None,
        looking: LandmarkDetector | None = None,
    ) -> None:
        """Start from trained networks.

        Args:
            config: the settings.
            frames: the data.
            seed: of all that is drawn.
            generator: makes the images.
            detector: the pose extractor works behind it; a copy learns.
            pose_extractor: a copy learns.
            appearance_net: a copy learns.
            perceptual: network of the perceptual loss, if there is one.
            looking: finds the key points that are targets; None: `detector` does. It is another one
                where `detector` has been trained with a pose extractor before.
        """
        super().__init__(config.batch_size, own_shares(self.name, config), frames.device)
        looking = detector if looking is None else looking
        self._updates = config.updates
        self._made, _ = evenly(np.arange(config.batch_size), config.image_share)
        self.config, self.frames, self._seed = config, frames, seed
        self._generator, self._fixed_detector = generator, detector
        self._fixed_pose_extractor = pose_extractor
        self._perceptual = perceptual
        if config.targets == "labels":
            frames.need_landmarks("the stage joint with labels as targets")
        torch.manual_seed(seed)
        adds_branch = config.landmark_branch and appearance_net.branch is None
        if adds_branch:
            appearance_net = appearance_net.with_landmarks(looking)
        self.detector = copy.deepcopy(detector).requires_grad_(config.detector_lr_factor > 0)
        self.pose_extractor = copy.deepcopy(pose_extractor).requires_grad_(True)
        self.appearance_net = copy.deepcopy(appearance_net).requires_grad_(True)
        self.discriminator = PatchDiscriminator(config.discriminator).to(self.device)
        trained = (self.detector, self.pose_extractor, self.appearance_net)
        arrange_for(config.dtype, detector, looking, pose_extractor, *trained)
        pose_lr = config.lr * config.pose_lr_factor
        detector_lr = pose_lr * config.detector_lr_factor
        self._optimisers = Optimisers(
            *optimisers_of(self.detector, detector_lr, config.betas),
            *optimisers_of(self.pose_extractor, pose_lr, config.betas, config.pose_muon_lr),
            *optimisers_of(self.appearance_net, config.lr, config.betas, config.muon_lr),
        )
        self._d_optimisers = Optimisers(
            torch.optim.Adam(
                self.discriminator.parameters(),
                config.lr * config.discriminator_lr_factor,
                betas=config.betas,
            )
        )
        self._windows = WindowSampler(frames, config.window, seed, held_out=False)
        self.networks = {
            "landmarks": self.detector,
            "pose": self.pose_extractor,
            "appearance": self.appearance_net,
            "discriminator": self.discriminator,
        }
        self.others = {
            "optimisers": self._optimisers,
            "d_optimisers": self._d_optimisers,
            "windows": self._windows,
        }
        if config.num_swaps:
            self._swaps = self.others["swaps"] = SwapSampler(frames, seed)
        self.batches = JointBatches(config, frames, generator, detector, pose_extractor, looking)
        if self.batches.pose_table is not None:
            self.others["poses"] = self.batches.pose_table
        if config.rebalance:
            self._rebalance = self.others["rebalance"] = Rebalance(
                config.rebalance_from, config.rebalance_gain, config.rebalance_images
            )
        if config.places_weight:
            self._places = self.others["places"] = places_guess(generator, frames, seed)
        self._form: FormFit | None = None
        if adds_branch:
            assert config.pose_factors is not None
            self._form = self.others["form"] = FormFit(
                frames,
                generator,
                config.pose_factors,
                self._places,
                self.batches.pose_of,
                config.dtype,
                seed,
            )
        self.architecture = {
            "landmarks": to_plain(detector.config),
            "pose": to_plain(pose_extractor.config),
            "appearance": to_plain(appearance_net.config),
        }

    def step(self, index: int, progress: float) -> Losses:
        """Train on windows of clips and on generated images."""
        config = self.config
        if self._form is not None and not self._form.is_fitted:
            self._evaluating()
            self._form.fit(self.appearance_net)
        self._set_norms(progress)
        windows = self._windows.next(config.num_clips)
        swaps = self._swaps.next(config.num_swaps) if config.num_swaps else np.zeros((0, 2), int)
        drawing = self.batches.drawing(step_generator(self._seed, index))
        poses = self.batches.known_poses(windows, swaps)
        draws = JointDraws(windows, drawing, swaps, poses)
        scale = config.schedule.scale(index, progress)
        lowered = config.rebalance and self._rebalance.begins(progress)
        image_weight = config.image_weight if lowered else 1.0
        plays = progress >= config.adversarial_from and config.adversarial_weight > 0
        judged: list[tuple[Tensor, Tensor]] = []  # real frames and made ones

        def losses_of(share: Share, kinds: tuple[np.ndarray, ...]) -> dict[str, Tensor]:
            samples = share.of(*kinds)
            batch = self.batches.of(draws, samples)
            few = torch.from_numpy(np.flatnonzero(np.isin(samples, self._made)))
            images, losses = self._losses(batch, few)
            if plays and len(images):
                with frozen(self.discriminator), products_in(config.dtype):
                    logits = self.discriminator(images).float()
                losses["adv"] = config.adversarial_weight * non_saturating(logits, real=True)
                judged.append((batch.examples.frames[batch.video], images.detach()))
            return losses

        image_part = dict.fromkeys(IMAGE_PART, image_weight)
        found: Losses = {}
        for kinds in self._updates:
            with restored_if_bad(self.detector, self.pose_extractor, self.appearance_net) as marks:
                parts = map(losses_of, self.shares, repeat(kinds))
                learnt = self._optimisers.learn(parts, len(self.shares), scale, image_part)
                marks.append(learnt is not None)
            if learnt is None:
                return {"total": float("nan")}
            found |= learnt
        if config.rebalance:  # means over all processes: all of them begin at the same step
            self._rebalance.note(found["v_l1"], self.images_per_step)
            found["i_weight"] = image_weight
        return found | self._train_discriminator(judged, scale) if plays else found

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state; those from before the re-balance was watched go by progress."""
        if "rebalance" in self.others and "rebalance" not in state["others"]:
            others = state["others"] | {"rebalance": self._rebalance.state_dict()}
            state = state | {"others": others}
        super().load_state_dict(state)

    def _set_norms(self, progress: float) -> None:
        is_training = progress < self.config.freeze_norms_from
        # The detector's statistics are good already, and batches are small: ours stay.
        set_norms_training(self.detector, is_training and not self.config.freeze_detector_norms)
        set_norms_training(self.pose_extractor, is_training and self.config.pose_lr_factor > 0)
        set_norms_training(self.appearance_net, is_training)

    def _recompose(self, examples: Recomposition, poses: Tensor | None = None) -> Recomposed:
        heatmaps = None
        with products_in(self.config.dtype):
            if poses is None:
                heatmaps = heatmaps_of(self.detector, examples.frames)
                poses = self.pose_extractor(heatmaps)
            appearance = self.appearance_net.encode(examples.appearance_from)
            ws = self.appearance_net.recompose(appearance, poses)
            key_points = self.pose_extractor.key_points(poses)
        return Recomposed(appearance, poses, ws.float(), key_points.float(), heatmaps)

    def _further_swaps(self, made: Recomposed, factors: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
        """Losses of each appearance in other poses of the batch."""
        config = self.config
        assert config.pose_factors is not None
        with products_in(config.dtype):
            ws, wanted = further_swaps(
                self.appearance_net,
                self._generator,
                config.pose_factors,
                made.appearance,
                made.poses,
                factors,
                config.further_swaps,
            )
        if not len(ws):
            return {}
        found = {}
        if config.video_embedding_weight:
            found["x_embed"] = config.video_embedding_weight * embedding_loss(ws, wanted)
        if config.places_weight:
            found["x_places"] = config.places_weight * self._places.distance(ws, wanted)
        return found

    def _moved_poses(self, frames: Tensor, poses: Tensor, heatmaps: Tensor | None) -> Tensor:
        """Squared distance to the poses at the start of the stage, as a share of their variance."""
        with torch.no_grad(), products_in(self.config.dtype):
            if heatmaps is None or self.config.detector_lr_factor:  # else they are the fixed one's
                heatmaps = heatmaps_of(self._fixed_detector, frames)
            before = self._fixed_pose_extractor(heatmaps).float()
        spread_of_poses = before.var(dim=0, unbiased=False).mean().clamp(min=1e-8)
        moved: Tensor = (poses.float() - before).square().mean() / spread_of_poses
        return moved

    def _losses(self, batch: JointBatch, few: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """The video part's images, and the losses: `v_…` of that part, `i_…` of the drawn, `s_…`.

        `x_…` are of the further swaps, `moved` of poses that move away.
        Images are made of the examples at the places `few`, the video part's coming first.
        All parts go through the networks as one batch, whose statistics then are those of all.
        """
        config, examples = self.config, batch.examples
        count = len(examples.frames)
        made = self._recompose(examples, batch.poses)
        ws, key_points = made.ws, made.key_points
        images = self._generator.synthesis(ws[few], conv_dtype=DTYPES[config.dtype])
        is_swap = torch.arange(count) >= batch.drawn.stop
        targets = targets_of(self._generator, examples, few, is_swap, config.dtype)
        found: dict[str, Tensor] = {}
        for prefix, part in (
            ("v_", batch.video),
            ("i_", batch.drawn),
            ("s_", slice(batch.drawn.stop, count)),
        ):
            if part.start == part.stop:
                continue
            is_in = (few >= part.start) & (few < part.stop)
            if is_in.any():
                losses = reconstruction_losses(
                    config,
                    self._perceptual,
                    images[is_in],
                    targets[is_in],
                    batch.wanted[few[is_in]],
                )
                found |= {prefix + key: value for key, value in losses.items()}
            points = key_point_loss(key_points[part], batch.wanted[part], config.openings_weight)
            found[prefix + "points"] = config.key_point_weight * points
            is_drawn = part == batch.drawn
            embedding = config.embedding_weight if is_drawn else config.video_embedding_weight
            if embedding:
                distance = embedding_loss(ws[part], examples.ws[part])
                found[prefix + "embed"] = embedding * distance
            if config.places_weight and not is_drawn:
                distance = self._places.distance(ws[part], examples.ws[part])
                found[prefix + "places"] = config.places_weight * distance
        if batch.factors is not None:
            found |= self._further_swaps(made, batch.factors)
        if config.same_poses_weight:
            moved = self._moved_poses(examples.frames, made.poses, made.heatmaps)
            found["moved"] = config.same_poses_weight * moved
        return images[few < batch.drawn.start], found

    def _train_discriminator(self, judged: list[tuple[Tensor, Tensor]], scale: float) -> Losses:
        def loss_of(real: Tensor, made: Tensor) -> dict[str, Tensor]:
            with products_in(self.config.dtype):
                logits = [self.discriminator(frames).float() for frames in (real, made)]
            found = non_saturating(logits[0], real=True) + non_saturating(logits[1], real=False)
            return {"d": found / 2}

        with restored_if_bad(self.discriminator) as marks:
            parts = (loss_of(*pair) for pair in judged)
            weight = {"d": self.config.adversarial_weight}
            found = self._d_optimisers.learn(parts, len(judged), scale, weight)
            marks.append(found is not None)
        return found or {"d": float("nan")}

    def _evaluating(self) -> None:
        for network in (self.detector, self.pose_extractor, self.appearance_net):
            network.eval()

    @torch.no_grad()
    def sheet(self) -> np.ndarray:
        """See `sample_grids.recomposition`; the poses of the swaps are those of the next frame."""
        self._evaluating()
        held_out = self.batches.held_out()
        assert held_out is not None
        examples, wanted = held_out
        few = examples.first(SHEET_COLUMNS)
        made = self._recompose(few)
        swapped = Recomposition(few.appearance_from, few.frames.roll(-1, dims=0), few.ws)
        return sample_grids.recomposition(
            few.appearance_from,
            few.frames,
            self._generator.synthesis(made.ws),
            self._generator.synthesis(self._recompose(swapped).ws),
            wanted[:SHEET_COLUMNS],
            made.key_points,
        )

    @torch.no_grad()
    def validate(self) -> Losses:
        """PSNR and SSIM of held-out people's frames, and the error of their key points."""
        self._evaluating()
        held_out = self.batches.held_out()
        if held_out is None:
            return {}
        examples, wanted = held_out
        made = self._recompose(examples)
        images, points = self._generator.synthesis(made.ws), made.key_points
        everywhere = torch.ones_like(images[:, :1])
        face = face_box(wanted, images.shape[-1])
        return {
            "psnr": float(psnr(images, examples.frames, everywhere).mean()),
            "face_psnr": float(psnr(images, examples.frames, face).mean()),
            "ssim": float(ssim(images, examples.frames, everywhere).mean()),
            "points_percent": 100 * float((points - wanted).norm(dim=2).mean()),
            "openings": explained(openings(points), openings(wanted)),
        }
