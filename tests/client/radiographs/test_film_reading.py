"""A sound film comes out as the line integrals it was made of; every kind of bad one gets its verdict."""

from __future__ import annotations

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import SecondaryCaptureImageStorage

from client.archive import Pseudonyms
from client.radiographs import Film, FilmVerdict, Origin, read_films
from tests.client.radiographs.films import (
    CR,
    FOR_PRESENTATION,
    PIXEL_MM,
    XA,
    FilmWriter,
    frontal,
    head_integrals,
    lateral,
)

MARGINS = (0.08, 0.05, 0.1, 0.08)
SIZE = 176


def error(film, integrals):
    """Mean difference of line integrals where the film is exposed."""
    return float(np.abs(film.integrals - integrals)[film.exposed].mean())


def used(found):
    assert isinstance(found, Film), found
    return found


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("relationship", ["LIN", "LOG"])
@pytest.mark.parametrize("make", [frontal, lateral])
def test_a_film_becomes_the_line_integrals_it_was_made_of(read, make, relationship, sign):
    writer = make(relationship=relationship, sign=sign)
    film = used(read(writer))
    assert film.is_lateral is writer.lateral
    assert film.exposed.all()
    assert error(film, writer.integrals) < 0.02
    assert film.notes == (("decades_assumed",) if relationship == "LOG" else ())


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("relationship", ["LIN", "LOG"])
def test_collimation_is_masked_and_filled_from_the_nearest_exposed_pixel(read, relationship, sign):
    writer = lateral(margins=MARGINS, relationship=relationship, sign=sign)
    film = used(read(writer))
    top, bottom, left, right = (round(share * SIZE) for share in MARGINS)
    assert not film.exposed[:top].any()
    assert not film.exposed[:, -right:].any()
    assert film.exposed[top + 4 : SIZE - bottom - 4, left + 4 : SIZE - right - 4].all()
    assert error(film, writer.integrals) < 0.02
    assert np.array_equal(film.integrals[0, 40:120], film.integrals[top + 1, 40:120])


def test_a_stated_shutter_is_masked_though_the_image_does_not_show_it(read):
    edges = {"LeftVerticalEdge": 12, "RightVerticalEdge": 168, "UpperHorizontalEdge": 10, "LowerHorizontalEdge": 170}
    shutter = {f"Shutter{edge}": value for edge, value in edges.items()} | {"ShutterShape": "RECTANGULAR"}
    film = used(read(frontal(tags=shutter)))
    assert not film.exposed[:10].any()
    assert film.exposed[10:169, 12:167].all()


def test_one_study_keeps_one_pseudonym_and_names_nobody(read):
    one, other = used(read(frontal())), used(read(lateral()))
    assert one.patient == other.patient
    assert one.study == other.study
    assert one.instance != other.instance
    assert "SECRET" not in repr(one)


def test_row_01_monochrome1_with_inverse_means_one_inversion(read):
    writer = frontal(tags={"PhotometricInterpretation": "MONOCHROME1", "PresentationLUTShape": "INVERSE"})
    assert error(used(read(writer)), writer.integrals) < 0.02


@pytest.mark.parametrize("relationship", ["LIN", "LOG"])
@pytest.mark.parametrize("margins", [(0.0,) * 4, MARGINS])
def test_row_02_polarity_that_the_image_denies_is_refused(read, relationship, margins):
    lie = {"PhotometricInterpretation": "MONOCHROME1", "PresentationLUTShape": "INVERSE"}
    for sign in ({"PixelIntensityRelationshipSign": 1}, {"PixelIntensityRelationshipSign": -1}):
        writer = frontal(sign=-1, relationship=relationship, margins=margins, tags=lie | sign)
        assert read(writer) is FilmVerdict.POLARITY_CONTRADICTS
    writer.drop = ("PixelIntensityRelationshipSign",)
    assert read(writer) is FilmVerdict.POLARITY_CONTRADICTS


def test_row_03_a_missing_relationship_is_known_by_modality_or_not_at_all(read):
    drop = ("PixelIntensityRelationship",)
    assert "intensity_by_modality" in used(read(frontal(drop=drop))).notes
    plate = lateral(relationship="LOG", drop=drop, sop_class=CR, tags={"Modality": "CR"})
    assert "intensity_by_modality" in used(read(plate)).notes
    assert read(frontal(drop=drop, tags={"Modality": "RF"})) is FilmVerdict.INTENSITY_UNKNOWN


