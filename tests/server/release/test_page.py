"""The card's page is well-formed, complete in itself, and safe whatever a record says."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path

import pytest

from common.release import NetworkCard
from server.release.card_making import Facts, card_of
from server.release.page import card_page
from server.report import read_run
from tests.server.report.conftest import build_run
from tests.server.report.test_page import Outline

EVIL = '<script>alert(1)</script>"&'


@pytest.fixture
def card(tmp_path: Path) -> NetworkCard:
    recorded = read_run(build_run(tmp_path / "run").directory)
    facts = Facts(is_average=True, made_on=date(2026, 3, 14), reprojection_limit=0.02)
    return card_of(recorded, recorded.rounds[-1], facts)


def outlined(page: str) -> Outline:
    outline = Outline()
    outline.feed(page)
    outline.close()
    assert outline.open == []
    return outline


def test_the_page_stands_under_the_headings_of_claim(card: NetworkCard) -> None:
    outline = outlined(card_page(card))
    page = card_page(card)
    headings: list[tuple[str, str]] = re.findall(r"<h2>(.*?) <small class=\"claim\">CLAIM ([\d, ]+)</small></h2>", page)
    assert [name for name, _ in headings] == [
        "Intended use",
        "Limitations",
        "Performance",
        "Data",
        "Model",
        "Training",
        "Evaluation",
        "Availability and provenance",
    ]
    items = [int(item) for _, numbers in headings for item in numbers.split(",")]
    assert len(items) == len(set(items))
    assert all(1 <= item <= 44 for item in items)
    ids = {attributes["id"] for _, attributes in outline.elements if attributes.get("id")}
    links = {a["href"][1:] for tag, a in outline.elements if tag == "a"}
    assert links <= ids


def test_every_figure_a_reader_needs_is_on_the_page(card: NetworkCard) -> None:
    page = card_page(card)
    for words in (card.generator_sha256, card.study_sha256, "−1000..1500 HU", "harbour", "2026-03-14", *card.limits):
        assert words in page.replace("&#39;", "'").replace("&#34;", '"'), words
    centre = next(centre for centre in card.held_out.centres if centre.figures)
    figure = next(f for f in centre.figures if (f.method, f.metric) == ("generator", "psnr_db"))
    assert f"{figure.mean:.2f}" in page
    assert f"[{figure.ci.low:.2f}, {figure.ci.high:.2f}]" in page
    assert "0.020" in page


def test_the_page_asks_for_nothing_and_runs_nothing(card: NetworkCard) -> None:
    page = card_page(card)
    assert not any(word in page for word in ("<script", "<img", "http://", "https://", "url(", "@import"))


def test_a_card_without_figures_says_so(card: NetworkCard) -> None:
    untested = card.model_copy(update={"held_out": None, "metrics": (), "reprojection_limit": None})
    page = card_page(untested)
    outlined(page)
    assert "not stated" in page
    assert "Table 1.</b> Sites" in page


def test_whatever_a_record_says_is_text(card: NetworkCard) -> None:
    site = card.sites[0].model_copy(update={"name": EVIL})
    changed = card.model_copy(update={"run": EVIL, "limits": (EVIL,), "sites": (site,), "versions": {EVIL: EVIL}})
    page = card_page(changed)
    outlined(page)
    assert "<script" not in page
    assert "&lt;script&gt;" in page
