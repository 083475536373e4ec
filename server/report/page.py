"""The report as one HTML file: no script, no image, no request to anywhere; every value from the records is escaped."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from jinja2 import Environment
from markupsafe import Markup

from common.metrics import GENERATOR, PRINCIPAL, method_named, window_text
from common.pages import page_templates
from server.report import wording
from server.report.curves import loss_curves, metric_curves
from server.report.document import ReportDocument
from server.report.drawing import FigureItem
from server.report.forest import forest
from server.report.summary import separation_text
from server.rounds import Outcome

TEMPLATES = Path(__file__).parent / "templates"
ROUNDS_PER_TABLE: Final = 20

_SYMBOLS = {
    Outcome.ACCEPTED: ("●", "accepted"),
    Outcome.REFUSED_BY_COORDINATOR: ("✕", "refused by the coordinator"),
    Outcome.REFUSED_BY_SITE: ("▲", "refused by the site"),
    Outcome.TIMED_OUT: ("○", "timed out"),
}
SUPPRESSED_SYMBOL = ("◐", "accepted, statistics suppressed")
ABSENT_SYMBOL = ("·", "not asked")


def render(document: ReportDocument) -> str:
    """The whole page."""
    known = {metric.name: metric for metric in document.metrics}
    reported = [name for name in known if document.held_out.pooled_metric(GENERATOR, name) is not None]
    context = {
        "document": document,
        "known": known,
        "principal": [known[name] for name in PRINCIPAL],
        "further": [known[name] for name in reported if name not in PRINCIPAL],
        "generator": GENERATOR,
        "window": window_text(document.study),
        "figures": _figures(document),
        "separation": separation_text(document.separation),
        "round_blocks": list(_blocks([record.round for record in document.rounds])),
        "symbols": _SYMBOLS,
        "suppressed_symbol": SUPPRESSED_SYMBOL,
        "absent_symbol": ABSENT_SYMBOL,
    }
    return page_environment().get_template("report.html.j2").render(context)


def _figures(document: ReportDocument) -> dict[str, FigureItem | None]:
    known = {metric.name: metric for metric in document.metrics}
    return {
        "forest": forest(document, known["psnr_db"]),
        "psnr": metric_curves(document, known["psnr_db"]),
        "ssim": metric_curves(document, known["ssim"]),
        "mae": metric_curves(document, known["mae_hu"]),
        "losses": loss_curves(document),
    }


def _blocks(rounds: Sequence[int]) -> Iterator[Sequence[int]]:
    for start in range(0, len(rounds), ROUNDS_PER_TABLE):
        yield rounds[start : start + ROUNDS_PER_TABLE]


def page_environment(*folders: Path) -> Environment:
    """Templates of other folders and of the report's, its style among them, which print numbers as the report does."""
    return page_templates(
        *folders,
        TEMPLATES,
        number=wording.number,
        signed=wording.signed,
        significant=wording.significant,
        interval=wording.interval,
        grouped=wording.grouped,
        ranges=wording.ranges,
        listed=wording.listed,
        amount=wording.amount,
        duration=wording.duration,
        words=lambda name: str(name).replace("_", " "),
        method=lambda name: method_named(name).label,
        # Only SVG that this package drew is passed through; its texts were escaped when it was drawn.
        drawing=lambda figure: Markup(figure.svg),  # noqa: S704
    )
