"""Wall time of each projector on the same work, in turns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.measure import Goal, Timing, interleaved, peak_growth_bytes
from benchmarks.projection.accuracy import EDGE_MM, POSES, detector
from benchmarks.projection.ours import WATER_MU_PER_MM, Ours, OursNative
from benchmarks.projection.peers.peer import DifferentiablePeer, Peer
from benchmarks.projection.phantoms import head_of_ellipsoids, smooth_phantom, voxelised
from benchmarks.projection.scene import Scene
from common.geometry import Grid, Pose
from common.projection import Projector

NATIVE_SHAPE = (256, 512, 512)
NATIVE_SPACING_MM = (1.0, 0.5, 0.5)
OURS, OURS_NATIVE, TURNED, JITTERED = "ours (Projector)", "ours (native)", "ours, turned 10 degrees", "ours, jittered"
FLOOR = "parallel-beam sum (floor)"
# A volume without any air is no CT; it is the worst case of a sweep that skips air.
HEAD, WORST = "head", "no air"

Table = dict[str, dict[str, Timing]]


def native_table(peers: Sequence[Peer], threads: int, *, quick: bool = False) -> Table:
    """(a): a native-resolution CT to a radiograph pair, forward only; by detector size and projector.

    Args:
        peers: who is compared.
        threads: of ours.
        quick: the head on the smaller detector alone.
    """
    table: Table = {}
    head = voxelised(head_of_ellipsoids(), NATIVE_SHAPE, NATIVE_SPACING_MM, 2)
    tissue = np.random.default_rng(0).uniform(0.018, 0.021, NATIVE_SHAPE).astype(np.float32)
    for name, mu in ((HEAD, head),) if quick else ((HEAD, head), (WORST, tissue)):
        for size in (256,) if quick else (256, 512):
            scene = Scene(mu, NATIVE_SPACING_MM, detector(size))
            methods: dict[str, Callable[[], object]] = {OURS_NATIVE: OursNative(threads).projection(scene)}
            turned = detector(size, frontal_pose=POSES[-1], lateral_pose=POSES[-1])
            methods[TURNED] = OursNative(threads).projection(Scene(mu, NATIVE_SPACING_MM, turned))
            methods[FLOOR] = partial(_parallel_sums, np.rint(mu * 1000 / WATER_MU_PER_MM).astype(np.int16))
            compared = peers if name == HEAD else [peer for peer in peers if not isinstance(peer, DifferentiablePeer)]
            methods |= {peer.name: peer.projection(scene) for peer in compared}
            table[f"{name}, 2 x {size}²"] = interleaved(methods)
    return table


def native_memory_share(threads: int) -> float:
    """Peak memory of (a) at 2 x 512² beyond what was held before, as a share of the volume's bytes."""
    mu = voxelised(head_of_ellipsoids(), NATIVE_SHAPE, NATIVE_SPACING_MM, 1)
    call = OursNative(threads).projection(Scene(mu, NATIVE_SPACING_MM, detector(512)))
    call()
    return peak_growth_bytes(call) / (2 * mu.size)


def training_table(peers: Sequence[Peer], *, quick: bool = False) -> Table:
    """(b): 128 cubed to 2 x 128², forward and forward with backward, batch 1 and 4; where it must be quick, batch 1."""
    mu = voxelised(smooth_phantom(), (128, 128, 128), (EDGE_MM / 128,) * 3, 1)
    scene = Scene(mu, (EDGE_MM / 128,) * 3, detector(128))
    table: Table = {}
    for batch in (1,) if quick else (1, 4):
        volumes = torch.from_numpy(np.repeat(mu[None, None], batch, axis=0))
        methods = _differentiable(scene, batch, peers)
        forward = {name: _forward(method, volumes) for name, method in methods.items()}
        if batch == 1:
            forward |= {peer.name: peer.projection(scene) for peer in peers if not isinstance(peer, DifferentiablePeer)}
        table[f"forward, batch {batch}"] = interleaved(forward)
        both = {name: _forward_and_backward(method, volumes) for name, method in methods.items()}
        table[f"forward + backward, batch {batch}"] = interleaved(both)
    return table


