"""Every installed peer against closed-form line integrals of Gaussian blobs."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks.projection.peers import PEERS
from benchmarks.projection.peers.peer import DifferentiablePeer
from benchmarks.projection.scene import Scene, view_rays
from common.geometry import FrontalView, Geometry, LateralView, Pose
from tests import absences

pytestmark = pytest.mark.filterwarnings("ignore")

# Far off the centre along +x, +y and +z, each of another width: (x, y, z) mm, mm, per mm.
BLOBS = (((30.0, -8.0, 5.0), 7.0, 0.02), ((-9.0, 38.0, -6.0), 10.0, 0.012), ((6.0, 10.0, 33.0), 8.5, 0.016))
# flashdrr 0.6.0 shrinks the volume by (slices - 1) / slices along each axis and the path by one step in 256.
BOUNDS = {"FlashDRR": 0.02}
VIEWS = [(frontal, lateral) for frontal in FrontalView for lateral in LateralView]
OFFSETS = {"frontal_offset_mm": (14.0, -9.0), "lateral_offset_mm": (-11.0, 17.0)}
SAME_OFFSETS = {"frontal_offset_mm": (14.0, -9.0), "lateral_offset_mm": (14.0, -9.0)}


WITH_GRADIENTS = {"NanoDRR", "DiffDRRTrilinear", "DiffDRRSiddon", "FlashDRR"}
DIFFERENTIABLE = [pair for pair in PEERS if pair[1] in WITH_GRADIENTS]


def installed(module: str, name: str) -> Any:
    try:
        return getattr(import_module(f"benchmarks.projection.peers.{module}"), name)()
    except ImportError as problem:
        # What our own adapter cannot import of ours is a fault.
        if (problem.name or "").split(".")[0] in {"benchmarks", "client", "common", "server"}:
            raise
        pytest.skip(absences.PEERS)


@pytest.fixture(scope="module", params=PEERS, ids=[name for _, name in PEERS])
def peer(request: pytest.FixtureRequest) -> Any:
    return installed(*request.param)


@pytest.fixture(scope="module", params=DIFFERENTIABLE, ids=[name for _, name in DIFFERENTIABLE])
def differentiable(request: pytest.FixtureRequest) -> Any:
    return installed(*request.param)


def scene_of(geometry: Geometry, shape: tuple[int, int, int] = (64, 72, 56)) -> Scene:
    spacing = (128 / shape[0], 144 / shape[1], 112 / shape[2])
    z, y, x = ((np.arange(cells) - (cells - 1) / 2) * edge for cells, edge in zip(shape, spacing, strict=True))
    volume = np.zeros(shape)
    for (left, posterior, superior), width, height in BLOBS:
        squares = (z[:, None, None] - superior) ** 2 + (y[:, None] - posterior) ** 2 + (x - left) ** 2
        volume += height * np.exp(-squares / (2 * width**2))
    return Scene(volume.astype(np.float32), spacing, geometry)


def closed_form(geometry: Geometry) -> np.ndarray:
    views = []
    for rays in view_rays(geometry):
        along = rays.pixels_mm - rays.source_mm
        along /= np.linalg.norm(along, axis=-1, keepdims=True)
        image = np.zeros(along.shape[:2])
        for centre, width, height in BLOBS:
            distance = np.linalg.norm(np.cross(np.array(centre) - rays.source_mm, along), axis=-1)
            image += height * width * np.sqrt(2 * np.pi) * np.exp(-(distance**2) / (2 * width**2))
        views.append(image)
    return np.stack(views)


def geometry_of(frontal: FrontalView, lateral: LateralView, **offsets: tuple[float, float]) -> Geometry:
    return Geometry(detector_shape=(60, 76), pixel_mm=3.5, frontal=frontal, lateral=lateral, **offsets)


@pytest.mark.parametrize("offsets", [{}, OFFSETS, SAME_OFFSETS], ids=["centred", "offset", "same-offset"])
@pytest.mark.parametrize(("frontal", "lateral"), VIEWS)
def test_line_integrals(
    peer: Any, frontal: FrontalView, lateral: LateralView, offsets: dict[str, tuple[float, float]]
) -> None:
    geometry = geometry_of(frontal, lateral, **offsets)
    expected = closed_form(geometry)
    project = peer.projection(scene_of(geometry))
    project()
    images = project()
    assert images.dtype == np.float32
    assert images.shape == (2, 60, 76)
    error = np.sqrt(np.mean((images - expected) ** 2, axis=(1, 2))) / expected.max()
    print(type(peer).__name__, frontal, lateral, error)
    assert (error < BOUNDS.get(type(peer).__name__, 0.01)).all()


@pytest.mark.parametrize("offsets", [{}, OFFSETS], ids=["centred", "offset"])
@pytest.mark.parametrize("batch", [1, 2])
def test_the_differentiable_call_gives_the_same_images_and_gradients(
    differentiable: Any, batch: int, offsets: dict[str, tuple[float, float]]
) -> None:
    scene = scene_of(geometry_of(FrontalView.PA, LateralView.LEFT, **offsets))
    volume = torch.from_numpy(scene.mu_per_mm)[None, None]
    scales = torch.arange(1.0, batch + 1).view(-1, 1, 1, 1)
    volumes = (volume * scales[..., None]).requires_grad_()
    images = differentiable.differentiable(scene, batch)(volumes)
    assert images.shape == (batch, 2, 60, 76)
    expected = torch.from_numpy(differentiable.projection(scene)()) * scales
    torch.testing.assert_close(images.detach(), expected, rtol=1e-4, atol=1e-5)
    weights = torch.rand(images.shape, generator=torch.Generator().manual_seed(5))
    (images * weights).sum().backward()
    assert volumes.grad is not None
    # The projection is linear: <weights, P v> = <Pᵀ weights, v>.
    forward, adjoint = (images.double() * weights).sum(), (volumes.grad.double() * volumes).sum()
    torch.testing.assert_close(adjoint, forward, rtol=1e-4, atol=0.0)


def test_every_peer_with_gradients_is_among_those_that_are_asked_for_them(peer: Any) -> None:
    assert isinstance(peer, DifferentiablePeer) is (type(peer).__name__ in WITH_GRADIENTS)


def test_a_posed_patient_is_refused(peer: Any) -> None:
    geometry = Geometry(detector_shape=(60, 76), pixel_mm=3.5, frontal_pose=Pose(yaw_deg=3.0))
    with pytest.raises(NotImplementedError):
        peer.projection(scene_of(geometry))
