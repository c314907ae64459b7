"""Polyphase form of resampling filters, without inserted zeros.

With z the signal x spread out (z[up i] = x[i], zeros between), an upsampling filter gives

    u[n] = sum_t f[t] z[n + t - before]

and only every up-th tap meets a sample: phase n mod up sees the taps t = (before - n) mod up,
and every up-th from there.
"""

from __future__ import annotations

from collections.abc import MutableMapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.weak import WeakTensorKeyDictionary

from stylefacev_cli.networks.stylegan3.filters import separable_terms

Doubles = NDArray[np.float64]
Padding = tuple[int, int, int, int]  # left, right, top, bottom; on the upsampled image; < 0 crops


@dataclass(frozen=True)
class AxisPhases:
    """One axis of an upsampling filter: the taps of each phase and where they begin."""

    taps: Doubles  # [rank, up, taps], to be correlated with the samples
    offset: NDArray[np.int64]  # [up] the first sample of x that output sample `phase` sees


def split_phases(correlation: Doubles, up: int, num_taps: int, before: int) -> AxisPhases:
    """Split correlation taps [rank, T] into phases of num_taps >= T / up taps, zeros at the end."""
    taps = np.zeros((len(correlation), up, num_taps))
    offset = np.zeros(up, np.int64)
    for phase in range(up):
        start = (before - phase) % up
        own = correlation[:, start::up]
        taps[:, phase, : own.shape[1]] = own
        offset[phase] = (phase + start - before) // up
    return AxisPhases(taps, offset)


def output_size(size: int, up: int, down: int, pad: int, up_taps: int, down_taps: int) -> int:
    """Samples that are left along one axis, `pad` being the sum of both sides."""
    last = size * up + pad - up_taps - down_taps + 1  # last start of a whole footprint
    assert last >= 0, "padding or filters leave no sample"
    return last // down + 1


FilterKey = tuple[bytes, tuple[int, ...]]
# filter -> (version, key), so that no device is asked twice
_keys: MutableMapping[torch.Tensor, tuple[int, FilterKey]] = WeakTensorKeyDictionary()


def filter_key(taps: torch.Tensor | None) -> FilterKey | None:
    """A filter's values and shape, as a key of caches."""
    if taps is None:
        return None
    known = _keys.get(taps)
    if known is None or known[0] != taps._version:
        data = taps.detach().float().cpu().numpy().tobytes()
        known = (taps._version, (data, tuple(taps.shape)))
        _keys[taps] = known
    return known[1]


def separable_correlation(taps: torch.Tensor | None, tolerance: float) -> tuple[Doubles, Doubles]:
    """Correlation taps (vertical [R, K], horizontal [R, L]) of a filter [K], [K, L] or None."""
    key = filter_key(taps)
    return (np.ones((1, 1)), np.ones((1, 1))) if key is None else _separable(key, tolerance)


@lru_cache(maxsize=256)
def _separable(key: FilterKey, tolerance: float) -> tuple[Doubles, Doubles]:
    data, shape = key
    taps = np.frombuffer(data, np.float32).reshape(shape).astype(np.float64)
    vertical, horizontal = separable_terms(taps, tolerance)
    return vertical[:, ::-1].copy(), horizontal[:, ::-1].copy()
