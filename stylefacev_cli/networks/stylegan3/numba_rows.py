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
REGISTER_TAPS = 12  # most weights that are worth a register each
GROUP = 2  # blocks that share the loading of a weight, where there are more

# What is done to a filtered row before it is stored.
PLAIN = 0
ACTIVATE = 1  # leaky ReLU with clamp
ACTIVATE_AND_STORE_SIGNS = 2  # the same, and keep what the gradient needs
MULTIPLY_BY_STORED_SLOPES = 3  # the gradient
ADD = 4  # to what is there

# Values in a sign map.
NEGATIVE, POSITIVE, CLAMPED = 0, 1, 2

_FLOAT = ir.FloatType()
_BYTE = ir.IntType(8)
_BLOCK = ir.VectorType(_FLOAT, LANES)
_FAST = ("contract", "reassoc", "nsz")


def whole_blocks(length: int) -> int:
    """Numbers that a row of `length` takes up in whole blocks."""
    return -(-length // LANES) * LANES


def _filter_row(  # noqa: C901 - writes the code of one compiled loop
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
        finish: (PLAIN,), (ADD,) or (FINISH, slope, clamp, signs, at, STRIDE), STRIDE being the
            distance in the sign map of numbers that are neighbours in the row.
    """
    num_outer, num_inner = outer[0].literal_value, inner[0].literal_value
    num_out, symmetric = out[3].literal_value, weights[4].literal_value
    how = finish[0].literal_value
    has_activation = how not in (PLAIN, ADD)
    stride = finish[5].literal_value if has_activation else 1
    signature = types.void(out, source, outer, inner, weights, finish)

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:  # noqa: C901
        def member(tuple_index: int, index: int, wanted: Any) -> Any:
            kind = sig.args[tuple_index][index]
            number = builder.extract_value(args[tuple_index], index)
            return context.cast(builder, number, kind, wanted)

        def integer(tuple_index: int, index: int) -> Any:
            return member(tuple_index, index, types.intp)

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

        def tap(o: int, index: int) -> Any:
            a, b = divmod(index, num_inner)
            at = builder.mul(integer(4, 2), intp(o))
            at = builder.add(at, builder.mul(integer(4, 3), intp(a)))
            weight = builder.load(builder.gep(weights_base, [builder.add(at, intp(b))]))
            return splat(builder, weight, _BLOCK)

        # Few taps stay in registers; many are loaded again for every group of blocks.
        few = num_taps * num_out <= REGISTER_TAPS
        kept = [[tap(o, i) for i in range(num_taps)] for o in range(num_out)] if few else []
        if has_activation:
            slope, clamp = (member(5, i, types.float32) for i in (1, 2))
            slopes, limit, lowest = (
                splat(builder, number, _BLOCK) for number in (slope, clamp, builder.fneg(clamp))
            )
            signs_base = first_element(5, 3)
        zero = _BLOCK([_FLOAT(0.0)] * LANES)
        fma = declared(builder, f"llvm.fmuladd.v{LANES}f32", _BLOCK, _BLOCK, _BLOCK, _BLOCK)

        def emit(start: Any, num_blocks: int) -> None:
            """Filter, finish and store num_blocks blocks from `start` on."""
            starts = [builder.add(start, intp(LANES * i)) for i in range(num_blocks)]
            # Alternating chains of sums, so that additions need not wait for each other.
            num_chains = 2 if num_out == 1 else 1
            chains: dict[tuple[int, int, int], Any] = {}
            if how == ADD:
                for i, at in enumerate(starts):
                    for o in range(num_out):
                        chains[o, i, 0] = builder.load(target(o, at), align=4)
            for index in range(num_taps):
                weights_now = [kept[o][index] if few else tap(o, index) for o in range(num_out)]
                for i, at in enumerate(starts):
                    block = load_source(at, offsets[index])
                    if symmetric:
                        mirrored = load_source(at, offsets[len(offsets) - 1 - index])
                        block = builder.fadd(block, mirrored, flags=_FAST)
                    for o, weight in enumerate(weights_now):
                        chain = (o, i, index % num_chains)
                        if chain in chains:
                            chains[chain] = builder.call(fma, [block, weight, chains[chain]])
                        else:
                            chains[chain] = builder.fmul(block, weight, flags=_FAST)
            for i, at in enumerate(starts):
                for o in range(num_out):
                    y = chains[o, i, 0]
                    if (o, i, 1) in chains:
                        y = builder.fadd(y, chains[o, i, 1], flags=_FAST)
                    builder.store(finished(y, at), target(o, at), align=4)

        def target(o: int, at: Any) -> Any:
            return block_at(out_base, builder.add(at, builder.mul(integer(0, 4), intp(o))))

        def load_source(at: Any, offset: Any) -> Any:
            return builder.load(block_at(source_base, builder.add(at, offset)), align=4)

        def finished(y: Any, at: Any) -> Any:
            signs_at = builder.mul(at, intp(stride))
            if how in (ACTIVATE, ACTIVATE_AND_STORE_SIGNS):
                positive = builder.fcmp_ordered(">", y, zero)
                y = builder.select(positive, y, builder.fmul(y, slopes))
                if how == ACTIVATE_AND_STORE_SIGNS:
                    code_type = ir.VectorType(_BYTE, LANES)
                    above = builder.fcmp_ordered(">=", y, limit)
                    outside = builder.or_(above, builder.fcmp_ordered("<=", y, lowest))
                    clamped = code_type([_BYTE(CLAMPED)] * LANES)
                    code = builder.select(outside, clamped, builder.zext(positive, code_type))
                    builder.store(code, block_at(signs_base, signs_at, code_type), align=1)
                y = builder.select(builder.fcmp_ordered(">", y, limit), limit, y)
                y = builder.select(builder.fcmp_ordered("<", y, lowest), lowest, y)
            elif how == MULTIPLY_BY_STORED_SLOPES:
                stored_type = ir.VectorType(_BYTE, LANES * stride)
                code = builder.load(block_at(signs_base, signs_at, stored_type), align=1)
                if stride > 1:
                    lane = ir.IntType(32)
                    every = ir.VectorType(lane, LANES)([lane(stride * i) for i in range(LANES)])
                    code = builder.shuffle_vector(code, stored_type(ir.Undefined), every)
                y = builder.select(is_code(code, POSITIVE), y, builder.fmul(y, slopes))
                y = builder.select(is_code(code, CLAMPED), zero, y)
            return y

        def is_code(code: Any, number: int) -> Any:
            wanted = ir.VectorType(_BYTE, LANES)([_BYTE(number)] * LANES)
            return builder.icmp_unsigned("==", code, wanted)

        blocks = integer(0, 2)
        done = intp(0)
        if not few:
            groups = builder.sdiv(blocks, intp(GROUP))
            with cgutils.for_range(builder, groups) as loop:
                emit(builder.mul(loop.index, intp(GROUP * LANES)), GROUP)
            done = builder.mul(groups, intp(GROUP))
        with cgutils.for_range(builder, blocks, start=done) as loop:
            emit(builder.mul(loop.index, intp(LANES)), 1)
        return context.get_dummy_value()

    return signature, generate


def _scale_row(
    typing_context: Any, out: Any, source: Any, length: Any, scale: Any, bias: Any, room: Any
) -> Any:
    """Compile out[j] = scale source[j] + bias for j < length.

    out and source are tuples (array, at) of flat float32 arrays, length is any integer. ROOM, known
    when compiling, says that zeros may follow up to the end of the last block of `out`; otherwise
    nothing else is touched.
    """
    has_room = room.literal_value
    signature = types.void(out, source, types.intp, types.float32, types.float32, room)

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        def first_element(index: int) -> Any:
            array = builder.extract_value(args[index], 0)
            data = context.make_array(sig.args[index][0])(context, builder, array).data
            at = builder.extract_value(args[index], 1)
            return builder.gep(data, [context.cast(builder, at, sig.args[index][1], types.intp)])

        intp = args[2].type
        zero = _BLOCK([_FLOAT(0.0)] * LANES)
        out_base, source_base = first_element(0), first_element(1)
        scales, biases = splat(builder, args[3], _BLOCK), splat(builder, args[4], _BLOCK)

        def block_at(base: Any, start: Any) -> Any:
            return builder.bitcast(builder.gep(base, [start]), _BLOCK.as_pointer())

        def scaled(x: Any) -> Any:
            return builder.fadd(builder.fmul(x, scales, flags=_FAST), biases, flags=_FAST)

        whole = builder.sdiv(args[2], intp(LANES))
        with cgutils.for_range(builder, whole) as loop:
            start = builder.mul(loop.index, intp(LANES))
            x = builder.load(block_at(source_base, start), align=4)
            builder.store(scaled(x), block_at(out_base, start), align=4)

        # The rest, under a mask. (A masked store is slow to read back, hence `room`.)
        start = builder.mul(whole, intp(LANES))
        rest = builder.sub(args[2], start)
        with builder.if_then(builder.icmp_signed(">", rest, intp(0))):
            lanes_type = ir.VectorType(intp, LANES)
            lane = lanes_type([intp(i) for i in range(LANES)])
            mask = builder.icmp_signed("<", lane, splat(builder, rest, lanes_type))
            pointer, i32 = _BLOCK.as_pointer(), ir.IntType(32)
            load = declared(
                builder, f"llvm.masked.load.v{LANES}f32.p0", _BLOCK, pointer, i32, mask.type, _BLOCK
            )
            x = builder.call(load, [block_at(source_base, start), i32(4), mask, zero])
            y = builder.select(mask, scaled(x), zero)
            if has_room:
                builder.store(y, block_at(out_base, start), align=4)
            else:
                name = f"llvm.masked.store.v{LANES}f32.p0"
                store = declared(builder, name, ir.VoidType(), _BLOCK, pointer, i32, mask.type)
                builder.call(store, [y, block_at(out_base, start), i32(4), mask])
        return context.get_dummy_value()

    return signature, generate


def splat(builder: Any, number: Any, kind: Any) -> Any:
    """Vector of type `kind` with `number` in every lane."""
    single = builder.insert_element(kind(ir.Undefined), number, ir.IntType(32)(0))
    lanes = ir.Constant(ir.VectorType(ir.IntType(32), LANES), None)
    return builder.shuffle_vector(single, kind(ir.Undefined), lanes)


def declared(builder: Any, name: str, result: Any, *arguments: Any) -> Any:
    """An LLVM intrinsic, declared in the module that is being built."""
    declare: Any = cgutils.get_or_insert_function
    return declare(builder.module, ir.FunctionType(result, arguments), name)


filter_row: Any = intrinsic(prefer_literal=True)(_filter_row)
scale_row: Any = intrinsic(prefer_literal=True)(_scale_row)
