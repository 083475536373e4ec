import copy
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from benchmarks.projection.phantoms import Compound, head_of_ellipsoids, smooth_phantom, voxelised
from benchmarks.projection.scene import view_rays
from common.errors import ExitCode, Refusal
from common.geometry import FrontalView, Geometry, Grid, LateralView, Pose
from common.projection import Projector

Tracer = Callable[[np.ndarray, tuple[float, float, float], Geometry], np.ndarray]

VIEWS = [(frontal, lateral) for frontal in FrontalView for lateral in LateralView]
POSES = [
    Pose(),
    Pose(pitch_deg=10),
    Pose(roll_deg=-10),
    Pose(yaw_deg=10),
    Pose(pitch_deg=-20, roll_deg=10, yaw_deg=-10, translation_mm=(6.0, -8.0, 5.0)),
]
SMALL = Grid(shape=(10, 14, 12), voxel_mm=12.0)


def geometry(
    shape: tuple[int, int] = (20, 24),
    pixel_mm: float = 14.0,
    views: tuple[FrontalView, LateralView] = VIEWS[0],
) -> Geometry:
    return Geometry(
        source_patient_mm=700,
        source_detector_mm=1100,
        detector_shape=shape,
        pixel_mm=pixel_mm,
        frontal=views[0],
        lateral=views[1],
    )


def sampled(grid: Grid, density: Callable[..., np.ndarray], finer: int = 1) -> Tensor:
    """Mean of a density (x, y, z in mm) over each voxel, (1, 1, z, y, x)."""
    z, y, x = (((np.arange(n * finer) + 0.5) / finer - n / 2) * grid.voxel_mm for n in grid.shape)
    values = density(x[None, None, :], y[None, :, None], z[:, None, None])
    parts = values.reshape(grid.shape[0], finer, grid.shape[1], finer, grid.shape[2], finer)
    return torch.from_numpy(parts.mean(axis=(1, 3, 5)))[None, None]


def ball(grid: Grid, centre: tuple[float, float, float], radius: float) -> Tensor:
    cx, cy, cz = centre
    return sampled(grid, lambda x, y, z: np.exp(-0.5 * ((x - cx) ** 2 + (y - cy) ** 2 + (z - cz) ** 2) / radius**2))


def centroid_mm(image: Tensor, scene: Geometry) -> tuple[float, float]:
    """(superior, column) centre of mass on the detector, in mm."""
    rows = torch.from_numpy(scene.row_centres_mm(scene.beams[0]))
    columns = torch.from_numpy(scene.column_centres_mm(scene.beams[0]))
    total = image.sum()
    return ((image.sum(1) @ rows) / total).item(), ((image.sum(0) @ columns) / total).item()


@pytest.mark.parametrize("views", VIEWS)
def test_sweep_equals_a_plain_ray_tracer_in_every_view(views: tuple[FrontalView, LateralView], traced: Tracer) -> None:
    scene = geometry((10, 12), 26.0, views).model_copy(
        update={
            "frontal_offset_mm": (7.0, -11.0),
            "lateral_offset_mm": (-9.0, 13.0),
            "frontal_pose": Pose(translation_mm=(3.0, -5.0, 8.0)),
        }
    )
    volume = torch.rand(1, 1, *SMALL.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    expected = traced(volume[0, 0].numpy(), (12.0, 12.0, 12.0), scene)
    projected = Projector(SMALL, scene).double()(volume)[0].numpy()
    assert expected.max() > 50
    np.testing.assert_allclose(projected, expected, atol=2e-5 * expected.max())


@pytest.mark.parametrize(
    ("phantom", "finer", "rmse", "worst"), [(smooth_phantom(), 1, 2e-4, 2e-3), (head_of_ellipsoids(), 3, 0.02, 0.25)]
)
@pytest.mark.parametrize("pose", POSES)
def test_closed_form_line_integrals_in_any_pose(
    pose: Pose, phantom: Compound, finer: int, rmse: float, worst: float
) -> None:
    scene = Geometry(
        detector_shape=(64, 72),
        pixel_mm=400 / 64,
        frontal=FrontalView.AP,
        lateral=LateralView.RIGHT,
        frontal_offset_mm=(8.0, -14.0),
        lateral_offset_mm=(-5.0, 11.0),
        frontal_pose=pose,
        lateral_pose=pose,
    )
    volume = torch.from_numpy(voxelised(phantom, (64, 64, 64), (3.6, 3.6, 3.6), finer))[None, None]
    exact = np.stack([phantom.integrals(view.source_mm, view.pixels_mm) for view in view_rays(scene)])
    error = (Projector(Grid(shape=(64, 64, 64), voxel_mm=3.6), scene)(volume)[0].numpy() - exact) / exact.max()
    assert np.sqrt(np.mean(error**2)) < rmse
    assert np.abs(error).max() < worst


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-12)])
@pytest.mark.parametrize("views", VIEWS)
def test_adjoint_is_the_transpose(views: tuple[FrontalView, LateralView], dtype: torch.dtype, tolerance: float) -> None:
    grid = Grid(shape=(24, 36, 30), voxel_mm=7.0)
    turned = geometry((28, 40), 11.0, views).model_copy(update={"lateral_pose": POSES[-1]})
    projector = Projector(grid, turned).to(dtype)
    generator = torch.Generator().manual_seed(2)
    volumes = torch.rand(3, 1, *grid.shape, dtype=dtype, generator=generator)
    images = torch.rand(3, 2, 28, 40, dtype=dtype, generator=generator)
    forth = (projector(volumes).double() * images).sum()
    back = (projector.adjoint(images).double() * volumes).sum()
    assert abs(forth - back) <= tolerance * forth


