"""The projector on a card beside nanodrr and DiffDRR, and its share of the card's memory bandwidth."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib import import_module
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.gpu.card import Card
from benchmarks.gpu.outcome import Outcome
from benchmarks.gpu.tiles import whole_tiles
from benchmarks.measure import Goal
from benchmarks.projection.accuracy import EDGE_MM, POSES, detector
from benchmarks.projection.peers.peer import DifferentiablePeer
from benchmarks.projection.phantoms import smooth_phantom, voxelised
from benchmarks.projection.scene import Scene, view_rays
from common.geometry import Grid, Pose
from common.projection import Projector

PROTOCOL = (
    "Two views, 1000 mm to the isocentre, 1500 mm to the detector, 400 mm detector; volumes and images on the card, "
    "float32. Medians with the card waited for. Bytes are the fewest: volume and images once each way; bandwidth is "
    "what a copy on the card reaches, read and written. Errors against closed forms, % of the greatest integral."
)
OURS, WHOLE = "ours (Projector)", "ours, whole tiles"
TURNED, JITTERED = "ours, turned 10 degrees", "ours, jittered"
JITTER = Pose(pitch_deg=3.0, roll_deg=-2.0, yaw_deg=4.0, translation_mm=(2.0, -1.0, 3.0))
REPEATS = 20

Method = Callable[[Tensor], Tensor]


def measure(card: Card, *, tiny: bool) -> Outcome:
    """Forward and backward at batch 1 and 4, a larger grid forward, and the peers that are installed."""
    small, large, views = (24, 32, 24) if tiny else (128, 256, 128)
    repeats = 2 if tiny else REPEATS
    peers, missing = _peers(card.device)
    bandwidth = card.copied_bytes_per_s((1 << 24) if tiny else (1 << 32))
    figures: dict[str, Any] = {"copy_bytes_per_s": bandwidth, "left_out": missing}
    for batch in (1, 4):
        table, shares = _table(card, small, views, batch, peers, bandwidth, repeats)
        figures |= {f"batch {batch}": table, f"batch {batch}, share of bandwidth": shares}
    scene = _scene(large, 64 if tiny else 256)
    volume = torch.from_numpy(scene.mu_per_mm)[None, None].to(card.device)
    figures["large forward"] = {
        name: card.median_ms(partial(_forward, method, volume), repeats)
        for name, method in _methods(scene, 1, peers, card.device).items()
    }
    fewest = (volume.numel() + 2 * scene.geometry.detector_shape[0] ** 2) * 4
    figures["large forward, share of bandwidth"] = fewest / bandwidth / (figures["large forward"][OURS] / 1e3)
    figures["sizes"] = {"voxels": small, "pixels": views, "large voxels": large}
    return Outcome(PROTOCOL, figures, _goals(figures, peers))


def _table(
    card: Card, voxels: int, pixels: int, batch: int, peers: list[DifferentiablePeer], bandwidth: float, repeats: int
) -> tuple[dict[str, dict[str, float]], dict[str, float]]:
    scene = _scene(voxels, pixels)
    exact = _exact(scene)
    volumes = torch.from_numpy(np.repeat(scene.mu_per_mm[None, None], batch, axis=0)).to(card.device)
    table: dict[str, dict[str, float]] = {}
    for name, method in _methods(scene, batch, peers, card.device).items():
        card.forget_peak()
        held = card.peak_bytes()
        forward = card.median_ms(partial(_forward, method, volumes), repeats)
        both = card.median_ms(partial(_both, method, volumes), repeats)
        error = _forward(method, volumes)[0].cpu().double().numpy() - exact
        table[name] = {
            "forward_ms": forward,
            "forward_backward_ms": both,
            "peak_bytes": card.peak_bytes() - held,
            "rmse_percent": float(np.sqrt(np.mean(error**2)) / exact.max() * 100),
        }
    fewest = batch * (voxels**3 + 2 * pixels**2) * 4
    ours = table[OURS]
    return table, {
        "forward": fewest / bandwidth / (ours["forward_ms"] / 1e3),
        "forward + backward": 2 * fewest / bandwidth / (ours["forward_backward_ms"] / 1e3),
    }


def _scene(voxels: int, pixels: int, pose: Pose | None = None) -> Scene:
    mu = voxelised(smooth_phantom(), (voxels,) * 3, (EDGE_MM / voxels,) * 3, 1)
    poses = {} if pose is None else {"frontal_pose": pose, "lateral_pose": pose}
    return Scene(mu, (EDGE_MM / voxels,) * 3, detector(pixels, **poses))


def _exact(scene: Scene) -> np.ndarray:
    phantom = smooth_phantom()
    return np.stack([phantom.integrals(view.source_mm, view.pixels_mm) for view in view_rays(scene.geometry)])


def _methods(scene: Scene, batch: int, peers: list[DifferentiablePeer], device: torch.device) -> dict[str, Method]:
    z, y, x = scene.mu_per_mm.shape
    grid = Grid(shape=(z, y, x), voxel_mm=scene.spacing_mm[0])
    turned = scene.geometry.model_copy(update={"frontal_pose": POSES[-1], "lateral_pose": POSES[-1]})
    straight, whole = (Projector(grid, scene.geometry).to(device) for _ in range(2))
    with whole_tiles():
        # Tiles are cut when they are first wanted.
        whole.path_length_mm()
        whole.adjoint(torch.zeros(1, 2, *scene.geometry.detector_shape, device=device))
    methods: dict[str, Method] = {
        OURS: straight,
        WHOLE: whole,
        TURNED: Projector(grid, turned).to(device),
        JITTERED: lambda volumes: straight.project_posed(volumes, [(JITTER, JITTER)] * len(volumes)),
    }
    return methods | {peer.name: peer.differentiable(scene, batch) for peer in peers}


def _peers(device: torch.device) -> tuple[list[DifferentiablePeer], dict[str, str]]:
    """The peers that run on the device, and why others do not."""
    peers: list[DifferentiablePeer] = []
    missing: dict[str, str] = {}
    for module, name in (("nanodrr", "NanoDRR"), ("diffdrr", "DiffDRRTrilinear")):
        try:
            kind = getattr(import_module(f"benchmarks.projection.peers.{module}"), name)
            peers.append(kind(torch.get_num_threads(), device))
        except (ImportError, AttributeError, OSError) as problem:
            missing[module] = str(problem)[:200]
    return peers, missing


def _goals(figures: dict[str, Any], peers: list[DifferentiablePeer]) -> list[Goal]:
    goals = []
    for batch in (1, 4):
        table = figures[f"batch {batch}"]
        for peer in peers:
            ratio = table[peer.name]["forward_backward_ms"] / table[OURS]["forward_backward_ms"]
            goals.append(Goal(f"batch {batch} against {peer.name} (>= 1)", f"{ratio:.1f}x", ratio >= 1))
    return goals


def _forward(method: Method, volumes: Tensor) -> Tensor:
    with torch.no_grad():
        return method(volumes)


def _both(method: Method, volumes: Tensor) -> Tensor:
    leaf = volumes.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(method(leaf).sum(), leaf)
    return gradient
