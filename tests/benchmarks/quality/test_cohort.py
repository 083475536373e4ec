from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from benchmarks.quality import cohort, morphs
from benchmarks.quality.cohort import GRID, Fold, TrainingCase, fold_of, on_training_grid
from benchmarks.quality.heads import PERSONS, canonical_head, heads_sha256
from benchmarks.quality.store import Store
from common.geometry import Grid
from tests import absences

CT = absences.REAL_HEADS_FOLDER
SMALL = Grid(shape=(40, 40, 40), voxel_mm=5.76)


@pytest.mark.parametrize("held_out", PERSONS)
def test_nothing_of_the_held_out_person_is_trained_on(
    held_out: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def drawn(what: str, count: int, ct: Path, store: Store) -> dict[str, Tensor]:
        asked.append(what)
        return {"hu": torch.zeros(count, 2, 2, 2, dtype=torch.int16), "integrals": torch.zeros(count, 2, 2, 2)}

    monkeypatch.setattr(cohort, "_samples", drawn)
    monkeypatch.setattr(cohort, "canonical_head", lambda *_: torch.zeros(2, 2, 2))
    fold = fold_of(held_out, tmp_path, Store(tmp_path))
    assert asked == [], "what is known already needs no head"
    assert len(fold.cases) > 0
    trained_on = [what for what in asked if not what.startswith("held out")]
    assert all(held_out not in what for what in trained_on)
    assert asked[-1] == f"held out {held_out}"
    assert all(held_out not in entry.persons and entry.site != held_out for entry in fold.heads.training)
    assert set(fold.sites) == set(PERSONS) - {held_out}
    assert len({case.pseudonym for case in fold.cases}) == len(fold.cases) == 3 * 40 + 6 * 8 + 24
    for site, cases in fold.sites.items():
        persons = {entry.persons for entry in fold.heads.training if any(entry.case is case for case in cases)}
        assert persons == {frozenset({site}), frozenset()}, "a site has no morph with another hospital's patient"
        assert len(cases) == 40 + 8


def test_a_cohort_of_few_persons_holds_nothing_of_the_others(fold: Fold) -> None:
    heads = fold.heads
    both = TrainingCase(heads.training[0].case, "01", frozenset({"01", "02"}))
    nobody = TrainingCase(heads.training[-1].case, "03", frozenset())
    mixed = Fold("06", lambda: replace(heads, training=[*heads.training, both, nobody]))
    assert mixed.cases_of(0) == [nobody.case]
    of_one = [entry.case for entry in heads.training if entry.site == "01"]
    assert mixed.cases_of(1) == [*of_one, nobody.case]
    assert both.case in mixed.cases_of(2)
    assert mixed.cases_of(3) == mixed.cases


def test_a_coarse_voxel_is_the_mean_of_its_fine_ones() -> None:
    fine = torch.arange(4**3).reshape(4, 4, 4).to(torch.int16)
    assert on_training_grid(fine)[0, 0, 0] == round(float(fine[:2, :2, :2].float().mean()))


def ball(radius_mm: float, lowest_mm: float = -1e3) -> Tensor:
    z, y, x = (torch.from_numpy(SMALL.centres_mm(axis)) for axis in range(3))
    radius = (z[:, None, None] ** 2 + y[:, None] ** 2 + x**2).sqrt()
    hu = -1000 + 1000 * ((radius_mm - radius) / SMALL.voxel_mm + 0.5).clamp(0, 1)
    hu[z < lowest_mm] = -1000
    return hu.to(torch.int16)


def volume_mm(hu: Tensor) -> float:
    """Radius of the ball with the volume's tissue."""
    tissue = float(((hu.float() + 1000) / 1000).sum()) * SMALL.voxel_mm**3
    return float(np.cbrt(tissue * 3 / (4 * np.pi)))


def test_a_morph_is_half_the_way_and_keeps_the_persons_coverage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(morphs, "FINE", SMALL)
    between = morphs.morph(ball(60.0), ball(80.0))
    assert volume_mm(between) == pytest.approx(70.0, abs=3.0)
    cut = morphs.morph(ball(60.0, lowest_mm=-20.0), ball(60.0))
    z = torch.from_numpy(SMALL.centres_mm(0))
    assert float(cut[z < -30].max()) < -500
    assert volume_mm(cut) == pytest.approx(volume_mm(ball(60.0, lowest_mm=-20.0)), rel=0.05)


def test_the_hash_of_the_heads_follows_from_every_persons_files(tmp_path: Path) -> None:
    def heads(folder: Path, *, last: bytes) -> str:
        (folder / "06_folder").mkdir(parents=True)
        for person in PERSONS[:3]:
            (folder / f"{person}_head.zip").write_bytes(person.encode())
        (folder / "06_folder" / "one.dcm").write_bytes(b"slice")
        (folder / "06_folder" / "two.dcm").write_bytes(last)
        return heads_sha256(folder)

    assert heads(tmp_path / "a", last=b"slice") == heads(tmp_path / "b", last=b"slice")
    assert heads(tmp_path / "c", last=b"SLICE") != heads_sha256(tmp_path / "a")


@pytest.mark.real_heads
@pytest.mark.skipif(not CT.is_dir(), reason=absences.REAL_HEADS)
def test_a_tilted_real_head_comes_out_upright_with_its_brain_in_the_middle(tmp_path: Path) -> None:
    head = canonical_head("03", CT, Store(tmp_path)).float()
    fine = on_training_grid(head).float()
    assert tuple(fine.shape) == GRID.shape
    brain = fine[34:46, 26:40, 26:38]
    assert 10 < float(brain.median()) < 60
    # Air in front of the face, the cut plane below, the vertex inside the volume.
    assert float(fine[:4].max()) < -500
    assert float(fine[:, :2].max()) < -500
    assert float(fine[-1].max()) < -300
    # The same head again is read, not built.
    assert torch.equal(canonical_head("03", CT, Store(tmp_path)).float(), head)
