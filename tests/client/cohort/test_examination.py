"""What an archive becomes: cases, a flow that adds up, and nothing that names a patient."""

from __future__ import annotations

import hashlib
import shutil

import numpy as np
import pytest

from client.archive import VerdictCode
from client.archive.pseudonym import site_pseudonyms
from client.cohort import build_cohort, examine
from client.cohort.case_key import code_sha256
from common.errors import ExitCode, Refusal
from common.roles import Role
from common.study import CohortSettings
from common.trust import RELEASE
from tests.client.heads import COUNT, vary


def test_an_archive_becomes_cases_with_a_flow_that_adds_up(built, study):
    cohort, _, seen = built
    assert len(cohort.train) + len(cohort.validation) == COUNT
    assert (cohort.flow.found, cohort.flow.eligible, cohort.flow.used) == (5, 4, 3)
    assert cohort.flow.excluded == {"duplicate_of_patient": 1, "not_ct": 1}
    assert sorted(verdict.code.value for verdict in cohort.verdicts) == [
        "accepted",
        "accepted",
        "accepted",
        "duplicate_of_patient",
        "not_ct",
    ]
    case = cohort.train[0].load()
    assert case.volume_hu.shape == study.grid.shape
    assert case.integrals.shape == (2, *study.geometry.detector_shape)
    assert case.volume_hu.min() == -1000
    assert case.facts.manufacturer == "siemens"
    assert [(step.done, step.total, step.accepted) for step in seen if step.total] == [(1, 3, 1), (2, 3, 2), (3, 3, 3)]
    assert seen[0].files > 0


def test_each_case_says_what_was_done_to_it_by_which_code_from_which_bytes(built):
    cohort, state, _ = built
    cases = [item.load() for item in (*cohort.train, *cohort.validation)]
    for case in cases:
        provenance = case.provenance
        assert provenance.release == RELEASE
        assert provenance.code_sha256 == code_sha256()
        assert [step.name for step in provenance.steps] == [
            "decoded",
            "padding_made_air",
            "table_removed",
            "averaged",
            "aligned",
            "resampled",
            "projected_grid",
        ]
        assert provenance.steps[0].figures == {"slices": 40, "rows": 80, "columns": 64}
        assert provenance.steps[4].figures["residual_hu"] == case.facts.residual_hu
    assert len({case.provenance.input for case in cases}) == COUNT
    # The hash of the bytes is keyed: with another secret it is another, and without one nobody can compute it.
    digests = {hashlib.sha256(path.read_bytes()).hexdigest()[:32] for path in state.rglob("*") if path.is_file()}
    assert not digests & {case.provenance.input for case in cases}


@pytest.mark.parametrize(
    ("finer", "more", "used"),
    [
        pytest.param(range(40), range(0, 40, 2), "finer", id="finer spacing wins"),
        pytest.param(range(2, 40), range(40), "more", id="at equal spacing more slices win"),
        pytest.param(range(26), range(0, 40, 2), "more", id="finer but incomplete gives way to the next"),
    ],
)
def test_the_best_usable_series_of_a_patient_is_used(head_hu, head_series, study, tmp_path, finer, more, used):
    """Finest mean spacing first, then most slices; the first of these whose content is accepted."""
    uids = {}
    for name, kept in (("finer", finer), ("more", more)):
        writer = head_series(patient_id="one")
        writer.hu, writer.origins = vary(head_hu, 1)[list(kept)], writer.origins[list(kept)]
        writer.write(tmp_path / "archive" / name)
        uids[name] = writer.series_uid
    wide = study.model_copy(update={"cohort": CohortSettings(minimum_cases=1, max_slice_mm=12.5)})
    cohort = build_cohort(tmp_path / "archive", wide, Role.TRAIN, tmp_path / "state")
    secret = site_pseudonyms(tmp_path / "state" / "site-secret")
    (accepted,) = (verdict.series for verdict in cohort.verdicts if verdict.code is VerdictCode.ACCEPTED)
    assert accepted == secret.of("series", uids[used])


