"""Opening surrogate: how far eyes and mouth are open in images of a pose, predicted from the pose.

The pose's own key points predict it badly: the head that reads them was trained on poses of faces,
and in those of a sampler the recomposer follows it less. So a small network learns what a detector
finds in images of the data's people, in poses of the data (some with noise) and of the sampler.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from stylefacev_cli.networks.stylefacev.landmarks import LandmarkDetector
from stylefacev_cli.networks.stylefacev.motion import MotionSampler
from stylefacev_cli.networks.stylefacev.pose import PoseExtractor
from stylefacev_cli.training.batches.pose_features import detected_key_points
from stylefacev_cli.training.batches.rendering import Renderer
from stylefacev_cli.training.extensions.opening_maps import heights
from stylefacev_cli.training.extensions.pose_components import PoseComponents
from stylefacev_cli.training.extensions.surrogate_fit import fit
from stylefacev_cli.training.losses.image_losses import openings

POSES_A_PERSON = 12  # of the data, and as many of the sampler
_ROLL_OUT = 60  # frames, of which those are taken
_NOISE = 0.6  # at most, on poses of the data: in deviations of their components
_AT_ONCE = 8  # pictures
_HIDDEN = 32
_STEPS = 1000
_BATCH = 16  # people
_LR = 1e-3
_WEIGHT_DECAY = 3.0
_NUM_OPENINGS = 3
_KEPT = 5  # one person of so many is kept, and tells how much is explained


class OpeningSurrogate:
    """Reads openings from poses as pictures show them; unknown until it is fitted."""

    def __init__(self, pose_extractor: PoseExtractor, data: Tensor, seed: int) -> None:
        """Start unknown.

        Args:
            pose_extractor: frozen; its key points are what the network corrects.
            data: poses [N, 64] of all frames.
            seed: of what is drawn, and of the first weights.
        """
        self._pose_extractor, self._seed = pose_extractor, seed
        self._components = PoseComponents.of_data(data)
        self._first = nn.Linear(data.shape[1], _HIDDEN)
        self._last = nn.Linear(_HIDDEN, _NUM_OPENINGS)
        self._network = nn.Sequential(self._first, nn.GELU(), self._last).to(data)
        self._network.requires_grad_(False)
        self._level = data.new_zeros(_NUM_OPENINGS)  # usual difference; people's own are left out
        # How much of what the openings of kept people move, here and by the key points alone.
        self.explained: float | None = None
        self.explained_by_points: float | None = None

    @property
    def is_fitted(self) -> bool:
        """Whether it knows anything."""
        return self.explained is not None

    def of(self, poses: Tensor) -> Tensor:
        """Poses [N, 64] → openings [N, 3], down the frame, in fractions of it; differentiable."""
        return heights(self._pose_extractor, poses) + self._correction(poses) + self._level

    def _correction(self, poses: Tensor) -> Tensor:
        correction: Tensor = self._network(self._components.of(poses))
        return correction

    def fit(
        self,
        clips: list[Tensor],
        first_frames: Tensor,
        sampler: MotionSampler,
        renderer: Renderer,
        detector: LandmarkDetector,
    ) -> None:
        """Make pictures, look at them, and learn.

        Args:
            clips: poses [T, 64] of as many clips as there are people.
            first_frames: [P, 3, S, S], the people.
            sampler: makes half of the poses.
            renderer: makes the pictures.
            detector: looks at them.
        """
        random = torch.Generator().manual_seed(self._seed)
        poses = self._poses_to_show(clips, sampler, random)
        with torch.no_grad():
            seen = torch.stack(
                [
                    _seen(renderer, detector, frame[None], some)
                    for frame, some in zip(first_frames, poses, strict=True)
                ]
            )
        self._learn(poses, seen, random)

    @torch.no_grad()
    def _poses_to_show(
        self, clips: list[Tensor], sampler: MotionSampler, random: torch.Generator
    ) -> Tensor:
        """[P, 2 · POSES_A_PERSON, 64]."""
        both = []
        for clip in clips:
            rows = torch.randint(len(clip), (POSES_A_PERSON + 1,), generator=random)
            size = _NOISE * torch.rand(POSES_A_PERSON, 1, generator=random)
            noise = size * torch.randn(POSES_A_PERSON, clip.shape[1], generator=random)
            noise[::2] = 0
            both.append(clip[rows[1:]] + noise.to(clip) @ self._components.to_poses)
            steps = torch.randn(1, _ROLL_OUT, clip.shape[1], generator=random).to(clip)
            rolled = sampler.roll_out(clip[rows[:1]], steps)[0][0]
            both.append(rolled[torch.randperm(_ROLL_OUT, generator=random)[:POSES_A_PERSON]])
        return torch.cat(both).view(len(clips), 2 * POSES_A_PERSON, -1)

    def _learn(self, poses: Tensor, seen: Tensor, random: torch.Generator) -> None:
        """From poses [P, K, 64] and what is seen [P, K, 3], both less each person's mean."""
        with torch.no_grad():
            by_head = heights(self._pose_extractor, poses.flatten(0, 1)).view_as(seen)
        missing = seen - by_head
        scale = _centred(seen).square().mean(dim=(0, 1)).sqrt().clamp(min=1e-4)
        is_kept = torch.arange(len(poses)) % _KEPT == 0
        if is_kept.all():
            is_kept[:] = False
        learnt = (~is_kept).nonzero()[:, 0]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self._seed)
            self._first.reset_parameters()
            self._last.reset_parameters()
        nn.init.zeros_(self._last.weight)  # no correction, unless there is a reason

        def loss() -> Tensor:
            some = learnt[torch.randint(len(learnt), (_BATCH,), generator=random)]
            off = _centred(self._correction(poses[some]) - missing[some]) / scale
            return off.square().mean()

        optimiser = torch.optim.AdamW(self._network.parameters(), _LR, weight_decay=_WEIGHT_DECAY)
        decay = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, _STEPS)
        fit(self._network, loss, optimiser, decay, _STEPS)
        with torch.no_grad():
            self._level = (missing - self._correction(poses)).mean(dim=(0, 1))
            kept = is_kept if is_kept.any() else ~is_kept
            off = _centred(self._correction(poses[kept]) - missing[kept]) / scale
            self.explained = 1 - float(off.square().mean())
            by_points = _centred(missing[kept]) / scale
            self.explained_by_points = 1 - float(by_points.square().mean())

    def state_dict(self) -> dict[str, Any]:
        """The network, and what it explains: nothing yet before it is fitted."""
        return {
            "network": self._network.state_dict(),
            "level": self._level,
            "explained": (self.explained, self.explained_by_points),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take the network over."""
        self._network.load_state_dict(state["network"])
        self._level = state["level"].to(self._level)
        self.explained, self.explained_by_points = state["explained"]


def _centred(values: Tensor) -> Tensor:
    return values - values.mean(dim=1, keepdim=True)


def _seen(renderer: Renderer, detector: LandmarkDetector, frame: Tensor, poses: Tensor) -> Tensor:
    """Openings [K, 3] in pictures of one person in poses [K, 64]."""
    appearance = renderer.appearance_of(frame)
    parts = []
    for some in torch.split(poses, _AT_ONCE):
        pictures = renderer.frames_of(appearance, some).clamp(-1, 1)
        parts.append(openings(detected_key_points(detector, pictures))[..., 1])
    return torch.cat(parts)
