"""Several processes of one site, one a GPU, that train the same networks: data parallelism by averaged gradients.

Every process draws the same batches, takes its share, and moves its networks by the mean gradient of all, so that
weights and moments stay equal without being sent. Gradients go in one piece: a generator of five million parameters
has 20 MB of them, and overlapping their way with the backward pass, as DistributedDataParallel does, would not pay for
wrapping two networks that take turns in standing still.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self, final

import torch
import torch.distributed as dist
from torch import nn

from client.learning.samples import Batch
from common.errors import ExitCode, Refusal


@final
class Ranks:
    """This process among those that train together.

    Args:
        rank: from 0; rank 0 writes what is kept between rounds.
        count: number of processes.
        device: where this process computes.
    """

    def __init__(self, rank: int, count: int, device: torch.device) -> None:
        self.rank = rank
        self.count = count
        self._device = device

    @classmethod
    @contextmanager
    def joined(cls, rank: int, count: int, device: torch.device, rendezvous: Path) -> Iterator[Self]:
        """Meet the other processes for as long as the context lasts: NCCL between GPUs, Gloo between CPUs.

        Args:
            rank: this process.
            count: number of processes.
            device: this process's own.
            rendezvous: a file that does not exist yet, the same for all, readable by this user alone.
        """
        backend = "nccl" if device.type == "cuda" else "gloo"
        dist.init_process_group(backend, init_method=rendezvous.absolute().as_uri(), rank=rank, world_size=count)
        try:
            yield cls(rank, count, device)
        finally:
            dist.destroy_process_group()

    def share(self, batch: Batch) -> Batch:
        """This process's cases of a batch.

        Raises:
            Refusal: ``STUDY_INVALID`` if the batch does not divide evenly: a mean of unequal shares is another mean.
        """
        if len(batch.target) % self.count:
            what = f"batch of {len(batch.target)} on {self.count} devices"
            mend = f"choose a multiple of {self.count} in the study, or fewer devices"
            raise Refusal(ExitCode.STUDY_INVALID, what, where="optimisation.batch_size", mend=mend)
        return Batch(batch.target[self.rank :: self.count], batch.integrals[self.rank :: self.count])

    def all_agree(self, good: bool) -> bool:
        """Whether the answer is yes in every process, so that all skip a step or none."""
        vote = torch.tensor(float(good), device=self._device)
        dist.all_reduce(vote, dist.ReduceOp.MIN)
        return bool(vote.item())

    def average_gradients(self, network: nn.Module) -> None:
        """Replace every gradient by its mean over the processes."""
        gradients = [parameter.grad for parameter in network.parameters() if parameter.grad is not None]
        flat = torch.cat([gradient.reshape(-1) for gradient in gradients])
        dist.all_reduce(flat)
        flat /= self.count
        means = torch.split(flat, [gradient.numel() for gradient in gradients])
        for gradient, mean in zip(gradients, means, strict=True):
            gradient.copy_(mean.view_as(gradient))

    def wait(self) -> None:
        """Until every process has come this far."""
        self.all_agree(True)
