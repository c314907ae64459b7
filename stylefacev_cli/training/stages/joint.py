"""All of decomposition and recomposition, on video and images, re-balanced.

video:  appearance from one frame, poses and targets from others of the same clip
image:  the self-augmentation of stage 3, with the key points too
swaps:  where the factors of frames are known, appearance from anybody, poses from anybody else

The first two parts weigh the same until identities are made again; then the image part is lowered
to `image_weight`, so that the pose picks up fine motion such as the mouth (the paper's weight
re-balance). Swaps are ours (`num_swaps`, see `identity_swaps`): where only poses of the person
itself are seen, faces take size and form from the pose, and somebody in another's pose looks like
both. Pose extractor, appearance encoder, recomposer and the trainable copy of the landmark detector
(the pose extractor's first half) learn; the fixed detector supplies the key points.

One update takes all parts: after separate ones of Adam, which divides by the gradient's size, the
weights of the parts would hardly matter. `separate_updates` is the authors' way: an update of the
video part, then one of the image part, of the same optimisers.
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
from stylefacev_cli.networks.stylefacev.patch_discriminator import PatchDiscriminator
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
from stylefacev_cli.training.engine.batch_split import BatchSplit, own_splits
from stylefacev_cli.training.engine.best import Measure
from stylefacev_cli.training.engine.optim import Optimisers, optimisers_of, restored_if_bad
from stylefacev_cli.training.engine.stage import NetworkStage, frozen, step_generator
from stylefacev_cli.training.engine.stage_protocol import Losses
from stylefacev_cli.training.extensions.identity_swaps import swapped_ws
from stylefacev_cli.training.extensions.landmark_branch_fit import LandmarkBranchFit
from stylefacev_cli.training.extensions.pose_anchor import pose_anchor_loss
from stylefacev_cli.training.extensions.rebalance import Rebalance
from stylefacev_cli.training.extensions.surrogates import key_point_surrogate
from stylefacev_cli.training.losses.image_losses import (
    explained,
    key_point_loss,
    non_saturating,
    openings,
)
from stylefacev_cli.training.losses.reconstruction import reconstruction_losses
from stylefacev_cli.training.stages.appearance import embedding_loss, evenly
from stylefacev_cli.training.stages.joint_batches import (
    JointBatch,
    JointBatches,
    JointDraws,
    JointNetworks,
)
from stylefacev_cli.training.stages.joint_settings import JointStageConfig

GRID_COLUMNS = 10
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
        before: JointNetworks,
        perceptual: PerceptualLoss | None,
    ) -> None:
        """Start from trained networks.

        Args:
            config: the settings.
            frames: the data.
            seed: of all that is drawn.
            before: frozen networks; copies of detector, pose extractor and appearance network
                learn.
            perceptual: network of the perceptual loss, if there is one.
        """
        super().__init__(config.batch_size, own_splits(self.name, config), frames.device)
        detector, pose_extractor = before.detector, before.pose_extractor
        appearance_net = before.appearance_net
        self._updates = config.updates
        self._rendered, _ = evenly(np.arange(config.batch_size), config.image_loss_share)
        self.config, self.frames, self._seed = config, frames, seed
        self._before, self._generator, self._perceptual = before, before.generator, perceptual
        if config.targets == "labels":
            frames.need_landmarks("the stage joint with labels as targets")
        torch.manual_seed(seed)
        adds_branch = config.landmark_branch and appearance_net.branch is None
        if adds_branch:
            appearance_net = appearance_net.with_landmarks(before.key_point_detector)
        self.detector = copy.deepcopy(detector).requires_grad_(config.detector_lr_factor > 0)
        self.pose_extractor = copy.deepcopy(pose_extractor).requires_grad_(True)
        self.appearance_net = copy.deepcopy(appearance_net).requires_grad_(True)
        self.discriminator = PatchDiscriminator(config.discriminator).to(self.device)
        trained = (self.detector, self.pose_extractor, self.appearance_net)
        arrange_for(config.dtype, detector, before.key_point_detector, pose_extractor, *trained)
        self._optimisers, self._d_optimisers = self._new_optimisers()
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
        self.batches = JointBatches(config, frames, before)
        if self.batches.pose_table is not None:
            self.others["poses"] = self.batches.pose_table
        if config.rebalance:
            self._rebalance = self.others["rebalance"] = Rebalance(
                config.rebalance_from, config.rebalance_gain, config.rebalance_images
            )
        if config.key_point_surrogate_weight:
            self._surrogate = self.others["places"] = key_point_surrogate(
                before.generator, frames, seed
            )
        self._branch_fit: LandmarkBranchFit | None = None
        if adds_branch:
            assert config.pose_factors is not None
            self._branch_fit = self.others["form"] = LandmarkBranchFit(
                frames,
                before.generator,
                config.pose_factors,
                self._surrogate,
                self.batches.pose_of,
                config.dtype,
                seed,
            )
        self.architecture = {
            "landmarks": to_plain(detector.config),
            "pose": to_plain(pose_extractor.config),
            "appearance": to_plain(appearance_net.config),
        }

    def _new_optimisers(self) -> tuple[Optimisers, Optimisers]:
        config, betas = self.config, self.config.betas
        pose_lr = config.lr * config.pose_lr_factor
        detector_lr = pose_lr * config.detector_lr_factor
        d_lr = config.lr * config.discriminator_lr_factor
        return Optimisers(
            *optimisers_of(self.detector, detector_lr, betas),
            *optimisers_of(self.pose_extractor, pose_lr, betas, config.pose_muon_lr),
            *optimisers_of(self.appearance_net, config.lr, betas, config.muon_lr),
        ), Optimisers(torch.optim.Adam(self.discriminator.parameters(), d_lr, betas=betas))

    def step(self, index: int, progress: float) -> Losses:
        """Train on windows of clips and on generated images."""
        config = self.config
        if self._branch_fit is not None and not self._branch_fit.is_fitted:
            self._evaluating()
            self._branch_fit.fit(self.appearance_net)
        self._set_norms(progress)
        windows = self._windows.next(config.num_clips)
        swaps = self._swaps.next(config.num_swaps) if config.num_swaps else np.zeros((0, 2), int)
        latents = self.batches.latents(step_generator(self._seed, index))
        poses = self.batches.known_poses(windows, swaps)
        draws = JointDraws(windows, latents, swaps, poses)
        scale = config.schedule.scale(index, progress)
        lowered = config.rebalance and self._rebalance.begins(progress)
        image_weight = config.image_weight if lowered else 1.0
        plays = progress >= config.adversarial_from and config.adversarial_weight > 0
        judged: list[tuple[Tensor, Tensor]] = []  # real frames and made ones

        def losses_of(split: BatchSplit, kinds: tuple[np.ndarray, ...]) -> dict[str, Tensor]:
            samples = split.of(*kinds)
            batch = self.batches.of(draws, samples)
            few = torch.from_numpy(np.flatnonzero(np.isin(samples, self._rendered)))
            images, losses = self._losses(batch, few)
            if plays and len(images):
                with frozen(self.discriminator), products_in(config.dtype):
                    logits = self.discriminator(images).float()
                losses["adv"] = config.adversarial_weight * non_saturating(logits, real=True)
                judged.append((batch.examples.frames[batch.video], images.detach()))
            return losses

        image_part = dict.fromkeys(IMAGE_PART, image_weight)
        losses: Losses = {}
        for kinds in self._updates:
            with restored_if_bad(self.detector, self.pose_extractor, self.appearance_net) as marks:
                parts = map(losses_of, self.splits, repeat(kinds))
                update = self._optimisers.learn(parts, len(self.splits), scale, image_part)
                marks.append(update is not None)
            if update is None:
                return {"total": float("nan")}
            losses |= update
        if config.rebalance:  # means over all processes: all of them begin at the same step
            self._rebalance.note(losses["v_l1"], self.images_per_step)
            losses["i_weight"] = image_weight
        return losses | self._train_discriminator(judged, scale) if plays else losses

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state; those from before the re-balance was watched go by progress."""
        if "rebalance" in self.others and "rebalance" not in state["others"]:
            others = state["others"] | {"rebalance": self._rebalance.state_dict()}
            state = state | {"others": others}
        super().load_state_dict(state)

    def _set_norms(self, progress: float) -> None:
        is_training = progress < self.config.freeze_batch_norm_from
        # The detector's statistics are good already, and batches are small: ours stay.
        set_norms_training(
            self.detector, is_training and not self.config.freeze_detector_batch_norm
        )
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

    def _swap_losses(
        self, predicted: Recomposed, factors: tuple[Tensor, Tensor]
    ) -> dict[str, Tensor]:
        """Losses of each appearance in other poses of the batch."""
        config, losses = self.config, {}
        assert config.pose_factors is not None
        with products_in(config.dtype):
            swapped = swapped_ws(
                self.appearance_net,
                self._generator.mapping,
                config.pose_factors,
                predicted.appearance,
                predicted.poses,
                factors,
                config.num_swap_poses,
            )
        if swapped is None:
            return {}
        if config.video_embedding_weight:
            losses["x_embed"] = config.video_embedding_weight * embedding_loss(*swapped)
        if config.key_point_surrogate_weight:
            distance = self._surrogate.distance(*swapped)
            losses["x_surrogate"] = config.key_point_surrogate_weight * distance
        return losses

    @torch.no_grad()
    def _poses_before(self, frames: Tensor, heatmaps: Tensor | None) -> Tensor:
        """Poses [N, 1, 8, 8] of frames as they were at the start of the stage."""
        with products_in(self.config.dtype):
            if heatmaps is None or self.config.detector_lr_factor:  # else they are the fixed one's
                heatmaps = heatmaps_of(self._before.detector, frames)
            poses: Tensor = self._before.pose_extractor(heatmaps).float()
        return poses

    def _losses(self, batch: JointBatch, few: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """The video part's images, and the losses: `v_…` of that part, `i_…` of the generated one.

        `s_…` are of the swaps, `x_…` of further poses, `pose_anchor` of poses that move away.
        Images are made of the examples at the places `few`, the video part's coming first.
        All parts go through the networks as one batch, whose statistics then are those of all.
        """
        config, examples = self.config, batch.examples
        predicted = self._recompose(examples, batch.poses)
        images = self._generator.synthesis(predicted.ws[few], conv_dtype=DTYPES[config.dtype])
        is_swap = torch.arange(len(examples.frames)) >= batch.generated.stop
        targets = targets_of(self._generator, examples, few, is_swap, config.dtype)
        losses: dict[str, Tensor] = {}
        for prefix, part in batch.parts.items():
            is_in = (few >= part.start) & (few < part.stop)
            if is_in.any():
                of_images = reconstruction_losses(
                    config,
                    self._perceptual,
                    images[is_in],
                    targets[is_in],
                    batch.key_points[few[is_in]],
                )
                losses |= {prefix + key: value for key, value in of_images.items()}
            of_ws = self._part_losses(batch, predicted, part)
            losses |= {prefix + key: value for key, value in of_ws.items()}
        if batch.factors is not None:
            losses |= self._swap_losses(predicted, batch.factors)
        if config.pose_anchor_weight:
            before = self._poses_before(examples.frames, predicted.heatmaps)
            anchor = pose_anchor_loss(predicted.poses.float(), before)
            losses["pose_anchor"] = config.pose_anchor_weight * anchor
        return images[few < batch.generated.start], losses

    def _part_losses(
        self, batch: JointBatch, predicted: Recomposed, part: slice
    ) -> dict[str, Tensor]:
        """Losses of key points and ws of one part of the batch."""
        config, ws, targets = self.config, predicted.ws[part], batch.examples.ws[part]
        points = key_point_loss(
            predicted.key_points[part], batch.key_points[part], config.openings_weight
        )
        losses = {"points": config.key_point_weight * points}
        is_generated = part == batch.generated
        weight = config.embedding_weight if is_generated else config.video_embedding_weight
        if weight:
            losses["embed"] = weight * embedding_loss(ws, targets)
        if config.key_point_surrogate_weight and not is_generated:
            distance = self._surrogate.distance(ws, targets)
            losses["surrogate"] = config.key_point_surrogate_weight * distance
        return losses

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
    def sample_grid(self) -> np.ndarray:
        """See `sample_grids.recomposition`; the poses of the swaps are those of the next frame."""
        self._evaluating()
        held_out = self.batches.held_out()
        assert held_out is not None
        examples, wanted = held_out
        few = examples.first(GRID_COLUMNS)
        made = self._recompose(few)
        swapped = Recomposition(few.appearance_from, few.frames.roll(-1, dims=0), few.ws)
        return sample_grids.recomposition(
            few.appearance_from,
            few.frames,
            self._generator.synthesis(made.ws),
            self._generator.synthesis(self._recompose(swapped).ws),
            wanted[:GRID_COLUMNS],
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
