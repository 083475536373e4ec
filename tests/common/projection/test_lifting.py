import numpy as np
import pytest
import torch

from common.errors import ExitCode, Refusal
from common.geometry import FrontalView, Geometry, Grid, LateralView
from common.projection import Lifting, Projector

VIEWS = [(frontal, lateral) for frontal in FrontalView for lateral in LateralView]
GRID = Grid(shape=(9, 11, 10), voxel_mm=20.0)


def geometry(views: tuple[FrontalView, LateralView], shape: tuple[int, int] = (12, 14)) -> Geometry:
    return Geometry(
        source_patient_mm=700,
        source_detector_mm=1100,
        detector_shape=shape,
        pixel_mm=280 / shape[0],
        frontal=views[0],
        lateral=views[1],
    )


def bilinear(image: np.ndarray, row: float, column: float) -> np.ndarray:
    """Value of (C, rows, columns) at a fractional pixel, zero outside."""
    total = np.zeros(image.shape[0])
    for r in (int(np.floor(row)), int(np.floor(row)) + 1):
        for c in (int(np.floor(column)), int(np.floor(column)) + 1):
            if 0 <= r < image.shape[1] and 0 <= c < image.shape[2]:
                total += (1 - abs(row - r)) * (1 - abs(column - c)) * image[:, r, c]
    return total


def lifted_voxel_by_voxel(images: np.ndarray, scene: Geometry) -> np.ndarray:
    out = np.zeros((2, images.shape[1], *GRID.shape))
    rows, columns = scene.detector_shape
    for k, j, i in np.ndindex(*GRID.shape):
        x, y, z = ((n - (s - 1) / 2) * GRID.voxel_mm for n, s in zip((i, j, k), GRID.shape[::-1], strict=True))
        depths = (
            700 - y if scene.frontal is FrontalView.PA else 700 + y,
            700 + x if scene.lateral is LateralView.LEFT else 700 - x,
        )
        for view, (depth, along) in enumerate(zip(depths, (x, y), strict=True)):
            scale = 1100 / depth / scene.pixel_mm
            point = ((rows - 1) / 2 - z * scale, (columns - 1) / 2 + along * scale)
            out[view, :, k, j, i] = bilinear(images[view], *point)
    return out


@pytest.mark.parametrize("views", VIEWS)
def test_lifting_equals_a_plain_loop_over_voxels(views: tuple[FrontalView, LateralView]) -> None:
    scene = geometry(views)
    features = torch.rand(2, 2, 3, 12, 14, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    lifted = Lifting(GRID, scene).double()(features)
    assert lifted.shape == (2, 2, 3, *GRID.shape)
    for case in range(2):
        expected = lifted_voxel_by_voxel(features[case].numpy(), scene)
        np.testing.assert_allclose(lifted[case].numpy(), expected, atol=1e-5)
        assert (expected == 0).any(), "some voxels must lie outside the detector, to test that they are zero"


@pytest.mark.parametrize("views", VIEWS)
def test_projection_of_a_point_lifts_back_through_that_point(views: tuple[FrontalView, LateralView]) -> None:
    grid = Grid(shape=(32, 32, 32), voxel_mm=6.0)
    projector = Projector(grid, geometry(views, (64, 64)))
    z, y, x = 24, 11, 20
    volume = torch.zeros(1, 1, *grid.shape)
    volume[..., z, y, x] = 1.0
    frontal, lateral = projector.lift(projector(volume).unsqueeze(2))[0, :, 0]
    assert frontal[:, y, :].argmax() == z * 32 + x
    assert lateral[:, :, x].argmax() == z * 32 + y
    both = frontal * lateral
    assert both.argmax() == (z * 32 + y) * 32 + x


def test_lifting_keeps_full_precision_and_has_no_state() -> None:
    lifting = Lifting(GRID, geometry(VIEWS[0]))
    features = torch.rand(1, 2, 3, 12, 14).bfloat16().float()
    expected = lifting(features)
    lifting.bfloat16()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(lifting(features.bfloat16()), expected)
    assert lifting.state_dict() == {}
    assert list(lifting.parameters()) == []


def test_gradient_reaches_the_features() -> None:
    lifting = Lifting(GRID, geometry(VIEWS[1])).double()
    features = torch.rand(1, 2, 2, 12, 14, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lifting, features, fast_mode=True)


def test_coarser_levels_lift_the_same_picture() -> None:
    grid, scene = Grid(shape=(32, 32, 32), voxel_mm=6.0), geometry(VIEWS[0], (64, 64))
    ramp = torch.linspace(0, 1, 64).view(64, 1) + torch.linspace(0, 3, 64)
    pictures = torch.stack([ramp, torch.ones(64, 64)]).expand(1, 2, 2, 64, 64)
    halved = torch.nn.functional.avg_pool2d(pictures[0], 2)[None]
    fine = torch.nn.functional.avg_pool3d(Lifting(grid, scene)(pictures)[0], 2)
    coarse = Lifting(grid.coarser(2), scene.coarser(2))(halved)[0]
    inside = (fine[:, 1] == 1) & (coarse[:, 1] == 1)
    assert inside.float().mean() > 0.5
    torch.testing.assert_close(coarse[:, 0][inside], fine[:, 0][inside], atol=5e-3, rtol=0)


def test_other_features_and_sources_inside_are_refused() -> None:
    lifting = Lifting(GRID, geometry(VIEWS[0]))
    for shape in ((2, 3, 12, 14), (1, 1, 3, 12, 14), (1, 2, 3, 14, 12)):
        with pytest.raises(Refusal) as refusal:
            lifting(torch.zeros(shape))
        assert refusal.value.code is ExitCode.GEOMETRY_INVALID
    with pytest.raises(Refusal, match="inside the volume"):
        Lifting(Grid(shape=(64, 64, 64), voxel_mm=30.0), geometry(VIEWS[0]))