@pytest.mark.parametrize("make", [frontal, lateral])
@pytest.mark.parametrize(("stored", "said"), [("LIN", "LOG"), ("LOG", "LIN")])
def test_row_04_a_relationship_that_the_image_denies_is_refused(read, make, stored, said):
    writer = make(relationship=stored, tags={"PixelIntensityRelationship": said})
    assert read(writer) is FilmVerdict.INTENSITY_CONTRADICTS


def presented(**tags):
    said = {"PresentationIntentType": "FOR PRESENTATION"} | tags
    return frontal(sop_class=FOR_PRESENTATION, relationship="LOG", tags=said)


def test_row_05_a_sigmoid_window_of_a_film_for_presentation_is_refused(read):
    assert (
        read(presented(VOILUTFunction="SIGMOID", WindowWidth="800", WindowCenter="900")) is FilmVerdict.FILM_PROCESSED
    )
    assert error(used(read(presented())), head_integrals()[0]) < 0.02
    silent = presented()
    silent.drop = ("PixelIntensityRelationship",)
    assert read(silent) is FilmVerdict.FILM_PROCESSED


def test_row_06_a_table_for_viewing_is_refused_and_never_applied(read):
    table = Dataset()
    table.LUTDescriptor, table.LUTData = [4, 0, 16], bytes((9, 0, 5, 0, 3, 0, 1, 0))
    assert read(presented(VOILUTSequence=[table])) is FilmVerdict.FILM_PROCESSED
    raw = frontal(tags={"VOILUTSequence": [table]})
    assert error(used(read(raw)), raw.integrals) < 0.02


@pytest.mark.parametrize("tags", [{"WindowWidth": "0", "WindowCenter": "0"}, {"VOILUTFunction": "NONSENSE"}])
def test_row_07_a_window_that_cannot_be_applied_does_not_matter(read, tags):
    writer = frontal(tags=tags)
    assert error(used(read(writer)), writer.integrals) < 0.02
    assert isinstance(read(presented(**tags)), Film)


@pytest.mark.parametrize("slope", ["0", "-1"])
def test_row_08_a_rescale_that_cannot_be_undone_is_refused(read, slope):
    assert read(frontal(tags={"RescaleSlope": slope})) is FilmVerdict.RESCALE_INVALID


def test_row_08_a_rescale_that_is_no_number_is_refused(film_reader, tmp_path):
    path = frontal(tags={"RescaleSlope": "1.5"}).write(tmp_path / "film")
    path.write_bytes(path.read_bytes().replace(b"DS\x04\x001.5 ", b"DS\x04\x00NaN "))
    (found,) = read_films([path], Pseudonyms(b"secret" * 8), reader=film_reader)
    assert found is FilmVerdict.RESCALE_INVALID


def test_row_09_pixel_spacing_stands_in_calibrated_or_assumed(read):
    alone = {"drop": ("ImagerPixelSpacing",)}
    film = used(read(frontal(tags={"PixelSpacing": [PIXEL_MM] * 2}, **alone)))
    assert (film.geometry.spacing_origin, "spacing_assumed_at_detector" in film.notes) == (Origin.ASSUMED, True)
    calibrated = {"PixelSpacing": [PIXEL_MM / 1.5] * 2, "PixelSpacingCalibrationType": "FIDUCIAL"}
    film = used(read(frontal(tags=calibrated, **alone)))
    assert (film.geometry.spacing_origin, "spacing_calibrated" in film.notes) == (Origin.CALIBRATED, True)
    assert film.size == used(read(frontal())).size


def test_row_10_equal_spacings_with_a_magnification_are_the_detectors(read):
    tags = {"PixelSpacing": [PIXEL_MM] * 2, "EstimatedRadiographicMagnificationFactor": "1.5"}
    film = used(read(frontal(tags=tags, drop=("DistanceSourceToDetector", "DistanceSourceToPatient"))))
    assert film.geometry.spacing_origin is Origin.STATED
    assert film.geometry.magnification == 1.5
    assert {"pixel_spacing_is_the_detectors", "distances_not_stated"} <= set(film.notes)


