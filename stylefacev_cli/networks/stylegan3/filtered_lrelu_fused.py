"""The fused filtered leaky ReLU as a differentiable PyTorch operation, float32 on CPUs.

Prepares the filters for the kernel of `filtered_lrelu_numba`, forwards and backwards, and shares
the channel planes out among threads.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch.autograd.function import once_differentiable

from stylefacev_cli.common.threads import share_out
from stylefacev_cli.networks.stylegan3.filtered_lrelu_numba import kernel
from stylefacev_cli.networks.stylegan3.numba_rows import (
    ACTIVATE,
    ACTIVATE_AND_STORE_SIGNS,
    MULTIPLY_BY_STORED_SLOPES,
    whole_blocks,
)
from stylefacev_cli.networks.stylegan3.polyphase import (
    AxisPhases,
    Doubles,
    Padding,
    filter_key,
    output_size,
    separable_correlation,
    split_phases,
)

Floats = NDArray[np.float32]
NO_CLAMP = float(np.finfo(np.float32).max)
RANK_TOLERANCE = 1e-6  # largest error of a filter's separable terms, relative to its largest tap


@dataclass(frozen=True)
class PassPlan:
    """Filters of one pass, upsampling and then downsampling, as the kernel takes them."""

    up_y: Floats  # [rank, up, 2 taps]
    up_x: Floats  # [rank, up, taps]
    up_offset_y: NDArray[np.int64]  # [up]
    up_offset_x: NDArray[np.int64]  # [up]
    down_y: Floats  # [2 taps, rank, down]
    down_x: Floats  # [rank, down, taps]
    symmetric: bool  # along x, where that saves work

    def kernel(self, finish: int, signs_stride: int) -> Callable[..., None]:
        """The compiled pass for these filters' sizes."""
        up_rank, _, taps = self.up_x.shape
        down_rank, down, _ = self.down_x.shape
        return kernel(taps, down, up_rank, down_rank, self.symmetric, finish, signs_stride)


def make_pass(
    up_y: AxisPhases, up_x: AxisPhases, down_y: Doubles, down_x: Doubles, down: int
) -> PassPlan:
    """Bring filters into the kernel's form; down_y and down_x are [rank, down taps]."""
    residues = down_x.reshape(len(down_x), -1, down).swapaxes(1, 2)
    # Tap number residue + down m of row out_row - m: slot u of the table holds m = -u mod taps.
    taps = up_x.taps.shape[2]
    by_slot = down_y.reshape(len(down_y), taps, down)[:, -np.arange(2 * taps) % taps]
    floats = (np.tile(up_y.taps, 2), up_x.taps, by_slot.swapaxes(0, 1), residues)
    y, x, dy, dx = (np.ascontiguousarray(array, dtype=np.float32) for array in floats)
    symmetric = len(dx) > 1 and np.allclose(dx, dx[:, ::-1, ::-1], rtol=0, atol=1e-7)
    return PassPlan(y, x, up_y.offset, up_x.offset, dy, dx, symmetric)


@dataclass(frozen=True)
class SignMap:
    """Where the signs of the upsampled samples lie: [planes, rows, down, width] bytes.

    Sample (row, down m + d) of the forward pass lies at [row, d, first + m]. The backward pass
    upsamples by `down` and downsamples by `up` a grid that begins at (base_y, base_x) of the
    forward pass.
    """

    rows: int
    down: int
    width: int
    first: int
    base_y: int
    base_x: int

    def forward_starts(self) -> NDArray[np.int64]:
        """Positions within a row at which the residues modulo `down` begin."""
        return np.arange(self.down) * self.width + self.first

    def backward_starts(self, up: int) -> NDArray[np.int64]:
        """Positions at which the backward grid's residues modulo `up` begin."""
        column = np.arange(up) + self.base_x
        return column % self.down * self.width + self.first + column // self.down


@dataclass(frozen=True)
class Plan:
    """A filtered leaky ReLU for one size of image."""

    forward: PassPlan
    backward: PassPlan
    signs: SignMap
    up: int
    out_height: int
    out_width: int


