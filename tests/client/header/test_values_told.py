"""What a header says its values are: HU or not, scanned or computed, and whose."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from client.header.derivation import is_computed
from client.header.hounsfield import holds_hu
from client.header.placeholders import names_nobody

AXIAL = ("ORIGINAL", "PRIMARY", "AXIAL")
HU = {
    "nothing said": ("", AXIAL, ()),
    "HU": ("HU", AXIAL, ()),
    "unspecified": ("US", (*AXIAL, "CT_SOM5 SPI"), ()),
    "70 keV in a word": ("HU", (*AXIAL, "MONO_E_70"), ()),
    "70 keV beside a word": ("", (*AXIAL, "MONO 70KEV"), ()),
    "70 keV in its own attribute": ("HU", (*AXIAL, "VMI"), (70.0,)),
    "a single tube of two": ("HU", (*AXIAL, "CT_SOM7 SPI DUAL", "STD"), ()),
}
NO_HU = {
    "mg/ml": ("MGML", AXIAL, ()),
    "electron density": ("ED", AXIAL, ()),
    "effective number": ("Z_EFF", AXIAL, ()),
    "modified HU": ("HU_MOD", AXIAL, ()),
    "percent": ("PCT", AXIAL, ()),
    "anything else": ("SECRETNAME", AXIAL, ()),
    "40 keV": ("HU", (*AXIAL, "MONO_E_40"), ()),
    "190 keV": ("HU", (*AXIAL, "MONO_E_190"), ()),
    "an energy that is not said": ("HU", (*AXIAL, "VMI"), ()),
    "50 keV in its own attribute": ("HU", AXIAL, (50.0,)),
    "two energies": ("HU", (*AXIAL, "MONO_E_70"), (40.0,)),
    "virtual non-contrast": ("HU", (*AXIAL, "VNC"), ()),
    "virtual unenhanced": ("", ("DERIVED", "PRIMARY", "AXIAL", "VUE"), ()),
    "an iodine map": ("", (*AXIAL, "IODINE_MAP"), ()),
    "water without iodine": ("", (*AXIAL, "WATER(IODINE)"), ()),
    "a material": ("", (*AXIAL, "MAT_SPECIFIC"), ()),
    "a material taken away": ("HU", (*AXIAL, "MAT_REMOVED"), ()),
    "effective number by word": ("", (*AXIAL, "EFF_ATOMIC_NUM"), ()),
    "Z_EFF by word": ("", (*AXIAL, "Z_EFF"), ()),
}


@pytest.mark.parametrize("told", HU)
def test_values_that_are_hu_or_may_be_are_taken(told):
    assert holds_hu(*HU[told])


@pytest.mark.parametrize("told", NO_HU)
def test_values_that_are_none_are_told(told):
    assert not holds_hu(*NO_HU[told])


@given(st.floats(20, 300))
def test_monoenergetic_values_are_hu_from_65_to_75_kev(energy):
    assert holds_hu("", (*AXIAL, "VMI"), [energy]) == (65 <= energy <= 75)


SCANNED = {
    "an original": (AXIAL, {}),
    "recompressed with loss": (("DERIVED", "PRIMARY", "AXIAL"), {"lossy": True}),
    "recompressed, no more said": (("DERIVED", "PRIMARY", "AXIAL"), {}),
    "by code": (("DERIVED", "SECONDARY", "AXIAL"), {"codes": ("113040",)}),
    "secondary and lossy": (("DERIVED", "SECONDARY", "AXIAL"), {"lossy": True, "ratio": 8.0}),
    "secondary": (("ORIGINAL", "SECONDARY", "AXIAL"), {}),
    "described": (("DERIVED", "PRIMARY", "AXIAL"), {"lossy": True, "description": ("LOSSY COMPRESSION JPEG 2000",)}),
    "a volume": (("ORIGINAL", "PRIMARY", "VOLUME", "NONE"), {}),
    "an unknown kind": (("ORIGINAL", "PRIMARY", "OTHER"), {}),
}
COMPUTED = {
    "a reformat": (("DERIVED", "SECONDARY", "MPR"), {}),
    "a reformat that is axial": (("DERIVED", "PRIMARY", "AXIAL", "CT_SOM5 MPR"), {"lossy": True}),
    "a reformat that calls itself original": (("ORIGINAL", "PRIMARY", "AXIAL", "MPR"), {}),
    "a projection": (("DERIVED", "PRIMARY", "AXIAL", "MIP"), {"lossy": True}),
    "an average": (("DERIVED", "SECONDARY", "REFORMATTED", "AVERAGE"), {}),
    "CSA": (("DERIVED", "PRIMARY", "AXIAL", "CSA RESAMPLED"), {}),
    "secondary, no more said": (("DERIVED", "SECONDARY", "AXIAL"), {}),
    "by code": (("DERIVED", "PRIMARY", "AXIAL"), {"codes": ("113072",)}),
    "by code, and compressed": (("DERIVED", "PRIMARY", "AXIAL"), {"lossy": True, "codes": ("113040", "113072")}),
    "described": (("DERIVED", "PRIMARY", "AXIAL"), {"lossy": True, "description": ("CURVED MPR, 5 MM",)}),
    "compressed beyond use": (("DERIVED", "PRIMARY", "AXIAL"), {"lossy": True, "ratio": 30.0}),
    "coronal": (("DERIVED", "PRIMARY", "CORONAL"), {"lossy": True}),
    "a map": (("DERIVED", "PRIMARY", "PERFUSION", "RCBF"), {}),
    "a capture": (("ORIGINAL", "SECONDARY"), {}),
    "nothing but derived": (("DERIVED",), {}),
}


@pytest.mark.parametrize("told", SCANNED)
def test_originals_and_what_was_only_compressed_again_are_scanned(told):
    image_type, more = SCANNED[told]
    assert not is_computed(image_type, **more)


@pytest.mark.parametrize("told", COMPUTED)
def test_reformats_projections_and_maps_are_computed(told):
    image_type, more = COMPUTED[told]
    assert is_computed(image_type, **more)


NOBODY = [
    "ANONYMOUS",
    "anonymous",
    "Anon",
    "ANONYMIZED^PATIENT",
    "UNKNOWN",
    "0",
    "000000",
    "X",
    "XXXX",
    "xxxxxxxx",
    "-",
]
NOBODY += [
    "DEIDENTIFIED",
    "DE-IDENTIFIED",
    "De-identified",
    "NONE",
    "N/A",
    "NO ID",
    "REMOVED",
    "9999",
    "Patient",
    "123456",
]
SOMEBODY = [
    "ANON001",
    "ANON-17",
    "Patient 12",
    "7741",
    "A",
    "00000123",
    "X17",
    "MRN-7741",
    "PAT0042",
    "1",
    "99",
    "TCGA-01-1234",
]


@pytest.mark.parametrize("patient_id", NOBODY)
def test_placeholders_name_nobody(patient_id):
    assert names_nobody(patient_id)


@pytest.mark.parametrize("patient_id", SOMEBODY)
def test_identifiers_that_differ_by_patient_name_somebody(patient_id):
    assert not names_nobody(patient_id)
