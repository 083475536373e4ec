"""A run directory as a coordinator leaves it: six sites, refusals, a timeout, a suppression.

Values are drawn from seeded distributions; ``raw`` keeps the per-case values that the records only hold sums of.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from common.exchange import CohortFlow, MethodStatistics, MetricSums, TrainLosses
from common.geometry import Geometry, Grid
from common.roles import Role
from common.study import Federation, Study
from server.rounds import Outcome, RoundRecord, RunRecord, SiteEvaluation, SiteRecord, SiteTraining

Raw = dict[tuple[int, str, str, str], list[float]]


@dataclass
class WrittenRun:
    """A run directory and the values behind its sums, by (round, site, method, metric)."""

    directory: Path
    study: Study
    run: RunRecord
    rounds: list[RoundRecord]
    raw: Raw = field(default_factory=dict)

    def write(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        (self.directory / "run.json").write_text(self.run.model_dump_json(), encoding="utf-8")
        lines = "".join(f"{record.model_dump_json()}\n" for record in self.rounds)
        (self.directory / "rounds.jsonl").write_text(lines, encoding="utf-8")


TRAIN = {"alder": 41, "birch": 28, "cedar": 63}
HELD_OUT = {"harbour": 24, "lakeside": 34, "islet": 6}


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def sums_of(values: list[float]) -> MetricSums:
    return MetricSums(cases=len(values), total=sum(values), total_of_squares=sum(v * v for v in values))


def demo_study(rounds: int = 12) -> Study:
    return Study(
        name="cranial-drr-64",
        title="Cranial CT from two radiographs at three centres",
        grid=Grid(shape=(64, 64, 64), voxel_mm=3.6),
        geometry=Geometry(detector_shape=(128, 128), pixel_mm=3.0),
        federation=Federation(rounds=rounds, minimum_train_sites=2),
    )


def site_record(name: str, role: Role, cases: int) -> SiteRecord:
    train = cases - cases // 5 if role is Role.TRAIN else 0
    flow = CohortFlow(
        found=2 * cases + 11,
        eligible=cases + 7,
        used=cases,
        excluded={"gantry_tilt": 4, "slice_spacing": cases // 2, "coverage": cases - cases // 2, "duplicate": 7},
    )
    return SiteRecord(
        name=name,
        role=role,
        key_sha256=sha(f"key of {name}"),
        train_cases=train,
        evaluation_cases=cases - train,
        flow=flow,
        release="0.1.0",
        device="CPU, 8 cores" if role is Role.TRAIN else "CPU, 4 cores",
    )


def values_of(rng: np.random.Generator, method: str, number: int, cases: int, ease: float) -> dict[str, list[float]]:
    """Per-case values of each metric; ``ease`` moves a whole centre."""
    skill = {"generator": 5.4 * (1 - np.exp(-number / 4)) - 1.5, "mean_volume": 0.0, "back_projection": -2.6}[method]
    psnr = rng.normal(18.9 + ease + skill, 1.1, cases)
    ssim = np.clip(0.56 + (psnr - 18.9) * 0.045 + rng.normal(0, 0.02, cases), -1, 1)
    mae = np.exp(5.1 - (psnr - 18.9) * 0.13) + rng.normal(0, 2, cases)
    return {
        "psnr_db": psnr.tolist(),
        "ssim": ssim.tolist(),
        "mae_hu": mae.tolist(),
        "psnr_body_db": (psnr - 2.4).tolist(),
        "mae_body_hu": (mae * 1.7).tolist(),
        "mae_bone_hu": (mae * 2.6).tolist(),
        "mae_brain_hu": (mae * 0.5).tolist(),
        "bone_dice": np.clip(0.5 + (psnr - 18.9) * 0.05, 0, 1).tolist(),
        "cosine_similarity": np.clip(0.96 + (psnr - 18.9) * 0.004, -1, 1).tolist(),
    }


def build_run(
    directory: Path, rounds: int = 12, train: dict[str, int] = TRAIN, held: dict[str, int] = HELD_OUT
) -> WrittenRun:
    rng = np.random.default_rng(7)
    study = demo_study(rounds)
    run = RunRecord(
        run="20260314-0915-a3f2",
        study_json=study.canonical_json(),
        study_sha256=study.sha256,
        bundle_sha256=sha("bundle"),
        release="0.1.0",
        versions={"flwr": "1.41.0", "python": "3.12.4", "torch": "2.13.0", "monai": "1.5.2", "numpy": "2.4.6"},
        started_at="2026-03-14T09:15:02Z",
        sites=tuple(site_record(n, Role.TRAIN, c) for n, c in train.items())
        + tuple(site_record(n, Role.EVALUATE, c) for n, c in held.items()),
        generator_parameters=3_184_512,
        discriminator_parameters=412_033,
    )
    written = WrittenRun(directory, study, run, [])
    for number in range(1, rounds + 1):
        written.rounds.append(
            RoundRecord(
                round=number,
                started_at=f"2026-03-14T{9 + number // 6:02d}:{(number * 9) % 60:02d}:11Z",
                seconds=512.5 + number,
                aggregated=True,
                training=tuple(_trained(rng, number, name, cases) for name, cases in train.items()),
                evaluation=tuple(_evaluated(rng, written.raw, number, name, cases) for name, cases in held.items())
                + (_internal(rng, written.raw, train) if number == rounds else ()),
                generator_sha256=sha(f"generator {number}"),
                discriminator_sha256=sha(f"discriminator {number}"),
                bytes_sent=52_400_000,
                bytes_received=38_900_000,
            )
        )
    written.write()
    return written


def _trained(rng: np.random.Generator, number: int, name: str, cases: int) -> SiteTraining:
    if (name, number) == ("birch", 4):
        return SiteTraining(site=name, outcome=Outcome.TIMED_OUT, reason="no reply within 3600 s", seconds=3600)
    if (name, number) in {("cedar", 7), ("cedar", 8)}:
        return SiteTraining(site=name, outcome=Outcome.REFUSED_BY_SITE, reason="disk_full")
    if (name, number) == ("alder", 9):
        return SiteTraining(site=name, outcome=Outcome.REFUSED_BY_COORDINATOR, reason="update norm 14.2 above 10")
    fall = float(np.exp(-number / 5))
    losses = TrainLosses(
        generator=0.11 + 0.3 * fall + float(rng.normal(0, 0.006)),
        reconstruction=0.09 + 0.28 * fall,
        reprojection=0.04 + 0.1 * fall,
        adversarial=0.3,
        discriminator=0.25 - 0.06 * (1 - fall) + float(rng.normal(0, 0.006)),
    )
    return SiteTraining(
        site=name, outcome=Outcome.ACCEPTED, cases=cases - cases // 5, steps=40, seconds=401.0, losses=losses
    )


def _evaluated(rng: np.random.Generator, raw: Raw, number: int, name: str, cases: int) -> SiteEvaluation:
    if cases < 10:
        return SiteEvaluation(
            site=name, role=Role.EVALUATE, outcome=Outcome.ACCEPTED, cases=cases, suppressed=True, seconds=20
        )
    if (name, number) == ("lakeside", 5):
        return SiteEvaluation(site=name, role=Role.EVALUATE, outcome=Outcome.TIMED_OUT, reason="no reply within 3600 s")
    ease = {"harbour": 0.4, "lakeside": -0.5}.get(name, float(np.sin(len(name) * 7 + ord(name[-1]))))
    return _statistics(rng, raw, number, name, cases, ease, Role.EVALUATE)


def _internal(rng: np.random.Generator, raw: Raw, train: dict[str, int]) -> tuple[SiteEvaluation, ...]:
    entries = []
    for name, cases in train.items():
        if cases // 5 < 10:
            entries.append(
                SiteEvaluation(
                    site=name, role=Role.TRAIN, outcome=Outcome.ACCEPTED, cases=cases // 5, suppressed=True, seconds=9
                )
            )
        else:
            entries.append(_statistics(rng, raw, 12, name, cases // 5, 0.2, Role.TRAIN))
    return tuple(entries)


def _statistics(
    rng: np.random.Generator, raw: Raw, number: int, name: str, cases: int, ease: float, role: Role
) -> SiteEvaluation:
    methods = []
    for method in ("generator", "mean_volume", "back_projection"):
        # The same cases each round: a baseline, which does not learn, scores the same every time.
        draw = rng if method == "generator" else np.random.default_rng(sum(map(ord, name + method)))
        values = values_of(draw, method, number, cases, ease)
        raw.update({(number, name, method, metric): column for metric, column in values.items()})
        metrics = {metric: sums_of(column) for metric, column in values.items()}
        methods.append(MethodStatistics(method=method, metrics=metrics))
    return SiteEvaluation(
        site=name, role=role, outcome=Outcome.ACCEPTED, cases=cases, seconds=61.0, methods=tuple(methods)
    )


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> WrittenRun:
    """The run of :func:`build_run` as it comes; tests only read it."""
    return build_run(tmp_path_factory.mktemp("demo") / "run")


@pytest.fixture
def make_run(tmp_path: Path) -> Callable[..., WrittenRun]:
    """Writes a run directory below ``tmp_path``; arguments as :func:`build_run`."""

    def make(name: str = "run", **arguments: object) -> WrittenRun:
        return build_run(tmp_path / name, **arguments)  # type: ignore[arg-type]

    return make
