"""Rates from time stamps."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stylefacev_cli.media.timing import as_rate, measure_timing

MS = Fraction(1, 1000)
NTSC = Fraction(24000, 1001)


def _rounded(rate: Fraction, count: int, base: Fraction = MS) -> np.ndarray:
    return np.array([round(n / rate / base) for n in range(count)], np.int64)


@pytest.mark.parametrize("rate", [Fraction(25), NTSC, Fraction(30000, 1001), Fraction(60)])
@pytest.mark.parametrize("declared", [[], [Fraction(1000)], [Fraction(983, 41)]])
def test_milliseconds_are_seen_through(rate: Fraction, declared: list[Fraction]) -> None:
    timing = measure_timing(_rounded(rate, 120), 0, MS, declared)
    assert timing.rate == rate and timing.is_constant and timing.num_frames_at(None) == 120


def test_varying_rate_is_averaged() -> None:
    stamps = np.concatenate([np.arange(25) * 20, 500 + np.arange(25) * 80])
    timing = measure_timing(stamps[::-1], 80, MS, [Fraction(50), Fraction(20)])
    assert timing.rate == 20 and not timing.is_constant
    assert timing.length_s == Fraction(5, 2) and timing.num_frames_at(timing.rate) == 50


def test_start_is_kept() -> None:
    assert measure_timing(np.array([200, 240, 280]), 40, MS, []).start_s == Fraction(1, 5)


def test_one_frame_and_none() -> None:
    assert measure_timing(np.array([5]), 100, MS, []).rate == 10
    assert measure_timing(np.array([5]), 0, MS, []).rate is None
    empty = measure_timing(np.array([], np.int64), 0, MS, [Fraction(25)])
    assert empty.rate == 25 and empty.num_frames == 0


def test_stamps_that_leap_by_years_say_nothing() -> None:
    timing = measure_timing(np.array([0, 40, 2**55]), 40, MS, [Fraction(25)])
    assert timing.rate == 25 and timing.is_constant


@given(st.lists(st.integers(-(2**62), 2**62), max_size=30), st.integers(0, 2**40))
def test_any_stamps(stamps: list[int], last: int) -> None:
    timing = measure_timing(np.array(stamps, np.int64), last, Fraction(1, 90000), [Fraction(25)])
    assert timing.num_frames == len(stamps)
    assert timing.rate is not None and 0 < timing.rate
    assert timing.num_frames_at(timing.rate) < 10**6


@pytest.mark.parametrize(
    ("fps", "rate"),
    [
        (23.976023976, NTSC),
        (25, Fraction(25)),
        (12.5, Fraction(25, 2)),
        (29.97, Fraction(2997, 100)),
        (30000 / 1001, Fraction(30000, 1001)),
    ],
)
def test_as_rate(fps: float, rate: Fraction) -> None:
    assert as_rate(fps) == rate
