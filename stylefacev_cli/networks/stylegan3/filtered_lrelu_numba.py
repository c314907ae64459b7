"""Fused filtered leaky ReLU for CPUs: one pass per channel plane, compiled by numba.

A plane is read once and written once. Its rows flow through two small rings of rows, which stay in
the first-level cache:

    input row -> upsampled along x -> ring -> upsampled along y, activation
              -> downsampled along x -> added to a ring of output rows -> output row

No zeros are inserted: sample n = up m + phase of the upsampled signal is a sum of the few input
samples that its phase sees. Activated rows are kept apart by column modulo the downsampling factor,
so that every inner loop runs over neighbouring numbers. A radial filter is a sum of few separable
ones. The rings' slots stay where they are; their weights turn instead (stored twice in a row, so
that every turn is a slice).

The gradient is the same pass with the two filters exchanged and flipped (as in the CUDA kernels of
Karras et al. 2021, appendix D), where a stored sign map stands in for the activation.

Kernels are specialised on numbers of taps, factors and terms (numba treats the names of the
enclosing function as constants and caches the result on disk), release the GIL and take a range of
planes; threads share the planes out.
"""

from __future__ import annotations

import inspect
import zlib
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from stylefacev_cli.networks.compiled import njit
from stylefacev_cli.networks.stylegan3 import numba_rows
from stylefacev_cli.networks.stylegan3.numba_rows import (
    ACTIVATE,
    ADD,
    LANES,
    MULTIPLY_BY_STORED_SLOPES,
    PLAIN,
    filter_row,
    scale_row,
)

# Sums may be reordered and fused; infinities and NaN stay what they are.
FAST_MATH = {"contract", "reassoc", "nsz", "arcp"}


@njit()
def aligned_zeros(length: int) -> Any:
    """Zeros that begin at a cache line, so that no block lies across two."""
    line = LANES * 4  # bytes
    memory = np.zeros(length + LANES, np.float32)
    start = -memory.ctypes.data % line // 4
    return memory[start : start + length]


@cache
def rows_source_checksum() -> int:
    """Checksum of the source of `numba_rows`, whose code becomes part of the compiled kernels."""
    return zlib.crc32(inspect.getsource(numba_rows).encode())


