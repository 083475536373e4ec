"""Eight or sixteen floats at once inside compiled code: the vector operations that the compiled sweep is made of.

Loops over neighbours are not turned into vector code reliably, so these operations are given to LLVM as vectors, as
long as the processor's registers: transposing longer ones would spill. The length changes no result by a bit. Addresses
are integers in bytes; the caller answers for every address being inside its array.
"""

from __future__ import annotations

from typing import Any

from llvmlite import binding, ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

LANES = 16 if binding.get_host_cpu_features().get("avx512f") else 8
LANE_BYTES = 4 * LANES
CACHE_LINE_BYTES = 64

FLOAT = ir.FloatType()
VECTOR = ir.VectorType(FLOAT, LANES)
_INDEX = ir.VectorType(ir.IntType(32), LANES)
ADDRESS = ir.IntType(64)
_FAST = ("fast",)


def _blend_four(typing: Any, target: Any, stride: Any, rows: Any, pitch: Any, offsets: Any, weights: Any) -> Any:
    """``blend_four(target, stride, rows, pitch, offsets, weights)``: four rows mixed for each output, transposed.

    Output j at voxel x sums ``weights[j][tap] * rows[offsets[j] + tap * pitch + x]`` over four taps, and is written to
    lane j of ``target + x * stride``.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        target, stride, rows, pitch, offsets, weights = arguments
        outputs = []
        for lane in range(LANES):
            row = builder.add(rows, load(builder, at(builder, offsets, 8 * lane), ADDRESS))
            total = ir.Constant(VECTOR, [0.0] * LANES)
            for tap in range(4):
                weight = splat(builder, load(builder, at(builder, weights, 16 * lane + 4 * tap), FLOAT))
                total = multiply_add(builder, load(builder, row, VECTOR), weight, total)
                row = builder.add(row, pitch)
            outputs.append(total)
        _store_transposed(builder, outputs, target, stride)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 6), generate


def _blend_taps(
    typing: Any, target: Any, stride: Any, rows: Any, pitch: Any, offsets: Any, weights: Any, taps: Any
) -> Any:
    """``blend_taps(target, stride, rows, pitch, offsets, weights, taps)``: as ``blend_four`` with a weight per voxel.

    Output j at voxel x sums ``weights[j][tap][x] * rows[offsets[j] + tap * pitch + x]`` over the taps.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        target, stride, rows, pitch, offsets, weights, taps = arguments
        table_bytes = builder.mul(taps, ir.Constant(ADDRESS, LANE_BYTES))
        outputs = []
        for lane in range(LANES):
            total = cgutils.alloca_once(builder, VECTOR)
            builder.store(ir.Constant(VECTOR, [0.0] * LANES), total)
            row = builder.add(rows, load(builder, at(builder, offsets, 8 * lane), ADDRESS))
            table = builder.add(weights, builder.mul(table_bytes, ir.Constant(ADDRESS, lane)))
            with cgutils.for_range(builder, taps) as loop:
                values = load(builder, builder.add(row, builder.mul(loop.index, pitch)), VECTOR)
                place = builder.add(table, builder.mul(loop.index, ir.Constant(ADDRESS, LANE_BYTES)))
                weight = load(builder, place, VECTOR)
                builder.store(multiply_add(builder, values, weight, builder.load(total)), total)
            outputs.append(builder.load(total))
        _store_transposed(builder, outputs, target, stride)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 7), generate


def _add_run(typing: Any, target: Any, source: Any, groups: Any, count: Any, start: Any, slope: Any) -> Any:
    """``add_run(target, source, groups, count, start, slope)``: neighbours in a row, weighted by how near each one is.

    Adds ``keys(start + slope * k) * source[k]`` over k < count, where source and target hold ``groups`` (a literal)
    vectors one after another, and keys is the cubic convolution kernel of :mod:`common.projection.interpolation`.
    """
    if not isinstance(groups, types.IntegerLiteral):
        return None
    vectors = groups.literal_value

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        target, source, _, count, start, slope = arguments
        magnitude = builder.module.declare_intrinsic("llvm.fabs", [FLOAT])
        totals = [cgutils.alloca_once(builder, VECTOR) for _ in range(vectors)]
        for group, total in enumerate(totals):
            builder.store(load(builder, at(builder, target, LANE_BYTES * group), VECTOR), total)
        with cgutils.for_range(builder, count) as loop:
            steps = builder.sitofp(loop.index, FLOAT)
            distance = builder.call(magnitude, [builder.fadd(start, builder.fmul(slope, steps))])
            weight = splat(builder, keys(builder, distance))
            place = builder.add(source, builder.mul(loop.index, ir.Constant(ADDRESS, LANE_BYTES * vectors)))
            for group, total in enumerate(totals):
                values = load(builder, at(builder, place, LANE_BYTES * group), VECTOR)
                builder.store(multiply_add(builder, values, weight, builder.load(total)), total)
        for group, total in enumerate(totals):
            store(builder, builder.load(total), at(builder, target, LANE_BYTES * group))
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, groups, types.int64, types.float32, types.float32), generate


