"""Vector instructions for rows of numbers, callable from numba kernels.

LLVM's own vectoriser leaves short rows largely to scalar remainder loops, because it can exclude
neither overlapping arrays nor odd lengths. `filter_row` therefore says in LLVM's language what is
meant: blocks of LANES neighbouring numbers, the filter's weights kept in registers. LLVM splits the
blocks into whatever vectors the machine has. Rows must have room for whole blocks.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir  # type: ignore[import-untyped]
from numba.core import cgutils, types
from numba.extending import intrinsic

LANES = 16  # numbers in a block; one AVX-512 register

# What is done to a filtered row before it is stored.
PLAIN = 0
ACTIVATE = 1  # leaky ReLU with gain and clamp
ACTIVATE_AND_STORE_SIGNS = 2  # the same, and keep what the gradient needs
MULTIPLY_BY_STORED_SLOPES = 3  # the gradient

# Values in a sign map.
NEGATIVE, POSITIVE, CLAMPED = 0, 1, 2

_FLOAT = ir.FloatType()
_BYTE = ir.IntType(8)
_BLOCK = ir.VectorType(_FLOAT, LANES)
_FAST = ("contract", "reassoc", "nsz")


def whole_blocks(length: int) -> int:
    """Numbers that a row of `length` takes up in whole blocks."""
    return -(-length // LANES) * LANES


def _filter_row(
    typing_context: Any,
    out: Any,
    source: Any,
    outer: Any,
    inner: Any,
    weights: Any,
    finish: Any,
) -> Any:
    """Compile out[o, j] = finish(sum_ab weights[o, a, b] source[j + a outer_step + b inner_step]).

    Arguments are tuples; arrays are flat, contiguous float32 (signs: uint8), `at` is the position
    of the first element used. Numbers in CAPITALS have to be known when compiling.

        out: (array, at, blocks, COUNT, step), j running over whole blocks, and the range and the
            distance of o.
        source: (array, at).
        outer: (COUNT, step), the range and the distance of a.
        inner: (COUNT, step), the range and the distance of b.
        weights: (array, at, out_step, step, SYMMETRIC), weights[o, a, b] lying at
            at + o out_step + a step + b; if symmetric, reversing a and b changes nothing.
        finish: (PLAIN,), or (FINISH, gain, slope, clamp, signs, at, STRIDE), STRIDE being the
            distance in the sign map of numbers that are neighbours in the row.
    """
    num_outer, num_inner = outer[0].literal_value, inner[0].literal_value
    num_out, symmetric = out[3].literal_value, weights[4].literal_value
    how = finish[0].literal_value
    stride = finish[6].literal_value if how != PLAIN else 1
    signature = types.void(out, source, outer, inner, weights, finish)

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        def member(tuple_index: int, index: int, wanted: Any) -> Any:
            kind = sig.args[tuple_index][index]
            number = builder.extract_value(args[tuple_index], index)
            return context.cast(builder, number, kind, wanted)

        def integer(tuple_index: int, index: int) -> Any:
            return member(tuple_index, index, types.intp)

        def splat(number: Any) -> Any:
            single = builder.insert_element(_BLOCK(ir.Undefined), number, ir.IntType(32)(0))
            lanes = ir.Constant(ir.VectorType(ir.IntType(32), LANES), None)
            return builder.shuffle_vector(single, _BLOCK(ir.Undefined), lanes)

        def first_element(tuple_index: int, array_index: int = 0) -> Any:
            kind = sig.args[tuple_index][array_index]
            value = builder.extract_value(args[tuple_index], array_index)
            data = context.make_array(kind)(context, builder, value).data
            return builder.gep(data, [integer(tuple_index, array_index + 1)])

        def block_at(base: Any, at: Any, kind: Any = _BLOCK) -> Any:
            return builder.bitcast(builder.gep(base, [at]), kind.as_pointer())

        intp = integer(0, 1).type
        out_base, source_base, weights_base = (first_element(i) for i in (0, 1, 4))
        offsets = []  # of the source's blocks, in the order of their taps
        for a in range(num_outer):
            for b in range(num_inner):
                along_outer = builder.mul(integer(2, 1), intp(a))
                offsets.append(builder.add(along_outer, builder.mul(integer(3, 1), intp(b))))
        num_taps = len(offsets) // 2 if symmetric else len(offsets)
        taps: list[list[Any]] = [[] for _ in range(num_out)]
        for o in range(num_out):
            for index in range(num_taps):
                a, b = divmod(index, num_inner)
                at = builder.mul(integer(4, 2), intp(o))
                at = builder.add(at, builder.mul(integer(4, 3), intp(a)))
                tap = builder.load(builder.gep(weights_base, [builder.add(at, intp(b))]))
                taps[o].append(splat(tap))
        if how != PLAIN:
            gain, slope, clamp = (member(5, i, types.float32) for i in (1, 2, 3))
            positive_gain, negative_gain = splat(gain), splat(builder.fmul(gain, slope))
            limit, lowest = splat(clamp), splat(builder.fneg(clamp))
            signs_base = first_element(5, 4)
        zero = _BLOCK([_FLOAT(0.0)] * LANES)
        fma_type = ir.FunctionType(_BLOCK, (_BLOCK, _BLOCK, _BLOCK))
        declare: Any = cgutils.get_or_insert_function
        fma = declare(builder.module, fma_type, f"llvm.fmuladd.v{LANES}f32")

        with cgutils.for_range(builder, integer(0, 2)) as loop:
            start = builder.mul(loop.index, intp(LANES))

            def load(offset: Any) -> Any:
                at = builder.add(start, offset)
                return builder.load(block_at(source_base, at), align=4)

            sums: list[list[Any]] = [[] for _ in range(num_out)]
            for index in range(num_taps):
                block = load(offsets[index])
                if symmetric:
                    mirrored = load(offsets[len(offsets) - 1 - index])
                    block = builder.fadd(block, mirrored, flags=_FAST)
                for o in range(num_out):
                    tap, chains = taps[o][index], sums[o]
                    if index < 2:  # two chains of sums, which need not wait for each other
                        chains.append(builder.fmul(block, tap, flags=_FAST))
                    else:
                        chains[index % 2] = builder.call(fma, [block, tap, chains[index % 2]])
            results = [c[0] if len(c) == 1 else builder.fadd(*c, flags=_FAST) for c in sums]
            for o in range(1, num_out):
                at = builder.add(start, builder.mul(integer(0, 4), intp(o)))
                builder.store(results[o], block_at(out_base, at), align=4)
            y = results[0]  # the only one that has a finish

            signs_start = builder.mul(start, intp(stride))
            if how in (ACTIVATE, ACTIVATE_AND_STORE_SIGNS):
                positive = builder.fcmp_ordered(">", y, zero)
                y = builder.fmul(y, builder.select(positive, positive_gain, negative_gain))
                above = builder.fcmp_ordered(">=", y, limit)
                below = builder.fcmp_ordered("<=", y, lowest)
                y = builder.select(above, limit, builder.select(below, lowest, y))
                if how == ACTIVATE_AND_STORE_SIGNS:
                    code_type = ir.VectorType(_BYTE, LANES)
                    code = builder.zext(positive, code_type)
                    clamped = code_type([_BYTE(CLAMPED)] * LANES)
                    code = builder.select(builder.or_(above, below), clamped, code)
                    target = block_at(signs_base, signs_start, code_type)
                    builder.store(code, target, align=1)
            elif how == MULTIPLY_BY_STORED_SLOPES:
                stored_type = ir.VectorType(_BYTE, LANES * stride)
                code = builder.load(block_at(signs_base, signs_start, stored_type), align=1)
                if stride > 1:
                    lane = ir.IntType(32)
                    every = ir.VectorType(lane, LANES)([lane(stride * i) for i in range(LANES)])
                    code = builder.shuffle_vector(code, stored_type(ir.Undefined), every)

                def is_code(number: int) -> Any:
                    wanted = ir.VectorType(_BYTE, LANES)([_BYTE(number)] * LANES)
                    return builder.icmp_unsigned("==", code, wanted)

                factor = builder.select(is_code(POSITIVE), positive_gain, negative_gain)
                factor = builder.select(is_code(CLAMPED), zero, factor)
                y = builder.fmul(y, factor)
            builder.store(y, block_at(out_base, start), align=4)
        return context.get_dummy_value()

    return signature, generate


filter_row: Any = intrinsic(prefer_literal=True)(_filter_row)