@cache
def kernel(  # noqa: C901 - holds the compiled loop
    taps: int,
    down: int,
    up_rank: int,
    down_rank: int,
    symmetric: bool,
    finish: int,
    signs_stride: int,
) -> Callable[..., None]:
    """Compile the pass for `taps` taps per phase, a downsampling factor and numbers of terms.

    `symmetric` says that the downsampling filter is, along x; `finish` (see `numba_rows`) is what
    is done to the upsampled samples; `signs_stride` the
    distance in the sign map of samples that are neighbours modulo `down`.

    The kernel's arguments (float32 unless stated otherwise):
        x [P, H, W] planes, x_scale [P], x_bias [P]: the signal is x_scale x + x_bias.
        up_y [up_rank, up, 2 taps]: correlation taps of each phase, twice in a row.
        up_x [up_rank, up, taps]: the same, once.
        up_offset_y, up_offset_x [up] int: the first input sample that a phase sees, at m = 0.
        down_y [2 taps, down_rank, down]: correlation taps by their number modulo `down`, in
            decreasing order and twice in a row.
        down_x [down_rank, down, taps]: correlation taps, by their number modulo `down`.
        slope, clamp: of the activation; its gain is part of up_y.
        signs [P, sign_rows, sign_width] uint8; sign_row: its row of the upsampled row 0;
            sign_at [down] int: where in a row the samples of each residue begin.
        out [P, OH, OW], out_scale [P]: receives out_scale times the result.
        partner [P, OH, OW], sums [P, 2]: if `finish` is the gradient's, sums receives the sum of
            the unscaled result, and of its product with partner.
        first, last: the range of planes to do.
    """
    span = down * taps
    is_gradient = finish == MULTIPLY_BY_STORED_SLOPES
    rows_source = rows_source_checksum()  # numba's cache sees changes of this file alone

    @njit(nogil=True, fastmath=FAST_MATH, error_model="numpy")
    def run(  # noqa: C901, PLR0913 - a compiled loop, which takes arrays and numbers only
        x: Any,
        x_scale: Any,
        x_bias: Any,
        up_y: Any,
        up_x: Any,
        up_offset_y: Any,
        up_offset_x: Any,
        down_y: Any,
        down_x: Any,
        slope: Any,
        clamp: Any,
        signs: Any,
        sign_row: int,
        sign_at: Any,
        out: Any,
        out_scale: Any,
        partner: Any,
        sums: Any,
        first: int,
        last: int,
    ) -> None:
        assert rows_source >= 0
        height, width = x.shape[1:]
        out_height, out_width = out.shape[1:]
        up = up_x.shape[1]
        columns = out_width - 1 + taps  # upsampled columns of each residue modulo `down`
        phase_columns = (columns * down + up - 1) // up
        rows = (out_height - 1 + taps) * down

        # Rows are padded to whole blocks; reads of a last block run on into the next row or, from
        # the last row, into the slack at the end. What comes of that is never used.
        blocks = (columns + LANES - 1) // LANES
        phase_blocks = (phase_columns + LANES - 1) // LANES
        out_blocks = (out_width + LANES - 1) // LANES
        pitch, phase_pitch, out_pitch = blocks * LANES, phase_blocks * LANES, out_blocks * LANES
        strips, strip_blocks = (1, down * blocks) if finish == ACTIVATE else (down, blocks)
        slack = 2 * LANES + taps
        left = max(0, -up_offset_x.min())
        seen = max(0, left + up_offset_x.max()) + phase_pitch + taps
        padded = aligned_zeros(max(left + width, seen) + slack)
        phase_row = aligned_zeros(phase_pitch + slack)
        natural = aligned_zeros(phase_pitch * up + slack)
        wide_step = down * pitch
        wide_ring = aligned_zeros(up_rank * taps * wide_step + slack)
        active = aligned_zeros(down * pitch + slack)
        narrow = aligned_zeros(down_rank * down * out_pitch)
        out_ring = aligned_zeros(taps * out_pitch)

        x_flat, out_flat = x.reshape(-1), out.reshape(-1)
        up_y_flat, up_x_flat = up_y.reshape(-1), up_x.reshape(-1)
        down_y_flat, down_x_flat = down_y.reshape(-1), down_x.reshape(-1)
        signs_flat = signs.reshape(-1)
        sign_rows, sign_width = signs.shape[1:]
        aligned = up == down  # then phases of the input's rows are residues of the output's
        first_row = up_offset_y.min()

        for p in range(first, last):
            next_row = first_row  # of the input
            total = np.float32(0)
            total_with_partner = np.float32(0)
            phase, period = 0, 0  # row = up * period + phase
            residue, out_row = 0, 0  # row = down * out_row + residue
            for row in range(rows):
                # Bring in the input rows that this row needs, upsampled along x.
                top = period + up_offset_y[phase]
                while next_row < top + taps:
                    slot = next_row % taps
                    inside = next_row >= 0 and next_row < height
                    if inside:
                        at = (p * height + next_row) * width
                        s, b = x_scale[p], x_bias[p]
                        scale_row((padded, left), (x_flat, at), width, s, b, True)
                    for r in range(up_rank):
                        target = (r * taps + slot) * wide_step
                        if not inside:
                            wide_ring[target : target + wide_step] = 0
                            continue
                        for ph in range(up):
                            at = left + up_offset_x[ph]
                            weights_at = (r * up + ph) * taps
                            if aligned:
                                filter_row(
                                    (wide_ring, target + ph * pitch, blocks, 1, 0),
                                    (padded, at),
                                    (1, 0),
                                    (taps, 1),
                                    (up_x_flat, weights_at, 0, 0, False),
                                    (PLAIN,),
                                )
                            else:
                                filter_row(
                                    (phase_row, 0, phase_blocks, 1, 0),
                                    (padded, at),
                                    (1, 0),
                                    (taps, 1),
                                    (up_x_flat, weights_at, 0, 0, False),
                                    (PLAIN,),
                                )
                                for m in range(phase_columns):
                                    natural[m * up + ph] = phase_row[m]
                        if not aligned:
                            for d in range(down):
                                for m in range(columns):
                                    wide_ring[target + d * pitch + m] = natural[m * down + d]
                    next_row += 1

                # Upsample along y, activate.
                sign_row_at = (p * sign_rows + sign_row + row) * sign_width
                if is_gradient and (sign_row + row < 0 or sign_row + row >= sign_rows):
                    active[:] = 0
                else:
                    weights_at = 2 * taps * phase + (-top) % taps
                    for d in range(strips):
                        at = sign_row_at + sign_at[d]
                        filter_row(
                            (active, d * pitch, strip_blocks, 1, 0),
                            (wide_ring, d * pitch),
                            (up_rank, taps * wide_step),
                            (taps, wide_step),
                            (up_y_flat, weights_at, 0, 2 * taps * up, False),
                            (finish, slope, clamp, signs_flat, at, signs_stride),
                        )

                # Downsample along x.
                filter_row(
                    (narrow, residue * out_pitch, out_blocks, down_rank, down * out_pitch),
                    (active, 0),
                    (down, pitch),
                    (taps, 1),
                    (down_x_flat, 0, span, taps, symmetric),
                    (PLAIN,),
                )
                phase += 1
                if phase == up:
                    phase, period = 0, period + 1
                residue += 1
                if residue < down:
                    continue

                # Downsample along y: `taps` output rows see the `down` rows that are there now.
                for j in range(out_pitch):
                    out_ring[out_row % taps * out_pitch + j] = 0
                weights_at = (-out_row) % taps * down_rank * down
                filter_row(
                    (out_ring, 0, out_blocks, taps, out_pitch),
                    (narrow, 0),
                    (down_rank, down * out_pitch),
                    (down, out_pitch),
                    (down_y_flat, weights_at, down_rank * down, down, False),
                    (ADD,),
                )

                # The oldest of them is complete.
                i = out_row - taps + 1
                if i >= 0:
                    result = i % taps * out_pitch
                    if is_gradient:
                        other = partner[p, i]
                        own = out_ring[result : result + out_width]
                        for j in range(out_width):
                            total += own[j]
                            total_with_partner += own[j] * other[j]
                    at = (p * out_height + i) * out_width
                    s, b = out_scale[p], np.float32(0)
                    scale_row((out_flat, at), (out_ring, result), out_width, s, b, False)
                residue, out_row = 0, out_row + 1
            sums[p, 0] = total
            sums[p, 1] = total_with_partner

    return run
