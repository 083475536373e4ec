import numpy as np
import pytest

from benchmarks.projection.scene import view_rays
from common.errors import ExitCode, Refusal
from common.geometry import Geometry, Pose
from common.projection.lattice import Placement, ray_lattice

SHAPE = (20, 30, 24)
SPACING_MM = (4.0, 3.0, 2.5)


def geometry(pose: Pose) -> Geometry:
    return Geometry(detector_shape=(12, 16), pixel_mm=20.0, frontal_pose=pose, lateral_pose=pose)


@pytest.mark.parametrize("pose", [Pose(), Pose(pitch_deg=12, roll_deg=-5, yaw_deg=8, translation_mm=(4.0, -3.0, 7.0))])
def test_each_pixels_ray_runs_from_source_to_pixel(pose: Pose) -> None:
    placement = Placement.centred(SHAPE, SPACING_MM)
    for beam, rays in zip(geometry(pose).beams, view_rays(geometry(pose)), strict=True):
        lattice = ray_lattice(placement, SHAPE, geometry(pose), beam)
        row, column, ray = lattice.pixels
        expected = placement.index_steps(rays.pixels_mm - rays.source_mm)
        np.testing.assert_allclose(ray, expected / expected[..., beam.along, None], atol=1e-9)
        sweep = lattice.sweep
        met = lattice.source + ray * (sweep.reference - sweep.source_along)
        np.testing.assert_allclose(sweep.first_row + row * sweep.row_step, met[..., 0], atol=1e-9)
        np.testing.assert_allclose(sweep.first_column + column * sweep.column_step, met[..., beam.across], atol=1e-9)
        assert row.min() > -1e-6
        assert column.min() > -1e-6
        assert row.max() < lattice.shape[0] - 1 + 1e-6
        assert column.max() < lattice.shape[1] - 1 + 1e-6


def test_a_patient_who_is_only_shifted_needs_no_interpolation() -> None:
    scene = geometry(Pose(translation_mm=(4.0, -3.0, 7.0)))
    for beam in scene.beams:
        lattice = ray_lattice(Placement.centred(SHAPE, SPACING_MM), SHAPE, scene, beam)
        assert lattice.is_detector
        assert lattice.shape == scene.detector_shape


def test_a_turned_patient_is_covered_with_rays_as_fine_as_the_detectors() -> None:
    scene = geometry(Pose(pitch_deg=10))
    for beam in scene.beams:
        lattice = ray_lattice(Placement.centred(SHAPE, SPACING_MM), SHAPE, scene, beam)
        assert not lattice.is_detector
        assert all(cells >= pixels for cells, pixels in zip(lattice.shape, scene.detector_shape, strict=True))


@pytest.mark.parametrize("pose", [Pose(translation_mm=(0.0, 990.0, 0.0)), Pose(translation_mm=(-990.0, 0.0, 0.0))])
def test_planes_behind_the_source_are_refused(pose: Pose) -> None:
    scene = geometry(pose)
    with pytest.raises(Refusal, match="inside the volume") as refusal:
        for beam in scene.beams:
            ray_lattice(Placement.centred(SHAPE, SPACING_MM), SHAPE, scene, beam)
    assert refusal.value.code is ExitCode.GEOMETRY_INVALID
