"""Series with one fault each, of the kinds that people report: each gets its verdict, or comes out as its twin."""

from __future__ import annotations

import zipfile

import pytest

from tests.client.archive.looked_through import SAME_HU, difference_hu, looked

# Verdicts of the series, and images set aside.
FAULTS = {
    "01_derived_primary_axial": (["accepted"], {}),
    "03_scout_in_series_no_word": (["accepted"], {"mixed_orientation": 2}),
    "04_dose_page_in_series": (["accepted"], {"no_geometry": 1}),
    "06_same_objects_twice_other_header": (["accepted"], {"copies": 40}),
    "08_same_objects_twice_new_uids": (["accepted"], {"copies": 40}),
    "09_two_patients_one_series_uid": (["mixed_patients"], {}),
    "12_numbers_restart_per_block": (["accepted"], {}),
    "13_all_patients_anonymous": (["accepted"] * 3, {}),
    "26_rescale_type_mgml_iodine": (["not_hu"], {}),
    "27_monoenergetic_40kev": (["not_hu"], {}),
    "41_orientation_jitter_1e-3": (["accepted"], {}),
    "59_contrast_word_00": (["accepted"], {}),
    "59_contrast_word_04": (["accepted"], {}),
    "59_contrast_word_06": (["accepted"], {}),
    "60_contrast_elsewhere_0": (["contrast_enhanced"], {}),
    "60_contrast_elsewhere_2": (["contrast_enhanced"], {}),
    "61_unknown_charset_ascii": (["accepted"], {}),
}
# Written with pixels of 6 mm: a head, but not the twin's voxels.
COARSE = {name for name in FAULTS if name.startswith("59_")}


@pytest.fixture(scope="module")
def twin_hu(archive_faults, study, tmp_path_factory):
    folder = tmp_path_factory.mktemp("twin")
    with zipfile.ZipFile(archive_faults / "00_sound_twin.zip") as packed:
        packed.extractall(folder / "archive")
    (volume,) = looked(folder / "archive", study, folder / "state").volumes
    return volume


@pytest.mark.parametrize("name", FAULTS)
def test_each_fault_gets_its_verdict_or_comes_out_as_its_twin(archive_faults, look, twin_hu, tmp_path, name):
    with zipfile.ZipFile(archive_faults / f"{name}.zip") as packed:
        packed.extractall(tmp_path / "archive")
    found = look(tmp_path / "archive")
    codes, set_aside = FAULTS[name]
    assert (found.codes, dict(found.set_aside)) == (codes, set_aside)
    if name not in COARSE:
        assert all(difference_hu(volume, twin_hu) <= SAME_HU for volume in found.volumes)
