"""The fused filtered leaky ReLU as a differentiable PyTorch operation, float32 on CPUs.

Prepares the filters for the kernel of `filtered_lrelu_numba`, forwards and backwards, and shares
the channel planes out among threads.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch.autograd.function import once_differentiable

from stylefacev_cli.networks import filtered_lrelu_numba as numba_pass
from stylefacev_cli.networks.phases import (
    Doubles,
    Padding,
    filter_key,
    output_size,
    separable_correlation,
    split_phases,
)
from stylefacev_cli.networks.threads import share_out

Floats = NDArray[np.float32]
NO_CLAMP = float(np.finfo(np.float32).max)
RANK_TOLERANCE = 1e-6  # largest error of a filter's separable terms, relative to its largest tap


class AxisFilter(NamedTuple):
    """Upsampling along one axis, as the kernel takes it."""

    taps: Floats  # [rank, up, taps]
    offset: NDArray[np.int64]  # [up]


@dataclass(frozen=True)
class PassPlan:
    """Filters of one pass: upsample by `up`, downsample by `down`."""

    up_y: AxisFilter
    up_x: AxisFilter
    down_y: Floats  # [rank, down * taps]
    down_x: Floats
    down: int
    taps: int

    @property
    def kernel(self) -> Any:
        """The compiled pass for these filters' sizes."""
        return numba_pass.kernel(
            self.taps, self.down, self.up_x.taps.shape[0], self.down_x.shape[0]
        )


@dataclass(frozen=True)
class Plan:
    """A filtered leaky ReLU for one size: both passes, and how the sign map lies to them."""

    forward: PassPlan
    backward: PassPlan
    out_height: int
    out_width: int
    sign_rows: int
    sign_columns: int
    forward_column: int  # of the upsampled sample (0, 0) of the forward pass in the sign map
    backward_row: int  # of the upsampled sample (0, 0) of the backward pass
    backward_column: int


def _padded(taps: Doubles, length: int) -> Doubles:
    return np.pad(taps, ((0, 0), (0, length - taps.shape[1])))


def _single_phases(correlation: Doubles, up: int, num_taps: int, before: int) -> AxisFilter:
    phases = split_phases(correlation, up, num_taps, before)
    return AxisFilter(phases.taps.astype(np.float32), phases.offset)


def make_plan(
    up_filter: torch.Tensor | None,
    down_filter: torch.Tensor | None,
    up: int,
    down: int,
    padding: Padding,
    height: int,
    width: int,
) -> Plan:
    """Prepare both passes for images of height x width."""
    up_y, up_x = (up * axis for axis in separable_correlation(up_filter, RANK_TOLERANCE))
    down_y, down_x = separable_correlation(down_filter, RANK_TOLERANCE)
    left, right, top, bottom = padding
    out_height = output_size(height, up, down, top + bottom, up_y.shape[1], down_y.shape[1])
    out_width = output_size(width, up, down, left + right, up_x.shape[1], down_x.shape[1])

    taps = max(
        *(math.ceil(axis.shape[1] / up) for axis in (up_y, up_x)),
        *(math.ceil(axis.shape[1] / down) for axis in (down_y, down_x)),
    )
    down_y, down_x = _padded(down_y, down * taps), _padded(down_x, down * taps)
    forward = PassPlan(
        _single_phases(up_y, up, taps, top),
        _single_phases(up_x, up, taps, left),
        down_y.astype(np.float32),
        down_x.astype(np.float32),
        down,
        taps,
    )

    # Transposed: the filters change places, flipped. The downsampling of the backward pass reads
    # the upsampled grid from `base` on, where input sample 0 was first seen.
    base_y, base_x = top - up_y.shape[1] + 1, left - up_x.shape[1] + 1
    before = down * taps - 1
    backward = PassPlan(
        _single_phases(down_y[:, ::-1], down, taps, before - base_y),
        _single_phases(down_x[:, ::-1], down, taps, before - base_x),
        _padded(up_y[:, ::-1], up * taps).astype(np.float32),
        _padded(up_x[:, ::-1], up * taps).astype(np.float32),
        up,
        taps,
    )
    forward_columns = (out_width - 1 + taps) * down
    backward_columns = (width - 1 + taps) * up
    forward_column = max(0, -base_x)
    return Plan(
        forward,
        backward,
        out_height,
        out_width,
        sign_rows=(out_height - 1 + taps) * down,
        sign_columns=forward_column + max(forward_columns, base_x + backward_columns),
        forward_column=forward_column,
        backward_row=base_y,
        backward_column=forward_column + base_x,
    )


_plans: dict[tuple[Any, ...], Plan] = {}


