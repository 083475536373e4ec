from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from client.learning.widening.plan import BRAIN_CENTRE_MM, BRAIN_RADII_MM, Finding, FindingKind, Plan, draw_plans
from client.learning.widening.tissue import soft_tissue, with_finding, with_other_brain, with_other_skull
from common.geometry import Geometry, Grid
from common.study import Widening

MakePlan = Callable[..., Plan]
GRID = Grid(shape=(48, 48, 48), voxel_mm=4.0)
GEOMETRY = Geometry(detector_shape=(16, 16), pixel_mm=24.0)
SKULL_INNER_MM, SKULL_OUTER_MM = 68.0, 76.0


def head() -> Tensor:
    """A brain of 35 HU in a skull of 900 HU in a scalp of 20 HU."""
    radius = radius_mm()
    hu = torch.full(GRID.shape, -1000.0)
    hu[radius < 84] = 20.0
    hu[radius < SKULL_OUTER_MM] = 900.0
    hu[radius < SKULL_INNER_MM] = 35.0
    return hu


def radius_mm() -> Tensor:
    z, y, x = (torch.from_numpy(GRID.centres_mm(axis)) for axis in range(3))
    return (z[:, None, None] ** 2 + y[:, None] ** 2 + x**2).sqrt().float()


def thickness_mm(volume_hu: Tensor) -> float:
    """Bone on the way from the middle to the left, by its attenuation above soft tissue."""
    line = volume_hu[24, 24, 24:]
    return float(((line - 35).clamp(min=0) / (900 - 35)).sum()) * GRID.voxel_mm


@pytest.mark.parametrize("change_mm", [2.0, -2.0])
def test_bone_gets_thicker_and_thinner_by_what_is_asked(plan: MakePlan, change_mm: float) -> None:
    changed = with_other_skull(head(), GRID, plan(skull_mm=change_mm))
    assert thickness_mm(changed) - thickness_mm(head()) == pytest.approx(change_mm, abs=0.15)
    inside = radius_mm() < SKULL_INNER_MM - 9
    assert torch.equal(changed[inside], head()[inside])


def test_thinner_bone_leaves_tissue_and_never_air(plan: MakePlan) -> None:
    bare = head()
    bare[radius_mm() >= SKULL_OUTER_MM] = -1000.0
    changed = with_other_skull(bare, GRID, plan(skull_mm=-3.0))
    skull = (radius_mm() >= SKULL_INNER_MM) & (radius_mm() < SKULL_OUTER_MM)
    assert float(changed[skull].min()) > 30


def test_bone_alone_gets_denser(plan: MakePlan) -> None:
    changed = with_other_skull(head(), GRID, plan(bone=1.15))
    bone = head() > 300
    assert torch.allclose(changed[bone], head()[bone] * 1.15)
    assert torch.equal(changed[~bone], head()[~bone])


def test_soft_tissue_varies_by_its_sd_and_nothing_else_does(plan: MakePlan) -> None:
    drawn = [
        with_other_brain(head(), GRID, plan(), 4.0, torch.Generator().manual_seed(seed)) - head() for seed in range(6)
    ]
    soft = soft_tissue(head()) > 0.9
    change = torch.stack(drawn)
    assert float(change[:, soft].std()) == pytest.approx(4.0, rel=0.2)
    assert float(change[:, head() > 300].abs().max()) == 0
    assert float(change[:, head() < -500].abs().max()) == 0
    # Smooth: neighbours differ far less than the field does.
    assert float((change[:, :, :, 25] - change[:, :, :, 24])[:, soft[:, :, 24]].std()) < 2.0


@pytest.mark.parametrize(
    ("kind", "hu", "inside"),
    [(FindingKind.BLEED, 65.0, 65.0), (FindingKind.INFARCT, -12.0, 23.0), (FindingKind.CALCIFICATION, 250.0, 250.0)],
)
def test_findings_have_their_values(kind: FindingKind, hu: float, inside: float) -> None:
    finding = Finding(kind, (10.0, -6.0, 14.0), (16.0, 16.0, 16.0), hu)
    changed = with_finding(head(), GRID, finding, soft_tissue(head()))
    z, y, x = (int((c + 94.0) / 4.0) for c in (14.0, -6.0, 10.0))
    assert float(changed[z, y, x]) == pytest.approx(inside, abs=0.5)
    far = radius_mm() > 50
    assert torch.equal(changed[far], head()[far])


def test_a_finding_never_replaces_bone() -> None:
    finding = Finding(FindingKind.BLEED, (70.0, 0.0, 0.0), (15.0, 15.0, 15.0), 60.0)
    changed = with_finding(head(), GRID, finding, soft_tissue(head()))
    bone = head() > 300
    assert torch.equal(changed[bone], head()[bone])
    assert not torch.equal(changed, head())


def test_drawn_findings_lie_in_the_brain_and_in_their_ranges() -> None:
    plans = draw_plans(Widening(lesions=1.0), GEOMETRY, 300, torch.Generator().manual_seed(5))
    ranges = {"bleed": (55, 75), "infarct": (-15, -8), "calcification": (120, 350)}
    seen = set()
    for one in plans:
        assert one.finding is not None
        low, high = ranges[one.finding.kind.value]
        assert low <= one.finding.hu <= high
        pairs = zip(one.finding.centre_mm, BRAIN_CENTRE_MM, BRAIN_RADII_MM, strict=True)
        assert sum(((c - m) / r) ** 2 for c, m, r in pairs) <= 1
        seen.add(one.finding.kind)
    assert seen == set(FindingKind)


def test_without_strength_the_brain_is_left_alone(plan: MakePlan) -> None:
    brain = head()
    assert with_other_brain(brain, GRID, plan(), 0.0, torch.Generator()) is brain