def test_of_two_series_the_one_with_more_slices_is_used(built):
    cohort, _, _ = built
    duplicate = next(v for v in cohort.verdicts if v.code is VerdictCode.DUPLICATE_OF_PATIENT)
    used = next(v for v in cohort.verdicts if v.patient == duplicate.patient and v.code is VerdictCode.ACCEPTED)
    assert (used.slices, duplicate.slices) == (40, 38)


def test_nothing_written_or_shown_names_a_patient(built, heads):
    cohort, state, _ = built
    secrets = [b"SECRET", b"MRN-7741", b"19610704", *(path.name.encode() for path in heads.iterdir())]
    secrets += [b"1.2.826.0.1"]
    files = [path for path in state.rglob("*") if path.is_file()]
    assert len(files) > 6
    for path in files:
        content = path.read_bytes() + str(path.relative_to(state)).encode()
        assert not [secret for secret in secrets if secret in content]
    shown = repr(cohort.verdicts) + repr(cohort.flow)
    assert not [secret for secret in secrets if secret.decode() in shown]


def test_everything_written_is_readable_by_its_owner_alone(built):
    _, state, _ = built
    for path in [*state.rglob("*")]:
        assert path.stat().st_mode & 0o077 == 0


def test_an_archive_without_a_usable_series_is_examined_and_only_then_refused(series, study, tmp_path):
    series(tags={"Modality": "MR"}, sop_class="1.2.840.10008.5.1.4.1.1.4").write(tmp_path / "archive")
    findings = examine(tmp_path / "archive", study, tmp_path / "state")
    assert findings.cases == ()
    assert [verdict.code for verdict in findings.verdicts] == [VerdictCode.NOT_CT]
    with pytest.raises(Refusal) as refusal:
        findings.require_enough(tmp_path / "archive")
    assert refusal.value.code is ExitCode.COHORT_TOO_SMALL


def test_too_few_cases_are_refused_with_the_reasons(built, heads, study, no_building):
    _, state, _ = built
    demanding = study.model_copy(update={"cohort": CohortSettings(minimum_cases=4)})
    with pytest.raises(Refusal) as refusal:
        build_cohort(heads, demanding, Role.TRAIN, state)
    assert refusal.value.code is ExitCode.COHORT_TOO_SMALL
    assert "not_ct 1" in str(refusal.value)


def test_the_same_images_under_two_identifiers_are_one_case(head_series, study, tmp_path):
    for number in range(2):
        head_series(patient_id=f"p{number}").write(tmp_path / "archive" / str(number))
    cohort = build_cohort(tmp_path / "archive", study, Role.TRAIN, tmp_path / "state")
    assert cohort.flow.used == 1
    assert cohort.flow.excluded == {"duplicate_content": 1}


@pytest.mark.parametrize("reversed_pixels", [False, True])
def test_left_stays_left_from_dicom_to_case(head_hu, head_series, study, tmp_path, reversed_pixels):
    """A block of bone in the left frontal brain; the series is also written with rows and columns reversed."""
    marked = head_hu.copy()
    marked[26:30, 22:28, 40:46] = 1500
    writer = head_series()
    writer.hu = marked
    if reversed_pixels:
        writer.hu = marked[:, ::-1, ::-1]
        writer.orientation = (-1, 0, 0, 0, -1, 0)
        writer.origins = writer.origins + np.array([63 * 3.0, 79 * 3.0, 0])
    writer.write(tmp_path / "archive", np.random.default_rng(0).permutation(40))
    case = build_cohort(tmp_path / "archive", study, Role.TRAIN, tmp_path / "state").train[0].load()
    inside = np.zeros(study.grid.shape, bool)
    inside[16:24, 8:22, 10:22] = True
    z, y, x = (np.median(index) for index in np.nonzero(inside & (case.volume_hu > 600)))
    assert x > 17
    assert y < 14
    assert z > 16


def test_a_series_that_fails_leaves_the_others_alone(heads, head_series, study, tmp_path):
    copied = tmp_path / "archive"
    shutil.copytree(heads, copied)
    damaged = sorted((copied / "SECRETNAME2" / "s").iterdir())
    damaged[7].write_bytes(damaged[7].read_bytes()[:-500])
    cohort = build_cohort(copied, study, Role.TRAIN, tmp_path / "state")
    assert cohort.flow.used == COUNT - 1
    assert cohort.flow.excluded["unreadable"] == 1
