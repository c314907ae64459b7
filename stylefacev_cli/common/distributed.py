"""Reductions over the processes of distributed training; no-ops in a single process.

Processes are those of `torch.distributed`'s default group, joined by whoever started the training.
All sums are differentiable, any number of times: of y = Σ_r x_r every process has one copy, so that
∂(Σ_r L_r)/∂x_r = Σ_r ∂L_r/∂y, again a sum over the processes. Gradients are therefore those of the
sum of all processes' losses; whoever updates weights divides by their number.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from stylefacev_cli.errors import StyleFaceVError


def num_processes() -> int:
    """Number of processes that train together."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def process_index() -> int:
    """Rank of this process, from 0."""
    return dist.get_rank() if num_processes() > 1 else 0


def sum_in_place(values: Tensor) -> Tensor:
    """Replace contiguous values by their sum over all processes; no gradient.

    Raises:
        StyleFaceVError: another process has ended.
    """
    return _reduced(values, dist.ReduceOp.SUM) if num_processes() > 1 else values


def largest(values: Tensor) -> Tensor:
    """The largest value that any process has, for each element; no gradient.

    Raises:
        StyleFaceVError: another process has ended.
    """
    return _reduced(values.clone(), dist.ReduceOp.MAX) if num_processes() > 1 else values


def wait_for_all() -> None:
    """Return when all processes have come here.

    Raises:
        StyleFaceVError: another process has ended.
    """
    largest(torch.zeros(1))


def averaged(values: Tensor) -> Tensor:
    """The mean over all processes, with a gradient."""
    count = num_processes()
    if count == 1:
        return values
    total: Tensor = _Summed.apply(values)
    return total / count


def gathered(values: Tensor) -> Tensor:
    """The values of all processes, one after the other, with a gradient.

    Args:
        values: of the same shape in all processes.

    Returns:
        [number of processes, *values.shape].
    """
    count, own = num_processes(), process_index()
    if count == 1:
        return values[None]
    nothing = torch.zeros_like(values)
    parts = torch.stack([values if index == own else nothing for index in range(count)])
    together: Tensor = _Summed.apply(parts)
    return together


class _Summed(torch.autograd.Function):
    """y = Σ_r x_r; the gradient is the same sum of the gradients of y."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        return sum_in_place(values.clone(memory_format=torch.contiguous_format))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        return _Summed.apply(gradients[0])


def _reduced(values: Tensor, how: Any) -> Tensor:
    try:
        dist.all_reduce(values, how)
    except RuntimeError as error:
        raise StyleFaceVError(
            f"process {process_index()} stops: another one of the {num_processes()} has ended or "
            "does not answer; what it says tells why"
        ) from error
    return values
