"""Figures are the same bytes every time, name nothing outside the page, and show what hostile names say as text."""

import re
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure

from server.report.curves import loss_curves, metric_curves
from server.report.document import ReportDocument
from server.report.drawing import SERIES, FigureItem, drawn, shortened, spread
from server.report.forest import forest
from server.report.recorded_run import read_run

Make = Callable[..., Any]


def document(written: Any) -> ReportDocument:
    return ReportDocument.of(read_run(written.directory))


def metric(found: ReportDocument, name: str) -> Any:
    return next(definition for definition in found.metrics if definition.name == name)


def every_figure(found: ReportDocument) -> list[FigureItem]:
    items = [
        forest(found, metric(found, "psnr_db")),
        metric_curves(found, metric(found, "ssim")),
        loss_curves(found),
    ]
    return [item for item in items if item is not None]


def texts(svg: str) -> str:
    return " ".join(re.findall(r"<text[^>]*>([^<]*)</text>", svg))


def test_figures_are_deterministic_undated_and_point_nowhere(demo: Any) -> None:
    first, second = every_figure(document(demo)), every_figure(document(demo))
    assert len(first) == 3
    assert first == second
    for item in first:
        assert item.svg.startswith("<svg ")
        assert item.svg.endswith("</svg>")
        assert not re.search(r"https?:|<image|<metadata|<!--|<\?xml|xmlns|\b20\d\d-\d\d", item.svg)


def test_ids_are_unique_across_figures_and_references_resolve(demo: Any) -> None:
    svg = "".join(item.svg for item in every_figure(document(demo)))
    ids = re.findall(r'\bid="([^"]+)"', svg)
    assert len(ids) == len(set(ids))
    named = re.findall(r'href="#([^"]+)"', svg) + re.findall(r"url\(#([^)]+)\)", svg)
    assert set(named) <= set(ids)


def test_colours_are_left_to_the_page(demo: Any) -> None:
    for item in every_figure(document(demo)):
        assert "var(--series-1)" in item.svg
        assert not any(colour in item.svg for colour in SERIES)
        assert not re.search(r"(?:fill|stroke): #(?!000000)[0-9a-f]{6}", item.svg)


def test_the_forest_shows_each_centre_and_the_summary(demo: Any) -> None:
    found = document(demo)
    item = forest(found, metric(found, "psnr_db"))
    assert item is not None
    words = texts(item.svg)
    assert "harbour, n = 24" in words
    assert "Random effects, 2 centres" in words
    assert "islet" not in words
    assert "prediction" not in item.caption


def test_three_centres_add_a_prediction_interval(make_run: Make) -> None:
    found = document(make_run(rounds=1, held={"harbour": 24, "lakeside": 34, "meadow": 18}))
    item = forest(found, metric(found, "psnr_db"))
    assert item is not None
    assert "Prediction, further centre" in texts(item.svg)


def test_many_centres_share_one_panel(make_run: Make) -> None:
    found = document(make_run(rounds=3, held={f"site-{i}": 12 for i in range(9)}))
    item = metric_curves(found, metric(found, "psnr_db"))
    assert item is not None
    assert "9 held-out centres" in item.caption
    assert "Mean volume" in texts(item.svg)


def test_no_figure_before_the_first_result(make_run: Make) -> None:
    written = make_run(rounds=1)
    written.rounds.clear()
    written.write()
    assert every_figure(document(written)) == []


def test_training_without_a_discriminator_has_no_panel_for_it(make_run: Make) -> None:
    written = make_run(rounds=2)
    for index, record in enumerate(written.rounds):
        entries = tuple(
            e.model_copy(update={"losses": e.losses.model_copy(update={"discriminator": None})})
            for e in record.training
        )
        written.rounds[index] = record.model_copy(update={"training": entries})
    written.write()
    item = loss_curves(document(written))
    assert item is not None
    assert "Discriminator" not in texts(item.svg)


def test_rounds_before_the_discriminator_plays_are_a_gap_and_not_zero(make_run: Make) -> None:
    written = make_run(rounds=4)
    for index, record in enumerate(written.rounds[:2]):
        entries = tuple(
            e.model_copy(update={"losses": e.losses and e.losses.model_copy(update={"discriminator": None})})
            for e in record.training
        )
        written.rounds[index] = record.model_copy(update={"training": entries})
    written.write()
    curves = [curve for curve in document(written).losses if curve.loss == "discriminator"]
    assert curves
    assert all(point.round > 2 for curve in curves for point in curve.points)


@pytest.mark.parametrize("name", ["<script>alert(1)</script>", "$\\frac{1}{0}$", '"&<b>', "病院", "a\nb\x07"])
def test_names_are_drawn_as_text(name: str) -> None:
    svg = drawn("probe", 1.0, lambda figure: _write(figure, shortened(name)))
    assert "<script" not in svg
    assert "<b>" not in svg
    assert "\x07" not in svg
    assert len(re.findall(r"<text", svg)) == 1


def test_long_names_are_cut() -> None:
    assert shortened("x" * 80) == "x" * 25 + "…"


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8).map(sorted), st.floats(0.01, 0.3))
def test_labels_keep_their_order_and_distance(wanted: list[float], gap: float) -> None:
    placed = spread(wanted, gap)
    assert all(b - a >= gap - 1e-9 for a, b in pairwise(placed))


def test_labels_that_do_not_collide_stay_where_they_are() -> None:
    assert spread([0.1, 0.5, 0.9], 0.2) == [0.1, 0.5, 0.9]


def _write(figure: Figure, text: str) -> None:
    figure.text(0.1, 0.5, text)