def native_goals(table: Table, memory_share: float, peers: Sequence[Peer]) -> list[Goal]:
    """What (a) must show; nothing against peers where none is installed."""
    goals = []
    for name, row in table.items():
        compared = [(row[peer.name].median_ms, peer.name) for peer in peers if peer.name in row]
        if compared:
            fastest = min(compared)
            ratio = fastest[0] / row[OURS_NATIVE].median_ms
            goals.append(Goal(f"(a) {name} against {fastest[1]} (>= 6)", f"{ratio:.1f}x", ratio >= 6))
        turned = row[TURNED].median_ms / row[OURS_NATIVE].median_ms
        goals.append(Goal(f"(a) {name} turned (<= 2)", f"{turned:.2f}x", turned <= 2))
    goals.append(Goal("(a) memory beyond the volume (<= 1)", f"{memory_share:.2f} of it", memory_share <= 1))
    return goals


def training_goals(table: Table, peers: Sequence[Peer]) -> list[Goal]:
    """What (b) must show of the batches that were timed; nothing against peers where none is installed."""
    goals = []
    names = [peer.name for peer in peers if isinstance(peer, DifferentiablePeer)]
    for batch, least in ((1, 10.0), (4, 6.0)):
        row = table.get(f"forward + backward, batch {batch}")
        if row is None:
            continue
        if names:
            fastest = min((row[name].median_ms, name) for name in names)
            ratio = fastest[0] / row[OURS].median_ms
            told = f"(b) batch {batch} against {fastest[1]} (>= {least:g})"
            goals.append(Goal(told, f"{ratio:.1f}x", ratio >= least))
        turned = row[TURNED].median_ms / row[OURS].median_ms
        goals.append(Goal(f"(b) batch {batch} turned (<= 2)", f"{turned:.2f}x", turned <= 2))
        jittered = row[JITTERED].median_ms / row[OURS].median_ms
        goals.append(Goal(f"(b) batch {batch} jittered (<= 2)", f"{jittered:.2f}x", jittered <= 2))
    return goals


def ceilings() -> dict[str, float]:
    """What this machine can do: float32 products in GFLOP/s and memory reads in GB/s."""
    square = torch.rand(1536, 1536)
    values = np.zeros(1 << 27, dtype=np.int16)
    values[:] = 1
    times = interleaved({"product": lambda: square @ square, "read": values.max})
    return {
        "product_gflops": 2 * 1536**3 / times["product"].median_ms / 1e6,
        "read_gb_per_s": values.nbytes / times["read"].median_ms / 1e6,
    }


def _differentiable(
    scene: Scene, batch: int, peers: Sequence[Peer]
) -> dict[str, Callable[[torch.Tensor], torch.Tensor]]:
    turned = detector(128, frontal_pose=POSES[-1], lateral_pose=POSES[-1])
    projector = Projector(Grid(shape=(128, 128, 128), voxel_mm=EDGE_MM / 128), scene.geometry)
    jitter = Pose(pitch_deg=3.0, roll_deg=-2.0, yaw_deg=4.0, translation_mm=(2.0, -1.0, 3.0))
    methods: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
        OURS: Ours().differentiable(scene, batch),
        TURNED: Ours().differentiable(Scene(scene.mu_per_mm, scene.spacing_mm, turned), batch),
        JITTERED: lambda volumes: projector.project_posed(volumes, [(jitter, jitter)] * len(volumes)),
    }
    for peer in peers:
        if isinstance(peer, DifferentiablePeer):
            methods[peer.name] = peer.differentiable(scene, batch)
    return methods


def _parallel_sums(volume: NDArray[np.int16]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    return volume.sum(axis=1, dtype=np.int32), volume.sum(axis=2, dtype=np.int32)


def _forward(method: Callable[[torch.Tensor], torch.Tensor], volumes: torch.Tensor) -> Callable[[], object]:
    def call() -> NDArray[np.float32]:
        with torch.no_grad():
            found: NDArray[np.float32] = method(volumes).numpy()
        return found

    return call


def _forward_and_backward(
    method: Callable[[torch.Tensor], torch.Tensor], volumes: torch.Tensor
) -> Callable[[], object]:
    def call() -> torch.Tensor:
        leaf = volumes.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(method(leaf).sum(), leaf)
        return gradient

    return call
