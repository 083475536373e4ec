"""What a virtual scanner spoils is what hospitals would have to tell apart."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset

from client.archive import VerdictCode
from client.cohort import examine
from client.virtual_hospital import FAULTS, STYLES, Fault, write_virtual_archive
from client.virtual_hospital.faults.fault import hu_of, store_hu
from common.study import CohortSettings, Study

WRAPPED = FAULTS["metal-wrapped"]
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
