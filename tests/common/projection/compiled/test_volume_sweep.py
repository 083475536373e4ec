from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from common.geometry import FrontalView, Geometry, Grid, LateralView, Pose
from common.projection import Projector
from common.projection.compiled import volume_sweep as compiled

TURNED = Pose(pitch_deg=-20, roll_deg=10, yaw_deg=-8, translation_mm=(6.0, -8.0, 5.0))


@settings(max_examples=25, deadline=None)
@given(
    shape=st.tuples(*[st.integers(8, 50)] * 3),
    detector=st.tuples(*[st.integers(8, 70)] * 2),
    pixel_mm=st.floats(3.0, 12.0),
    poses=st.tuples(
        *[st.sampled_from([Pose(), Pose(translation_mm=(9.0, 5.0, -7.0)), TURNED, Pose(roll_deg=25.0)])] * 2
    ),
    views=st.tuples(st.sampled_from(FrontalView), st.sampled_from(LateralView)),
    cases=st.integers(1, 3),
    seed=st.integers(0, 100),
)
def test_compiled_sweep_and_transpose_equal_the_matrix_products(
    shape: tuple[int, int, int],
    detector: tuple[int, int],
    pixel_mm: float,
    poses: tuple[Pose, Pose],
    views: tuple[FrontalView, LateralView],
    cases: int,
    seed: int,
) -> None:
    generator = torch.Generator().manual_seed(seed)
    geometry = Geometry(
        detector_shape=detector,
        pixel_mm=pixel_mm,
        frontal=views[0],
        lateral=views[1],
        frontal_pose=poses[0],
        lateral_pose=poses[1],
    )
    projector = Projector(Grid(shape=shape, voxel_mm=3.0), geometry)
    volumes = torch.randn(cases, 1, *shape, generator=generator)
    pairs = torch.randn(cases, 2, *detector, generator=generator)
    expected = projector(volumes), projector.adjoint(pairs)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compiled, "FROM_VOXELS", 0)
        found = projector(volumes), projector.adjoint(pairs)
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=3e-6 * float(theirs.abs().max()) + 1e-12)


@pytest.mark.parametrize("pose", [Pose(), TURNED])
def test_large_volumes_are_compiled_and_their_gradient_is_the_transpose(pose: Pose) -> None:
    grid = Grid(shape=(96, 104, 112), voxel_mm=2.2)
    projector = Projector(grid, Geometry(detector_shape=(60, 50), pixel_mm=7.0, frontal_pose=pose, lateral_pose=pose))
    volumes, pairs = torch.rand(2, 1, *grid.shape, requires_grad=True), torch.rand(2, 2, 60, 50)
    assert compiled.suits(volumes, 96 * 104 * 112)
    found = projector(volumes)
    (gradient,) = torch.autograd.grad(found, volumes, pairs)
    torch.testing.assert_close(gradient, projector.adjoint(pairs), rtol=0, atol=0)
    forth, back = (found.double() * pairs).sum(), (gradient.double() * volumes).sum()
    assert abs(forth - back) < 1e-6 * forth
    assert [name for name, _ in projector.named_buffers() if "axis" in name] == []


def test_threads_do_not_change_a_bit() -> None:
    grid = Grid(shape=(104, 104, 104), voxel_mm=2.2)
    projector = Projector(grid, Geometry(detector_shape=(80, 64), pixel_mm=5.0))
    volumes, pairs = torch.rand(2, 1, *grid.shape), torch.rand(2, 2, 80, 64)
    before = torch.get_num_threads()
    found = []
    for threads in (1, 3):
        torch.set_num_threads(threads)
        found.append((projector(volumes), projector.adjoint(pairs)))
    torch.set_num_threads(before)
    assert torch.equal(found[0][0], found[1][0])
    assert torch.equal(found[0][1], found[1][1])


def test_small_volumes_other_precisions_and_other_devices_are_not_compiled() -> None:
    assert not compiled.suits(torch.zeros(1), compiled.FROM_VOXELS - 1)
    assert not compiled.suits(torch.zeros(1, dtype=torch.float64), compiled.FROM_VOXELS)
    assert not compiled.suits(torch.zeros(1, device="meta"), compiled.FROM_VOXELS)


WITH_LANES = """
import hashlib, sys
from llvmlite import binding
import numba
numba.njit(lambda: 0)()
asked = binding.get_host_cpu_features
binding.get_host_cpu_features = lambda: {"avx512f": sys.argv[1] == "16"}
from common.projection.compiled.lanes import LANES
binding.get_host_cpu_features = asked
assert LANES == int(sys.argv[1])
import torch
from common.geometry import Geometry, Grid, Pose
from common.projection import Projector, compiled
compiled.FROM_VOXELS = 0
turned = Pose(pitch_deg=-20, roll_deg=10, yaw_deg=-8, translation_mm=(6.0, -8.0, 5.0))
geometry = Geometry(detector_shape=(50, 60), pixel_mm=6.0, frontal_pose=turned)
projector = Projector(Grid(shape=(45, 50, 37), voxel_mm=4.0), geometry)
generator = torch.Generator().manual_seed(1)
found = projector(torch.randn(1, 1, 45, 50, 37, generator=generator))
back = projector.adjoint(torch.randn(1, 2, 50, 60, generator=generator))
print(hashlib.sha256(found.numpy().tobytes() + back.numpy().tobytes()).hexdigest())
"""


def test_the_width_of_the_processors_registers_does_not_change_a_bit() -> None:
    found = [
        subprocess.run([sys.executable, "-c", WITH_LANES, lanes], capture_output=True, text=True, check=True).stdout
        for lanes in ("8", "16")
    ]
    assert found[0] == found[1] != ""
