"""Surrogates: what the image of a w shows, predicted from the w without making the image.

An image costs a hundred times as much as its w, and so do losses on images. What matters most of
them, where the face is and what it does, small networks predict from w.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stylefacev_cli.networks.stylegan3.generator import Generator
from stylefacev_cli.training.batches.clip_frames import Frames
from stylefacev_cli.training.extensions.surrogate_fit import fit

VIEW_SIZE_PX = 16
VIEW_SAMPLES = 1536
RIDGE = 0.03
NUM_HIDDEN, BATCH_SIZE, LR, NUM_EPOCHS = 256, 512, 2e-3, 32
KEY_POINT_SAMPLES = 65_536
KEY_POINT_UNIT = 0.03  # of the frame: errors of this size are learnt as well as others
OPENINGS = ((2, 4), (5, 7), (9, 10))  # of the key points: lids of either eye, lips
OPENING_WEIGHT = 2.0  # they move less than the head, and are seen as much
_CHUNK = 32  # pictures at once


class LinearSurrogate:
    """What a change of w does, to first order: a cheap stand-in for making the image.

    A ridge regression from w, made once from samples, when it is first asked for.
    """

    def __init__(self, samples: Callable[[], tuple[Tensor, Tensor]]) -> None:
        """Start unknown.

        Args:
            samples: gives w [N, w_dim] and what it does [N, D].
        """
        self._samples = samples
        self._matrix: Tensor | None = None  # [w_dim, D]

    def distance(self, ws: Tensor, targets: Tensor) -> Tensor:
        """Mean absolute difference of what two ws [N, num_ws, w_dim] do, about."""
        if self._matrix is None:
            self._matrix = self._fit()
        self._matrix = self._matrix.to(ws.device)
        return ((ws - targets)[:, 1:].mean(dim=1) @ self._matrix).abs().mean()

    @torch.no_grad()
    def _fit(self) -> Tensor:
        w, effects = (values - values.mean(dim=0) for values in self._samples())
        identity = torch.eye(w.shape[1], device=w.device)
        ridge = RIDGE * len(w) * w.square().mean() * identity
        matrix: Tensor = torch.linalg.solve(w.T @ w + ridge, w.T @ effects)
        return matrix

    def state_dict(self) -> dict[str, Any]:
        """The matrix, once there."""
        return {"matrix": self._matrix}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take the matrix over."""
        self._matrix = state["matrix"]