def _padded(taps: Doubles, length: int) -> Doubles:
    return np.pad(taps, ((0, 0), (0, length - taps.shape[1])))


def make_plan(
    up_filter: torch.Tensor | None,
    down_filter: torch.Tensor | None,
    up: int,
    down: int,
    padding: Padding,
    gain: float,
    height: int,
    width: int,
) -> Plan:
    """Prepare both passes for images of height x width.

    The gain of the activation becomes part of the upsampling filter: positive factors pass through
    a leaky ReLU.
    """
    assert gain > 0
    up_y, up_x = (up * axis for axis in separable_correlation(up_filter, RANK_TOLERANCE))
    up_y = gain * up_y
    down_y, down_x = separable_correlation(down_filter, RANK_TOLERANCE)
    left, right, top, bottom = padding
    out_height = output_size(height, up, down, top + bottom, up_y.shape[1], down_y.shape[1])
    out_width = output_size(width, up, down, left + right, up_x.shape[1], down_x.shape[1])

    taps = max(
        *(math.ceil(axis.shape[1] / up) for axis in (up_y, up_x)),
        *(math.ceil(axis.shape[1] / down) for axis in (down_y, down_x)),
    )
    down_y, down_x = _padded(down_y, down * taps), _padded(down_x, down * taps)
    forward = make_pass(
        split_phases(up_y, up, taps, top), split_phases(up_x, up, taps, left), down_y, down_x, down
    )

    # Transposed: the filters change places, flipped. The backward grid begins where input sample 0
    # was first seen.
    base_y, base_x = top - up_y.shape[1] + 1, left - up_x.shape[1] + 1
    before = down * taps - 1
    backward = make_pass(
        split_phases(down_y[:, ::-1], down, taps, before - base_y),
        split_phases(down_x[:, ::-1], down, taps, before - base_x),
        _padded(up_y[:, ::-1], up * taps),
        _padded(up_x[:, ::-1], up * taps),
        up,
    )

    # The map holds whole blocks of both grids.
    forward_end = whole_blocks(out_width - 1 + taps)
    backward_end = base_x // down + 1 + math.ceil(up / down) * (whole_blocks(width - 1 + taps) + 1)
    first = max(0, -(base_x // down))
    signs = SignMap(
        rows=(out_height - 1 + taps) * down,
        down=down,
        width=first + max(forward_end, backward_end),
        first=first,
        base_y=base_y,
        base_x=base_x,
    )
    return Plan(forward, backward, signs, up, out_height, out_width)


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


class Input(NamedTuple):
    """Planes of a pass; the signal is scale · planes + bias."""

    planes: Floats  # [P, H, W]
    scale: Floats  # [P]
    bias: Floats  # [P]


class Signs(NamedTuple):
    """A sign map and how a pass walks through it."""

    map: NDArray[np.uint8]  # [P, rows, down · width]
    row: int  # of the map, for the upsampled row 0
    starts: NDArray[np.int64]  # [down] where in a row the samples of each residue begin
    stride: int  # distance of samples that are neighbours modulo `down`


class Output(NamedTuple):
    """Where a pass writes scale · result; the gradient's sums it with `partner`."""

    planes: Floats  # [P, OH, OW]
    scale: Floats  # [P]
    partner: Floats  # [P, OH, OW]


def _run(
    plan: PassPlan,
    x: Input,
    finish: int,
    activation: tuple[float, float],
    signs: Signs,
    out: Output,
) -> Floats:
    """Run a pass over all planes; returns the sums [P, 2] of the gradient's pass."""
    sums = np.empty((len(x.planes), 2), np.float32)
    run = plan.kernel(finish, signs.stride)
    arguments = (
        *x,
        *(plan.up_y, plan.up_x, plan.up_offset_y, plan.up_offset_x, plan.down_y, plan.down_x),
        *(np.float32(number) for number in activation),
        *(signs.map, signs.row, signs.starts),
        *(*out, sums),
    )
    share_out(lambda first, last: run(*arguments, first, last), len(x.planes))
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
        activation: tuple[float, float],
    ) -> torch.Tensor:
        n, c = x.shape[:2]
        x = x.contiguous()
        scales = _plane_numbers(scale, n, c, 1.0)
        biases = _plane_numbers(bias, n, c, 0.0)
        out = x.new_empty(n, c, plan.out_height, plan.out_width)
        store = any(ctx.needs_input_grad)
        layout = plan.signs
        signs = Signs(NO_SIGNS, 0, np.zeros(layout.down, np.int64), 1)
        if store:
            sign_map = np.empty((n * c, layout.rows, layout.down * layout.width), np.uint8)
            signs = Signs(sign_map, 0, layout.forward_starts(), 1)
        _run(
            plan.forward,
            Input(_planes(x), scales, biases),
            ACTIVATE_AND_STORE_SIGNS if store else ACTIVATE,
            activation,
            signs,
            Output(_planes(out), np.ones(n * c, np.float32), NO_PARTNER),
        )
        if store:
            ctx.save_for_backward(x, torch.from_numpy(scales), torch.from_numpy(signs.map))
            ctx.plan, ctx.activation = plan, activation
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        x, scales, saved_signs = ctx.saved_tensors
        plan: Plan = ctx.plan
        grad_x = torch.empty_like(x)
        ones, zeros = np.ones(len(scales), np.float32), np.zeros(len(scales), np.float32)
        sums = _run(
            plan.backward,
            Input(_planes(grad), ones, zeros),
            MULTIPLY_BY_STORED_SLOPES,
            ctx.activation,
            _signs_for_backward(plan, saved_signs.numpy()),
            Output(_planes(grad_x), scales.numpy(), _planes(x)),
        )
        plane_sums = torch.from_numpy(sums).view(*x.shape[:2], 2)  # [N, C, 2]
        needs = ctx.needs_input_grad
        grad_scale = plane_sums[..., 1].contiguous() if needs[1] else None
        grad_bias = plane_sums[..., 0].sum(dim=0) if needs[2] else None
        return (grad_x if needs[0] else None), grad_scale, grad_bias, None, None


def _signs_for_backward(plan: Plan, signs: NDArray[np.uint8]) -> Signs:
    """The sign map as the backward pass reads it."""
    layout = plan.signs
    if plan.up % layout.down == 0:
        starts = layout.backward_starts(plan.up)
        return Signs(signs, layout.base_y, starts, plan.up // layout.down)
    # Odd pairs of factors, which no generator has: sort the columns anew.
    planes, rows, _ = signs.shape
    natural = signs.reshape(planes, rows, layout.down, -1).swapaxes(2, 3).reshape(planes, rows, -1)
    natural = natural[:, :, layout.first * layout.down + layout.base_x :]
    width = natural.shape[2] // plan.up
    sorted_anew = natural[:, :, : width * plan.up].reshape(planes, rows, width, plan.up)
    signs = np.ascontiguousarray(sorted_anew.swapaxes(2, 3)).reshape(planes, rows, -1)
    return Signs(signs, layout.base_y, np.arange(plan.up) * width, 1)


def _plane_numbers(numbers: torch.Tensor | None, n: int, c: int, default: float) -> Floats:
    """Numbers of the N C planes from [N, C], [C] or None."""
    if numbers is None:
        return np.full(n * c, default, np.float32)
    planes: Floats = numbers.detach().float().expand(n, c).contiguous().flatten().numpy()
    return planes


def filtered_lrelu_fused(  # noqa: PLR0913 - as `filtered_lrelu`
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
    plan = _cached_plan(up_filter, down_filter, up, down, padding, gain, *x.shape[2:])
    activation = (slope, NO_CLAMP if clamp is None else clamp)
    y: torch.Tensor = _FusedFilteredLrelu.apply(x, scale, bias, plan, activation)
    return y
