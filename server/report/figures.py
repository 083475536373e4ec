"""The report's figures: curves of the held-out metrics, training losses, and a forest plot over centres. No anatomy."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import final

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from pydantic import BaseModel, ConfigDict

from server.report.definitions import GENERATOR, MetricDefinition, method_named
from server.report.document import ReportDocument
from server.report.drawing import (
    FONT_PT,
    INK,
    MARKERS,
    MUTED,
    PAPER,
    RULE,
    SERIES,
    drawn,
    label_ends,
    shortened,
)
from server.report.participation import LossCurve
from server.report.performance import Curve, Evaluation
from server.report.statistics import Estimate, Interval, RandomEffects
from server.report.wording import interval, number

MOST_LABELLED = len(SERIES)
PANEL_INCH = 1.35
LABEL_HEIGHT_INCH = 0.19


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


def metric_curves(document: ReportDocument, metric: MetricDefinition) -> FigureItem | None:
    """A held-out metric over the rounds beside the baselines; none before the first result."""
    curves = [c for c in document.held_out.curves if c.metric == metric.name]
    trained = [c for c in curves if c.method == GENERATOR]
    if not trained:
        return None
    name = f"curves-{metric.name.replace('_', '-')}"
    if len(trained) <= MOST_LABELLED:
        height = 0.5 + PANEL_INCH * len(trained)
        svg = drawn(name, height, lambda figure: _centre_panels(figure, trained, curves, metric))
        caption = f"{metric.heading}, at each held-out centre over the rounds: generator (line) and baselines (dashed)."
    else:
        svg = drawn(name, 3.2, lambda figure: _all_centres(figure, trained, document.held_out, metric))
        caption = (
            f"{metric.heading}, at {len(trained)} held-out centres over the rounds (thin lines), their unweighted mean "
            "(thick line), and the baselines over all pooled cases (dashed)."
        )
    return FigureItem(name=name, svg=svg, caption=caption, text=_curves_text(trained, metric))


def loss_curves(document: ReportDocument) -> FigureItem | None:
    """Mean losses of G and D at each training centre over the rounds; none before the first accepted training."""
    panels = [("generator", "Generator loss"), ("discriminator", "Discriminator loss")]
    by_loss = {loss: [c for c in document.losses if c.loss == loss] for loss, _ in panels}
    shown = [(loss, title) for loss, title in panels if any(p.value for c in by_loss[loss] for p in c.points)]
    if not shown:
        return None

    def paint(figure: Figure) -> None:
        grid = figure.subplots(len(shown), 1, sharex=True, squeeze=False)
        for axes, (loss, title) in zip(grid[:, 0], shown, strict=True):
            _loss_panel(axes, by_loss[loss], title)
        grid[-1, 0].set_xlabel("round")

    text = "; ".join(
        f"{title} at {c.site} from {number(c.points[0].value, 3)} to {number(c.points[-1].value, 3)}"
        for loss, title in shown
        for c in by_loss[loss]
    )
    caption = (
        "Mean losses over each round's local steps, by training centre; a gap is a round without an accepted reply."
    )
    return FigureItem(name="losses", svg=drawn("losses", 0.5 + 1.9 * len(shown), paint), caption=caption, text=text)


def forest(document: ReportDocument, metric: MetricDefinition) -> FigureItem | None:
    """Means with 95 % CI over the held-out centres and the random-effects summary; none before the first result."""
    held_out = document.held_out
    rows = [(c.site, e) for c in held_out.centres if (e := c.estimate(GENERATOR, metric.name)) is not None]
    if not rows:
        return None
    summary = next((h.random_effects for h in held_out.heterogeneity if h.metric == metric.name), None)
    lines = len(rows) + (2 if summary and summary.prediction else 1 if summary else 0)
    svg = drawn("forest", 0.6 + 0.5 * lines, lambda figure: _forest(figure, rows, summary, metric))
    caption = (
        f"{metric.heading}, of the generator at each held-out centre in round {held_out.round}: mean with 95 % CI (square; "
        "its area grows with the number of cases)"
        + (", random-effects mean with Hartung–Knapp 95 % CI (diamond)" if summary else "")
        + (", 95 % prediction interval for a further centre (bar)" if summary and summary.prediction else "")
        + ". An arrow passes the end of the axis."
    )
    text = "; ".join(f"{site}: {_estimate_text(e, metric)}, {e.cases} cases" for site, e in rows)
    return FigureItem(name="forest", svg=svg, caption=caption, text=text)


def _centre_panels(figure: Figure, trained: list[Curve], curves: list[Curve], metric: MetricDefinition) -> None:
    grid = figure.subplots(len(trained), 1, sharex=True, sharey=True, squeeze=False)[:, 0]
    for axes, curve in zip(grid, trained, strict=True):
        levels = [(c.method, c.points[-1].value) for c in curves if c.site == curve.site and c.method != GENERATOR]
        for _, level in levels:
            axes.axhline(level, color=MUTED, linewidth=1.1, linestyle=(0, (4, 3)))
        _line(axes, [p.round for p in curve.points], [p.value for p in curve.points], SERIES[0], "o")
        axes.set_title(shortened(curve.site))
        _round_axis(axes)
    _padded(grid[0], [p.value for c in curves for p in c.points])
    for axes, curve in zip(grid, trained, strict=True):
        last = curve.points[-1]
        ends = [(float(last.round), last.value, f"Generator {number(last.value, metric.decimals)}", SERIES[0])]
        for other in curves:
            if other.site == curve.site and other.method != GENERATOR:
                level = other.points[-1].value
                label = f"{method_named(other.method).label} {number(level, metric.decimals)}"
                ends.append((float(last.round), level, shortened(label), MUTED))
        label_ends(axes, ends, gap=LABEL_HEIGHT_INCH / (PANEL_INCH * 0.72))
    grid[-1].set_xlabel("round")
    figure.supylabel(metric.heading, fontsize=FONT_PT, color=MUTED)


def _all_centres(figure: Figure, trained: list[Curve], held_out: Evaluation, metric: MetricDefinition) -> None:
    axes = figure.subplots()
    for curve in trained:
        axes.plot([p.round for p in curve.points], [p.value for p in curve.points], color=SERIES[0], lw=0.8, alpha=0.4)
    rounds = sorted({p.round for c in trained for p in c.points})
    means = [_mean([p.value for c in trained for p in c.points if p.round == r]) for r in rounds]
    axes.plot(rounds, means, color=SERIES[0], lw=2.4)
    ends = [(float(rounds[-1]), means[-1], f"Mean {number(means[-1], metric.decimals)}", SERIES[0])]
    for pooled in held_out.pooled:
        if pooled.metric == metric.name and pooled.method != GENERATOR:
            axes.axhline(pooled.mean, color=MUTED, linewidth=1.1, linestyle=(0, (4, 3)))
            label = f"{method_named(pooled.method).label} {number(pooled.mean, metric.decimals)}"
            ends.append((float(rounds[-1]), pooled.mean, shortened(label), MUTED))
    _round_axis(axes)
    axes.set_ylabel(metric.heading)
    axes.set_xlabel("round")
    _padded(axes, [p.value for c in trained for p in c.points] + [end[1] for end in ends])
    label_ends(axes, ends, gap=LABEL_HEIGHT_INCH / 2.5)


def _loss_panel(axes: Axes, curves: list[LossCurve], title: str) -> None:
    few = len(curves) <= MOST_LABELLED
    ends = []
    for index, curve in enumerate(curves):
        colour, marker = (SERIES[index], MARKERS[index]) if few else (SERIES[0], "")
        rounds, values = _with_gaps(curve)
        if few:
            _line(axes, rounds, values, colour, marker)
        else:
            axes.plot(rounds, values, color=colour, lw=0.8, alpha=0.45)
        ends.append((rounds[-1], values[-1], shortened(curve.site), colour))
    axes.set_title(title)
    _round_axis(axes)
    _padded(axes, [p.value for c in curves for p in c.points])
    label_ends(axes, ends if few else [], gap=LABEL_HEIGHT_INCH / 1.5)


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


def _line(axes: Axes, rounds: Sequence[float], values: Sequence[float], colour: str, marker: str) -> None:
    # A paper-coloured rim keeps crossing markers apart.
    axes.plot(
        rounds, values, color=colour, lw=1.8, marker=marker, markersize=4.2, markeredgecolor=PAPER, markeredgewidth=0.7
    )


def _round_axis(axes: Axes) -> None:
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True, min_n_ticks=1))
    axes.yaxis.set_major_locator(MaxNLocator(4))
    axes.grid(axis="y", color=RULE)
    axes.set_axisbelow(True)


def _padded(axes: Axes, values: Sequence[float]) -> None:
    low, high = min(values), max(values)
    pad = 0.08 * (high - low) or abs(high) * 0.05 or 1.0
    axes.set_ylim(low - pad, high + pad)


def _with_gaps(curve: LossCurve) -> tuple[list[float], list[float]]:
    """Rounds and values with a NaN in each gap; the last value is always real."""
    values = {p.round: p.value for p in curve.points}
    rounds = list(range(min(values), max(values) + 1))
    return [float(r) for r in rounds], [values.get(r, math.nan) for r in rounds]


def _curves_text(trained: list[Curve], metric: MetricDefinition) -> str:
    return "; ".join(
        f"{c.site}: {number(c.points[0].value, metric.decimals)} in round {c.points[0].round}, "
        f"{number(c.points[-1].value, metric.decimals)} in round {c.points[-1].round}"
        for c in trained
    )


def _estimate_text(e: Estimate, metric: MetricDefinition) -> str:
    return f"{number(e.mean, metric.decimals)} {interval(e.ci, metric.decimals)}"


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