class LearnedSurrogate:
    """What a w does, predicted by a small network, where that is far from linear.

    It is fitted once to samples, when it is first asked for.
    """

    def __init__(
        self, samples: Callable[[], tuple[Tensor, list[Tensor]]], unit: float, seed: int
    ) -> None:
        """Start unknown.

        Args:
            samples: gives w [N, w_dim] and what it does, in groups that count alike [N, D].
            unit: size of a typical difference in what it does.
            seed: of the first weights and the batches.
        """
        self._samples, self._unit, self._seed = samples, unit, seed
        self._network: nn.Sequential | None = None
        self._scale = torch.ones(1)  # [w_dim], of w
        self._groups: list[int] = []

    def distance(self, ws: Tensor, targets: Tensor) -> Tensor:
        """Mean absolute difference of what two ws [N, num_ws, w_dim] do, about."""
        predicted, expected = (torch.cat(self.effects(some), dim=1) for some in (ws, targets))
        return self._unit * grouped_l1(predicted, expected, self._groups)

    def effects(self, ws: Tensor) -> tuple[Tensor, ...]:
        """What ws [N, num_ws, w_dim] do, about: by groups [N, D], from the mean, in units."""
        if self._network is None:
            self._fit()
        return torch.split(self._predict(ws[:, 1:].mean(dim=1)), self._groups, dim=1)

    def _predict(self, w: Tensor) -> Tensor:
        assert self._network is not None
        self._network.to(w.device)
        predicted: Tensor = self._network(w / self._scale.to(w.device))
        return predicted

    def _fit(self) -> None:
        w, groups = self._samples()
        self._groups = [group.shape[1] for group in groups]
        self._scale = w.std(dim=0).clamp(min=1e-6)
        effects = torch.cat(groups, dim=1)
        effects = (effects - effects.mean(dim=0)) / self._unit
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self._seed)
            network = perceptron(w.shape[1], NUM_HIDDEN, effects.shape[1])
        self._network = network.to(w.device)
        steps = min(max(NUM_EPOCHS * len(w) // BATCH_SIZE, 200), 4000)
        random = torch.Generator().manual_seed(self._seed)

        def loss() -> Tensor:
            chosen = torch.randint(len(w), (BATCH_SIZE,), generator=random).to(w.device)
            return grouped_l1(self._predict(w[chosen]), effects[chosen], self._groups)

        optimiser = torch.optim.Adam(self._network.parameters(), LR)
        decay = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
        fit(self._network, loss, optimiser, decay, steps)

    def state_dict(self) -> dict[str, Any]:
        """The network, once there."""
        network = self._network
        weights = None if network is None else network.state_dict()
        return {"network": weights, "scale": self._scale, "groups": self._groups}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take the network over; saves of before it was one have none, and it is fitted anew."""
        self._network, weights = None, state.get("network")
        if weights:
            self._scale, self._groups = state["scale"], state["groups"]
            first, last = weights["0.weight"], weights["4.weight"]
            self._network = perceptron(first.shape[1], len(first), len(last))
            self._network.requires_grad_(False).load_state_dict(weights)


def grouped_l1(predicted: Tensor, targets: Tensor, groups: list[int]) -> Tensor:
    """Mean absolute difference of values [N, D], of which groups of so many count alike."""
    off = torch.split((predicted - targets).abs(), groups, dim=1)
    return torch.stack([group.mean() for group in off]).mean()


def perceptron(num_inputs: int, num_hidden: int, num_outputs: int) -> nn.Sequential:
    """A network of two hidden layers: [N, num_inputs] → [N, num_outputs]."""
    return nn.Sequential(
        nn.Linear(num_inputs, num_hidden),
        nn.SiLU(),
        nn.Linear(num_hidden, num_hidden),
        nn.SiLU(),
        nn.Linear(num_hidden, num_outputs),
    )


def view_surrogate(generator: Generator, seed: int) -> LinearSurrogate:
    """How the generator's picture looks at `VIEW_SIZE_PX`, colours and light above all."""

    @torch.no_grad()
    def samples() -> tuple[Tensor, Tensor]:
        random = torch.Generator().manual_seed(seed)
        all_w, all_pictures = [], []
        for _ in range(VIEW_SAMPLES // _CHUNK):
            z = torch.randn(_CHUNK, generator.config.z_dim, generator=random)
            ws = generator.mapping(z.to(generator.mapping.w_avg.device))
            pictures = generator.synthesis(ws).clamp(-1, 1)
            all_w.append(ws[:, 0])
            all_pictures.append(F.adaptive_avg_pool2d(pictures, VIEW_SIZE_PX).flatten(1))
        return torch.cat(all_w), torch.cat(all_pictures)

    return LinearSurrogate(samples)


def key_point_surrogate(generator: Generator, frames: Frames, seed: int) -> LearnedSurrogate:
    """Where landmarks and key points are, and how far eyes and mouth are open; by the labels.

    The landmarks, which show the outline of the face, are left out where the data has key points
    alone.
    """
    frames.need_key_points("key_point_surrogate_weight")

    @torch.no_grad()
    def samples() -> tuple[Tensor, list[Tensor]]:
        rows = frames.rows(held_out=False)
        rows = np.random.default_rng(seed).permutation(rows)[:KEY_POINT_SAMPLES]
        w = [generator.mapping(frames.factor_batch(some))[:, 0] for some in chunks(rows)]
        landmarks, points = frames.landmark_batch(rows), frames.key_point_batch(rows)
        openings = [points[:, low, 1:] - points[:, high, 1:] for high, low in OPENINGS]
        groups = [points.flatten(1), OPENING_WEIGHT * torch.cat(openings, dim=1)]
        if not landmarks.isnan().any():
            groups.append(landmarks.flatten(1))
        return torch.cat(w), groups

    def chunks(rows: np.ndarray) -> list[np.ndarray]:
        return np.array_split(rows, -(-len(rows) // 4096))

    return LearnedSurrogate(samples, KEY_POINT_UNIT, seed)
