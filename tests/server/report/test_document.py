"""report.json is typed, complete, and the same for the same records."""

from collections.abc import Callable
from typing import Any

import pytest
from pydantic import ValidationError

from common.metrics.calculation import CaseMetrics
from common.metrics.definitions import metric_definitions
from server.report.document import ReportDocument
from server.report.guidelines import GUIDELINE_ITEMS
from server.report.recorded_run import read_run

Make = Callable[..., Any]


def test_json_round_trips_and_refuses_unknown_keys(demo: Any) -> None:
    document = ReportDocument.of(read_run(demo.directory))
    text = document.model_dump_json()
    assert ReportDocument.model_validate_json(text) == document
    with pytest.raises(ValidationError):
        ReportDocument.model_validate_json(text[:-1] + ',"extra":1}')


def test_the_same_records_give_the_same_document(demo: Any) -> None:
    first, second = (ReportDocument.of(read_run(demo.directory)).model_dump_json() for _ in range(2))
    assert first == second


def test_the_generator_named_is_that_of_the_last_averaged_round(make_run: Make) -> None:
    written = make_run(rounds=3)
    written.rounds[2] = written.rounds[2].model_copy(update={"aggregated": False})
    written.write()
    provenance = ReportDocument.of(read_run(written.directory)).provenance
    assert provenance.generator_round == 2
    assert provenance.generator_sha256 == written.rounds[1].generator_sha256


def test_repeated_rounds_count_towards_time_and_traffic(make_run: Make) -> None:
    written = make_run(rounds=2)
    written.rounds.append(written.rounds[1])
    written.write()
    provenance = ReportDocument.of(read_run(written.directory)).provenance
    assert provenance.rounds_recorded == 2
    assert provenance.bytes_sent == sum(record.bytes_sent for record in written.rounds)


def test_a_run_that_has_just_begun_has_a_document(make_run: Make) -> None:
    written = make_run(rounds=2)
    written.rounds.clear()
    written.write()
    document = ReportDocument.of(read_run(written.directory))
    assert document.held_out.round is None
    assert document.provenance.generator_round is None


def test_every_metric_a_site_computes_is_defined(demo: Any) -> None:
    defined = {definition.name for definition in metric_definitions(demo.study)}
    assert set(CaseMetrics.__dataclass_fields__) == defined


def test_definitions_print_window_range_and_kernel(demo: Any) -> None:
    text = {definition.name: definition.text for definition in metric_definitions(demo.study)}
    assert "dB, window −1000..1500 HU, data range 2500 HU" in text["psnr_db"]
    assert "Gaussian kernel of 11 voxels, σ 1.5 voxels, population covariance" in text["ssim"]
    of_soft_tissue = {"brain_correlation", "brain_slope", "csf_contrast", "ventricle_dice"}
    elsewhere = {"bone_dice", "inventions_cm3", *of_soft_tissue}
    assert all("−1000..1500 HU" in words for name, words in text.items() if name not in elsewhere)
    assert all("clipped to −20..100 HU" in text[name] for name in of_soft_tissue)


def test_guideline_items_are_unique() -> None:
    keys = [(item.guideline, item.item) for item in GUIDELINE_ITEMS]
    assert len(keys) == len(set(keys))
