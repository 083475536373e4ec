"""A card's figures are the report's own, and its words follow the study."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest

from common.metrics import GENERATOR
from common.release import NetworkCard
from common.spectrum import Spectrum
from common.study import RadiographSettings, Study
from server.release.card_making import Facts, card_of
from server.release.card_wording import beam_of
from server.report import ReportDocument, read_run
from tests.server.report.conftest import build_run

FACTS = Facts(is_average=False, made_on=date(2026, 3, 14), reprojection_limit=None)


@pytest.fixture
def made(tmp_path: Path) -> tuple[NetworkCard, ReportDocument]:
    recorded = read_run(build_run(tmp_path / "run").directory)
    return card_of(recorded, recorded.rounds[-1], FACTS), ReportDocument.of(recorded)


def test_figures_and_intervals_are_the_report_s(made: tuple[NetworkCard, ReportDocument]) -> None:
    card, document = made
    assert card.held_out is not None
    centres = {centre.site: centre for centre in card.held_out.centres}
    for centre in document.held_out.centres:
        expected = {(m.method, r.metric): r.estimate for m in centre.methods for r in m.metrics}
        found = {(f.method, f.metric): f for f in centres[centre.site].figures}
        assert found.keys() == expected.keys()
        for name, estimate in expected.items():
            assert (found[name].cases, found[name].mean, found[name].sd) == (estimate.cases, estimate.mean, estimate.sd)
            assert found[name].ci.model_dump() == estimate.ci.model_dump()
    assert centres["islet"].figures == ()
    assert centres["islet"].reason
    pooled = {(p.method, p.metric): p.mean for p in card.held_out.pooled}
    assert pooled[(GENERATOR, "psnr_db")] == document.held_out.pooled_metric(GENERATOR, "psnr_db").mean
    effects = {h.metric: h.random_effects for h in document.held_out.heterogeneity}
    assert all(found.mean == effects[found.metric].mean for found in card.held_out.over_centres)
    assert len(card.held_out.over_centres) == len([e for e in effects.values() if e])


def test_counts_are_those_of_registration(made: tuple[NetworkCard, ReportDocument]) -> None:
    card, document = made
    registered = {
        centre.name: (centre.train_cases, centre.evaluation_cases, centre.flow) for centre in document.centres
    }
    assert {site.name: (site.train_cases, site.evaluation_cases, site.flow) for site in card.sites} == registered
    contributed = {site.name: site.contributed_rounds for site in card.sites}
    # Timed out once, refused twice, refused once by the coordinator; the others never train.
    assert contributed == {"alder": 11, "birch": 11, "cedar": 10, "harbour": 0, "lakeside": 0, "islet": 0}


def test_every_metric_shown_is_defined_and_no_other(made: tuple[NetworkCard, ReportDocument]) -> None:
    card, _ = made
    assert {metric.name for metric in card.metrics} == {pooled.metric for pooled in card.held_out.pooled}
    assert all("window" in metric.definition for metric in card.metrics if metric.name == "psnr_db")


def test_the_card_of_a_run_reads_back(made: tuple[NetworkCard, ReportDocument]) -> None:
    card, _ = made
    assert NetworkCard.from_bytes(card.canonical_bytes(), "card.json") == card
    assert json.loads(card.canonical_bytes())["study"] == json.loads(card.study.canonical_json())


def test_a_spectrum_that_the_study_states_is_said(study: Study, tiny: Callable[..., Study]) -> None:
    assert "at 70 keV" in beam_of(study)
    spectrum = Spectrum(kvp=75, aluminium_mm=3.5, copper_mm=0.1)
    filmed = study.model_copy(update={"radiograph": RadiographSettings(spectrum=spectrum)})
    assert "at 75 kVp behind 3.5 mm of aluminium and 0.1 mm of copper" in beam_of(filmed)
