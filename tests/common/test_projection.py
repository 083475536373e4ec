import copy
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from common.errors import ExitCode, Refusal
from common.geometry import FrontalView, Geometry, Grid, LateralView
from common.projection import Projector, hu_to_mu, mu_to_hu, unfiltered_back_projection

VIEWS = [(frontal, lateral) for frontal in FrontalView for lateral in LateralView]
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


def rays(scene: Geometry) -> list[tuple[np.ndarray, np.ndarray]]:
    """Source and pixel centres of both views as LPS points (x, y, z), from the words of the conventions alone."""
    behind = scene.source_detector_mm - scene.source_patient_mm
    side = 1.0 if scene.frontal is FrontalView.PA else -1.0
    right = -1.0 if scene.lateral is LateralView.LEFT else 1.0
    rows, columns = scene.detector_shape
    frontal, lateral = np.zeros((rows, columns, 3)), np.zeros((rows, columns, 3))
    for row in range(rows):
        for column in range(columns):
            superior = (rows / 2 - row - 0.5) * scene.pixel_mm
            along = (column + 0.5 - columns / 2) * scene.pixel_mm
            frontal[row, column] = (along, -side * behind, superior)
            lateral[row, column] = (-right * behind, along, superior)
    sources = (np.array([0, side, 0]) * scene.source_patient_mm, np.array([right, 0, 0]) * scene.source_patient_mm)
    return [(sources[0], frontal), (sources[1], lateral)]


def traced(volume: np.ndarray, grid: Grid, scene: Geometry) -> np.ndarray:
    """Plain Joseph tracer: ray by ray and plane by plane, from a source point to a pixel point in three dimensions."""
    padded = np.pad(volume.transpose(2, 1, 0), 1)
    middle = (np.array(grid.shape[::-1]) + 1) / 2
    images = np.zeros((2, *scene.detector_shape))
    for view, (source, pixels) in enumerate(rays(scene)):
        axis = 1 - view
        others = [other for other in range(3) if other != axis]
        for row, column in np.ndindex(*scene.detector_shape):
            direction = pixels[row, column] - source
            for plane in range(1, padded.shape[axis] - 1):
                t = ((plane - middle[axis]) * grid.voxel_mm - source[axis]) / direction[axis]
                point = (source + t * direction) / grid.voxel_mm + middle
                low = np.floor(point).astype(int)
                for i in (0, 1):
                    for j in (0, 1):
                        cell = low.copy()
                        cell[axis] = plane
                        cell[others[0]] += i
                        cell[others[1]] += j
                        if np.all(cell >= 0) and np.all(cell < padded.shape):
                            weight = np.prod([1 - abs(point[other] - cell[other]) for other in others])
                            images[view, row, column] += weight * padded[tuple(cell)]
            images[view, row, column] *= grid.voxel_mm * np.linalg.norm(direction) / abs(direction[axis])
    return images


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
def test_sweep_equals_a_plain_ray_tracer_in_every_view(views: tuple[FrontalView, LateralView]) -> None:
    scene = geometry(views=views)
    volume = torch.rand(1, 1, *SMALL.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    expected = traced(volume[0, 0].numpy(), SMALL, scene)
    projected = Projector(SMALL, scene).double()(volume)[0].numpy()
    assert expected.max() > 50
    np.testing.assert_allclose(projected, expected, atol=2e-5 * expected.max())


def test_smooth_phantom_matches_closed_form_line_integrals() -> None:
    grid = Grid(shape=(64, 64, 64), voxel_mm=3.6)
    scene = Geometry(detector_shape=(64, 64), pixel_mm=400 / 64)
    blobs = [((20.0, -30.0, 15.0), 14.0), ((-45.0, 10.0, -20.0), 18.0), ((5.0, 50.0, 40.0), 12.0)]
    expected = np.zeros((2, 64, 64))
    for view, (source, pixels) in enumerate(rays(scene)):
        direction = (pixels - source) / np.linalg.norm(pixels - source, axis=-1, keepdims=True)
        for centre, sigma in blobs:
            miss = np.linalg.norm(np.cross(np.array(centre) - source, direction), axis=-1)
            expected[view] += sigma * math.sqrt(2 * math.pi) * np.exp(-0.5 * (miss / sigma) ** 2)
    volume = torch.stack([ball(grid, centre, sigma) for centre, sigma in blobs]).sum(0)
    error = (Projector(grid, scene)(volume)[0].numpy() - expected) / expected.max()
    assert np.sqrt(np.mean(error**2)) < 0.0015
    assert np.abs(error).max() < 0.02


def test_ellipsoid_off_centre_matches_its_chords() -> None:
    grid = Grid(shape=(64, 64, 64), voxel_mm=3.6)
    scene = Geometry(detector_shape=(64, 64), pixel_mm=400 / 64, frontal=FrontalView.AP, lateral=LateralView.RIGHT)
    centre, axes, mu = np.array([12.0, -18.0, 9.0]), np.array([60.0, 80.0, 50.0]), 0.02

    def inside(x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
        terms = [((p - c) / a) ** 2 for p, c, a in zip((x, y, z), centre, axes, strict=True)]
        return (terms[0] + terms[1] + terms[2] < 1) * mu

    projected = Projector(grid, scene)(sampled(grid, inside, finer=3))[0].numpy()
    for view, (source, pixels) in enumerate(rays(scene)):
        # In axes where the ellipsoid is the unit ball, a chord's parameter length is 2 sqrt(b² - ac) / a.
        start, direction = (source - centre) / axes, (pixels - source) / axes
        a, b, c = (direction**2).sum(-1), (direction * start).sum(-1), (start**2).sum() - 1
        chord = 2 * np.sqrt(np.maximum(b * b - a * c, 0)) / a * np.linalg.norm(pixels - source, axis=-1) * mu
        error = projected[view] - chord
        assert np.sqrt(np.mean(error**2)) < 0.01 * chord.max()
        assert abs(error.sum()) < 0.001 * chord.sum()


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-12)])
@pytest.mark.parametrize("views", VIEWS)
def test_adjoint_is_the_transpose(views: tuple[FrontalView, LateralView], dtype: torch.dtype, tolerance: float) -> None:
    grid = Grid(shape=(24, 36, 30), voxel_mm=7.0)
    projector = Projector(grid, geometry((28, 40), 11.0, views)).to(dtype)
    generator = torch.Generator().manual_seed(2)
    volumes = torch.rand(3, 1, *grid.shape, dtype=dtype, generator=generator)
    images = torch.rand(3, 2, 28, 40, dtype=dtype, generator=generator)
    forth = (projector(volumes).double() * images).sum()
    back = (projector.adjoint(images).double() * volumes).sum()
    assert abs(forth - back) <= tolerance * forth


