"""Every sample file there is, through one build: what becomes of each is written down in a table."""

from __future__ import annotations

import shutil
import warnings
import zipfile
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

import pydicom
import pydicom.data
import pytest

from client.archive.pseudonym import site_pseudonyms
from client.archive.verdict_codes import VerdictCode
from client.cohort.examination import SECRET_NAME, build_cohort
from common.roles import Role

PYDICOM = Path(pydicom.data.__file__).parent
PASSED_OVER = "passed over"
PYDICOM_FILES = 185

# File, or pattern of files: what is right for it, judged from what it holds. The first match counts.
TABLE = {
    # Directories and colour palettes belong to no series; a copy that begins a byte too late is no DICOM any more.
    "pydicom/palettes/*.dcm": PASSED_OVER,
    "pydicom/test_files/dicomdirtests/*DICOMDIR*": PASSED_OVER,
    "pydicom/test_files/no_meta.dcm": PASSED_OVER,
    # Packed, and not opened.
    "pydicom/test_files/zipMR.gz": VerdictCode.ARCHIVE_IN_ARCHIVE,
    "pydicom/*.txt": PASSED_OVER,
    "pydicom/*.md": PASSED_OVER,
    "pydicom/*.py": PASSED_OVER,
    "pydicom/*.json": PASSED_OVER,
    "pydicom/*.dump": PASSED_OVER,
    "pydicom/*.icc": PASSED_OVER,
    "pydicom/*/README": PASSED_OVER,
    # DICOM by their prefix, but a piece of a data set: no series is named, or not even a class.
    "pydicom/charset_files/chrSQEncoding*.dcm": VerdictCode.UNREADABLE,
    "pydicom/test_files/JPEGLSNearLossless_*.dcm": VerdictCode.UNREADABLE,
    "pydicom/test_files/SC_rgb_jls_lossy_*.dcm": VerdictCode.UNREADABLE,
    "pydicom/test_files/UN_sequence.dcm": VerdictCode.UNREADABLE,
    "pydicom/test_files/empty_charset_LEI.dcm": VerdictCode.UNREADABLE,
    "pydicom/test_files/meta_missing_tsyntax.dcm": VerdictCode.UNREADABLE,
    "pydicom/test_files/nested_priv_SQ.dcm": VerdictCode.UNREADABLE,
    "pydicom/test_files/no_meta_group_length.dcm": VerdictCode.UNREADABLE,
    "pydicom/test_files/priv_SQ.dcm": VerdictCode.UNREADABLE,
    # CT: one derived slice, two single slices, scouts, and axial slices shrunk to 16 x 16 pixels or without pixels.
    "pydicom/test_files/693_J2KI.dcm": VerdictCode.LOCALIZER_OR_DERIVED,
    "pydicom/test_files/CT_small.dcm": VerdictCode.TOO_FEW_SLICES,
    "pydicom/test_files/J2K_pixelrep_mismatch.dcm": VerdictCode.TOO_FEW_SLICES,
    "pydicom/test_files/dicomdirtests/98892001/CT2N/*": VerdictCode.LOCALIZER_OR_DERIVED,
    "pydicom/test_files/dicomdirtests/98892001/CT5N/*": VerdictCode.NO_GEOMETRY,
    "pydicom/test_files/dicomdirtests/77654033/CT2/*": VerdictCode.NO_GEOMETRY,
    "pydicom/test_files/dicomdirtests/TINY_ALPHA/PT000000/*": VerdictCode.NO_GEOMETRY,
    # Radiographs, MR, ultrasound, nuclear medicine, captures, plans, doses, segmentations, reports and waveforms.
    "pydicom/*": VerdictCode.NOT_CT,
}

