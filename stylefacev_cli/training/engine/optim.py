"""Optimisers, learning-rate schedule and averaged weights.

Muon (Jordan et al. 2024) takes the momentum of a matrix's gradient, replaces it by the nearest
orthogonal matrix, and steps along it; it fits the generator's weights several times sooner than
Adam. Scalars, vectors and the mapping network go to Adam.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from stylefacev_cli.common.distributed import num_processes, sum_in_place
from stylefacev_cli.errors import UsageError

BUCKET_NUMBERS = 8_000_000  # gradients that are sent together, 32 MB

# Newton-Schulz: the odd quintic a·s + b·s³ + c·s⁵, iterated, drives singular values towards 1.
NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
NEWTON_SCHULZ_STEPS = 5


def orthogonalise(matrix: Tensor, num_steps: int = NEWTON_SCHULZ_STEPS) -> Tensor:
    """U Vᵀ of matrix = U S Vᵀ, approximately: singular values end within about [0.7, 1.2].

    Args:
        matrix: [rows, columns].
        num_steps: Newton-Schulz iterations.

    Returns:
        [rows, columns] of the same dtype.
    """
    a, b, c = NEWTON_SCHULZ
    wide = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
    x: Tensor = wide / (
        wide.norm() + 1e-7
    )  # Frobenius ≥ spectral norm: singular values start in (0, 1]
    for _ in range(num_steps):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x if matrix.shape[0] <= matrix.shape[1] else x.T


class Muon(torch.optim.Optimizer):
    """Momentum, orthogonalised, for weights of two and more dimensions ([out, in, …] as a matrix).

    With o = orthogonalise(g + momentum·m) the step is lr·√max(1, rows/columns)·o.
    """

    def __init__(self, params: Iterable[Tensor], lr: float, momentum: float = 0.95) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """One update of all matrices that have a gradient."""
        assert closure is None
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is None:
                    continue
                state = self.state[weight]
                if not state:
                    state["momentum"] = torch.zeros_like(weight)
                velocity = state["momentum"]
                velocity.mul_(group["momentum"]).add_(weight.grad)
                ahead = weight.grad + group["momentum"] * velocity  # Nesterov
                rows = weight.shape[0]
                update = orthogonalise(ahead.reshape(rows, -1))
                scale = math.sqrt(max(1.0, rows / update.shape[1]))
                weight.add_(update.reshape(weight.shape), alpha=-group["lr"] * scale)


class Optimisers:
    """Several optimisers that step together, their learning rates scaled by one schedule."""

    def __init__(self, *optimisers: torch.optim.Optimizer) -> None:
        self._optimisers = optimisers
        for optimiser in optimisers:
            for group in optimiser.param_groups:
                group["base_lr"] = group["lr"]

    @property
    def parameters(self) -> list[Tensor]:
        """All parameters that are optimised."""
        return [p for o in self._optimisers for group in o.param_groups for p in group["params"]]

    def learn(
        self,
        parts: Iterable[dict[str, Tensor]],
        num_parts: int,
        lr_scale: float = 1.0,
        factors: Mapping[str, float] | None = None,
    ) -> dict[str, float] | None:
        """Backward over the parts of a batch, then one update of all processes alike.

        Args:
            parts: losses of one part after the other, by name; each is made when the gradients of
                the one before are there. What is optimised is their sum, then its mean over parts
                and processes.
            num_parts: how many.
            lr_scale: factor on the learning rates.
            factors: of losses that do not count as 1 in the sum.

        Returns:
            Each loss, the mean over parts and processes; None if a loss or a gradient was not
            finite in any process: then nothing has changed.
        """
        self.zero_grad()
        factors = factors or {}
        means: dict[str, float] = {}
        for losses in parts:
            terms = [factors.get(name, 1.0) * value for name, value in losses.items()]
            total = torch.stack(terms).sum()
            seen = torch.stack([total.detach(), *(value.detach() for value in losses.values())])
            values = (sum_in_place(seen) / num_processes()).tolist()
            if not math.isfinite(values[0]):
                return None
            (total / num_parts).backward()  # type: ignore[no-untyped-call]
            for name, value in zip(losses, values[1:], strict=True):
                means[name] = means.get(name, 0.0) + value / num_parts
        average_gradients(self.parameters)
        return means if self._update(lr_scale) else None

    def _update(self, lr_scale: float) -> bool:
        """Update from the gradients at hand, unless one is not finite."""
        gradients = [p.grad for p in self.parameters if p.grad is not None]
        total = torch.stack([gradient.abs().sum() for gradient in gradients]).sum()
        if not torch.isfinite(total):
            return False
        for optimiser in self._optimisers:
            for group in optimiser.param_groups:
                group["lr"] = group["base_lr"] * lr_scale
            optimiser.step()
        return True

    def zero_grad(self) -> None:
        """Forget all gradients."""
        for optimiser in self._optimisers:
            optimiser.zero_grad(set_to_none=True)

    def state_dict(self) -> dict[str, Any]:
        """States of the optimisers, without their settings: those come from the config."""
        return {"states": [optimiser.state_dict()["state"] for optimiser in self._optimisers]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from `state_dict()`, with the learning rates of this run's config.

        Raises:
            UsageError: it is of other optimisers.
        """
        if len(state["states"]) != len(self._optimisers):
            raise UsageError(
                "the checkpoints are of other optimisers (muon_lr, 0 or not): train into another "
                "--out"
            )
        for optimiser, saved in zip(self._optimisers, state["states"], strict=True):
            groups = optimiser.state_dict()["param_groups"]
            optimiser.load_state_dict({"state": saved, "param_groups": groups})


