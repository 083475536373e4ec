"""Sixteen floats at once inside compiled code: the few vector operations that the native sweep is made of.

Loops over sixteen neighbours are not turned into vector code reliably, so these operations are given to LLVM as vectors.
They are generic LLVM IR: a processor without 512-bit registers runs them in smaller ones. Addresses are integers in
bytes; the caller answers for every address being inside its array.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

LANES = 16
LANE_BYTES = 4 * LANES
CACHE_LINE_BYTES = 64

_FLOAT = ir.FloatType()
_VECTOR = ir.VectorType(_FLOAT, LANES)
_INDEX = ir.VectorType(ir.IntType(32), LANES)
_ADDRESS = ir.IntType(64)
_FAST = ("fast",)


def _blend_two(typing: Any, target: Any, rows: Any, pitch: Any, offsets: Any, first: Any, second: Any) -> Any:
    """``blend_two(target, rows, pitch, offsets, first, second)``: two rows mixed for sixteen outputs, transposed.

    Output j at voxel x is ``first[j] * rows[offsets[j] + x] + second[j] * rows[offsets[j] + pitch + x]``, written to
    ``target[x][j]``.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        target, rows, pitch, offsets, first, second = arguments
        outputs = []
        for lane in range(LANES):
            row = builder.add(rows, _load(builder, _at(builder, offsets, 8 * lane), _ADDRESS))
            near = _splat(builder, _load(builder, _at(builder, first, 4 * lane), _FLOAT))
            far = _splat(builder, _load(builder, _at(builder, second, 4 * lane), _FLOAT))
            mixed = builder.fmul(_load(builder, row, _VECTOR), near, flags=_FAST)
            outputs.append(_multiply_add(builder, _load(builder, builder.add(row, pitch), _VECTOR), far, mixed))
        _store_transposed(builder, outputs, target)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 6), generate


def _blend_taps(typing: Any, target: Any, rows: Any, pitch: Any, offsets: Any, weights: Any, taps: Any) -> Any:
    """``blend_taps(target, rows, pitch, offsets, weights, taps)``: as :func:`blend_two` with a weight per voxel.

    Output j at voxel x sums ``weights[j][tap][x] * rows[offsets[j] + tap * pitch + x]`` over the taps.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        target, rows, pitch, offsets, weights, taps = arguments
        table_bytes = builder.mul(taps, ir.Constant(_ADDRESS, LANE_BYTES))
        outputs = []
        for lane in range(LANES):
            total = cgutils.alloca_once(builder, _VECTOR)
            builder.store(ir.Constant(_VECTOR, [0.0] * LANES), total)
            row = builder.add(rows, _load(builder, _at(builder, offsets, 8 * lane), _ADDRESS))
            table = builder.add(weights, builder.mul(table_bytes, ir.Constant(_ADDRESS, lane)))
            with cgutils.for_range(builder, taps) as loop:
                values = _load(builder, builder.add(row, builder.mul(loop.index, pitch)), _VECTOR)
                place = builder.add(table, builder.mul(loop.index, ir.Constant(_ADDRESS, LANE_BYTES)))
                weight = _load(builder, place, _VECTOR)
                builder.store(_multiply_add(builder, values, weight, builder.load(total)), total)
            outputs.append(builder.load(total))
        _store_transposed(builder, outputs, target)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 6), generate


def _add_two(typing: Any, target: Any, one: Any, weight_one: Any, other: Any, weight_other: Any) -> Any:
    """``add_two(target, one, weight_one, other, weight_other)``: two weighted vectors added to a third."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        target, one, weight_one, other, weight_other = arguments
        total = _load(builder, target, _VECTOR)
        for place, weight in ((one, weight_one), (other, weight_other)):
            total = _multiply_add(builder, _load(builder, place, _VECTOR), _splat(builder, weight), total)
        _store(builder, total, target)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.float32, types.int64, types.float32), generate


