"""Fused filtered leaky ReLU for CPUs: one pass per channel plane, compiled by numba.

A plane is read once and written once. Its rows flow through two small rings that stay in the
first-level cache:

    input row -> upsampled along x ----ring----> upsampled along y -> activation
              -> downsampled along x ----ring----> downsampled along y -> output row

No zeros are inserted: sample n = U m + phase of the upsampled signal is a sum of the few input
samples that its phase sees. Activated rows are kept apart by column modulo the downsampling factor,
so that every inner loop runs over neighbouring numbers and becomes vector instructions. A radial
downsampling filter is a sum of few separable ones.

The gradient is the same pass with the two filters exchanged and flipped (as in the CUDA kernels of
Karras et al. 2021, appendix D), where a stored sign map stands in for the activation.

Kernels are specialised on the number of taps per phase and on the factors (numba treats the names
below as constants, unrolls the loops over taps and caches the result on disk), release the GIL and
take a range of planes; threads share the planes out.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numba
import numpy as np

# What is done to the upsampled samples.
ACTIVATE = 0
ACTIVATE_AND_STORE_SIGNS = 1
MULTIPLY_BY_STORED_SLOPES = 2

# The sign map's values.
NEGATIVE, POSITIVE, CLAMPED = 0, 1, 2

# Sums may be reordered and fused; infinities and NaN stay what they are.
FAST_MATH = {"contract", "reassoc", "nsz", "arcp"}


@cache
def kernel(taps: int, down: int, up_rank: int, down_rank: int) -> Callable[..., None]:
    """Compile the pass for `taps` taps per phase, a downsampling factor and numbers of terms.

    The kernel's arguments (float32 unless told otherwise):
        x [P, H, W] planes, x_scale [P], x_bias [P]: the signal is x_scale x + x_bias.
        up_y, up_x [up_rank, U, taps]: correlation taps of each phase.
        up_offset [U] int: the first input sample that a phase sees, at m = 0; per axis y, x.
        down_y, down_x [down_rank, down * taps]: correlation taps.
        mode: one of the three above; gain, slope, clamp of the activation.
        signs [P, rows, columns] uint8, in natural order; sign_row, sign_column: position of the
            upsampled sample (0, 0) in it.
        out [P, OH, OW], out_scale [P].
        partner [P, OH, OW], sums [P, 2]: in mode 2, sums receives the sum of out / out_scale and
            of its product with partner.
        first, last: the range of planes to do.
    """
    span = down * taps

    @numba.njit(nogil=True, cache=True, fastmath=FAST_MATH, error_model="numpy")
    def run(
        x: Any,
        x_scale: Any,
        x_bias: Any,
        up_y: Any,
        up_x: Any,
        up_offset_y: Any,
        up_offset_x: Any,
        down_y: Any,
        down_x: Any,
        mode: int,
        gain: float,
        slope: float,
        clamp: float,
        signs: Any,
        sign_row: int,
        sign_column: int,
        out: Any,
        out_scale: Any,
        partner: Any,
        sums: Any,
        first: int,
        last: int,
    ) -> None:
        height, width = x.shape[1:]
        out_height, out_width = out.shape[1:]
        up = up_x.shape[1]
        columns = out_width - 1 + taps  # upsampled columns of each residue modulo `down`
        phase_columns = (columns * down + up - 1) // up
        rows = (out_height - 1) * down + span

        left = max(0, -up_offset_x.min())
        padded_width = max(left + width, left + phase_columns + up_offset_x.max() + taps)
        padded = np.zeros(padded_width, np.float32)
        wide = np.zeros(phase_columns * up, np.float32)
        wide_ring = np.zeros((up_rank, taps, down, columns), np.float32)
        active = np.zeros((down, columns), np.float32)
        narrow_ring = np.zeros((down_rank, span, out_width), np.float32)
        negative_gain = gain * slope

        for p in range(first, last):
            next_input = up_offset_y.min()
            total = np.float32(0)
            total_with_partner = np.float32(0)
            for n in range(rows):
                # Bring in the input rows that row n needs, upsampled along x.
                phase = n % up
                top = n // up + up_offset_y[phase]
                while next_input < top + taps:
                    slot = next_input % taps
                    if next_input < 0 or next_input >= height:
                        wide_ring[:, slot] = 0
                    else:
                        row = x[p, next_input]
                        s, b = x_scale[p], x_bias[p]
                        for j in range(width):
                            padded[left + j] = s * row[j] + b
                        for r in range(up_rank):
                            for ph in range(up):
                                o = left + up_offset_x[ph]
                                if up == down:
                                    for m in range(columns):
                                        t = np.float32(0)
                                        for k in range(taps):
                                            t += up_x[r, ph, k] * padded[o + m + k]
                                        wide_ring[r, slot, ph, m] = t
                                else:
                                    for m in range(phase_columns):
                                        t = np.float32(0)
                                        for k in range(taps):
                                            t += up_x[r, ph, k] * padded[o + m + k]
                                        wide[m * up + ph] = t
                            if up != down:
                                for d in range(down):
                                    for m in range(columns):
                                        wide_ring[r, slot, d, m] = wide[m * down + d]
                    next_input += 1

                # Upsample along y, activate.
                for d in range(down):
                    for m in range(columns):
                        t = np.float32(0)
                        for r in range(up_rank):
                            for k in range(taps):
                                t += up_y[r, phase, k] * wide_ring[r, (top + k) % taps, d, m]
                        if mode != MULTIPLY_BY_STORED_SLOPES:
                            t *= gain if t > 0 else negative_gain
                            t = min(max(t, -clamp), clamp)
                        active[d, m] = t
                if mode == ACTIVATE_AND_STORE_SIGNS:
                    sign = signs[p, sign_row + n]
                    for m in range(columns):
                        for d in range(down):
                            t = active[d, m]
                            code = POSITIVE if t > 0 else NEGATIVE
                            sign[sign_column + m * down + d] = CLAMPED if abs(t) >= clamp else code
                elif mode == MULTIPLY_BY_STORED_SLOPES:
                    if sign_row + n < 0 or sign_row + n >= signs.shape[1]:
                        active[:] = 0
                    else:
                        sign = signs[p, sign_row + n]
                        for m in range(columns):
                            for d in range(down):
                                code = sign[sign_column + m * down + d]
                                g = gain if code == POSITIVE else negative_gain
                                active[d, m] *= np.float32(0) if code == CLAMPED else g

                # Downsample along x.
                slot = n % span
                for r in range(down_rank):
                    for j in range(out_width):
                        t = np.float32(0)
                        for k in range(taps):
                            for d in range(down):
                                t += down_x[r, k * down + d] * active[d, j + k]
                        narrow_ring[r, slot, j] = t

                # Downsample along y, once all rows of an output row are there.
                start = n - span + 1
                if start >= 0 and start % down == 0:
                    i = start // down
                    for j in range(out_width):
                        t = np.float32(0)
                        for r in range(down_rank):
                            for k in range(span):
                                t += down_y[r, k] * narrow_ring[r, (start + k) % span, j]
                        out[p, i, j] = t
                    if mode == MULTIPLY_BY_STORED_SLOPES:
                        for j in range(out_width):
                            t = out[p, i, j]
                            total += t
                            total_with_partner += t * partner[p, i, j]
                    s = out_scale[p]
                    for j in range(out_width):
                        out[p, i, j] *= s
            sums[p, 0] = total
            sums[p, 1] = total_with_partner

    return run
