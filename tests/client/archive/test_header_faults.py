"""Faults that headers alone decide, through a whole look at an archive: refused, or used as if nothing were wrong."""

from __future__ import annotations

import numpy as np
import pydicom
import pytest
from pydicom import Dataset, Sequence
from pydicom.uid import generate_uid

from client.archive.discovery import discover
from client.archive.verdict_codes import VerdictCode
from tests.client.archive.looked_through import difference_hu
from tests.client.looking import NAMES
from tests.fuzz.seeds import enhanced_ct


def coded(value):
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, "DCM", "SECRETNAME"
    return Sequence([item])


def energy(kev):
    item, inner = Dataset(), Dataset()
    inner.MonoenergeticEnergyEquivalent = kev
    item.MultienergyCTCharacteristicsSequence = Sequence([inner])
    return Sequence([item])


AXIAL = ["ORIGINAL", "PRIMARY", "AXIAL"]
REFUSED = {
    "electron density": ({"RescaleType": "ED"}, "not_hu"),
    "effective atomic number": ({"RescaleType": "Z_EFF"}, "not_hu"),
    "190 keV": ({"ImageType": [*AXIAL, "MONO_E_190"]}, "not_hu"),
    "50 keV in an attribute": ({"MultienergyCTProcessingSequence": energy(50.0)}, "not_hu"),
    "virtual non-contrast": ({"ImageType": [*AXIAL, "VNC"]}, "not_hu"),
    "contrast by route": ({"ContrastBolusRoute": "IV"}, "contrast_enhanced"),
    "contrast by rate": ({"ContrastFlowRate": "4.5"}, "contrast_enhanced"),
    "contrast by dose": ({"ContrastBolusTotalDose": "30"}, "contrast_enhanced"),
    "contrast by start": ({"ContrastBolusStartTime": "101500"}, "contrast_enhanced"),
    "contrast by concentration": ({"ContrastBolusIngredientConcentration": "350"}, "contrast_enhanced"),
    "contrast by code": ({"ContrastBolusAgentSequence": coded("C-B0322")}, "contrast_enhanced"),
    "contrast by route's code": ({"ContrastBolusAdministrationRouteSequence": coded("G-D101")}, "contrast_enhanced"),
    "denied and given": ({"ContrastBolusAgent": "NONE", "ContrastBolusVolume": "80"}, "contrast_enhanced"),
    "a reformat": ({"ImageType": ["DERIVED", "PRIMARY", "AXIAL", "CSA MPR"]}, "localizer_or_derived"),
    "a reformat by code": (
        {"ImageType": ["DERIVED", "PRIMARY", "AXIAL"], "DerivationCodeSequence": coded("113072")},
        "localizer_or_derived",
    ),
    "an average by description": (
        {"ImageType": ["DERIVED", "PRIMARY", "AXIAL"], "DerivationDescription": "Average of 5"},
        "localizer_or_derived",
    ),
    "craniofacial cone beam": (
        {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.13.1.2", "ImageType": ["DERIVED", "PRIMARY", "VOLUME"]},
        "cone_beam",
    ),
    "angiographic cone beam": ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.13.1.1", "Modality": "XA"}, "cone_beam"),
}
USED = {
    "70 keV": {"ImageType": [*AXIAL, "MONO_E_70"]},
    "70 keV in an attribute": {"MultienergyCTProcessingSequence": energy(70.0)},
    "unspecified values": {"RescaleType": "US"},
    "contrast denied in full": {
        "ContrastBolusAgent": "Ohne KM",
        "ContrastBolusVolume": "0",
        "ContrastBolusRoute": "-",
        "ContrastFlowRate": "0.0",
        "ContrastBolusStartTime": "000000",
        "ContrastBolusIngredient": "NONE",
    },
    "no agent coded": {"ContrastBolusAgentSequence": Sequence([])},
    "recompressed by code": {
        "ImageType": ["DERIVED", "SECONDARY", "AXIAL"],
        "DerivationCodeSequence": coded("113040"),
        "LossyImageCompression": "01",
        "LossyImageCompressionRatio": "7.5",
    },
    "original and secondary": {"ImageType": ["ORIGINAL", "SECONDARY", "AXIAL"]},
    "an unknown character set": {"SpecificCharacterSet": "windows-1252"},
    "a made-up character set": {"SpecificCharacterSet": "NOBODY KNOWS 7"},
    "a character set misspelt": {"SpecificCharacterSet": "ISO-IR 100"},
}


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("what", REFUSED)
def test_what_is_wrong_by_its_header_is_refused(head_series, look, tmp_path, what):
    tags, code = REFUSED[what]
    head_series(tags=tags, sop_class=tags.get("SOPClassUID", "1.2.840.10008.5.1.4.1.1.2")).write(tmp_path / "archive")
    assert look(tmp_path / "archive").codes == [code]


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("what", USED)
def test_what_is_good_in_spite_of_its_header_is_used(head_series, look, sound_hu, tmp_path, what):
    head_series(tags=USED[what]).write(tmp_path / "archive")
    found = look(tmp_path / "archive")
    assert found.codes == ["accepted"]
    assert difference_hu(found.volumes[0], sound_hu) == 0


def test_a_series_of_no_hu_is_named_whatever_strays_lie_in_it(head_series, look, tmp_path):
    head_series(
        edit=lambda dataset, index: None if index < 2 else setattr(dataset, "ImageType", [*AXIAL, "MONO_E_40"])
    ).write(tmp_path / "archive")
    assert look(tmp_path / "archive").codes == ["not_hu"]


def test_a_badly_written_volume_is_contrast_and_damages_nothing(head_series, look, tmp_path):
    for path in head_series(tags={"ContrastBolusVolume": "1234.5"}).write(tmp_path / "archive"):
        path.write_bytes(path.read_bytes().replace(b"1234.5", b"80 ML "))
    assert look(tmp_path / "archive").codes == ["contrast_enhanced"]
    assert look(tmp_path / "archive", contrast="any").codes == ["accepted"]


def each_its_own(keyword):
    def edit(dataset, index):
        setattr(dataset, keyword, generate_uid(entropy_srcs=[keyword, str(index)]))

    return edit


def both(dataset, index):
    each_its_own("SeriesInstanceUID")(dataset, index)
    each_its_own("FrameOfReferenceUID")(dataset, index)


GROUPED = {
    "a series for each slice": {"edit": each_its_own("SeriesInstanceUID")},
    "a series and a frame of reference for each slice": {"edit": both},
    "a frame of reference for each slice": {"edit": each_its_own("FrameOfReferenceUID")},
    "an empty series": {"tags": {"SeriesInstanceUID": ""}},
    "no series": {"drop": ("SeriesInstanceUID",)},
}


@pytest.mark.parametrize("how", GROUPED)
def test_slices_are_grouped_by_what_they_share(head_series, look, sound_hu, tmp_path, how):
    head_series(**GROUPED[how]).write(tmp_path / "archive")
    found = look(tmp_path / "archive")
    assert (found.codes, dict(found.set_aside)) == (["accepted"], {})
    assert difference_hu(found.volumes[0], sound_hu) == 0


def test_fragments_of_two_patients_or_studies_stay_apart(head_series, look, tmp_path):
    for number, patient in enumerate(("SECRET-1", "SECRET-2")):
        writer = head_series(patient_id=patient, edit=each_its_own("SeriesInstanceUID"))
        writer.hu = writer.hu + number
        writer.edit = lambda dataset, index, number=number: setattr(
            dataset, "SeriesInstanceUID", generate_uid(entropy_srcs=[str(number), str(index)])
        )
        writer.write(tmp_path / "archive" / str(number))
    assert look(tmp_path / "archive").codes == ["accepted", "accepted"]


def test_a_slice_that_shares_its_series_with_strays_is_found_among_scattered_ones(
    head_series, look, sound_hu, tmp_path
):
    writer = head_series(edit=each_its_own("SeriesInstanceUID"))
    paths = writer.write(tmp_path / "archive" / "a")
    for number in range(6):
        stray = pydicom.dcmread(paths[7])
        stray.SOPInstanceUID = stray.file_meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=[str(number)])
        stray.AcquisitionNumber, stray.SliceThickness = 7, "10"
        stray.PixelData = stray.PixelData[::-1]
        stray.save_as(tmp_path / "archive" / f"stray{number}")
    found = look(tmp_path / "archive")
    assert found.codes == ["accepted"]
    assert sum(found.set_aside.values()) == 6
    assert difference_hu(found.volumes[0], sound_hu) == 0


def test_a_few_short_series_are_left_as_they_are(series, tmp_path):
    for number in range(4):
        series(study_uid="1.2.3").write(tmp_path / str(number), range(2))
    assert len(discover(tmp_path, NAMES)) == 4


def test_enhanced_frames_that_hold_no_hu_are_told(look, tmp_path):
    dataset = enhanced_ct(np.zeros((64, 64), np.uint16), frames=12)
    shared = dataset.SharedFunctionalGroupsSequence[0]
    shared.PixelValueTransformationSequence[0].RescaleType = "MGML"
    (tmp_path / "archive").mkdir()
    dataset.save_as(tmp_path / "archive" / "a", enforce_file_format=True)
    assert look(tmp_path / "archive").codes == [VerdictCode.NOT_HU.value]
