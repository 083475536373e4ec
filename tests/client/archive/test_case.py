from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from client.archive.case import Case, CaseFacts, vendor
from common.errors import ExitCode, Refusal

FACTS = CaseFacts(
    manufacturer="ge",
    kvp=None,
    slices=40,
    slice_mm=4.0,
    pixel_mm=0.5,
    coverage_mm=160.0,
    tilt_deg=18.5,
    pitch_deg=-3.0,
    residual_hu=120.0,
    cut_share=0.0,
    least_step_mm=4.0,
    greatest_step_mm=4.0,
    turn_deg=3.0,
    air_hu=-1005.0,
    brain_median_hu=34.0,
    bone_hu=1500.0,
    brain_seen_share=1.0,
)


@pytest.fixture
def case(study) -> Case:
    rng = np.random.default_rng(0)
    volume = rng.integers(-1000, 3000, study.grid.shape).astype(np.int16)
    return Case("p" * 32, volume, rng.random((2, *study.geometry.detector_shape)).astype(np.float32), FACTS)


def test_a_case_comes_back_as_it_was_saved(case, study, tmp_path):
    path = tmp_path / "case.safetensors"
    case.save(path)
    loaded = Case.load(path, study)
    assert np.array_equal(loaded.volume_hu, case.volume_hu)
    assert np.array_equal(loaded.integrals, case.integrals)
    assert (loaded.pseudonym, loaded.facts) == (case.pseudonym, case.facts)
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("damage", ["missing", "truncated", "noise", "another grid", "another type"])
def test_a_damaged_or_foreign_case_is_refused(case, study, tmp_path, damage):
    path = tmp_path / "case.safetensors"
    if damage == "another grid":
        replace(case, volume_hu=case.volume_hu[:16]).save(path)
    elif damage == "another type":
        replace(case, volume_hu=case.volume_hu.astype(np.float32)).save(path)
    elif damage != "missing":
        case.save(path)
        path.write_bytes(path.read_bytes()[:-100] if damage == "truncated" else b"\xff" * 500)
    with pytest.raises(Refusal) as refusal:
        Case.load(path, study)
    assert refusal.value.code is ExitCode.IMAGE_INVALID


@pytest.mark.parametrize(
    ("manufacturer", "expected"),
    [
        ("SIEMENS", "siemens"),
        ("Siemens Healthineers", "siemens"),
        ("GE MEDICAL SYSTEMS", "ge"),
        ("TOSHIBA", "canon"),
        ("CANON_MEC", "canon"),
        ("Philips", "philips"),
        ("Dr. Jane Doe's scanner", "other"),
        ("", "other"),
    ],
)
def test_manufacturers_become_vendors_of_a_fixed_list(manufacturer, expected):
    assert vendor(manufacturer) == expected