def _add_four(typing: Any, target: Any, source: Any, groups: Any, share: Any) -> Any:
    """``add_four(target, source, groups, share)``: ``add_run`` over the four neighbours of a place between two voxels.

    The place lies ``share``, 0 to 1, past ``source[1]``.
    """
    if not isinstance(groups, types.IntegerLiteral):
        return None
    vectors = groups.literal_value
    coefficients = ((-0.5, 1.0, -0.5, 0.0), (1.5, -2.5, 0.0, 1.0), (-1.5, 2.0, 0.5, 0.0), (0.5, -0.5, 0.0, 0.0))

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        target, source, _, share = arguments
        weights = [splat(builder, _polynomial(builder, share, powers)) for powers in coefficients]
        for group in range(vectors):
            place = at(builder, target, LANE_BYTES * group)
            total = load(builder, place, VECTOR)
            for tap, weight in enumerate(weights):
                values = load(builder, at(builder, source, LANE_BYTES * (vectors * tap + group)), VECTOR)
                total = multiply_add(builder, values, weight, total)
            store(builder, total, place)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, groups, types.float32), generate


def _any_above(typing: Any, address: Any, lines: Any, limit: Any) -> Any:
    """``any_above(address, lines, limit)``: whether a value in cache lines in a row exceeds the limit, or is NaN.

    The values have the limit's type, int16 or float32.
    """
    whole = isinstance(limit, types.Integer)
    element, count = (ir.IntType(16), 32) if whole else (FLOAT, 16)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        start, lines_, limit_ = arguments
        found = cgutils.alloca_once(builder, ir.VectorType(ir.IntType(1), count))
        builder.store(ir.Constant(ir.VectorType(ir.IntType(1), count), [0] * count), found)
        bound = splat(builder, limit_, count)
        with cgutils.for_range(builder, lines_) as loop:
            place = builder.add(start, builder.mul(loop.index, ir.Constant(ADDRESS, CACHE_LINE_BYTES)))
            values = load(builder, place, ir.VectorType(element, count), align=element.width // 8 if whole else 4)
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


def keys(builder: Any, distance: Any) -> Any:
    """The cubic convolution kernel at a distance that is not negative."""

    near = _polynomial(builder, distance, (1.5, -2.5, 0.0, 1.0))
    far = _polynomial(builder, distance, (-0.5, 2.5, -4.0, 2.0))
    one, two = ir.Constant(FLOAT, 1.0), ir.Constant(FLOAT, 2.0)
    far = builder.select(builder.fcmp_ordered("<", distance, two), far, ir.Constant(FLOAT, 0.0))
    return builder.select(builder.fcmp_ordered("<", distance, one), near, far)


def _polynomial(builder: Any, value: Any, powers: tuple[float, ...]) -> Any:
    """A polynomial by Horner's rule, the highest power's coefficient first."""
    total = ir.Constant(FLOAT, powers[0])
    for coefficient in powers[1:]:
        total = multiply_add(builder, total, value, ir.Constant(FLOAT, coefficient))
    return total


def at(builder: Any, address: Any, offset_bytes: int) -> Any:
    """An address some bytes further."""
    return builder.add(address, ir.Constant(ADDRESS, offset_bytes))


def load(builder: Any, address: Any, kind: Any, align: int = 4) -> Any:
    """A value of a kind at an address that need not be aligned to the vector."""
    value = builder.load(builder.inttoptr(address, ir.PointerType(kind)))
    value.align = align
    return value


def store(builder: Any, value: Any, address: Any) -> None:
    """Write a value to an address that need not be aligned to the vector."""
    instruction = builder.store(value, builder.inttoptr(address, ir.PointerType(value.type)))
    instruction.align = 4


def splat(builder: Any, scalar: Any, count: int = LANES) -> Any:
    """A vector of equal values."""
    empty = ir.Constant(ir.VectorType(scalar.type, count), ir.Undefined)
    first = builder.insert_element(empty, scalar, ir.Constant(ir.IntType(32), 0))
    return builder.shuffle_vector(first, empty, ir.Constant(ir.VectorType(ir.IntType(32), count), [0] * count))


def multiply_add(builder: Any, value: Any, weight: Any, total: Any) -> Any:
    """``value * weight + total``, fused where the processor can."""
    return builder.fadd(builder.fmul(value, weight, flags=_FAST), total, flags=_FAST)


def transposed(builder: Any, rows: list[Any]) -> list[Any]:
    """As many vectors as lanes transposed by rounds of perfect shuffles."""
    half = LANES // 2
    low = ir.Constant(_INDEX, [lane // 2 + LANES * (lane % 2) for lane in range(LANES)])
    high = ir.Constant(_INDEX, [half + lane // 2 + LANES * (lane % 2) for lane in range(LANES)])
    for _ in range(LANES.bit_length() - 1):
        pairs = [(rows[lane], rows[lane + half]) for lane in range(half)]
        rows = [builder.shuffle_vector(one, other, mask) for one, other in pairs for mask in (low, high)]
    return rows


def _store_transposed(builder: Any, rows: list[Any], target: Any, stride: Any) -> None:
    for lane, row in enumerate(transposed(builder, rows)):
        store(builder, row, builder.add(target, builder.mul(stride, ir.Constant(ADDRESS, lane))))


blend_four = intrinsic(_blend_four)
blend_taps = intrinsic(_blend_taps)
add_four = intrinsic(_add_four)
add_run = intrinsic(_add_run)
any_above = intrinsic(_any_above)
prefetch = intrinsic(_prefetch)
