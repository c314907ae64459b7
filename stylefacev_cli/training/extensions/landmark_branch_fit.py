"""How faces' forms change their ws, fitted in one go to many people in each other's poses.

Everything but the branch for landmarks stays: so many people are looked at once, recomposed with a
few poses of others as ws, and what is missing to the ws of their factors is learnt from landmarks.
That takes a small network seconds. In the joint stage, where other things move too, the branch had
learnt next to nothing after as many minutes; there it goes on from here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from stylefacev_cli.common.distributed import num_processes, process_index, sum_in_place
from stylefacev_cli.networks.stylefacev.appearance import AppearanceRecomposer
from stylefacev_cli.networks.stylefacev.landmarks import NUM_LANDMARKS
from stylefacev_cli.networks.stylefacev.pose import POSE_SIZE
from stylefacev_cli.networks.stylegan3.generator import Generator
from stylefacev_cli.training.batches.clip_frames import Frames, spread
from stylefacev_cli.training.batches.pose_features import products_in
from stylefacev_cli.training.batches.recomposition_pairs import PoseFactors
from stylefacev_cli.training.extensions.surrogate_fit import fit
from stylefacev_cli.training.extensions.surrogates import LearnedGuess

MAX_FRAMES = 40_000  # that are looked at
MAX_POSES = 8192  # of others, to recompose them in
POSES_A_FRAME = 4
_CHUNK = 64  # frames at once
_BATCH, _LR, _WEIGHT_DECAY, _DROPOUT = 512, 2e-3, 0.05, 0.3
_ROUNDS, _MIN_STEPS, _MAX_STEPS = 64, 50, 2500  # as often is each frame drawn, about
_KEPT_EVERY = 50  # one frame of so many tells how much was learnt, and is not learnt from
_PLACES_WEIGHT, _EMBEDDING_WEIGHT = 1000.0, 10.0


@dataclass(frozen=True)
class _Looked:
    """What is learnt from: of N frames, each in K poses."""

    landmarks: Tensor  # [N, 98, 2]
    features: Tensor  # [N, F]
    made: Tensor  # [N, K, w_dim] that the network makes without the branch: mean of the ws
    wanted: Tensor  # [N, K, w_dim] of the factors


class FormFit:
    """Fits the branch of a network once; it knows whether that was done."""

    def __init__(
        self,
        frames: Frames,
        generator: Generator,
        pose_factors: PoseFactors,
        places: LearnedGuess,
        pose_of: Callable[[Tensor], Tensor],
        dtype: str,
        seed: int,
    ) -> None:
        """Nothing is fitted yet.

        Args:
            frames: the data; it has factors.
            generator: gives the ws of the factors.
            pose_factors: where in the factors the pose is.
            places: what ws do to key points, which weighs most.
            pose_of: frames [N, 3, S, S] → poses [N, 1, 8, 8].
            dtype: of the products while looking.
            seed: of the pairs and the batches.
        """
        self._frames, self._generator, self._pose_factors = frames, generator, pose_factors
        self._places, self._pose_of, self._dtype, self._seed = places, pose_of, dtype, seed
        self.is_fitted = False
        # Distances of places, as a share of the frame, on frames that were kept: before, after.
        self.left: tuple[float, float] | None = None

    @torch.no_grad()
    def fit(self, network: AppearanceRecomposer) -> None:
        """Look at the data's people, and learn. All processes call it, and share the looking."""
        branch = network.branch
        assert branch is not None
        looked = self._look(network)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self._seed)
            branch.init_from(looked.landmarks, looked.features)
            self._learn(network, looked)
        layers = branch.layers.requires_grad_(True)  # for the stage; `fit` froze them
        for parameter in layers.parameters():  # alike to the last digit everywhere
            parameter.copy_(sum_in_place(parameter.detach().clone()) / num_processes())
        self.is_fitted = True

    def _look(self, network: AppearanceRecomposer) -> _Looked:
        frames = self._frames
        rows = spread(frames.rows(held_out=False), MAX_FRAMES)
        random = np.random.default_rng(self._seed)
        others = random.permutation(rows)[:MAX_POSES]
        poses = torch.zeros(len(others), 1, POSE_SIZE, POSE_SIZE, device=frames.device)
        for own in _own_chunks(len(others)):
            poses[own] = self._pose_of(frames.image_batch(others[own]))
        sum_in_place(poses)
        which = random.integers(len(others), size=(len(rows), POSES_A_FRAME))
        w_dim, num_features = network.config.w_dim, network.num_features
        sizes = (NUM_LANDMARKS, 2), (num_features,), (POSES_A_FRAME, w_dim), (POSES_A_FRAME, w_dim)
        whole = [torch.zeros(len(rows), *size, device=frames.device) for size in sizes]
        for own in _own_chunks(len(rows)):
            parts = self._looked(network, rows[own], others[which[own]], poses, which[own])
            for values, part in zip(whole, parts, strict=True):
                values[own] = part
        return _Looked(*(sum_in_place(values) for values in whole))

    def _looked(
        self,
        network: AppearanceRecomposer,
        rows: np.ndarray,
        others: np.ndarray,
        poses: Tensor,
        which: np.ndarray,
    ) -> tuple[Tensor, ...]:
        """Of some frames, in the poses at places `which` [n, K], which are of the rows `others`."""
        with products_in(self._dtype):
            landmarks, features, appearance = network.landmark_inputs(
                self._frames.image_batch(rows)
            )
            appearance = F.pad(appearance, (0, 0, 0, 0, 0, network.config.shape_channels))
            repeated = appearance.repeat_interleave(POSES_A_FRAME, dim=0)
            ws = network.recompose(repeated, poses[torch.from_numpy(which.reshape(-1))]).float()
        who = self._frames.factor_batch(rows).repeat_interleave(POSES_A_FRAME, dim=0)
        how = self._frames.factor_batch(others.reshape(-1))
        wanted = self._generator.mapping(self._pose_factors.swapped(who, how))
        shape = len(rows), POSES_A_FRAME, -1
        made = ws[:, 1:].mean(dim=1).view(*shape)
        return landmarks, features.float(), made, wanted[:, 1:].mean(dim=1).view(*shape)

    def _learn(self, network: AppearanceRecomposer, looked: _Looked) -> None:
        branch = network.branch
        assert branch is not None
        layers = branch.layers
        kept = torch.arange(len(looked.made)) % _KEPT_EVERY == 0
        learnt = (~kept).nonzero()[:, 0] if len(kept) > _KEPT_EVERY else kept.nonzero()[:, 0]

        def losses(frames: Tensor, poses: Tensor, dropout: float) -> tuple[Tensor, Tensor]:
            form = branch.shape_offsets(looked.landmarks[frames], looked.features[frames], dropout)
            made, wanted = looked.made[frames, poses] + form, looked.wanted[frames, poses]
            both = (w[:, None].expand(-1, 2, -1) for w in (made, wanted))
            return self._places.distance(*both), (made - wanted).abs().mean()

        def loss() -> Tensor:
            some = learnt[torch.randint(len(learnt), (_BATCH,))].to(looked.made.device)
            poses = torch.randint(POSES_A_FRAME, (_BATCH,)).to(some)
            places, embedding = losses(some, poses, _DROPOUT)
            return _PLACES_WEIGHT * places + _EMBEDDING_WEIGHT * embedding

        def left() -> float:
            frames = kept.nonzero()[:, 0].repeat_interleave(POSES_A_FRAME)
            poses = torch.arange(len(frames)) % POSES_A_FRAME
            return float(losses(frames, poses, 0.0)[0])

        before = left()
        steps = min(max(_ROUNDS * len(learnt) // _BATCH, _MIN_STEPS), _MAX_STEPS)
        optimiser = torch.optim.AdamW(layers.parameters(), _LR, weight_decay=_WEIGHT_DECAY)
        decay = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
        fit(layers, loss, optimiser, decay, steps)
        self.left = before, left()

    def state_dict(self) -> dict[str, Any]:
        """Whether it was done; what was learnt is the network's."""
        return {"is_fitted": self.is_fitted, "left": self.left}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take that over."""
        self.is_fitted, self.left = state["is_fitted"], state["left"]


def _own_chunks(count: int) -> Iterator[np.ndarray]:
    """This process's share of places from 0 to `count`, some at once."""
    own = np.arange(process_index(), count, num_processes())
    for first in range(0, len(own), _CHUNK):
        yield own[first : first + _CHUNK]
