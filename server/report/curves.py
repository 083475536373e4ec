"""Curves over the rounds: metrics at held-out centres beside the baselines, and training losses. No anatomy."""

from __future__ import annotations

import math
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from common.metrics import GENERATOR, MetricDefinition, method_named
from server.report.document import ReportDocument
from server.report.drawing import FONT_PT, MARKERS, MUTED, PAPER, RULE, SERIES, FigureItem, drawn, label_ends, shortened
from server.report.participation import LossCurve
from server.report.results import Curve, Evaluation
from server.report.wording import number

MOST_LABELLED = len(SERIES)
PANEL_INCH = 1.35
LABEL_HEIGHT_INCH = 0.19


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
    shown = [(loss, title) for loss, title in panels if by_loss[loss]]
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
        "Mean losses over each round's local steps, by training centre; a gap is a round without an accepted reply, "
        "or one before the discriminator plays."
    )
    return FigureItem(name="losses", svg=drawn("losses", 0.5 + 1.9 * len(shown), paint), caption=caption, text=text)


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


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
