"""The three implementations of the filtered leaky ReLU agree, forwards and backwards."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from stylefacev_cli.common.threads import set_num_threads
from stylefacev_cli.networks.stylegan3 import filtered_lrelu as filtered_lrelu_module
from stylefacev_cli.networks.stylegan3.filtered_lrelu import (
    filtered_lrelu,
    filtered_lrelu_polyphase,
    filtered_lrelu_reference,
)
from stylefacev_cli.networks.stylegan3.filtered_lrelu_fused import filtered_lrelu_fused
from stylefacev_cli.networks.stylegan3.filters import design_lowpass_filter, separable_terms


def inputs(shape: tuple[int, ...], seed: int) -> tuple[torch.Tensor, ...]:
    """x, scale and bias in double precision, with gradients."""
    generator = torch.Generator().manual_seed(seed)
    n, c = shape[:2]
    sizes = (shape, (n, c), (c,))
    return tuple(
        torch.randn(size, generator=generator, dtype=torch.float64).requires_grad_()
        for size in sizes
    )


def outcome(
    operation: Any, tensors: tuple[torch.Tensor, ...], filters: tuple[Any, Any], **kwargs: Any
) -> list[torch.Tensor]:
    """The result and the gradients of x, scale and bias, for fixed weights of the result."""
    x, scale, bias = (t.detach().requires_grad_() for t in tensors)
    y = operation(x, *filters, bias, scale=scale, **kwargs)
    generator = torch.Generator().manual_seed(1)
    weights = torch.randn(y.shape, generator=generator, dtype=torch.float64).to(y.dtype)
    grads = torch.autograd.grad((y * weights).sum(), (x, scale, bias))
    return [y.detach(), *grads]


def assert_close(found: list[torch.Tensor], wanted: list[torch.Tensor], tolerance: float) -> None:
    for f, w in zip(found, wanted, strict=True):
        assert f.shape == w.shape
        assert (f.double() - w).norm() <= tolerance * (1e-3 + w.norm())


KINK = 1e-6  # where single precision may stand on the other side of a kink than double does


def off_the_kinks(
    tensors: tuple[torch.Tensor, ...], up_filter: Any, kwargs: dict[str, Any]
) -> tuple[torch.Tensor, ...]:
    """Inputs of which no activation lies within rounding of 0 or of the clamp.

    There the gradient jumps, and two right answers differ by a whole sample: with seed 429 and
    sizes (10, 16) one activation of R is 3e-8. Such inputs get another bias.
    """
    x, scale, bias = tensors
    steps = {"up": kwargs["up"], "padding": kwargs["padding"], "clamp": None}
    while True:
        levels = filtered_lrelu_reference(
            x, up_filter, None, bias, scale=scale, gain=1.0, slope=1.0, **steps
        ).detach()
        ends = filtered_lrelu_reference(x, up_filter, None, bias, scale=scale, **steps).detach()
        near = (levels != 0) & (levels.abs() < KINK)  # beyond the padding's reach they are 0
        if kwargs["clamp"] is not None:
            near |= (ends.abs() - kwargs["clamp"]).abs() < KINK
        if not near.any():
            return x, scale, bias
        bias = (bias.detach() + 1e-3).requires_grad_()


paddings = st.tuples(*[st.integers(-3, 14)] * 4)
sizes = st.tuples(st.integers(5, 19), st.integers(5, 19))


@given(
    size=sizes,
    padding=paddings,
    up=st.sampled_from([1, 2, 3, 4]),
    down=st.sampled_from([1, 2, 4]),
    up_shape=st.sampled_from([None, (1,), (3,), (8,), (12,), (4, 6)]),
    down_shape=st.sampled_from([None, (2,), (5,), (12,), (6, 6), (5, 3)]),
    clamp=st.sampled_from([None, 0.7]),
    seed=st.integers(0, 2**16),
)
@settings(max_examples=60, deadline=None)
def test_polyphase_is_the_reference(
    size: tuple[int, int],
    padding: tuple[int, int, int, int],
    up: int,
    down: int,
    up_shape: tuple[int, ...] | None,
    down_shape: tuple[int, ...] | None,
    clamp: float | None,
    seed: int,
) -> None:
    for axis, ends in ((0, padding[2:]), (1, padding[:2])):
        taps = [
            1 if shape is None else shape[axis % len(shape)] for shape in (up_shape, down_shape)
        ]
        assume(size[axis] * up + sum(ends) - sum(taps) + 1 >= 0)
        assume(all(-end < size[axis] * up for end in ends))
    generator = torch.Generator().manual_seed(seed)
    filters = [
        None if s is None else torch.randn(s, generator=generator) for s in (up_shape, down_shape)
    ]
    tensors = inputs((2, 3, *size), seed)
    kwargs: dict[str, Any] = {"up": up, "down": down, "padding": padding, "clamp": clamp}
    wanted = outcome(filtered_lrelu_reference, tensors, (filters[0], filters[1]), **kwargs)
    found = outcome(filtered_lrelu_polyphase, tensors, (filters[0], filters[1]), **kwargs)
    assert_close(found, wanted, 1e-10)


# up factor, down factor, taps of the up filter, of the down filter, radial; each combination is
# compiled once, so there are few of them.
FUSED = {
    "T": (2, 2, 8, 8, False),
    "T, to twice the size": (4, 2, 16, 8, False),
    "R": (2, 2, 12, 12, True),
    "R, to twice the size": (4, 2, 24, 12, True),
    "odd taps": (2, 2, 7, 5, False),
    "more down than up": (1, 2, 1, 8, False),
}


@pytest.mark.parametrize("name", FUSED)
@given(
    size=sizes,
    padding=st.tuples(*[st.integers(6, 17)] * 4),
    crop=st.booleans(),
    clamp=st.sampled_from([None, 0.7]),
    seed=st.integers(0, 2**16),
)
@example(size=(10, 16), padding=(12, 11, 15, 16), crop=False, clamp=None, seed=429)
@settings(max_examples=12, deadline=None)
def test_fused_is_the_reference(
    name: str,
    size: tuple[int, int],
    padding: tuple[int, int, int, int],
    crop: bool,
    clamp: float | None,
    seed: int,
) -> None:
    up, down, up_taps, down_taps, radial = FUSED[name]
    if crop:
        padding = (padding[0], padding[1] - 9, padding[2] - 9, padding[3])
    assume(min(size) * up + padding[2] + padding[3] > up_taps + down_taps)
    assume(min(size) * up + padding[0] + padding[1] > up_taps + down_taps)
    filters = (
        design_lowpass_filter(up_taps, 0.25, 0.2, up),
        design_lowpass_filter(down_taps, 0.22, 0.2, 2, radial=radial),
    )
    kwargs: dict[str, Any] = {"up": up, "down": down, "padding": padding, "clamp": clamp}
    tensors = off_the_kinks(inputs((2, 3, *size), seed), filters[0], kwargs)
    wanted = outcome(filtered_lrelu_reference, tensors, filters, **kwargs)
    single = tuple(t.detach().float() for t in tensors)
    found = outcome(filtered_lrelu_fused, single, filters, **kwargs)
    assert_close(found, wanted, 2e-5)
    with torch.no_grad():
        x, scale, bias = single
        assert torch.equal(filtered_lrelu_fused(x, *filters, bias, scale=scale, **kwargs), found[0])


def test_gradcheck_of_the_polyphase_path() -> None:
    filters = (design_lowpass_filter(8, 0.25, 0.2, 2), design_lowpass_filter(8, 0.22, 0.2, 2))
    x, scale, bias = inputs((1, 2, 6, 5), 3)

    def operation(x: torch.Tensor, scale: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        return filtered_lrelu(x, *filters, bias, scale=scale, up=2, down=2, padding=(8, 7, 8, 7))

    assert torch.autograd.gradcheck(operation, (x, scale, bias))
    assert torch.autograd.gradgradcheck(operation, (x, scale, bias), atol=1e-4)


def test_dispatch_and_second_derivative() -> None:
    """Float32 on a CPU takes the fused path, which says that it has no second derivative."""
    filters = (design_lowpass_filter(8, 0.25, 0.2, 2), design_lowpass_filter(8, 0.22, 0.2, 2))
    x = torch.randn(1, 2, 8, 8, requires_grad=True)
    y = filtered_lrelu(x, *filters, None, up=2, down=2, padding=(8, 7, 8, 7))
    assert type(y.grad_fn).__name__ == "_FusedFilteredLreluBackward"
    (grad,) = torch.autograd.grad(y.square().sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        grad.square().sum().backward()
    half = filtered_lrelu(x.bfloat16(), *filters, None, up=2, down=2, padding=(8, 7, 8, 7))
    assert half.dtype == torch.bfloat16
    assert (half.float() - y).norm() < 0.02 * y.norm()


def test_without_numba(monkeypatch: pytest.MonkeyPatch) -> None:
    filters = (design_lowpass_filter(8, 0.25, 0.2, 2), design_lowpass_filter(8, 0.22, 0.2, 2))
    x = torch.randn(1, 2, 8, 8)
    kwargs: dict[str, Any] = {"up": 2, "down": 2, "padding": (8, 7, 8, 7)}
    fused = filtered_lrelu(x, *filters, None, **kwargs)
    monkeypatch.setattr(filtered_lrelu_module, "_fused", lambda: None)
    torch.testing.assert_close(filtered_lrelu(x, *filters, None, **kwargs), fused)


def test_threads_give_the_same_numbers() -> None:
    filters = (design_lowpass_filter(8, 0.25, 0.2, 2), design_lowpass_filter(8, 0.22, 0.2, 2))
    before = torch.get_num_threads()
    single = tuple(t.detach().float() for t in inputs((2, 5, 12, 10), 0))
    kwargs: dict[str, Any] = {"up": 2, "down": 2, "padding": (8, 7, 8, 7)}
    try:
        set_num_threads(1)
        alone = outcome(filtered_lrelu_fused, single, filters, **kwargs)
        set_num_threads(2)
        together = outcome(filtered_lrelu_fused, single, filters, **kwargs)
    finally:
        set_num_threads(before)
    assert all(torch.equal(a, b) for a, b in zip(alone, together, strict=True))
    with pytest.raises(ValueError, match="at least 1"):
        set_num_threads(0)


def test_nan_is_not_hidden() -> None:
    filters = (design_lowpass_filter(8, 0.25, 0.2, 2), design_lowpass_filter(8, 0.22, 0.2, 2))
    x = torch.zeros(1, 2, 8, 8)
    x[0, 1, 4, 4] = float("nan")
    y = filtered_lrelu(x, *filters, None, up=2, down=2, padding=(8, 7, 8, 7), clamp=256.0)
    assert not y[0, 0].isnan().any() and y[0, 1].isnan().any()


def test_radial_filter_is_a_sum_of_few_separable_ones() -> None:
    taps = design_lowpass_filter(12, 0.22, 0.2, 2, radial=True)
    assert taps is not None
    torch.testing.assert_close(taps, taps.t())
    vertical, horizontal = separable_terms(taps.double().numpy(), 1e-6)
    assert len(vertical) <= 4
    error = np.abs(vertical.T @ horizontal - taps.double().numpy()).max()
    assert error <= 1e-6 * taps.abs().max()


def test_constant_stays_constant() -> None:
    """Both filters have unit gain at frequency zero: a positive constant is only scaled."""
    filters = (design_lowpass_filter(12, 0.25, 0.2, 2), design_lowpass_filter(12, 0.22, 0.2, 2))
    x = torch.full((1, 1, 40, 40), 3.0)
    y = filtered_lrelu(x, *filters, torch.ones(1), up=2, down=2, padding=(11, 10, 11, 10), gain=1.5)
    middle = y[:, :, 12:-12, 12:-12]
    torch.testing.assert_close(middle, torch.full_like(middle, 6.0), rtol=2e-3, atol=0)