def test_gradients_are_exact_in_both_directions() -> None:
    grid = Grid(shape=(8, 9, 10), voxel_mm=16.0)
    turned = geometry((8, 9), 30.0).model_copy(update={"frontal_pose": POSES[-1]})
    projector = Projector(grid, turned).double()
    volume = torch.rand(2, 1, *grid.shape, dtype=torch.float64, requires_grad=True)
    images = torch.rand(2, 2, 8, 9, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(projector, volume, fast_mode=True)
    assert torch.autograd.gradgradcheck(projector, volume, fast_mode=True)
    assert torch.autograd.gradcheck(projector.adjoint, images, fast_mode=True)
    (gradient,) = torch.autograd.grad(projector(volume), volume, images.detach())
    torch.testing.assert_close(gradient, projector.adjoint(images.detach()), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("views", VIEWS)
def test_left_posterior_and_superior_land_where_a_radiologist_looks(views: tuple[FrontalView, LateralView]) -> None:
    grid = Grid(shape=(40, 40, 40), voxel_mm=6.0)
    scene = geometry((80, 80), 5.0, views)
    x, y, z = 50.0, 35.0, 60.0
    frontal, lateral = Projector(grid, scene).double()(ball(grid, (x, y, z), 9.0))[0]
    frontal_depth = 700 + (y if scene.frontal is FrontalView.AP else -y)
    lateral_depth = 700 + (x if scene.lateral is LateralView.LEFT else -x)
    # Left of the patient is right in the frontal image, posterior is right in the lateral, superior is up in both.
    assert centroid_mm(frontal, scene) == pytest.approx((z * 1100 / frontal_depth, x * 1100 / frontal_depth), abs=0.7)
    assert centroid_mm(lateral, scene) == pytest.approx((z * 1100 / lateral_depth, y * 1100 / lateral_depth), abs=0.7)
    assert frontal.argmax() // 80 < 40 < frontal.argmax() % 80
    assert lateral.argmax() // 80 < 40 < lateral.argmax() % 80


@pytest.mark.parametrize(
    ("views", "view", "near", "far"),
    [
        ((FrontalView.PA, LateralView.LEFT), 0, (0.0, 60.0, 0.0), (0.0, -60.0, 0.0)),
        ((FrontalView.AP, LateralView.LEFT), 0, (0.0, -60.0, 0.0), (0.0, 60.0, 0.0)),
        ((FrontalView.PA, LateralView.LEFT), 1, (-60.0, 0.0, 0.0), (60.0, 0.0, 0.0)),
        ((FrontalView.PA, LateralView.RIGHT), 1, (60.0, 0.0, 0.0), (-60.0, 0.0, 0.0)),
    ],
)
def test_side_near_the_source_is_magnified_more(
    views: tuple[FrontalView, LateralView],
    view: int,
    near: tuple[float, float, float],
    far: tuple[float, float, float],
) -> None:
    grid = Grid(shape=(40, 40, 40), voxel_mm=6.0)
    projector = Projector(grid, geometry((80, 80), 5.0, views))
    shadows = [projector(ball(grid, centre, 15.0))[0, view] for centre in (near, far)]
    sizes = [(shadow > shadow.max() / 2).sum().item() for shadow in shadows]
    assert sizes[0] / sizes[1] == pytest.approx((760 / 640) ** 2, rel=0.1)


def test_jittered_poses_are_those_of_projectors_built_for_them() -> None:
    projector = Projector(SMALL, geometry())
    volumes = torch.rand(2, 1, *SMALL.shape, requires_grad=True)
    poses = [(POSES[1], POSES[2]), (POSES[4], POSES[0])]
    jittered = projector.project_posed(volumes, poses)
    for number, (frontal, lateral) in enumerate(poses):
        own = geometry().model_copy(update={"frontal_pose": frontal, "lateral_pose": lateral})
        torch.testing.assert_close(jittered[number], Projector(SMALL, own)(volumes[number : number + 1])[0])
    (gradient,) = torch.autograd.grad(jittered.sum(), volumes)
    assert gradient[0].abs().sum() > 0
    with pytest.raises(Refusal, match="1 poses for 2 volumes"):
        projector.project_posed(volumes, poses[:1])


def test_positive_angles_turn_the_head_as_their_names_say() -> None:
    grid = Grid(shape=(40, 40, 40), voxel_mm=6.0)

    def shift_mm(pose: Pose, view: int, centre: tuple[float, float, float]) -> np.ndarray:
        places = []
        for used in (Pose(), pose):
            scene = geometry((80, 80), 5.0).model_copy(update={"frontal_pose": used, "lateral_pose": used})
            places.append(centroid_mm(Projector(grid, scene).double()(ball(grid, centre, 9.0))[0, view], scene))
        return np.array(places[1]) - np.array(places[0])

    nose, crown = (0.0, -60.0, 0.0), (0.0, 0.0, 60.0)
    assert shift_mm(Pose(pitch_deg=10), 1, nose)[0] < -10
    assert shift_mm(Pose(roll_deg=10), 0, crown)[1] > 10
    assert shift_mm(Pose(yaw_deg=10), 0, nose)[1] > 10
    assert shift_mm(Pose(translation_mm=(12.0, 0.0, 0.0)), 0, crown)[1] > 12


def test_batch_cases_do_not_mix() -> None:
    projector = Projector(SMALL, geometry())
    volumes = torch.rand(3, 1, *SMALL.shape)
    torch.testing.assert_close(projector(volumes), torch.cat([projector(v[None]) for v in volumes]))
    images = torch.rand(3, 2, 20, 24)
    torch.testing.assert_close(projector.adjoint(images), torch.cat([projector.adjoint(i[None]) for i in images]))


def test_volumes_of_any_stride_project_alike() -> None:
    projector = Projector(SMALL, geometry())
    volume = torch.rand(1, 1, *SMALL.shape)
    strided = volume.permute(0, 1, 4, 3, 2).contiguous().permute(0, 1, 4, 3, 2)
    torch.testing.assert_close(projector(strided), projector(volume))


def test_autocast_and_casts_of_the_network_keep_full_precision() -> None:
    projector = Projector(SMALL, geometry())
    volume, images = torch.rand(1, 1, *SMALL.shape), torch.rand(1, 2, 20, 24)
    expected = projector(volume), projector.adjoint(images)
    cast = copy.deepcopy(torch.nn.Sequential(projector)).bfloat16()[0]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        for module in (projector, cast):
            assert torch.equal(module(volume), expected[0])
            assert torch.equal(module.adjoint(images), expected[1])
    assert cast(volume.bfloat16()).dtype is torch.float32


def test_nothing_of_the_projector_travels() -> None:
    projector = Projector(SMALL, geometry())
    projector.lift(torch.rand(1, 2, 1, 20, 24))
    assert projector.state_dict() == {}
    assert list(projector.parameters()) == []


def test_path_length_is_the_chord_of_the_box() -> None:
    grid = Grid(shape=(16, 16, 24), voxel_mm=10.0)
    scene = geometry((31, 31), 10.0)
    lengths = Projector(grid, scene).path_length_mm()[0]
    frontal, lateral = lengths[0, 15, 15].item(), lengths[1, 15, 15].item()
    assert (frontal, lateral) == pytest.approx((160.0, 240.0), rel=1e-5)
    slant = math.hypot(1100, 20) / 1100
    assert lengths[0, 15, 17].item() == pytest.approx(160.0 * slant, rel=1e-5)


def test_other_grids_and_detectors_are_refused() -> None:
    projector = Projector(SMALL, geometry())
    for call, shape in (
        (projector, (1, *SMALL.shape)),
        (projector, (1, 2, *SMALL.shape)),
        (projector, (1, 1, 14, 10, 12)),
        (projector.adjoint, (2, 20, 24)),
        (projector.adjoint, (1, 2, 24, 20)),
        (projector.lift, (1, 2, 20, 24)),
        (projector.lift, (1, 1, 3, 20, 24)),
    ):
        with pytest.raises(Refusal) as refusal:
            call(torch.zeros(shape))
        assert refusal.value.code is ExitCode.GEOMETRY_INVALID


def test_source_inside_the_volume_or_detector_past_it_is_refused() -> None:
    with pytest.raises(Refusal, match="inside the volume"):
        Projector(Grid(shape=(128, 128, 128), voxel_mm=15.0), geometry())
    for missed in (geometry((8, 8), 500.0), geometry().model_copy(update={"frontal_offset_mm": (0.0, 900.0)})):
        with pytest.raises(Refusal, match="no ray of the frontal view") as refusal:
            Projector(SMALL, missed)
        assert refusal.value.code is ExitCode.GEOMETRY_INVALID
