"""Small networks that are fitted in one go, before a stage or beside it."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn


@torch.enable_grad()
def fit(
    network: nn.Module,
    loss: Callable[[], Tensor],
    optimiser: torch.optim.Optimizer,
    decay: torch.optim.lr_scheduler.LRScheduler,
    num_steps: int,
) -> None:
    """Take steps down a loss; afterwards the network is frozen.

    Args:
        network: learns.
        loss: of the next batch, a scalar.
        optimiser: of the network's parameters.
        decay: of its rate, a step each.
        num_steps: how many.
    """
    network.requires_grad_(True)
    for _ in range(num_steps):
        value = loss()
        optimiser.zero_grad()
        value.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        decay.step()
    network.requires_grad_(False)
