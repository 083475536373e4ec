"""One further device of a site in one round: ``python -m client.learning.crew.member_process FOLDER RANK PARENT``.

It reads its order, the case files and what the run kept, and writes into the round's folder alone.
"""

from __future__ import annotations

import os
import resource
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from client.case import Case
from client.learning.crew.members import LOST_ANOTHER
from client.learning.crew.order import Complaint, CrewOrder, say_ready
from client.learning.crew.shared_round import train_together
from client.learning.ranks import RankLost
from common.errors import ExitCode, Refusal
from common.processes import die_with, return_freed_blocks


def main(arguments: Sequence[str]) -> int:
    """Train a round with the others.

    Args:
        arguments: the round's folder, this process's rank, the parent's process id.

    Returns:
        The exit status.
    """
    folder, rank, parent = Path(arguments[0]), int(arguments[1]), int(arguments[2])
    die_with(parent)
    return_freed_blocks()
    os.umask(0o077)
    # A core file would hold images.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        _train(folder, rank)
    except RankLost:
        return LOST_ANOTHER
    except Refusal as refusal:
        Complaint.of(refusal).write(folder, rank)
        return int(refusal.code)
    except Exception as error:
        # The name alone: a message could quote an image's values.
        what, where = f"{type(error).__name__} in a device's process", f"device {rank + 1}"
        mend = "free memory of this device, or lower devices"
        Complaint(code=ExitCode.CHILD_FAILED, what=what, where=where, mend=mend).write(folder, rank)
        raise
    return int(ExitCode.OK)


def _train(folder: Path, rank: int) -> None:
    order, weights = CrewOrder.read(folder)
    torch.set_num_threads(order.threads)
    if order.device == "cuda":
        torch.cuda.set_device(order.device_of(rank))
    cases = [Case.load(path, order.study) for path in order.cases]
    say_ready(folder, rank)
    train_together(order, rank, folder, cases, weights["generator"], weights.get("discriminator"))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
