"""Edits of pose tracks: what each must keep, on walks of random poses."""

from __future__ import annotations

from itertools import count, islice

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from stylefacev_cli.motion.pose_edits import (
    crossfaded,
    loop_of_length,
    looped,
    resample,
    smoothed,
    step_sizes,
    transfer_motion,
)


def walk(num: int, seed: int = 0, smooth: bool = False) -> torch.Tensor:
    steps = torch.randn(num, 64, generator=torch.Generator().manual_seed(seed)) * 0.05
    if smooth:
        steps = steps.cumsum(0) * 0.1
    return (2 + steps.cumsum(0)).view(num, 1, 8, 8)


def resampled(poses: torch.Tensor, step: float) -> torch.Tensor:
    return torch.cat(list(resample(torch.split(poses, 1), step)))


def test_resampling_keeps_the_poses_that_stay() -> None:
    poses = walk(20)
    assert torch.equal(resampled(poses, 1), poses)
    torch.testing.assert_close(resampled(poses, 0.5)[::2], poses)
    assert torch.equal(resampled(poses, 2), poses[::2])
    assert len(resampled(poses, 0.4)) == int(19 / 0.4) + 1


def test_interpolation_beats_duplication() -> None:
    times = torch.arange(0, 101) / 100
    curve = torch.sin(9 * times[:, None] + torch.arange(64) / 10).view(-1, 1, 8, 8) + 2
    every_fifth = curve[::5]
    error = (resampled(every_fifth, 0.2) - curve).abs().max()
    duplicated = (every_fifth.repeat_interleave(5, 0)[:101] - curve).abs().max()
    linear = torch.cat([
        torch.lerp(a, b, torch.arange(5).view(5, 1, 1, 1) / 5)
        for a, b in zip(every_fifth.split(1), every_fifth[1:].split(1), strict=False)
    ])  # fmt: skip
    assert error < duplicated / 8
    middle = slice(10, 90)  # the ends know only one side
    cubic = (resampled(every_fifth, 0.2) - curve)[middle].abs().max()
    assert cubic < (linear - curve[:100])[middle].abs().max() / 2


def test_resampling_is_a_stream_and_not_below_zero() -> None:
    endless = (torch.full((1, 1, 8, 8), float(number % 2)) for number in count())
    some = torch.cat(list(islice(resample(endless, 0.3), 50)))
    assert len(some) == 50 and some.min() >= 0


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 60), st.integers(0, 20), st.integers(0, 9), st.booleans())
def test_loops_close(num: int, num_fade: int, seed: int, smooth: bool) -> None:
    loop = looped(walk(num, seed, smooth), num_fade)
    if len(loop) > 1:
        closing = (loop[0] - loop[-1]).norm()
        assert closing <= step_sizes(loop).median() * (1 + 1e-4)
    assert torch.isfinite(loop).all()


def test_a_loop_is_mostly_the_track() -> None:
    poses = walk(100, smooth=True)
    loop = looped(poses, 8)
    assert 67 <= len(loop) <= 100 + 40
    assert any(torch.equal(loop[8], pose) for pose in poses)
    # A ramp: no end is like its beginning, so frames are put between.
    ramp = torch.arange(30.0).square().view(-1, 1, 1, 1).expand(-1, 1, 8, 8)
    loop = looped(ramp, 0)
    assert (loop[0] - loop[-1]).norm() <= step_sizes(loop).median() * (1 + 1e-4)


def test_joints_fade() -> None:
    first, second = walk(20, 1), walk(15, 2)
    both = crossfaded(first, second, 6)
    assert len(both) == 29
    assert torch.equal(both[:15], first[:15]) and torch.equal(both[20:], second[6:])
    assert len(crossfaded(first, second, 0)) == 35 and len(crossfaded(first, second, 99)) == 20


def test_smoothing_takes_jitter_rather_than_motion() -> None:
    calm = torch.sin(torch.arange(100.0) / 10).view(-1, 1, 1, 1).expand(-1, 1, 8, 8) + 2
    noisy = calm + 0.05 * torch.randn(calm.shape, generator=torch.Generator().manual_seed(0))
    after = smoothed(noisy, 9)
    assert (after - calm).abs().mean() < 0.6 * (noisy - calm).abs().mean()
    torch.testing.assert_close(smoothed(calm, 5), calm, atol=2e-3, rtol=0)


def test_relative_motion_starts_at_the_source() -> None:
    poses, first = walk(10), walk(1, 5)
    moved = transfer_motion(first, poses, poses[:1])
    torch.testing.assert_close(moved[:1], first)
    torch.testing.assert_close(moved[1:] - moved[:-1], poses[1:] - poses[:-1])
    assert transfer_motion(torch.zeros(1, 1, 8, 8), poses, poses[:1]).min() >= 0


@given(st.integers(0, 2**16), st.integers(1, 30), st.integers(0, 12), st.integers(0, 20))
@settings(max_examples=50, deadline=None)
def test_loops_of_a_length_close(seed: int, num: int, num_fade: int, spare: int) -> None:
    random = torch.Generator().manual_seed(seed)
    poses = torch.randn(num + spare, 2, 8, 8, generator=random).cumsum(0)
    loop = loop_of_length(poses, num, num_fade)
    assert loop.shape == (num, 2, 8, 8)
    if num > 1:
        steps = (loop[1:] - loop[:-1]).flatten(1).norm(dim=1)
        assert float((loop[0] - loop[-1]).norm()) <= float(steps.median()) * (1 + 1e-4)
