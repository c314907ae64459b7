"""Pose prior: how far poses are from those that faces have, by what a denoiser changes of them.

A sampler that only follows single statistics of poses combines them as no face does. There the head
that reads key points and the recomposer, which know poses of faces alone, disagree.

A denoiser that was trained on data returns the mean of the data that a noisy value may come from,
so what it changes is in proportion to the gradient of the logarithm of their density, blurred by
that noise (Vincent et al. 2008; Alain & Bengio 2014): nothing where poses are as likely as
can be, much where there are none.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from stylefacev_cli.training.extensions.pose_components import PoseComponents
from stylefacev_cli.training.extensions.surrogate_fit import fit

_NOISE = 0.5  # in deviations of the components
_HIDDEN = 256
_STEPS = 4000
_BATCH = 512
_LR = 2e-3
_DECAY_FROM = 0.4  # share of the steps
_KEPT_EVERY = 10  # clips: one of so many says how far poses are that it has not seen


@dataclass(frozen=True)
class PosePrior:
    """Principal components of the data's poses, and a denoiser of them."""

    components: PoseComponents
    denoiser: nn.Module  # frozen
    level: float  # mean square of what it changes of the data's poses

    @classmethod
    def of_data(cls, poses: Tensor, spans: np.ndarray, seed: int) -> PosePrior:
        """That of the data; the denoiser is trained here, for less than a minute.

        Args:
            poses: [N, 64] of all frames.
            spans: rows (first, number of frames) of the clips [C, 2].
            seed: of the first weights, the batches and the noise.
        """
        components = PoseComponents.of_data(poses)
        parts: tuple[list[Tensor], list[Tensor]] = ([], [])  # to learn from; kept
        for index, (first, length) in enumerate(spans.tolist()):
            is_kept = len(spans) > 1 and index % _KEPT_EVERY == 0
            parts[is_kept].append(components.of(poses[first : first + length]))
        seen, kept = (torch.cat(part or parts[0]) for part in parts)
        denoiser = _trained(seen, seed)
        level = max(float(_changed(denoiser, kept)), 1e-6)
        return cls(components, denoiser, level)

    def distance(self, poses: Tensor) -> Tensor:
        """How much the denoiser changes of poses [..., 64], over what it does of the data's.

        Returns:
            The mean over all, a scalar: about 1 for poses of the data; differentiable.
        """
        return _changed(self.denoiser, self.components.of(poses)) / self.level


def _changed(denoiser: nn.Module, values: Tensor) -> Tensor:
    changed: Tensor = (denoiser(values) - values).square().mean()
    return changed


def _trained(values: Tensor, seed: int) -> nn.Module:
    """A denoiser of values [N, K]."""
    width, device = values.shape[1], values.device
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = nn.Sequential(
            nn.Linear(width, _HIDDEN), nn.GELU(),
            nn.Linear(_HIDDEN, _HIDDEN), nn.GELU(),
            nn.Linear(_HIDDEN, width),
        ).to(device)  # fmt: skip
    random = torch.Generator().manual_seed(seed)

    def loss() -> Tensor:
        clean = values[torch.randint(len(values), (_BATCH,), generator=random).to(device)]
        noise = torch.randn(clean.shape, generator=random).to(device)
        changed: Tensor = network(clean + _NOISE * noise) - clean
        return changed.square().mean()

    def rate(step: int) -> float:
        return min(1.0, (1 - step / _STEPS) / (1 - _DECAY_FROM))

    optimiser = torch.optim.Adam(network.parameters(), _LR)
    fit(network, loss, optimiser, torch.optim.lr_scheduler.LambdaLR(optimiser, rate), _STEPS)
    return network
