from __future__ import annotations

import math
from pathlib import Path

import pytest

from client.pose import MENDS, REASONS, PoseVerdict
from client.pose.pose_verdicts import pose_verdict


@pytest.mark.parametrize(
    ("likeness", "spread_deg", "spread_mm", "depth_mm", "verdict"),
    [
        (0.97, 0.1, 0.1, 10.0, PoseVerdict.FOUND),
        (0.97, 1.5, 0.1, 10.0, PoseVerdict.UNCERTAIN),
        (0.97, 0.1, 1.5, 10.0, PoseVerdict.UNCERTAIN),
        (0.92, 0.1, 0.1, 10.0, PoseVerdict.UNCERTAIN),
        (0.90, 0.1, 0.1, 10.0, PoseVerdict.FAILED),
        (math.nan, 0.1, 0.1, 10.0, PoseVerdict.FAILED),
        (0.97, math.nan, 0.1, 10.0, PoseVerdict.UNCERTAIN),
        (0.97, 0.1, 0.1, -95.0, PoseVerdict.UNCERTAIN),
    ],
)
def test_likeness_restarts_and_depth_decide(
    likeness: float, spread_deg: float, spread_mm: float, depth_mm: float, verdict: PoseVerdict
) -> None:
    assert pose_verdict(likeness, spread_deg, spread_mm, depth_mm) is verdict


def test_every_verdict_has_its_words() -> None:
    assert set(REASONS) == set(PoseVerdict)
    assert set(MENDS) == set(PoseVerdict) - {PoseVerdict.FOUND}


def test_the_documents_table_says_the_same() -> None:
    document = (Path(__file__).parents[3] / "docs" / "pose.md").read_text(encoding="utf-8")
    rows = [f"| `{verdict.value}` | {REASONS[verdict]} | {MENDS.get(verdict, '–')} |" for verdict in PoseVerdict]
    assert "\n".join(rows) in document
