"""What a card would be asked to do in a training step, counted on PyTorch's meta device: no card, no value.

A small operation takes a card less time than it takes Python to ask for it, so their number bounds a step from below;
and every value that Python reads back waits for all that was asked before.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, final
from unittest import mock

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from benchmarks.gpu.outcome import Outcome
from benchmarks.gpu.studies import shipped
from benchmarks.gpu.tiles import whole_tiles
from client.learning import Batch, Players, Widener
from client.learning import players as adversary
from common.networks import build_generator
from common.projection import Projector
from common.study import Study

META = torch.device("meta")
# PyTorch says of these that they have no deterministic implementation on a card (torch.use_deterministic_algorithms).
UNORDERED = {
    "aten.grid_sampler_2d_backward.default": "gradient of grid_sample",
    "aten.grid_sampler_3d_backward.default": "gradient of grid_sample",
    "aten.avg_pool3d_backward.default": "gradient of avg_pool3d",
    "aten.upsample_trilinear3d_backward.default": "gradient of a trilinear interpolation",
    "aten.upsample_bilinear2d_backward.default": "gradient of a bilinear interpolation",
}
_NOTHING = {"view", "_unsafe_view", "expand", "permute", "transpose", "t", "slice", "select", "unsqueeze", "squeeze"}
_NOTHING |= {"detach", "alias", "as_strided", "split", "split_with_sizes", "unbind", "empty", "empty_like", "new_empty"}


PROTOCOL = (
    "configs/cranial-drr-128.toml, batch of two, both players stepping, every widening but those drawn in space; "
    "operations that start a kernel on a card, counted on PyTorch's meta device, and values that Python reads back."
)


def measure(*, tiny: bool) -> Outcome:
    """The step as it is, and with projectors of whole tiles. Needs no card."""
    study = still(shipped(tiny=tiny, widened=True))
    figures: dict[str, Any] = {"as it is": counted(study)}
    with whole_tiles():
        figures["whole tiles"] = counted(study)
    return Outcome(PROTOCOL, figures)


def still(study: Study) -> Study:
    """The study without the two strengths that draw in space: the meta device draws nothing."""
    strengths = study.widening.model_copy(update={"brain_hu": 0.0, "noise_hu": 0.0})
    return study.model_copy(update={"widening": strengths})


@final
class Operations(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts operations on the meta device that would start a kernel on a card, and refuses mixtures of devices.

    Attributes:
        asked: how often each was asked for.
        read: values that were read back.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.asked: Counter[str] = Counter()
        self.read = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # noqa: ANN401
        """See :class:`TorchDispatchMode`."""
        tensors = [leaf for leaf in tree_leaves((args, kwargs or {})) if isinstance(leaf, Tensor)]
        # A number in a tensor without axes may lie anywhere.
        devices = {tensor.device.type for tensor in tensors if tensor.ndim}
        packet = func.overloadpacket.__name__
        if len(devices) > 1 and "copy" not in packet:
            raise RuntimeError(f"{func} takes tensors on {' and '.join(sorted(devices))}")
        if any(tensor.device == META for tensor in tensors) and packet not in _NOTHING:
            self.asked[str(func)] += 1
        return func(*args, **(kwargs or {}))


@contextlib.contextmanager
def counting() -> Iterator[Operations]:
    """Count what happens inside; a value that is read back is zero, or finite."""
    operations = Operations()

    def read(*_: object) -> float:
        operations.read += 1
        return 0.0

    def finite(*values: Tensor) -> bool:
        operations.asked["isfinite, all"] += 2 * len(values)
        return read() == 0.0

    nothing = mock.patch.object(torch, "autocast", lambda *_, **__: contextlib.nullcontext())
    checked = mock.patch.object(adversary, "all_finite", finite)
    with nothing, checked, mock.patch.object(adversary, "float", read, create=True), operations:
        yield operations


def counted(study: Study) -> dict[str, dict[str, Any]]:
    """Operations of a step of both players and of its parts, and the operations whose order a card does not fix."""
    batch, (rows, columns) = study.optimisation.batch_size, study.geometry.detector_shape
    volumes = torch.zeros(batch, 1, *study.grid.shape)
    pairs = torch.zeros(batch, 2, rows, columns)
    players, projector = Players(study, META), Projector(study.grid, study.geometry).to(META)
    widener, random = Widener(study, META), torch.Generator().manual_seed(1)
    generator = build_generator(study).to(META)
    on_meta = volumes.to(META), pairs.to(META)
    parts: dict[str, Callable[[], object]] = {
        "step": lambda: players.step(Batch(volumes, pairs), 0),
        "projection": lambda: projector(on_meta[0]),
        "back-projection": lambda: projector.adjoint(on_meta[1]),
        "network alone": lambda: generator.draw(on_meta[1]),
        "generator's optimiser": lambda: players.optimiser_g.step(),
        "sample, widened": lambda: widener.widened(volumes, widener.draw(batch, random)),
    }
    found: dict[str, dict[str, Any]] = {}
    for name, part in parts.items():
        with _own_generator_on_cpu(), counting() as operations:
            part()
        found[name] = {
            "operations": sum(operations.asked.values()),
            "values_read": operations.read,
            "unordered": sorted({UNORDERED[asked] for asked in operations.asked if asked in UNORDERED}),
        }
    return found


@contextlib.contextmanager
def _own_generator_on_cpu() -> Iterator[None]:
    """The meta device has no source of random numbers."""
    of_cpu = torch.Generator
    with mock.patch.object(torch, "Generator", lambda *_: of_cpu()):
        yield
