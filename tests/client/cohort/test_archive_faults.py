"""Series with one fault each, as archives hold them: what is wrong is refused with its verdict, what is good is taken.

They are made from the procedural head: what is accepted must come out as its sound twin does.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from client.archive import VerdictCode
from client.case import Case
from client.cohort import Findings, examine
from common.study import CohortSettings, Study

TWIN, WIDE_TWIN = "00", "30w"
REFUSED = {
    "09": {VerdictCode.MIXED_PATIENTS},
    "26": {VerdictCode.NOT_HU},
    "27": {VerdictCode.NOT_HU},
    "29": {VerdictCode.VALUES_WRAPPED},
    "44": {VerdictCode.TILT_CONTRADICTS},
    "47": {VerdictCode.TILT_CONTRADICTS},
    "48": {VerdictCode.ORIENTATION_CONTRADICTS},
    "58": {VerdictCode.POSITIONS_CONTRADICT},
}
TAKEN = dict.fromkeys(("01", "03", "04", "06", "08", "12", "39", "41", "61"), TWIN) | dict.fromkeys(
    ("30", "33", "34"), WIDE_TWIN
)
# Images that are left out of the stack, by why.
SET_ASIDE = {"03": {"mixed_orientation": 2}, "04": {"no_geometry": 1}, "06": {"copies": 40}, "08": {"copies": 40}}
CONTRAST_DENIED = ("59_contrast_word_00", "59_contrast_word_04", "59_contrast_word_06")
CONTRAST_SAID = ("60_contrast_elsewhere_0", "60_contrast_elsewhere_2")
MOST_DIFFERENCE_HU = 2.0
# Its noise, which the twin has not, is averaged with the skin.
NOISY, MOST_DIFFERENCE_WITH_NOISE_HU = "39", 12.0

Examine = Callable[..., tuple[Findings, list[Case]]]


@pytest.fixture(scope="session")
def found(archive_faults: Path, archive_study: Study, tmp_path_factory: pytest.TempPathFactory) -> Examine:
    """What a cohort build makes of a zip, whose name begins with a word; each is examined once."""
    known: dict[tuple[str, str], tuple[Findings, list[Case]]] = {}

    def look(name: str, contrast: str = "any") -> tuple[Findings, list[Case]]:
        if (name, contrast) not in known:
            (path,) = [
                one for one in archive_faults.glob("*.zip") if one.stem.startswith(f"{name}_") or one.stem == name
            ]
            folder, state = tmp_path_factory.mktemp("fault"), tmp_path_factory.mktemp("state")
            with zipfile.ZipFile(path) as archive:
                archive.extractall(folder)
            limits = CohortSettings(minimum_cases=1, contrast=contrast)
            findings = examine(folder, archive_study.model_copy(update={"cohort": limits}), state, workers=1)
            known[name, contrast] = findings, [file.load() for file in findings.cases]
        return known[name, contrast]

    return look


def verdicts(findings: Findings) -> set[VerdictCode]:
    return {verdict.code for verdict in findings.verdicts}


@pytest.mark.parametrize("name", REFUSED)
def test_what_contradicts_itself_is_refused_and_named(found: Examine, name: str) -> None:
    findings, cases = found(name)
    assert cases == []
    assert verdicts(findings) == REFUSED[name]


@pytest.mark.parametrize("name", TAKEN)
def test_what_is_only_odd_is_taken_and_comes_out_as_its_sound_twin(found: Examine, name: str) -> None:
    findings, cases = found(name)
    assert [len(cases), verdicts(findings)] == [1, {VerdictCode.ACCEPTED}]
    assert dict(findings.set_aside) == SET_ASIDE.get(name, {})
    (_, (twin,)) = found(TAKEN[name])
    assert np.abs(cases[0].volume_hu.astype(float) - twin.volume_hu).mean() <= (
        MOST_DIFFERENCE_WITH_NOISE_HU if name == NOISY else MOST_DIFFERENCE_HU
    )
    assert np.abs(cases[0].integrals - twin.integrals).mean() <= 0.01 * twin.integrals.max()


def test_patients_who_share_a_placeholder_for_an_identifier_are_each_taken(found: Examine) -> None:
    findings, cases = found("13")
    assert verdicts(findings) == {VerdictCode.ACCEPTED}
    assert len(cases) == 3
    assert len({case.pseudonym for case in cases}) == 3
    # Their heads are one but for noise: nobody can say that they are not one patient's, so they stay on one side.
    assert [len(group) for group in findings.alike()] == [3]


@pytest.mark.parametrize("name", CONTRAST_DENIED)
def test_a_word_that_denies_contrast_is_none(found: Examine, name: str) -> None:
    assert verdicts(found(name, contrast="none")[0]) == {VerdictCode.ACCEPTED}


@pytest.mark.parametrize("name", CONTRAST_SAID)
def test_contrast_is_seen_wherever_it_is_said(found: Examine, name: str) -> None:
    assert verdicts(found(name, contrast="none")[0]) == {VerdictCode.CONTRAST_ENHANCED}
