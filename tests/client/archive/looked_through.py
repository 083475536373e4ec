"""An archive looked through by a study that takes heads without contrast: verdicts, and volumes of the cases."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from client.cohort import Findings, examine
from common.study import CohortSettings, Study

# Mean absolute difference, HU, of cases that show the same scan.
SAME_HU = 2.0


@dataclass(frozen=True)
class Looked:
    """What an archive holds."""

    findings: Findings
    volumes: tuple[NDArray[np.int16], ...]

    @property
    def codes(self) -> list[str]:
        return sorted(verdict.code.value for verdict in self.findings.verdicts)

    @property
    def set_aside(self) -> Mapping[str, int]:
        return self.findings.set_aside


Look = Callable[[Path], Looked]


def looked(archive: Path, study: Study, state: Path, **limits: Any) -> Looked:
    chosen: dict[str, Any] = {"minimum_cases": 1, "contrast": "none"}
    study = study.model_copy(update={"cohort": CohortSettings(**(chosen | limits))})
    findings = examine(archive, study, state, workers=1)
    return Looked(findings, tuple(case.load().volume_hu for case in findings.cases))


def difference_hu(first: NDArray[np.int16], second: NDArray[np.int16]) -> float:
    return float(np.abs(first.astype(float) - second).mean())
