"""Freed memory goes back to the system."""

from __future__ import annotations

import subprocess
import sys

FRAGMENTED = """
import sys
import numpy as np
from common.processes import return_freed_blocks

if sys.argv[1] == "returned":
    return_freed_blocks()
del (first := [np.ones(3 << 20)])[:]
blocks, kept = [], []
for _ in range(30):
    blocks.append(np.ones(1 << 20))
    kept.append(np.ones(1 << 10))
del blocks
print(int(open("/proc/self/statm").read().split()[1]) * 4096 >> 20)
"""


def resident_mib(mode: str) -> int:
    done = subprocess.run([sys.executable, "-c", FRAGMENTED, mode], check=True, stdout=subprocess.PIPE, timeout=60)
    return int(done.stdout)


def test_freed_blocks_of_some_mib_are_not_kept_between_small_ones() -> None:
    assert resident_mib("kept") - resident_mib("returned") > 150
