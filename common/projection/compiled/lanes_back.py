"""Transposes of the vector operations in :mod:`common.projection.compiled.lanes`, for the compiled back-projection."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from common.projection.compiled.lanes import (
    ADDRESS,
    FLOAT,
    LANE_BYTES,
    LANES,
    VECTOR,
    at,
    keys,
    load,
    multiply_add,
    splat,
    store,
    transposed,
)


def _spread_run(typing: Any, target: Any, source: Any, groups: Any, count: Any, start: Any, slope: Any) -> Any:
    """``spread_run(target, source, groups, count, start, slope)``: the transpose of ``add_run``.

    Adds ``keys(start + slope * k) * source`` to ``target[k]`` for k < count.
    """
    if not isinstance(groups, types.IntegerLiteral):
        return None
    vectors = groups.literal_value

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        target, source, _, count, start, slope = arguments
        magnitude = builder.module.declare_intrinsic("llvm.fabs", [FLOAT])
        values = [load(builder, at(builder, source, LANE_BYTES * group), VECTOR) for group in range(vectors)]
        with cgutils.for_range(builder, count) as loop:
            steps = builder.sitofp(loop.index, FLOAT)
            distance = builder.call(magnitude, [builder.fadd(start, builder.fmul(slope, steps))])
            weight = splat(builder, keys(builder, distance))
            place = builder.add(target, builder.mul(loop.index, ir.Constant(ADDRESS, LANE_BYTES * vectors)))
            for group, value in enumerate(values):
                here = at(builder, place, LANE_BYTES * group)
                store(builder, multiply_add(builder, value, weight, load(builder, here, VECTOR)), here)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, groups, types.int64, types.float32, types.float32), generate


def _unblend_four(typing: Any, rows: Any, pitch: Any, offsets: Any, weights: Any, source: Any, stride: Any) -> Any:
    """``unblend_four(rows, pitch, offsets, weights, source, stride)``: the transpose of ``blend_four``."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        rows, pitch, offsets, weights, source, stride = arguments
        for lane, values in enumerate(_by_lane(builder, source, stride)):
            row = builder.add(rows, load(builder, at(builder, offsets, 8 * lane), ADDRESS))
            for tap in range(4):
                weight = splat(builder, load(builder, at(builder, weights, 16 * lane + 4 * tap), FLOAT))
                store(builder, multiply_add(builder, values, weight, load(builder, row, VECTOR)), row)
                row = builder.add(row, pitch)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 6), generate


def _unblend_taps(
    typing: Any, rows: Any, pitch: Any, offsets: Any, weights: Any, taps: Any, source: Any, stride: Any
) -> Any:
    """``unblend_taps(rows, pitch, offsets, weights, taps, source, stride)``: the transpose of ``blend_taps``."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        rows, pitch, offsets, weights, taps, source, stride = arguments
        table_bytes = builder.mul(taps, ir.Constant(ADDRESS, LANE_BYTES))
        for lane, values in enumerate(_by_lane(builder, source, stride)):
            row = builder.add(rows, load(builder, at(builder, offsets, 8 * lane), ADDRESS))
            table = builder.add(weights, builder.mul(table_bytes, ir.Constant(ADDRESS, lane)))
            with cgutils.for_range(builder, taps) as loop:
                here = builder.add(row, builder.mul(loop.index, pitch))
                weight = load(
                    builder, builder.add(table, builder.mul(loop.index, ir.Constant(ADDRESS, LANE_BYTES))), VECTOR
                )
                store(builder, multiply_add(builder, values, weight, load(builder, here, VECTOR)), here)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 7), generate


def _by_lane(builder: Any, source: Any, stride: Any) -> list[Any]:
    """Vectors of lanes of as many voxels, ``stride`` apart, as lanes' vectors of voxels."""
    voxels = [builder.add(source, builder.mul(stride, ir.Constant(ADDRESS, voxel))) for voxel in range(LANES)]
    return transposed(builder, [load(builder, place, VECTOR) for place in voxels])


spread_run = intrinsic(_spread_run)
unblend_four = intrinsic(_unblend_four)
unblend_taps = intrinsic(_unblend_taps)
