from __future__ import annotations

from dataclasses import replace

import numpy as np
import psutil
import pytest
from pydantic import ValidationError

from client.archive.vocabulary import vendor
from client.case.case import Case
from client.case.provenance import Provenance, Step
from common.errors import ExitCode, Refusal
from common.geometry import Grid
from common.trust import RELEASE
from tests.client.tiny_cases import FACTS as TINY_FACTS

FACTS = TINY_FACTS.model_copy(
    update={
        "manufacturer": "ge",
        "slice_mm": 4.0,
        "coverage_mm": 160.0,
        "tilt_deg": 18.5,
        "pitch_deg": -3.0,
        "residual_hu": 120.0,
    }
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


def test_cases_are_mapped_and_not_read(study, tmp_path):
    """A gibibyte of cases is open at once in a tenth of it, holds no descriptor, and is never written through."""
    big = study.model_copy(update={"grid": Grid(shape=(256, 256, 256), voxel_mm=1.0)})
    volume = np.ones(big.grid.shape, np.int16)
    path = tmp_path / "case.safetensors"
    Case("p" * 32, volume, np.ones((2, *big.geometry.detector_shape), np.float32), FACTS).save(path)
    del volume
    process = psutil.Process()
    Case.load(path, big)
    memory, descriptors = process.memory_info().rss, process.num_fds()
    cases = [Case.load(path, big) for _ in range(32)]
    assert process.memory_info().rss - memory < 128 << 20
    assert process.num_fds() == descriptors
    before = path.read_bytes()
    cases[0].volume_hu[0] = 7
    assert cases[1].volume_hu[0, 0, 0] == 1
    assert path.read_bytes() == before


def test_provenance_travels_with_the_case(case, study, tmp_path):
    steps = (Step(name="resampled", figures={"voxel_mm": 7.5}), Step(name="padding_made_air"))
    provenance = Provenance(code_sha256="c" * 64, input="e" * 32, steps=steps)
    replace(case, provenance=provenance).save(tmp_path / "case.safetensors")
    assert Case.load(tmp_path / "case.safetensors", study).provenance == provenance
    assert provenance.release == RELEASE


@pytest.mark.parametrize("text", ["MUELLER^HANS", "1.2.840.113619.2.5", "19610704", "a b", "x" * 41, ""])
def test_provenance_has_no_room_for_text_of_a_header(text):
    with pytest.raises(ValidationError):
        Step(name=text)
    with pytest.raises(ValidationError):
        Step(name="decoded", figures={text: 1.0})
    with pytest.raises(ValidationError):
        Provenance(input=text or "x")


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
