"""What was aimed at, and the figures that are held against it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks.measure import Goal
from benchmarks.pose.records import STATED, STRANGERS, UNSTATED, Record
from client.pose import PoseVerdict

MOST_TURN_DEG, MOST_TURN_P90_DEG = 0.5, 1.5
MOST_ACROSS_MM, MOST_DEPTH_MM = 0.5, 5.0
MOST_CPU_S = 10.0
MOST_REPROJECTED_MM = 1.0
LEAST_FAILED = 0.99
LEAST_VIEWS = 40


def views_of(records: Sequence[Record], condition: str) -> list[dict[str, Any]]:
    """All views of a condition."""
    return [view for record in records for view in record.get(condition, [])]


def spread_of(views: Sequence[dict[str, Any]], figure: str) -> dict[str, float]:
    """Median, 90th percentile and greatest of a figure."""
    values = [view[figure] for view in views]
    return {"median": float(np.median(values)), "p90": float(np.percentile(values, 90)), "greatest": max(values)}


def failed_share(views: Sequence[dict[str, Any]]) -> float:
    """Share of views whose pose failed."""
    return [view["verdict"] for view in views].count(PoseVerdict.FAILED.value) / len(views)


def pose_goals(records: Sequence[Record]) -> list[Goal]:
    """Each with what was seen; records hold at least one film that was read."""
    stated, unstated = views_of(records, STATED), views_of(records, UNSTATED)
    turn, across, depth = (spread_of(stated, name) for name in ("turn_deg", "across_mm", "depth_mm"))
    seen = spread_of(unstated, "reprojected_mm")["median"]
    cpu_s = spread_of(stated, "cpu_s")["greatest"]
    failed = failed_share(views_of(records, STRANGERS))
    return [
        Goal("views", f"{len(stated)} (goal {LEAST_VIEWS})", len(stated) >= LEAST_VIEWS),
        _at_most("median angle", turn["median"], MOST_TURN_DEG, "°"),
        _at_most("90th percentile", turn["p90"], MOST_TURN_P90_DEG, "°"),
        _at_most("median across the beam", across["median"], MOST_ACROSS_MM, " mm"),
        _at_most("median depth", depth["median"], MOST_DEPTH_MM, " mm"),
        _at_most("slowest view", cpu_s, MOST_CPU_S, " CPU-s"),
        _at_most("re-projection, distances not stated", seen, MOST_REPROJECTED_MM, " mm"),
        Goal("other persons' CTs failed", f"{failed:.1%} (goal at least {LEAST_FAILED:.0%})", failed >= LEAST_FAILED),
    ]


def _at_most(name: str, figure: float, most: float, unit: str) -> Goal:
    return Goal(name, f"{figure:.2f}{unit} (goal at most {most:g}{unit})", figure <= most)