REAL_TABLE = {
    "02_cptac_lscc_toshiba_head/*": VerdictCode.ACCEPTED,
    "03_ge_hispeed_gantry_tilt/*": VerdictCode.ACCEPTED,
    # A phantom of plastic, which shows bone and nothing inside.
    "09_philips_plastic_skull_tilt_minus18/*": VerdictCode.NOT_A_HEAD,
    # A map of blood flow in two frames.
    "enhanced_ct_multiframe_perfusion/*": VerdictCode.LOCALIZER_OR_DERIVED,
    "philips_scout_and_secondary_capture/*": VerdictCode.LOCALIZER_OR_DERIVED,
    "slicer_cthead_no_rescale_64x64/*": VerdictCode.HU_IMPLAUSIBLE,
    "wrong_body_part_neck_philips/*": VerdictCode.TOO_FEW_SLICES,
    "wrong_modality_mr_t1_head/*": VerdictCode.NOT_CT,
}


@dataclass(frozen=True)
class Built:
    """An archive, and what its build said of each file below it; ``series`` counts all verdicts."""

    verdicts: dict[str, str]
    series: int
    explained: int


@pytest.fixture(scope="module")
def archive(tmp_path_factory) -> Path:
    """pydicom's files, each in a folder of its own, so that a damaged one can be told from its neighbours."""
    root = tmp_path_factory.mktemp("samples") / "archive"
    for path in sorted(PYDICOM.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            folder = root / "pydicom" / path.relative_to(PYDICOM)
            folder.mkdir(parents=True)
            shutil.copyfile(path, folder / "file")
    return root


def files_of(archive):
    return sorted(path for path in archive.rglob("*") if path.is_file())


def series_uid(path):
    """As pydicom reads it; empty if it cannot."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return str(pydicom.dcmread(path, stop_before_pixels=True, force=True).get("SeriesInstanceUID", ""))
        except Exception:  # noqa: BLE001 - some samples are made to fail
            return ""


def built(archive, study, state) -> Built:
    cohort = build_cohort(archive, study, Role.TRAIN, state)
    said = {verdict.series: verdict.code.value for verdict in cohort.verdicts}
    names = site_pseudonyms(state / SECRET_NAME)
    verdicts, explained = {}, set()
    for path in files_of(archive):
        uid = series_uid(path)
        places = {names.of(kind, str(path.parent)) for kind in ("folder", "packed files")}
        keys = {*places, *([names.of("series", uid)] if uid else [])} & set(said)
        explained |= keys
        assert len(keys) <= 1, path
        name = str(path.relative_to(archive)).removesuffix("/file")
        verdicts[name] = said[keys.pop()] if keys else PASSED_OVER
    return Built(verdicts, len(said), len(explained))


def expected(name, table):
    return next((str(verdict) for pattern, verdict in table.items() if fnmatch(name, pattern)), "not in the table")


def agrees(found, table):
    wrong = {
        name: (verdict, expected(name, table)) for name, verdict in found.items() if verdict != expected(name, table)
    }
    assert not wrong
    used = {next(pattern for pattern in table if fnmatch(name, pattern)) for name in found}
    assert used == set(table), "a line of the table matches no file"


def test_every_file_that_pydicom_ships_gets_the_verdict_that_fits_what_it_holds(archive, head_series, study, tmp_path):
    head_series().write(archive / "head")
    found = built(archive, study, tmp_path / "state")
    heads = {name: verdict for name, verdict in found.verdicts.items() if name.startswith("head/")}
    assert set(heads.values()) == {"accepted"}, "the one head among them"
    samples = {name: verdict for name, verdict in found.verdicts.items() if name not in heads}
    agrees(samples, TABLE)
    assert len(samples) >= PYDICOM_FILES
    assert found.explained == found.series, "a verdict on nothing"


@pytest.mark.real_heads
def test_every_real_series_and_every_sample_file_go_through_one_build(archive, real_ct, study, tmp_path):
    shutil.rmtree(archive / "head", ignore_errors=True)
    for packed in sorted(real_ct.glob("*/*.zip")):
        with zipfile.ZipFile(packed) as files:
            files.extractall(archive / packed.stem)
    found = built(archive, study, tmp_path / "state")
    agrees(found.verdicts, {**REAL_TABLE, **TABLE})
    assert found.explained == found.series, "a verdict on nothing"
