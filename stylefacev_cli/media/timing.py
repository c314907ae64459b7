"""Time stamps of a video → its rate, and whether its frames come at that rate."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

MIN_FPS, MAX_FPS = Fraction(1, 1000), 1000
_SNAP = 1e-3  # to a usual rate, if all frames fit it
_USUAL = tuple(Fraction(n, 2) for n in (10, 15, 20, 24, 25, 30)) + tuple(
    Fraction(rate) for n in (24, 30, 48, 60, 90, 120, 240) for rate in (n, Fraction(n * 1000, 1001))
)  # fmt: skip
_FEW_FRAMES = 0.01  # by which a rate with a small denominator may miss over the whole video


@dataclass(frozen=True)
class Timing:
    """When the frames of a video are shown.

    Attributes:
        rate: frames a second: what the file declares where its time stamps agree, else their
            average; None: not known.
        is_constant: whether frame n is shown within half a frame of n / rate.
        start_s: time of the first frame on the clock of the file.
        length_s: from the first frame to the end of the last one; 0 if not known.
        num_frames: in the file.
    """

    rate: Fraction | None
    is_constant: bool
    start_s: Fraction
    length_s: Fraction
    num_frames: int

    def num_frames_at(self, fps: Fraction | None) -> int:
        """How many frames the video has at a rate; None: as they are."""
        if fps is None:
            return self.num_frames
        return max(1, round(self.length_s * fps))


def measure_timing(
    stamps: NDArray[np.int64],
    last_duration: int,
    time_base: Fraction,
    declared: list[Fraction],
    tolerance: float = 0.5,
) -> Timing:
    """Rate and regularity of a video.

    Args:
        stamps: [T] when frames are shown, in units of the time base, in any order; empty: unknown.
        last_duration: of the frame that is shown last; 0: not known.
        time_base: seconds a unit.
        declared: rates that the container or the codec state, the most trusted first.
        tolerance: frames by which stamps may miss their places at a declared rate.
    """
    usable = [rate for rate in declared if 0 < rate <= MAX_FPS]
    count = len(stamps)
    if not count:
        return Timing(usable[0] if usable else None, True, Fraction(0), Fraction(0), 0)
    stamps = np.sort(stamps)
    start_s = int(stamps[0]) * time_base
    span = int(stamps[-1]) - int(stamps[0])
    if span == 0:
        duration_s = last_duration * time_base
        if duration_s and 1 / duration_s <= MAX_FPS:
            usable.append(1 / duration_s)
        rate = usable[0] if usable else None
        return Timing(rate, True, start_s, count / rate if rate else duration_s, count)
    last = Fraction(last_duration) if last_duration > 0 else Fraction(span, count - 1)
    length_s = (span + last) * time_base
    average = count / length_s
    if average < MIN_FPS and usable:  # stamps that leap by years
        return Timing(usable[0], True, start_s, count / usable[0], count)
    usual = sorted(_USUAL, key=lambda rate: abs(rate - average))
    near = [rate for rate in usual if abs(rate - average) < _SNAP * average]
    # Containers that count milliseconds declare 983/41 for 24000/1001: a usual rate goes first if
    # no stamp is further from its place than rounding takes it.
    exact = [rate for rate in near if are_regular(stamps, time_base, rate, float(time_base * rate))]
    for rate in [*(rate for rate in usable if rate in _USUAL), *exact, *usable, *near]:
        if are_regular(stamps, time_base, rate, tolerance):
            return Timing(rate, True, start_s, length_s, count)
    rate = _rounded(average, count)
    return Timing(rate, are_regular(stamps, time_base, rate), start_s, length_s, count)


def are_regular(
    stamps: NDArray[np.int64], time_base: Fraction, rate: Fraction, tolerance: float = 0.5
) -> bool:
    """Whether sorted stamps lie within some frames of their places at a rate."""
    places = (stamps - stamps[0]).astype(np.float64) * float(time_base * rate)
    return bool((np.abs(places - np.arange(len(stamps))) < tolerance).all())


def as_rate(fps: float | Fraction) -> Fraction:
    """A rate as a fraction: 23.976023976 is 24000/1001."""
    if isinstance(fps, Fraction):
        return fps
    whole = round(fps * 1001 / 1000)
    ntsc = Fraction(whole * 1000, 1001)
    if whole and abs(float(ntsc) - fps) < 1e-7 * fps:
        return ntsc
    return Fraction(fps).limit_denominator(1001000)


def _rounded(average: Fraction, count: int) -> Fraction:
    """A fraction of small numbers, where it fits."""
    for denominator in (1, 2, 1001, 100_000):
        rate = average.limit_denominator(denominator)
        if rate and abs(rate / average - 1) * count < _FEW_FRAMES:
            return rate
    return average
