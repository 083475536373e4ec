"""Matplotlib drawings as SVG to stand inside an HTML page: themed by the page's CSS, byte-identical from run to run."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable, Sequence
from typing import Any, Final, final

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from pydantic import BaseModel, ConfigDict

WIDTH_INCH: Final = 4.8
FONT_PT: Final = 10.5
MAX_LABEL: Final = 26

# Colours drawn here are placeholders, each replaced by a variable of the page's light and dark themes.
INK: Final = "#010101"
MUTED: Final = "#020202"
RULE: Final = "#030303"
PAPER: Final = "#040404"
SERIES: Final = ("#050505", "#060606", "#070707", "#080808", "#090909", "#0a0a0a")
MARKERS: Final = ("o", "s", "^", "D", "v", "P")

_VARIABLES = {INK: "ink", MUTED: "muted", RULE: "rule", PAPER: "paper"} | {
    colour: f"series-{index}" for index, colour in enumerate(SERIES, start=1)
}

# The keys are open here, because the set that matplotlib types as literals changes with its releases.
_STYLE: Any = {
    "svg.fonttype": "none",
    "font.family": "DejaVu Sans",
    "font.size": FONT_PT,
    "text.parse_math": False,
    "text.color": INK,
    "axes.labelcolor": MUTED,
    "axes.edgecolor": RULE,
    "axes.facecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": FONT_PT,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "axes.titlepad": 5.0,
    "axes.unicode_minus": True,
    "axes.formatter.useoffset": False,
    "grid.color": RULE,
    "grid.linewidth": 0.6,
    "xtick.color": RULE,
    "xtick.labelcolor": MUTED,
    "ytick.color": RULE,
    "ytick.labelcolor": MUTED,
    "xtick.labelsize": FONT_PT - 1,
    "ytick.labelsize": FONT_PT - 1,
    "figure.facecolor": "none",
    "savefig.facecolor": "none",
}


@final
class FigureItem(BaseModel):
    """A figure with the words that stand under it.

    Attributes:
        name: unique id on the page.
        svg: an SVG element.
        caption: what is drawn.
        text: the same in words, for readers who cannot see it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    name: str
    svg: str
    caption: str
    text: str


def drawn(name: str, height_inch: float, paint: Callable[[Figure], None]) -> str:
    """The SVG element that ``paint`` draws, without declarations, comments, metadata or dates.

    Args:
        name: unique on the page; prefixes every id inside.
        height_inch: height; the width is the same for all figures.
        paint: draws into the figure.
    """
    buffer = io.StringIO()
    with mpl.rc_context(_STYLE | {"svg.hashsalt": name}), warnings.catch_warnings():
        # The browser draws the text in its own fonts, so a glyph missing here is not missing there.
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        figure = Figure(figsize=(WIDTH_INCH, height_inch), layout="constrained")
        paint(figure)
        empty = {"Date": None, "Creator": None, "Format": None, "Type": None}
        figure.savefig(buffer, format="svg", metadata=empty)
    return _inline(buffer.getvalue(), name)


def shortened(text: str) -> str:
    """A label that fits a figure: one line, control characters gone, long names cut with an ellipsis."""
    printable = "".join(c if c.isprintable() else " " for c in text)
    return printable if len(printable) <= MAX_LABEL else f"{printable[: MAX_LABEL - 1]}…"


def label_ends(axes: Axes, ends: Sequence[tuple[float, float, str, str]], *, gap: float) -> None:
    """Labels at the right ends of curves, pushed apart where they would overlap.

    Args:
        axes: with its limits already set.
        ends: (x, y, text, colour) of each curve's end.
        gap: least distance between labels, as a share of the axes' height.
    """
    low, high = axes.get_ylim()
    order = sorted(range(len(ends)), key=lambda i: ends[i][1])
    wanted = [(ends[i][1] - low) / (high - low) for i in order]
    for index, share in zip(order, spread(wanted, gap), strict=True):
        x, y, text, colour = ends[index]
        axes.annotate(
            text,
            xy=(x, y),
            xytext=(1.02, share),
            textcoords="axes fraction",
            color=colour,
            va="center",
            ha="left",
            fontsize=FONT_PT - 0.5,
            annotation_clip=False,
        )


def spread(wanted: Sequence[float], gap: float) -> list[float]:
    """Rising positions at least ``gap`` apart, and on average as near the wanted ones as one pass each way allows."""
    upward = list(wanted)
    for i in range(1, len(upward)):
        upward[i] = max(upward[i], upward[i - 1] + gap)
    downward = list(wanted)
    for i in range(len(downward) - 2, -1, -1):
        downward[i] = min(downward[i], downward[i + 1] - gap)
    return [(a + b) / 2 for a, b in zip(upward, downward, strict=True)]


def _inline(svg: str, name: str) -> str:
    body = svg[svg.index("<svg") :]
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    body = re.sub(r"<!--.*?-->", "", body, flags=re.DOTALL)
    body = (
        re.sub(r'\s(?:xmlns|xmlns:xlink|version|width|height)="[^"]*"', "", body[: body.index(">")])
        + body[body.index(">") :]
    )
    body = body.replace("xlink:href", "href")
    body = re.sub(r'\bid="', f'id="{name}-', body)
    body = re.sub(r'href="#', f'href="#{name}-', body)
    body = re.sub(r"url\(#", f"url(#{name}-", body)
    for colour, variable in _VARIABLES.items():
        body = body.replace(colour, f"var(--{variable})")
    return body.replace("<svg", '<svg aria-hidden="true" focusable="false"', 1).strip()
