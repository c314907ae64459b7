"""Low-pass filters of StyleGAN3, and their split into few separable ones.

Source: Karras et al., "Alias-Free Generative Adversarial Networks" (2021), sections 3.2 and
appendix C.1 (Kaiser windows, jinc filters).
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray

MAX_TAPS = 1024  # those of the released generators have 12 and 24


def design_lowpass_filter(
    num_taps: int, cutoff: float, width: float, sampling_rate: float, *, radial: bool = False
) -> torch.Tensor | None:
    """Design a Kaiser-windowed low-pass filter of unit gain at frequency zero.

    Args:
        num_taps: Taps per axis; one tap means that no filter is needed.
        cutoff: Cutoff frequency f_c, in cycles per unit of length (the image has width 1).
        width: Width of the transition band (2 f_h), same unit.
        sampling_rate: Samples per unit of length.
        radial: Design the radially symmetric (jinc) filter instead of the separable (sinc) one.

    Returns:
        None for one tap; [num_taps] float32, to be used along both axes; or, if radial,
        [num_taps, num_taps] float32.

    Raises:
        ValueError: it would be longer than any.
    """
    if num_taps == 1:
        return None
    if num_taps > MAX_TAPS:
        raise ValueError(f"a filter of {num_taps} taps is longer than {MAX_TAPS}")
    axis = (np.arange(num_taps) - (num_taps - 1) / 2) / sampling_rate
    window = np.kaiser(num_taps, kaiser_beta(num_taps, width / (sampling_rate / 2)))
    if not radial:  # ideal low-pass: h(t) = 2 f_c sinc(2 f_c t)
        taps = np.sinc(2 * cutoff * axis) * window
        return torch.as_tensor(taps / taps.sum(), dtype=torch.float32)

    import scipy.special  # here, since it takes a quarter of a second, and T never needs it

    # Ideal radial low-pass: h(r) = J1(2 pi f_c r) / (pi r), which tends to f_c at r = 0 (met with
    # odd numbers of taps only).
    radius = np.hypot(axis[:, None], axis[None, :])
    at_origin = radius == 0
    safe_radius = np.where(at_origin, 1.0, radius)
    ideal = scipy.special.j1(2 * np.pi * cutoff * safe_radius) / (np.pi * safe_radius)
    ideal = np.where(at_origin, cutoff, ideal)
    windowed = ideal * np.outer(window, window)
    return torch.as_tensor(windowed / windowed.sum(), dtype=torch.float32)


def kaiser_beta(num_taps: int, width: float) -> float:
    """Shape of the Kaiser window of a filter with a given transition band.

    Kaiser's formulas, the same as `scipy.signal.kaiser_atten` and `kaiser_beta`, whose import alone
    takes most of a second.

    Args:
        num_taps: Taps of the filter.
        width: Width of the transition band as a share of the Nyquist frequency.
    """
    attenuation_db = 2.285 * (num_taps - 1) * math.pi * width + 7.95
    if attenuation_db > 50:
        return 0.1102 * (attenuation_db - 8.7)
    if attenuation_db > 21:
        excess_db = attenuation_db - 21
        return float(0.5842 * excess_db**0.4 + 0.07886 * excess_db)
    return 0.0


def separable_terms(
    taps: NDArray[np.float64], tolerance: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Write a filter as a short sum of separable ones.

    Args:
        taps: [K] for a filter used along both axes, or [K, L] for any two-dimensional one.
        tolerance: Largest error allowed in any coefficient, relative to the largest coefficient.

    Returns:
        vertical [R, K] and horizontal [R, L] with taps ~ sum_r vertical[r]^T horizontal[r].
        The radial filters of StyleGAN3 need three or four terms (singular values 1, 0.11, 0.012,
        1.6e-4, 2e-7 ...).
    """
    if taps.ndim == 1:
        return taps[None].copy(), taps[None].copy()
    left, singular, right = np.linalg.svd(taps)
    largest = np.abs(taps).max()
    for rank in range(1, len(singular) + 1):
        vertical = (left[:, :rank] * singular[:rank]).T
        horizontal = right[:rank]
        error = np.abs(vertical.T @ horizontal - taps).max()
        if error <= tolerance * largest:
            break
    return np.ascontiguousarray(vertical), np.ascontiguousarray(horizontal)
