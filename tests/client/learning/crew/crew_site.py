"""A site with two devices as a process of its own: ``crew_site.py FOLDER``, with case files and a study in FOLDER.

It trains a round, says its children's process ids after the first step, and goes no further.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import psutil
import torch

from client.cohort import CaseFile
from client.learning import Crew, StepProgress
from common.exchange import weights_of
from common.networks import build_discriminator, build_generator
from common.study import Study


def train(folder: Path) -> None:
    torch.set_num_threads(1)
    study = Study.model_validate_json((folder / "study.json").read_text())
    cases = [CaseFile(path, path.stem, study) for path in sorted(folder.glob("*.safetensors"))]

    def say(_: StepProgress) -> None:
        print(*(child.pid for child in psutil.Process().children(recursive=True)), flush=True)
        time.sleep(200)

    crew = Crew(study, cases, folder / "run", torch.device("cpu"), 2)
    crew.train_round(1, weights_of(build_generator(study)), weights_of(build_discriminator(study)), say)


if __name__ == "__main__":
    train(Path(sys.argv[1]))
