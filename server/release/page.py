"""The card for people: one HTML file without script, image or request, under the headings of CLAIM (2024 update)."""

from __future__ import annotations

from pathlib import Path

from common.metrics import GENERATOR, PRINCIPAL, window_text
from common.release import NetworkCard
from server.release.card_wording import beam_of
from server.report import page_environment

TEMPLATES = Path(__file__).parent / "templates"


def card_page(card: NetworkCard) -> str:
    """The whole page, from the card alone."""
    held_out = card.held_out
    methods = dict.fromkeys(figure.method for figure in held_out.pooled) if held_out else {}
    further = [metric for metric in card.metrics if metric.name not in PRINCIPAL]
    context = {
        "card": card,
        "study": card.study,
        "window": window_text(card.study),
        "beam": beam_of(card.study),
        "generator": GENERATOR,
        "methods": list(methods),
        "tables": [
            ("The principal metrics", [metric for metric in card.metrics if metric.name in PRINCIPAL]),
            *([("Further metrics", further)] if further else []),
        ],
    }
    return page_environment(TEMPLATES).get_template("card.html.j2").render(context)
