"""What a machine may lack: the only reasons for which a test is left out. A run ends with a line that counts them.

The pipeline's machine lacks peers, which only the benchmarks' environment has, and the real heads and the faulty
series, which stay where they are; what else a test needs, the pipeline installs.
"""

from __future__ import annotations

from pathlib import Path

REAL_HEADS_FOLDER = Path(__file__).resolve().parents[2] / "shared" / "data" / "ct"
ARCHIVE_FAULTS_FOLDER = REAL_HEADS_FOLDER.with_name("archive_faults")

PEERS = "peers not installed"
REAL_HEADS = "real heads not in ../shared/data/ct"
ARCHIVE_FAULTS = "faulty series not in ../shared/data/archive_faults"
ORTHANC = "Orthanc not installed"
NGINX = "nginx not installed"
SMALL_DISK = "small disks not mountable by this user"
LANDLOCK = "Landlock not in this kernel"
ONEDNN = "oneDNN not in this PyTorch"