def test_gradients_are_exact_in_both_directions() -> None:
    grid = Grid(shape=(8, 9, 10), voxel_mm=16.0)
    projector = Projector(grid, geometry((8, 9), 30.0)).double()
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
    assert (frontal, lateral) == pytest.approx((160.0, 240.0))
    slant = math.hypot(1100, 20) / 1100
    assert lengths[0, 15, 17].item() == pytest.approx(160.0 * slant)


def test_attenuation_is_linear_on_water_and_air_is_zero() -> None:
    hu = torch.tensor([-3024.0, -1024.0, -1000.0, -500.0, 0.0, 1000.0, 3071.0])
    mu = hu_to_mu(hu, 0.0192)
    torch.testing.assert_close(mu, torch.tensor([0.0, 0.0, 0.0, 0.0096, 0.0192, 0.0384, 0.0781632]))
    torch.testing.assert_close(mu_to_hu(mu, 0.0192), hu.clamp(min=-1000), rtol=1e-5, atol=1e-3)


def test_back_projection_of_a_uniform_volume_is_exact_where_a_ray_passes() -> None:
    grid = Grid(shape=(20, 20, 20), voxel_mm=10.0)
    projector = Projector(grid, geometry((40, 40), 8.0)).double()
    mu = torch.full((2, 1, *grid.shape), 0.02, dtype=torch.float64)
    torch.testing.assert_close(unfiltered_back_projection(projector, projector(mu)), mu)


def test_back_projection_averages_the_views_and_leaves_the_unseen_empty() -> None:
    grid = Grid(shape=(20, 20, 20), voxel_mm=10.0)
    projector = Projector(grid, geometry((8, 8), 10.0)).double()
    lengths = projector.path_length_mm()
    views = torch.tensor([0.01, 0.03], dtype=torch.float64).view(1, 2, 1, 1)
    mu = unfiltered_back_projection(projector, lengths * views)[0, 0]
    assert mu[10, 10, 10].item() == pytest.approx(0.02)
    assert mu[10, 2, 10].item() == pytest.approx(0.01)
    assert mu[10, 10, 2].item() == pytest.approx(0.03)
    assert mu[1, 1, 1].item() == 0.0


def test_rays_that_graze_the_grid_do_not_blow_up_its_edge() -> None:
    grid = Grid(shape=(20, 20, 20), voxel_mm=10.0)
    projector = Projector(grid, geometry((64, 64), 8.0)).double()
    beyond = torch.full((1, 2, 64, 64), 4.0, dtype=torch.float64)
    # A patient larger than the grid: no voxel may hold more than a whole ray spread over one voxel.
    assert unfiltered_back_projection(projector, beyond).max() < 4.0 / grid.voxel_mm


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_volume_that_is_not_finite_is_refused(value: float) -> None:
    projector = Projector(SMALL, geometry())
    volume = torch.zeros(1, 1, *SMALL.shape)
    assert torch.equal(projector.project_checked(volume), projector(volume))
    volume[0, 0, 3, 4, 5] = value
    with pytest.raises(Refusal) as refusal:
        projector.project_checked(volume)
    assert refusal.value.code is ExitCode.IMAGE_INVALID


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
    with pytest.raises(Refusal, match="no ray of the frontal view") as refusal:
        Projector(SMALL, geometry((8, 8), 500.0))
    assert refusal.value.code is ExitCode.GEOMETRY_INVALID