def _cached_plan(
    up_filter: torch.Tensor | None, down_filter: torch.Tensor | None, *rest: Any
) -> Plan:
    """`make_plan`, remembered by the filters' values."""
    key = (filter_key(up_filter), filter_key(down_filter), *rest)
    if key not in _plans:
        _plans[key] = make_plan(up_filter, down_filter, *rest)
    return _plans[key]


NO_SIGNS = np.zeros((1, 1, 1), np.uint8)
NO_PARTNER = np.zeros((1, 1, 1), np.float32)


def _run(
    plan: PassPlan,
    x: Floats,
    x_scale: Floats,
    x_bias: Floats,
    mode: int,
    activation: tuple[float, float, float],
    signs: NDArray[np.uint8],
    sign_position: tuple[int, int],
    out: Floats,
    out_scale: Floats,
    partner: Floats,
) -> Floats:
    sums = np.empty((len(x), 2), np.float32)
    run = plan.kernel
    gain, slope, clamp = (np.float32(number) for number in activation)

    def work(first: int, last: int) -> None:
        run(
            x,
            x_scale,
            x_bias,
            plan.up_y.taps,
            plan.up_x.taps,
            plan.up_y.offset,
            plan.up_x.offset,
            plan.down_y,
            plan.down_x,
            mode,
            gain,
            slope,
            clamp,
            signs,
            *sign_position,
            out,
            out_scale,
            partner,
            sums,
            first,
            last,
        )

    share_out(work, len(x))
    return sums


def _planes(x: torch.Tensor) -> Floats:
    """View of x [N, C, H, W] as numpy [N C, H, W]."""
    planes: Floats = x.detach().contiguous().flatten(0, 1).numpy()
    return planes


class _FusedFilteredLrelu(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        scale: torch.Tensor | None,
        bias: torch.Tensor | None,
        plan: Plan,
        activation: tuple[float, float, float],
    ) -> torch.Tensor:
        n, c = x.shape[:2]
        x = x.contiguous()
        scales = _plane_numbers(scale, n, c, 1.0)
        biases = _plane_numbers(bias, n, c, 0.0)
        out = x.new_empty(n, c, plan.out_height, plan.out_width)
        store = any(ctx.needs_input_grad)
        signs = NO_SIGNS
        if store:
            signs = np.empty((n * c, plan.sign_rows, plan.sign_columns), np.uint8)
        _run(
            plan.forward,
            _planes(x),
            scales,
            biases,
            numba_pass.ACTIVATE_AND_STORE_SIGNS if store else numba_pass.ACTIVATE,
            activation,
            signs,
            (0, plan.forward_column),
            _planes(out),
            np.ones(n * c, np.float32),
            NO_PARTNER,
        )
        if store:
            ctx.save_for_backward(x, torch.from_numpy(scales), torch.from_numpy(signs))
            ctx.plan, ctx.activation = plan, activation
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        x, scales, signs = ctx.saved_tensors
        plan: Plan = ctx.plan
        grad_x = torch.empty_like(x)
        sums = _run(
            plan.backward,
            _planes(grad),
            np.ones(len(scales), np.float32),
            np.zeros(len(scales), np.float32),
            numba_pass.MULTIPLY_BY_STORED_SLOPES,
            ctx.activation,
            signs.numpy(),
            (plan.backward_row, plan.backward_column),
            _planes(grad_x),
            scales.numpy(),
            _planes(x),
        )
        plane_sums = torch.from_numpy(sums).view(*x.shape[:2], 2)  # [N, C, 2]
        needs = ctx.needs_input_grad
        grad_scale = plane_sums[..., 1].contiguous() if needs[1] else None
        grad_bias = plane_sums[..., 0].sum(dim=0) if needs[2] else None
        return (grad_x if needs[0] else None), grad_scale, grad_bias, None, None


def _plane_numbers(numbers: torch.Tensor | None, n: int, c: int, default: float) -> Floats:
    """Numbers of the N C planes from [N, C], [C] or None."""
    if numbers is None:
        return np.full(n * c, default, np.float32)
    planes: Floats = numbers.detach().float().expand(n, c).contiguous().flatten().numpy()
    return planes


def filtered_lrelu_fused(
    x: torch.Tensor,
    up_filter: torch.Tensor | None,
    down_filter: torch.Tensor | None,
    bias: torch.Tensor | None,
    *,
    up: int = 1,
    down: int = 1,
    padding: Padding = (0, 0, 0, 0),
    gain: float = math.sqrt(2),
    slope: float = 0.2,
    clamp: float | None = None,
    scale: torch.Tensor | None = None,
) -> torch.Tensor:
    """`filtered_lrelu` of a float32 tensor on a CPU; see there. Differentiable once."""
    plan = _cached_plan(up_filter, down_filter, up, down, padding, *x.shape[2:])
    activation = (gain, slope, NO_CLAMP if clamp is None else clamp)
    y: torch.Tensor = _FusedFilteredLrelu.apply(x, scale, bias, plan, activation)
    return y
