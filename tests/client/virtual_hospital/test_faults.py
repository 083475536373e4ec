"""What a virtual scanner spoils is what hospitals would have to tell apart."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset

from client.archive import VerdictCode
from client.cohort import MENDS, examine
from client.virtual_hospital import FAULTS, STYLES, Fault, write_virtual_archive
from client.virtual_hospital.faults.fault import hu_of, store_hu
from common.study import CohortSettings, Study

WRAPPED = FAULTS["metal-wrapped"]
PAGE = Path(__file__).resolve().parents[3] / "docs" / "cohort.md"
# Verdicts on what a series says against itself or hides: they stay rare, so each has an example.
EXPLAINED = (
    *("archive_in_archive", "cone_beam", "not_hu", "mixed_patients", "interleaved_scans", "values_wrapped"),
    *("orientation_contradicts", "tilt_contradicts", "positions_contradict"),
)
TWELVE_BITS, OFFSET_HU = 1 << 12, 1024


def cut_off(slices: list[Dataset]) -> list[Dataset]:
    """The same metal as a scanner stores it that cuts off at the top: unwrapped where it wrapped, then cut."""
    before = [hu_of(image) for image in slices]
    after = WRAPPED.change(slices)
    for image, hu in zip(after, before, strict=True):
        stored = np.frombuffer(image.PixelData, "<u2").reshape(hu.shape).astype(np.int32) - OFFSET_HU
        store_hu(image, np.where(np.abs(stored - np.maximum(hu, -OFFSET_HU)) > 1, TWELVE_BITS - 1 - OFFSET_HU, stored))
    return after


CUT_OFF = Fault("metal-cut-off", "the same metal, cut off at the highest value", True, cut_off)


def verdict(folder: Path, study: Study, style: str, fault: Fault) -> VerdictCode:
    write_virtual_archive(folder / "archive", patients=1, style=STYLES[style], seed=5, faults=[fault])
    limits = study.model_copy(update={"cohort": CohortSettings(minimum_cases=1)})
    (found,) = examine(folder / "archive", limits, folder / "state", workers=1).verdicts
    return found.code


@pytest.mark.parametrize("style", STYLES)
def test_metal_that_wrapped_is_told_from_metal_that_was_cut_off(
    archive_study: Study, tmp_path: Path, style: str
) -> None:
    found = [verdict(tmp_path / fault.name, archive_study, style, fault) for fault in (WRAPPED, CUT_OFF)]
    assert found == [VerdictCode.VALUES_WRAPPED, VerdictCode.ACCEPTED]


@pytest.mark.parametrize("name", ["orientation-jitters", "spacing-jitters"])
@pytest.mark.parametrize("style", [name for name, style in STYLES.items() if style.gantry_tilt_deg])
def test_geometry_that_jitters_under_a_tilted_gantry_is_a_sound_head(
    archive_study: Study, tmp_path: Path, style: str, name: str
) -> None:
    assert verdict(tmp_path, archive_study, style, FAULTS[name]) is VerdictCode.ACCEPTED


def examples() -> dict[str, list[str]]:
    """Of each verdict with an example on the page: the example, what helps, and the faults that show it."""
    page = PAGE.read_text(encoding="utf-8")
    (section,) = re.findall(r"^## What contradicts itself, by example$(.*?)^## ", page, re.MULTILINE | re.DOTALL)
    rows = re.findall(r"^\| `(\w+)` \| (.+?) \| (.+?) \| (.+?) \|$", section, re.MULTILINE)
    return {code: list(rest) for code, *rest in rows}


def test_every_verdict_on_a_contradiction_has_an_example_and_a_mend_on_the_page() -> None:
    assert tuple(examples()) == EXPLAINED
    assert all(MENDS[VerdictCode(code)] for code in EXPLAINED)


NAMED = [(name, code) for code, (*_, names) in examples().items() for name in re.findall(r"`([\w-]+)`", names)]


@pytest.mark.parametrize(("name", "code"), NAMED)
def test_a_fault_that_the_page_names_has_the_verdict_that_it_stands_beside(
    archive_study: Study, tmp_path: Path, name: str, code: str
) -> None:
    assert verdict(tmp_path, archive_study, "toshiba", FAULTS[name]) == code