@torch.no_grad()
def average_gradients(parameters: list[Tensor]) -> None:
    """Replace gradients by their mean over all processes.

    Not torch's DistributedDataParallel: a step of ours calls several networks, some of them twice
    and with penalties on gradients, which its hooks do not follow. A parameter has a gradient
    afterwards if it had one anywhere.
    """
    count = num_processes()
    if count == 1:
        return
    has_gradient = torch.tensor([float(p.grad is not None) for p in parameters])
    somewhere = sum_in_place(has_gradient.to(parameters[0].device)).tolist()
    bucket: list[Tensor] = []
    for parameter, number in zip(parameters, somewhere, strict=True):
        if number:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            bucket.append(parameter.grad)
        if sum(gradient.numel() for gradient in bucket) >= BUCKET_NUMBERS:
            _average(bucket, count)
            bucket = []
    _average(bucket, count)


def _average(tensors: list[Tensor], count: int) -> None:
    """One message for all of them, which saves time and takes a copy of their size."""
    if not tensors:
        return
    flat = sum_in_place(torch.cat([tensor.flatten() for tensor in tensors])) / count
    sizes = [tensor.numel() for tensor in tensors]
    for tensor, mean in zip(tensors, torch.split(flat, sizes), strict=True):
        tensor.copy_(mean.view(tensor.shape))


@dataclass(frozen=True)
class Schedule:
    """Learning rate over a stage: linear warm-up, constant, then a decay to `final`.

    The paper's "50 epochs constant, 50 of linear decay" is `{shape: linear, final: 0}`.
    """

    warmup_steps: int = 0  # steps of linear warm-up
    decay_from: float = 0.5  # progress in [0, 1] at which the decay starts
    final: float = 0.02  # factor at the end
    shape: str = "cosine"  # or linear: of the decay

    def __post_init__(self) -> None:
        """Check the values once."""
        if self.shape not in ("cosine", "linear"):
            raise UsageError(f"the schedule's shape {self.shape!r} is not cosine or linear")

    def scale(self, step: int, progress: float) -> float:
        """The factor on the learning rates."""
        warm = min(1.0, (step + 1) / self.warmup_steps) if self.warmup_steps else 1.0
        if progress <= self.decay_from:
            return warm
        position = (progress - self.decay_from) / max(1 - self.decay_from, 1e-9)
        is_linear = self.shape == "linear"
        left = 1 - position if is_linear else 0.5 * (1 + math.cos(math.pi * position))
        return warm * (self.final + (1 - self.final) * left)


class AveragedModel:
    """Exponential moving average of a network's parameters; buffers are copied."""

    def __init__(self, network: nn.Module, half_life_images: float) -> None:
        self.network = copy.deepcopy(network).eval().requires_grad_(False)
        self._half_life_images = half_life_images

    @torch.no_grad()
    def update(self, network: nn.Module, images_per_step: int, images_seen: int) -> None:
        """Move towards the network; at the start the average covers 5 % of what was seen."""
        half_life = min(self._half_life_images, max(images_seen * 0.05, 1e-8))
        decay = 0.5 ** (images_per_step / half_life)
        averaged: list[Tensor] = list(self.network.parameters())
        current: list[Tensor] = list(network.parameters())
        torch._foreach_lerp_(averaged, current, 1 - decay)
        for buffer, source in zip(self.network.buffers(), network.buffers(), strict=True):
            buffer.copy_(source)


@torch.no_grad()
def average_buffers(*networks: nn.Module) -> None:
    """Make running statistics those of all processes, where each saw only its own samples."""
    if num_processes() > 1:
        buffers = [b for n in networks for b in n.buffers() if b.is_floating_point()]
        _average(buffers, num_processes())


@contextmanager
def restored_if_bad(*networks: nn.Module) -> Iterator[list[bool]]:
    """Undo what a step did to buffers (running statistics) if it is marked bad.

    Yields:
        A list; append False to it to mark the step as bad.
    """
    before = [[buffer.clone() for buffer in network.buffers()] for network in networks]
    marks: list[bool] = []
    yield marks
    if not all(marks):
        with torch.no_grad():
            for network, buffers in zip(networks, before, strict=True):
                for buffer, old in zip(network.buffers(), buffers, strict=True):
                    buffer.copy_(old)


def fits_muon(parameter: Tensor) -> bool:
    """Whether it is a matrix of some rows: of fewer there is little to make orthogonal."""
    return parameter.ndim >= 2 and parameter.shape[0] > 4


def muon_and_adam(
    network: nn.Module, lr: float, betas: tuple[float, float], muon_lr: float = 0.0
) -> Optimisers:
    """Adam for a network; with `muon_lr`, Muon for its weights of more than four rows."""
    return Optimisers(*optimisers_of(network, lr, betas, muon_lr))


def optimisers_of(
    network: nn.Module, lr: float, betas: tuple[float, float], muon_lr: float = 0.0
) -> list[torch.optim.Optimizer]:
    """The optimisers of `muon_and_adam`, Muon first."""
    matrices: list[nn.Parameter] = []
    others: list[nn.Parameter] = []
    for parameter in network.parameters():
        (matrices if muon_lr and fits_muon(parameter) else others).append(parameter)
    adam = torch.optim.Adam(others, lr, betas=betas)
    return [Muon(matrices, muon_lr), adam] if matrices else [adam]
