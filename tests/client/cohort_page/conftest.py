"""Cases made of plain shapes, and what an archive that holds them would say."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from client.archive import VerdictCode
from client.case import Case, CaseFacts, Provenance, Step
from client.cohort import FigureTable, Findings, SeriesVerdict, figure_table
from client.cohort.examination import CaseFile
from common.exchange import CohortFlow
from common.geometry import Geometry, Grid
from common.study import Study

USUAL = {
    "manufacturer": "ge",
    "kvp": 120.0,
    "slices": 40,
    "slice_mm": 4.0,
    "least_step_mm": 4.0,
    "greatest_step_mm": 4.0,
    "pixel_mm": 0.5,
    "coverage_mm": 160.0,
    "tilt_deg": 0.0,
    "stated_tilt_deg": 0.0,
    "pitch_deg": -3.0,
    "turn_deg": 4.0,
    "residual_hu": 90.0,
    "orientation_margin": 0.3,
    "skull_share": 0.98,
    "brain_seen_share": 1.0,
    "brain_like_share": 0.98,
    "cut_share": 0.0,
    "shear_deg": 0.5,
    "slant_deg": -0.2,
    "step_back_mm": 0.4,
    "step_left_mm": 0.2,
    "unseen_share": 0.0,
    "alternation": 0.6,
    "wrapped_share": 0.0,
    "air_hu": -1005.0,
    "brain_median_hu": 33.0,
    "bone_hu": 1300.0,
}


@pytest.fixture
def facts() -> Callable[..., CaseFacts]:
    """Facts of a usual head, with what a test changes."""
    return lambda **changes: CaseFacts.model_validate({**USUAL, **changes})


@pytest.fixture
def table(study: Study) -> Callable[[list[CaseFacts]], FigureTable]:
    """The figures of cases with these facts."""

    def make(facts: list[CaseFacts]) -> FigureTable:
        volume, pair = np.full(study.grid.shape, -1000, np.int16), np.zeros((2, 1, 1), np.float32)
        cases = [Case(f"{number:032x}", volume, pair, one) for number, one in enumerate(facts)]
        files = tuple(CaseFile(Path("unused"), case.pseudonym, study) for case in cases)
        flow = CohortFlow(found=len(cases), eligible=len(cases), used=len(cases), excluded={})
        return figure_table(Findings(study, files, flow, ()), cases)

    return make


@pytest.fixture
def study() -> Study:
    return Study(
        name="page-test",
        grid=Grid(shape=(12, 16, 20), voxel_mm=4.0),
        geometry=Geometry(detector_shape=(24, 32), pixel_mm=8.0),
    )


@pytest.fixture
def case(facts: Callable[..., CaseFacts], study: Study) -> Callable[..., Case]:
    """A case of air, with what a test changes; ``number`` names it."""

    def make(number: int = 0, volume_hu: Any = None, **changes: Any) -> Case:
        volume = np.full(study.grid.shape, -1000, np.int16) if volume_hu is None else volume_hu
        provenance = Provenance(code_sha256="c" * 64, input="e" * 32, steps=(Step(name="decoded"),))
        pair = np.zeros((2, *study.geometry.detector_shape), np.float32)
        return Case(hashlib.md5(f"p{number}".encode()).hexdigest(), volume, pair, facts(**changes), provenance)

    return make


@pytest.fixture
def findings(study: Study) -> Callable[..., Findings]:
    """What an archive with these cases and some excluded series holds."""

    def make(cases: list[Case], *excluded: VerdictCode) -> Findings:
        accepted = [
            SeriesVerdict(hashlib.md5(case.pseudonym.encode()).hexdigest(), case.pseudonym, VerdictCode.ACCEPTED, 40)
            for case in cases
        ]
        refused = [
            SeriesVerdict(f"{number:032x}", f"{number + 99:032x}", code, 12) for number, code in enumerate(excluded)
        ]
        counts = {code.value: excluded.count(code) for code in excluded}
        total = len(accepted) + len(refused)
        flow = CohortFlow(found=total, eligible=len(cases), used=len(cases), excluded=counts)
        files = tuple(CaseFile(Path("unused"), case.pseudonym, study) for case in cases)
        return Findings(study, files, flow, (*accepted, *refused))

    return make
