"""Several processes of one site, one a GPU, that train the same networks: data parallelism by averaged gradients.

Every process draws the same batches, takes its share, and moves its networks by the mean gradient of all, so that
weights and moments stay equal without being sent. Gradients go in one piece: a generator of five million parameters
has 20 MB of them, and overlapping their way with the backward pass, as DistributedDataParallel does, would not pay for
wrapping two networks that take turns in standing still.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Self, final

import torch
import torch.distributed as dist
from torch import nn

from client.learning.samples import Batch
from common.errors import ExitCode, Refusal
from common.exchange import Weights, weights_sha256

# All that meet have said that they are about to.
MEETING_SECONDS = 60.0
# The slowest step, or what rank 0 writes after a round, must fit.
ANSWER_SECONDS = 300.0
_LOOPBACK = "lo" if sys.platform == "linux" else "lo0"
# Weights must not be heard outside this machine, and NCCL must raise at its deadline instead of ending the process.
_ENVIRONMENT = {
    "GLOO_SOCKET_IFNAME": _LOOPBACK,
    "NCCL_SOCKET_IFNAME": _LOOPBACK,
    "TORCH_NCCL_BLOCKING_WAIT": "1",
}


@final
class RankLost(Exception):
    """Another process has gone, or did not come or answer in time."""


def require_even_shares(batch_size: int, count: int) -> None:
    """Refuse a batch that ``count`` processes cannot share evenly: a mean of unequal shares is another mean.

    Raises:
        Refusal: ``STUDY_INVALID``.
    """
    if batch_size % count:
        what = f"batch of {batch_size} on {count} devices"
        mend = f"choose a multiple of {count} in the study, or fewer devices"
        raise Refusal(ExitCode.STUDY_INVALID, what, where="optimisation.batch_size", mend=mend)


@final
class Ranks:
    """This process among those that train together.

    Args:
        rank: from 0; rank 0 writes what is kept between rounds.
        count: number of processes.
    """

    def __init__(self, rank: int, count: int) -> None:
        self.rank = rank
        self.count = count

    @classmethod
    @contextmanager
    def joined(
        cls, rank: int, count: int, device: torch.device, rendezvous: Path, answer_seconds: float = ANSWER_SECONDS
    ) -> Iterator[Self]:
        """Meet the other processes for as long as the context lasts: Gloo, over loopback, and NCCL between GPUs.

        Args:
            rank: this process.
            count: number of processes.
            device: this process's own.
            rendezvous: a file that does not exist yet or is empty, the same for all, readable by this user alone.
            answer_seconds: how long to wait for the others in every exchange.

        Raises:
            RankLost: if not all come; inside, from whatever needs the others.
        """
        os.environ.update(_ENVIRONMENT)
        _meet(rank, count, device, rendezvous, min(MEETING_SECONDS, answer_seconds))
        dist.distributed_c10d._set_pg_timeout(timedelta(seconds=answer_seconds))
        try:
            yield cls(rank, count)
        finally:
            dist.destroy_process_group()

    def share(self, batch: Batch) -> Batch:
        """This process's cases of a batch.

        Raises:
            Refusal: ``STUDY_INVALID`` if the batch does not divide evenly.
        """
        require_even_shares(len(batch.target), self.count)
        own = slice(self.rank, None, self.count)
        exposed = None if batch.exposed is None else batch.exposed[own]
        return Batch(batch.target[own], batch.integrals[own], exposed)

    def all_agree(self, good: bool) -> bool:
        """Whether the answer is yes in every process, so that all skip a step or none."""
        return bool(self._lowest(float(good)))

    def have_equal(self, weights: Weights) -> bool:
        """Whether every process has the same bits."""
        # A float64 holds 52 bits exactly.
        digest = float(int(weights_sha256(weights)[:13], 16))
        return self._lowest(digest) == -self._lowest(-digest)

    def average_gradients(self, network: nn.Module) -> None:
        """Replace every gradient by its mean over the processes."""
        gradients = [parameter.grad for parameter in network.parameters() if parameter.grad is not None]
        flat = torch.cat([gradient.reshape(-1) for gradient in gradients])
        # NCCL waits out its deadline for a process that has gone; Gloo notices at once.
        self.wait()
        with _needing_others():
            dist.all_reduce(flat)
        flat /= self.count
        means = torch.split(flat, [gradient.numel() for gradient in gradients])
        for gradient, mean in zip(gradients, means, strict=True):
            gradient.copy_(mean.view_as(gradient))

    def wait(self) -> None:
        """Until every process has come this far."""
        self.all_agree(True)

    def _lowest(self, value: float) -> float:
        lowest = torch.tensor(value, dtype=torch.float64)
        with _needing_others():
            dist.all_reduce(lowest, dist.ReduceOp.MIN)
        return float(lowest)


def _meet(rank: int, count: int, device: torch.device, rendezvous: Path, seconds: float) -> None:
    patience = timedelta(seconds=seconds)
    # A file's URI would be taken literally where its path has a space.
    store = dist.FileStore(str(rendezvous.absolute()), count)  # type: ignore[attr-defined]
    store.set_timeout(patience)
    backend = _backend(device, count)
    # PyTorch names a group by a count that a meeting in vain leaves behind, under which newer processes are not found.
    dist.distributed_c10d._world.group_count = 0
    with _needing_others():
        dist.init_process_group(backend, store=store, rank=rank, world_size=count, timeout=patience)


def _backend(device: torch.device, count: int) -> str:
    """Who carries gradients: NCCL between GPUs, Gloo where processes share one, which NCCL refuses."""
    if device.type != "cuda":
        return "gloo"
    return "cpu:gloo,cuda:nccl" if torch.cuda.device_count() >= count else "cpu:gloo,cuda:gloo"


@contextmanager
def _needing_others() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        raise RankLost(str(error)) from error