def test_row_11_no_spacing_at_all_is_refused(read):
    assert read(frontal(drop=("ImagerPixelSpacing",))) is FilmVerdict.SPACING_MISSING


def test_row_12_spacing_in_cm_is_refused_and_oblong_pixels_are_resampled(read):
    assert read(frontal(tags={"ImagerPixelSpacing": [PIXEL_MM / 10] * 2})) is FilmVerdict.SPACING_IMPLAUSIBLE
    halved = head_integrals()[0].reshape(SIZE // 2, 2, SIZE).mean(axis=1)
    film = used(read(FilmWriter(halved, tags={"ImagerPixelSpacing": [2 * PIXEL_MM, PIXEL_MM]})))
    assert film.integrals.shape == film.exposed.shape == (SIZE, SIZE)
    assert film.pixel_mm == PIXEL_MM
    assert error(film, head_integrals()[0]) < 0.05


@pytest.mark.parametrize("far", ["900", "0", "99999"])
def test_row_13_impossible_distances_are_refused(read, far):
    assert read(frontal(tags={"DistanceSourceToDetector": far})) is FilmVerdict.GEOMETRY_IMPLAUSIBLE


@pytest.mark.parametrize(("magnification", "fits"), [("1.6", False), ("1.55", True), ("1.42", False)])
def test_row_14_a_magnification_that_distances_deny_is_refused(read, magnification, fits):
    found = read(frontal(tags={"EstimatedRadiographicMagnificationFactor": magnification}))
    assert isinstance(found, Film) if fits else found is FilmVerdict.GEOMETRY_CONTRADICTS


def test_row_15_a_view_that_the_image_denies_is_refused(read):
    alone = {"drop": ("ViewCodeSequence",)}
    assert read(lateral(tags={"ViewPosition": "AP"}, **alone)) is FilmVerdict.VIEW_CONTRADICTS
    assert read(frontal(tags={"ViewPosition": "LL"}, **alone)) is FilmVerdict.VIEW_CONTRADICTS
    assert read(frontal(tags={"ViewPosition": "LL"})) is FilmVerdict.VIEW_CONTRADICTS


@pytest.mark.parametrize("make", [frontal, lateral])
@pytest.mark.parametrize("seed", [None, 2, 3])
def test_row_16_without_attributes_the_view_is_seen(read, make, seed):
    writer = make(drop=("ViewCodeSequence", "ViewPosition"))
    writer.integrals = head_integrals(seed, 0.0 if seed is None else 5.0)[int(writer.lateral)]
    film = used(read(writer))
    assert film.is_lateral is writer.lateral
    assert "view_by_content" in film.notes


def test_row_17_a_mirrored_lateral_is_turned_and_a_mirrored_frontal_needs_an_attribute(read):
    film = used(read(FilmWriter(head_integrals()[1][:, ::-1], lateral=True, tags={"PatientOrientation": ["A", "F"]})))
    assert error(film, head_integrals()[1]) < 0.02
    mirrored = FilmWriter(head_integrals(4)[0][:, ::-1], tags={"PatientOrientation": ["R", "F"]})
    assert read(mirrored) is FilmVerdict.LATERALITY_UNKNOWN
    mirrored.tags["FieldOfViewHorizontalFlip"] = "YES"
    assert error(used(read(mirrored)), head_integrals(4)[0]) < 0.02
    assert read(frontal(drop=("PatientOrientation",))) is FilmVerdict.LATERALITY_UNKNOWN


@pytest.mark.parametrize(("turns", "orientation"), [(1, ["F", "A"]), (2, ["A", "H"]), (3, ["H", "P"])])
def test_row_18_a_turned_lateral_is_turned_back_said_or_seen(read, turns, orientation):
    turned = np.rot90(head_integrals()[1], turns)
    for tags in ({"PatientOrientation": orientation}, {"PatientOrientation": ["P", "F"]}):
        film = used(read(FilmWriter(turned, lateral=True, tags=tags)))
        assert error(film, head_integrals()[1]) < 0.02
        assert "turned" in film.notes


def test_row_18_a_turned_frontal_is_turned_back_only_if_its_orientation_says_so(read):
    turned = FilmWriter(np.rot90(head_integrals(4)[0], 2), tags={"PatientOrientation": ["R", "H"]})
    assert error(used(read(turned)), head_integrals(4)[0]) < 0.02
    turned.tags["PatientOrientation"] = ["L", "F"]
    assert read(turned) is FilmVerdict.LATERALITY_UNKNOWN


def test_row_18_a_head_that_resembles_its_mirror_image_as_much_is_not_guessed(read):
    both = (head_integrals()[1] + head_integrals()[1][:, ::-1]) / 2
    writer = FilmWriter(both, lateral=True, drop=("PatientOrientation", "ViewPosition", "ViewCodeSequence"))
    assert read(writer) in {FilmVerdict.ORIENTATION_UNKNOWN, FilmVerdict.LATERALITY_UNKNOWN}


@pytest.mark.parametrize(
    ("code", "meaning"),
    [("399182000", "oblique"), ("x", "Towne"), ("399272005", "parietoacanthial"), ("399255003", "submentovertical")],
)
def test_row_19_oblique_and_axial_views_are_refused(read, code, meaning):
    view = Dataset()
    view.CodeValue, view.CodingSchemeDesignator, view.CodeMeaning = code, "SCT", meaning
    assert read(frontal(tags={"ViewCodeSequence": [view]})) is FilmVerdict.VIEW_UNSUITABLE
    assert read(frontal(tags={"ViewPosition": "LLO"})) is FilmVerdict.VIEW_UNSUITABLE


def other_anatomy(kind):
    y, x = np.mgrid[:SIZE, :SIZE].astype(np.float32)
    if kind == "hand":
        fingers = sum(0.6 * ((abs(x - 40 - 22 * k) < 7) & (y < 110) & (y > 20 + 8 * abs(k - 2))) for k in range(5))
        return fingers + 0.8 * ((y >= 110) & (y < 165) & (x > 30) & (x < 140))
    if kind == "spine":
        return 1.0 + 3 * np.exp(-(((x - 88) / 14) ** 2)) + 0.5 * np.sin(y / 4) * (abs(x - 88) < 18)
    lungs = sum((((x - centre) / 28) ** 2 + ((y - 85) / 60) ** 2) < 1 for centre in (55, 120))
    return 3.5 * (abs(x - 88) < 80) - 2.6 * lungs


@pytest.mark.parametrize("kind", ["hand", "chest", "spine"])
def test_row_20_what_is_no_head_is_refused(read, kind):
    assert read(FilmWriter(other_anatomy(kind).astype(np.float32))) is FilmVerdict.NOT_A_HEAD


def test_row_24_a_head_cut_by_collimation_is_refused(read):
    assert read(frontal(margins=(0.4, 0.0, 0.1, 0.1))) is FilmVerdict.HEAD_CUT
    assert isinstance(read(frontal(margins=(0.06, 0.0, 0.1, 0.1))), Film)


def test_row_25_a_marker_over_the_head_is_refused_and_a_small_one_masked(read):
    over = head_integrals()[0].copy()
    over[30:52, 75:101] = 8.5
    assert read(FilmWriter(over)) is FilmVerdict.HEAD_COVERED
    small = head_integrals()[0].copy()
    small[40:51, 82:93] = 8.5
    film = used(read(FilmWriter(small)))
    assert not film.exposed[40:51, 82:93].any()
    assert error(film, head_integrals()[0]) < 0.02


def test_row_26_a_head_that_is_saturated_or_unexposed_is_refused(read):
    burnt = frontal()
    burnt.stored = lambda: np.clip(FilmWriter.stored(burnt).astype(np.int64) * 9, 0, 16383).astype(np.uint16)
    assert read(burnt) is FilmVerdict.EXPOSURE_CLIPPED
    dim = frontal()
    dim.stored = lambda: (FilmWriter.stored(dim) // 700).astype(np.uint16)
    assert read(dim) is FilmVerdict.EXPOSURE_CLIPPED


def test_row_27_two_exposures_on_one_plate_are_refused(read):
    one = frontal().stored()
    both = frontal()
    both.stored = lambda: np.concatenate((one, np.full((10, SIZE), 6, np.uint16), one))
    assert read(both) is FilmVerdict.MULTIPLE_EXPOSURES
    assert read(frontal(tags={"ImageType": ["DERIVED", "PRIMARY", "STITCHED"]})) is FilmVerdict.MULTIPLE_EXPOSURES


def test_row_28_of_a_run_the_first_frame_with_a_view_is_read_and_a_subtracted_one_refused(read):
    frames = np.stack((np.full((SIZE, SIZE), 900, np.uint16), lateral().stored()))
    tags = {
        "Modality": "XA",
        "NumberOfFrames": 2,
        "PositionerPrimaryAngle": "45",
        "PositionerSecondaryAngle": "0",
        "PositionerPrimaryAngleIncrement": [0, 45],
        "PixelData": frames.tobytes(),
    }
    run = lateral(sop_class=XA, tags=tags, drop=("ViewPosition", "ViewCodeSequence", "PresentationIntentType"))
    assert error(used(read(run)), head_integrals()[1]) < 0.02
    run.tags["ImageType"] = ["DERIVED", "PRIMARY", "SUBTRACTED"]
    assert read(run) is FilmVerdict.SUBTRACTED


def test_row_29_metal_in_the_head_is_used_and_noted(read):
    plates = head_integrals()[0].copy()
    plates[40:44, 60:90] += 3.0
    plates[140:144, 80:88] += 3.0
    film = used(read(FilmWriter(plates)))
    assert 0.003 < film.metal_share < 0.02
    assert "metal" in film.notes
    assert film.exposed.all()
    assert used(read(frontal())).metal_share == 0


def test_row_30_what_lies_beside_the_head_is_masked(read):
    beside = head_integrals()[0].copy()
    beside[20:34, 8:18] = 8.5
    beside[60:160, 168:172] = 0.8
    film = used(read(FilmWriter(beside)))
    assert not film.exposed[20:34, 8:18].any()
    assert not film.exposed[60:160, 168:172].any()
    assert error(film, head_integrals()[0]) < 0.02


def test_row_31_what_no_detector_made_is_refused(read):
    for tags in (
        {"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB"},
        {"PhotometricInterpretation": "PALETTE COLOR"},
        {"Modality": "OT"},
        {"LossyImageCompression": "01", "BitsStored": 8, "HighBit": 7},
    ):
        assert read(frontal(tags=tags)) is FilmVerdict.NOT_A_DETECTOR_IMAGE
    assert read(frontal(sop_class=SecondaryCaptureImageStorage)) is FilmVerdict.NOT_A_DETECTOR_IMAGE


def test_row_32_rubbish_in_high_bits_and_padding_are_left_out(read):
    writer = frontal(bits=12)
    rubbish = np.random.default_rng(0).integers(0, 16, (SIZE, SIZE)).astype(np.uint16) << 12
    writer.stored = lambda: FilmWriter.stored(writer) | rubbish
    writer.tags["HighBit"] = 15
    assert error(used(read(writer)), writer.integrals) < 0.03
    padded = frontal(tags={"PixelPaddingValue": 0})
    stored = padded.stored()
    stored[:14] = 0
    padded.stored = lambda: stored
    film = used(read(padded))
    assert not film.exposed[:14].any()
    assert error(film, padded.integrals) < 0.02


def test_row_33_files_that_cannot_be_decoded_are_refused_as_those_of_a_ct(film_reader, tmp_path, read):
    cut = frontal().write(tmp_path / "cut")
    cut.write_bytes(cut.read_bytes()[:-20_000])
    text = tmp_path / "text"
    text.write_text("no film")
    found = list(read_films([cut, text, tmp_path / "gone"], Pseudonyms(b"secret" * 8), reader=film_reader))
    assert found == [FilmVerdict.UNREADABLE] * 3
    assert read(frontal(tags={"Rows": 30_000, "Columns": 30_000})) is FilmVerdict.TOO_LARGE
    path = frontal().write(tmp_path / "unknown")
    path.write_bytes(path.read_bytes().replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.9\0"))
    (unknown,) = read_films([path], Pseudonyms(b"secret" * 8), reader=film_reader)
    assert unknown is FilmVerdict.COMPRESSION_UNSUPPORTED


def test_row_34_an_infants_head_is_refused(read):
    assert read(FilmWriter(head_integrals(size=0.65)[0])) is FilmVerdict.SIZE_IMPLAUSIBLE
