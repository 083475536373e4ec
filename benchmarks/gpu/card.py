"""The card that figures were measured on, and a clock that waits for it."""

from __future__ import annotations

import platform
import resource
import statistics
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, final

import torch

from benchmarks.measure import processor


@final
@dataclass(frozen=True)
class Card:
    """A device with what its figures depend on.

    Attributes:
        device: where PyTorch computes.
        name: the card's, or the processor's where there is none.
        driver, cuda, cudnn: versions; None without a card.
    """

    device: torch.device
    name: str
    driver: str | None
    cuda: str | None
    cudnn: int | None

    @classmethod
    def of(cls, device: torch.device) -> Card:
        """The card behind a device."""
        if device.type != "cuda":
            return cls(device, processor(), None, None, None)
        cudnn = torch.backends.cudnn.version()  # type: ignore[no-untyped-call]
        return cls(device, torch.cuda.get_device_name(device), _driver(), torch.version.cuda, cudnn)

    def document(self) -> dict[str, Any]:
        """What a result says of the machine."""
        return {
            "card": self.name,
            "driver": self.driver,
            "cuda": self.cuda,
            "cudnn": self.cudnn,
            "torch": torch.__version__,
            "python": platform.python_version(),
            "processor": processor(),
            "threads": torch.get_num_threads(),
        }

    def wait(self) -> None:
        """Until the card has done all that it was given."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def median_ms(self, call: Callable[[], object], repeats: int, warm: int = 3) -> float:
        """Median time of a call in ms, the card waited for; the first ``warm`` calls do not count."""
        taken = []
        for turn in range(warm + repeats):
            self.wait()
            start = time.perf_counter()
            call()
            self.wait()
            if turn >= warm:
                taken.append(time.perf_counter() - start)
        return statistics.median(taken) * 1e3

    def forget_peak(self) -> None:
        """Start counting the peak of memory anew."""
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(self.device)

    def peak_bytes(self) -> int:
        """Most bytes that tensors took on the card; without a card the process's peak so far."""
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated(self.device)
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

    def copied_bytes_per_s(self, size_bytes: int) -> float:
        """Bytes read and written a second by a copy on the card."""
        source = torch.empty(size_bytes, dtype=torch.uint8, device=self.device).random_()
        target = torch.empty_like(source)
        return 2 * size_bytes / (self.median_ms(lambda: target.copy_(source), repeats=20) / 1e3)


def _driver() -> str | None:
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[0].strip()
    except (OSError, subprocess.CalledProcessError, IndexError):
        return None