def _add_hat_run(typing: Any, target: Any, source: Any, count: Any, start: Any, slope: Any) -> Any:
    """``add_hat_run(target, source, count, start, slope)``: vectors in a row, weighted by how near each one is.

    Adds ``max(0, 1 - |start + slope * k|) * source[k]`` over k < count.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        target, source, count, start, slope = arguments
        magnitude = builder.module.declare_intrinsic("llvm.fabs", [_FLOAT])
        one, zero = ir.Constant(_FLOAT, 1.0), ir.Constant(_FLOAT, 0.0)
        total = cgutils.alloca_once(builder, _VECTOR)
        builder.store(_load(builder, target, _VECTOR), total)
        with cgutils.for_range(builder, count) as loop:
            distance = builder.fadd(start, builder.fmul(slope, builder.sitofp(loop.index, _FLOAT)))
            near = builder.fsub(one, builder.call(magnitude, [distance]))
            weight = builder.select(builder.fcmp_ordered(">", near, zero), near, zero)
            place = builder.add(source, builder.mul(loop.index, ir.Constant(_ADDRESS, LANE_BYTES)))
            values = _load(builder, place, _VECTOR)
            builder.store(_multiply_add(builder, values, _splat(builder, weight), builder.load(total)), total)
        _store(builder, builder.load(total), target)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64, types.float32, types.float32), generate


def _any_above(typing: Any, address: Any, lines: Any, limit: Any) -> Any:
    """``any_above(address, lines, limit)``: whether a value in cache lines in a row exceeds the limit, or is NaN.

    The values have the limit's type, int16 or float32.
    """
    whole = isinstance(limit, types.Integer)
    element, count = (ir.IntType(16), 32) if whole else (_FLOAT, 16)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        start, lines_, limit_ = arguments
        found = cgutils.alloca_once(builder, ir.VectorType(ir.IntType(1), count))
        builder.store(ir.Constant(ir.VectorType(ir.IntType(1), count), [0] * count), found)
        bound = _splat(builder, limit_, count)
        with cgutils.for_range(builder, lines_) as loop:
            place = builder.add(start, builder.mul(loop.index, ir.Constant(_ADDRESS, CACHE_LINE_BYTES)))
            values = _load(builder, place, ir.VectorType(element, count), align=element.width // 8 if whole else 4)
            above = builder.icmp_signed if whole else builder.fcmp_unordered
            builder.store(builder.or_(builder.load(found), above(">", values, bound)), found)
        bits = builder.bitcast(builder.load(found), ir.IntType(count))
        return builder.icmp_unsigned("!=", bits, ir.Constant(ir.IntType(count), 0))

    return types.boolean(types.int64, types.int64, limit), generate


def _prefetch(typing: Any, address: Any) -> Any:
    """``prefetch(address)``: asks for a cache line that will be read soon."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        byte = ir.IntType(8).as_pointer()
        flag = ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [byte, flag, flag, flag])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        read, keep, data = (ir.Constant(flag, value) for value in (0, 2, 1))
        builder.call(function, [builder.inttoptr(arguments[0], byte), read, keep, data])
        return context.get_dummy_value()

    return types.void(types.int64), generate


def _at(builder: Any, address: Any, offset_bytes: int) -> Any:
    return builder.add(address, ir.Constant(_ADDRESS, offset_bytes))


def _load(builder: Any, address: Any, kind: Any, align: int = 4) -> Any:
    value = builder.load(builder.inttoptr(address, ir.PointerType(kind)))
    value.align = align
    return value


def _store(builder: Any, value: Any, address: Any) -> None:
    instruction = builder.store(value, builder.inttoptr(address, ir.PointerType(value.type)))
    instruction.align = 4


def _splat(builder: Any, scalar: Any, count: int = LANES) -> Any:
    empty = ir.Constant(ir.VectorType(scalar.type, count), ir.Undefined)
    first = builder.insert_element(empty, scalar, ir.Constant(ir.IntType(32), 0))
    return builder.shuffle_vector(first, empty, ir.Constant(ir.VectorType(ir.IntType(32), count), [0] * count))


def _multiply_add(builder: Any, value: Any, weight: Any, total: Any) -> Any:
    return builder.fadd(builder.fmul(value, weight, flags=_FAST), total, flags=_FAST)


def _store_transposed(builder: Any, rows: list[Any], target: Any) -> None:
    """Four rounds of perfect shuffles transpose sixteen vectors."""
    half = LANES // 2
    low = ir.Constant(_INDEX, [lane // 2 + LANES * (lane % 2) for lane in range(LANES)])
    high = ir.Constant(_INDEX, [half + lane // 2 + LANES * (lane % 2) for lane in range(LANES)])
    for _ in range(4):
        pairs = [(rows[lane], rows[lane + half]) for lane in range(half)]
        rows = [builder.shuffle_vector(one, other, mask) for one, other in pairs for mask in (low, high)]
    for lane, row in enumerate(rows):
        _store(builder, row, _at(builder, target, LANE_BYTES * lane))


blend_two = intrinsic(_blend_two)
blend_taps = intrinsic(_blend_taps)
add_two = intrinsic(_add_two)
add_hat_run = intrinsic(_add_hat_run)
any_above = intrinsic(_any_above)
prefetch = intrinsic(_prefetch)
