"""What supervises motion beside the paper's two discriminators.

statistics   key points, principal components, openings and lids of a pose: their structure
function, their distribution and that of their increments are those of the data
pose prior   generated poses stay among those that faces have
openings     maps of how far eyes and mouth are open, which the discriminators see beside poses
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from stylefacev_cli.networks.stylefacev.landmarks import LandmarkDetector
from stylefacev_cli.networks.stylefacev.motion import MotionSampler
from stylefacev_cli.networks.stylefacev.pose import PoseExtractor
from stylefacev_cli.training.batches.pose_cache import PoseTracks
from stylefacev_cli.training.batches.rendering import Renderer, as_maps
from stylefacev_cli.training.extensions.eye_mouth_opening import OpeningSurrogate
from stylefacev_cli.training.extensions.motion_statistics import MotionStatistics
from stylefacev_cli.training.extensions.opening_maps import (
    NUM_MAPS,
    HeightsOf,
    OpeningMaps,
    heights_by,
    opening_maps,
)
from stylefacev_cli.training.extensions.pose_prior import PosePrior
from stylefacev_cli.training.losses.motion_losses import (
    increments_loss,
    marginal_loss,
    structure,
    structure_loss,
)


class SupervisionSettings(Protocol):
    """What the settings of the motion stage say of it."""

    @property
    def num_frames(self) -> int: ...  # noqa: D102 - named as the settings are
    @property
    def structure_function_weight(self) -> float: ...  # noqa: D102
    @property
    def marginals_weight(self) -> float: ...  # noqa: D102
    @property
    def increments_weight(self) -> float: ...  # noqa: D102
    @property
    def pose_prior_weight(self) -> float: ...  # noqa: D102
    @property
    def openings_scale(self) -> float: ...  # noqa: D102
    @property
    def num_opening_people(self) -> int: ...  # noqa: D102
    @property
    def reads_statistics(self) -> bool: ...  # noqa: D102


class MotionSupervision:
    """Losses on generated poses, and what discriminators see of poses.

    Attributes:
        openings: predicts from poses how far eyes and mouth are open in pictures; None: the pose's
            key points tell it.
    """

    def __init__(
        self,
        config: SupervisionSettings,
        tracks: PoseTracks,
        poses: Tensor,
        seed: int,
        pose_extractor: PoseExtractor | None,
    ) -> None:
        """Fit the pose prior; all else is fitted by `prepare`.

        Args:
            config: weights of the losses.
            tracks: where the clips are in the poses.
            poses: [N, 64], those of the data on the device of the stage.
            seed: of what is fitted.
            pose_extractor: frozen; reads key points from poses.
        """
        self._config, self._tracks, self._poses, self._seed = config, tracks, poses, seed
        self._pose_extractor = pose_extractor
        self._maps: OpeningMaps | None = None
        self._statistics: MotionStatistics | None = None
        self._prior: PosePrior | None = None
        self.openings: OpeningSurrogate | None = None
        if config.pose_prior_weight:
            self._prior = PosePrior.of_data(poses, tracks.spans, seed)
        if config.num_opening_people:
            assert pose_extractor is not None
            self.openings = OpeningSurrogate(pose_extractor, poses, seed)

    @property
    def num_channels(self) -> int:
        """Of what the discriminators see of a pose."""
        return 1 + NUM_MAPS if self._config.openings_scale else 1

    def prepare(
        self,
        sampler: MotionSampler,
        renderer: Renderer,
        first_frames: Callable[[np.ndarray], Tensor],
        detector: LandmarkDetector | None,
    ) -> None:
        """Fit what reads poses, once, before the first step.

        Args:
            sampler: makes half of the poses that the openings are fitted to.
            renderer: makes pictures of them.
            first_frames: clips [P] → their first frames [P, 3, S, S].
            detector: finds the key points in the pictures.
        """
        config = self._config
        if self._maps is not None or self._statistics is not None:
            return
        if not (config.openings_scale or config.reads_statistics):
            return
        assert self._pose_extractor is not None
        heights_of = heights_by(self._pose_extractor)
        if self.openings is not None:
            if not self.openings.is_fitted:
                assert detector is not None
                self._fit_openings(self.openings, sampler, renderer, first_frames, detector)
            heights_of = self.openings.of
        self._read(self._pose_extractor, heights_of)

    def _read(self, pose_extractor: PoseExtractor, heights_of: HeightsOf) -> None:
        """Look what maps and statistics are in the data."""
        config = self._config
        if config.openings_scale:
            self._maps = opening_maps(heights_of, self._poses, config.openings_scale)
        if config.reads_statistics:
            self._statistics = MotionStatistics.of_data(
                pose_extractor, self._poses, self._tracks.spans, heights_of
            )
            self._of_data = self._statistics_of_data(self._statistics)
            self._structure = self._structure_of_data()

    def _fit_openings(
        self,
        openings: OpeningSurrogate,
        sampler: MotionSampler,
        renderer: Renderer,
        first_frames: Callable[[np.ndarray], Tensor],
        detector: LandmarkDetector,
    ) -> None:
        spans = self._tracks.spans
        count = min(self._config.num_opening_people, len(spans))
        order = np.random.default_rng(self._seed).permutation(len(spans))
        people, clips = order[:count], np.roll(order, 1)[:count]  # nobody in own poses
        poses = [self._poses[first : first + n] for first, n in spans[clips].tolist()]
        openings.fit(poses, first_frames(people), sampler, renderer, detector)

    def maps_of(self, poses: Tensor) -> Tensor:
        """What the discriminators see of poses [N, T, 64]: [N, T, C, 8, 8]."""
        maps = as_maps(poses)
        return maps if self._maps is None else torch.cat([maps, self._maps.of(poses)], dim=2)

    def losses(self, poses: Tensor, clips: np.ndarray, rows: Tensor) -> dict[str, Tensor]:
        """Losses of generated poses.

        Args:
            poses: [N, T, 64].
            clips: [N], where their first poses are from.
            rows: [N, T], of the real poses that follow on those.
        """
        config, losses = self._config, {}
        if self._prior is not None:
            distance = self._prior.distance(poses).log().clamp(min=0)
            losses["pose_prior"] = config.pose_prior_weight * distance
        if self._statistics is None:
            return losses
        mean_of = self._statistics.mean_of
        generated, real = self._statistics.of(poses, clips), self._of_data[rows]
        if config.structure_function_weight:
            loss = mean_of(structure_loss(generated, self._structure))
            losses["structure"] = config.structure_function_weight * loss
        if config.marginals_weight:
            loss = mean_of(marginal_loss(generated.flatten(0, 1), real.flatten(0, 1)))
            losses["marginals"] = config.marginals_weight * loss
        if config.increments_weight:
            loss = mean_of(increments_loss(generated, real))
            losses["increments"] = config.increments_weight * loss
        return losses

    def measures(self, generated: Tensor, real: Tensor) -> dict[str, float]:
        """Numbers for a validation, of poses [N, T, 64].

        `openings`, where the discriminators see them: how much eyes and mouth open and close in a
        sequence, over real ones. `shown` and `shown_by_points`: how much of that in pictures of
        people that it has not seen is explained by `openings`, and by the pose's key points alone.
        """
        numbers: dict[str, float] = {}
        if self._maps is not None:
            sizes = [self._maps.of(x)[..., 0, 0].std(dim=1) for x in (generated, real)]
            numbers["openings"] = float(sizes[0].mean() / sizes[1].mean())
        if self.openings is not None and self.openings.explained is not None:
            numbers["shown"] = self.openings.explained
            numbers["shown_by_points"] = self.openings.explained_by_points or 0.0
        return numbers

    @torch.no_grad()
    def _statistics_of_data(self, statistics: MotionStatistics) -> Tensor:
        """[frames, K] of all clips."""
        parts = []
        for index, (first, frames) in enumerate(self._tracks.spans):
            clip = self._poses[first : first + frames]
            parts.append(statistics.of(clip[None], np.array([index]))[0])
        return torch.cat(parts)

    def _structure_of_data(self) -> Tensor:
        """The structure function of the clips, cut to the length of training."""
        length = self._config.num_frames
        squares = []
        for first, frames in self._tracks.spans:
            cut = self._of_data[first : first + frames // length * length]
            squares.append(structure(cut.view(-1, length, cut.shape[1])).square())
        return torch.stack(squares).mean(dim=0).sqrt()
