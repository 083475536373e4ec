import pytest
import torch

from common.geometry import Geometry, Grid
from common.projection import Projector, unfiltered_back_projection


def geometry(shape: tuple[int, int], pixel_mm: float) -> Geometry:
    return Geometry(source_patient_mm=700, source_detector_mm=1100, detector_shape=shape, pixel_mm=pixel_mm)


def test_back_projection_of_a_uniform_volume_is_exact_where_a_ray_passes() -> None:
    grid = Grid(shape=(20, 20, 20), voxel_mm=10.0)
    projector = Projector(grid, geometry((40, 40), 8.0)).double()
    mu = torch.full((2, 1, *grid.shape), 0.02, dtype=torch.float64)
    found = unfiltered_back_projection(projector, projector(mu))
    seen = found != 0
    assert seen.float().mean() > 0.99
    torch.testing.assert_close(found[seen], mu[seen])


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
