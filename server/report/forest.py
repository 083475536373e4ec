"""The forest plot: the generator's mean at every held-out centre, and the random-effects summary."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from common.metrics import GENERATOR, MetricDefinition
from server.report.document import ReportDocument
from server.report.drawing import INK, MUTED, PAPER, SERIES, FigureItem, drawn, shortened
from server.report.statistics import Estimate, Interval, RandomEffects
from server.report.wording import interval, number


def forest(document: ReportDocument, metric: MetricDefinition) -> FigureItem | None:
    """Means with 95 % CI over the held-out centres and the random-effects summary; none before the first result."""
    held_out = document.held_out
    rows = [(c.site, e) for c in held_out.centres if (e := c.estimate(GENERATOR, metric.name)) is not None]
    if not rows:
        return None
    summary = next((h.random_effects for h in held_out.heterogeneity if h.metric == metric.name), None)
    lines = len(rows) + (2 if summary and summary.prediction else 1 if summary else 0)
    svg = drawn("forest", 0.6 + 0.5 * lines, lambda figure: _forest(figure, rows, summary, metric))
    caption = (
        f"{metric.heading}, of the generator at each held-out centre in round {held_out.round}: mean with 95\u00a0% CI "
        "(square; its area grows with the number of cases)"
        + (", random-effects mean with Hartung–Knapp 95\u00a0% CI (diamond)" if summary else "")
        + (", 95\u00a0% prediction interval for a further centre (bar)" if summary and summary.prediction else "")
        + ". An arrow passes the end of the axis."
    )
    text = "; ".join(f"{site}: {_estimate_text(e, metric)}, {e.cases} cases" for site, e in rows)
    return FigureItem(name="forest", svg=svg, caption=caption, text=text)


def _forest(
    figure: Figure, rows: Sequence[tuple[str, Estimate]], summary: RandomEffects | None, metric: MetricDefinition
) -> None:
    axes = figure.subplots()
    limits = _forest_limits(rows)
    largest = max(e.cases for _, e in rows)
    for y, (site, e) in enumerate(rows):
        if e.ci:
            _whisker(axes, y, e.ci, limits, SERIES[0])
        axes.scatter([e.mean], [y], s=20 + 60 * e.cases / largest, marker="s", color=SERIES[0], linewidths=0, zorder=3)
        _row_text(axes, y, f"{shortened(site)}, n = {e.cases}", _estimate_text(e, metric))
    lines = len(rows)
    if summary:
        axes.axvline(summary.mean, color=MUTED, lw=1.0, linestyle=(0, (4, 3)), zorder=1)
        _diamond(axes, lines, summary, limits)
        value = f"{number(summary.mean, metric.decimals)} {interval(summary.ci, metric.decimals)}"
        _row_text(axes, lines, f"Random effects, {summary.centres} centres", value, weight="bold")
        lines += 1
        if summary.prediction:
            _whisker(axes, lines, summary.prediction, limits, INK, width=3.0)
            _row_text(axes, lines, "Prediction, further centre", interval(summary.prediction, metric.decimals))
            lines += 1
    axes.set_xlim(limits)
    axes.set_ylim(lines - 0.6, -0.75)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.set_xlabel(metric.heading)
    axes.xaxis.set_major_locator(MaxNLocator(6))


def _forest_limits(rows: Sequence[tuple[str, Estimate]]) -> tuple[float, float]:
    """Room for every centre's interval and half as much again on each side; wider summaries leave with an arrow."""
    ends = [end for _, e in rows for end in ((e.ci.low, e.ci.high) if e.ci else (e.mean, e.mean))]
    span = max(ends) - min(ends) or abs(ends[0]) or 1.0
    return min(ends) - 0.5 * span, max(ends) + 0.5 * span


def _whisker(axes: Axes, y: int, whole: Interval, limits: tuple[float, float], colour: str, width: float = 1.6) -> None:
    inside = max(whole.low, limits[0]), min(whole.high, limits[1])
    axes.plot(inside, [y, y], color=colour, lw=width, solid_capstyle="butt", zorder=2)
    _arrows(axes, y, whole, limits, colour)


def _diamond(axes: Axes, y: int, summary: RandomEffects, limits: tuple[float, float]) -> None:
    low, mean, high = max(summary.ci.low, limits[0]), summary.mean, min(summary.ci.high, limits[1])
    axes.fill([low, mean, high, mean], [y, y - 0.17, y, y + 0.17], color=INK, lw=0, zorder=3)
    _arrows(axes, y, summary.ci, limits, INK)


def _arrows(axes: Axes, y: int, whole: Interval, limits: tuple[float, float], colour: str) -> None:
    """An arrowhead where an interval passes the end of the axis."""
    passes = ((whole.low < limits[0], limits[0], "<"), (whole.high > limits[1], limits[1], ">"))
    for beyond, limit, marker in passes:
        if beyond:
            axes.scatter([limit], [y], marker=marker, s=30, color=colour, linewidths=0, zorder=3, clip_on=False)


def _row_text(axes: Axes, y: int, left: str, right: str, weight: str = "normal") -> None:
    for x, text, side in ((0.0, left, "left"), (1.0, right, "right")):
        axes.text(
            x,
            y - 0.4,
            text,
            transform=axes.get_yaxis_transform(),
            ha=side,
            va="center",
            fontweight=weight,
            clip_on=False,
            bbox={"facecolor": PAPER, "edgecolor": "none", "pad": 0.8},
        )


def _estimate_text(e: Estimate, metric: MetricDefinition) -> str:
    return f"{number(e.mean, metric.decimals)} {interval(e.ci, metric.decimals)}"
