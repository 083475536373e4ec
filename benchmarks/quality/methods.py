"""Every method on every fold: computed once for its inputs, then read back."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, final

import torch
from torch import Tensor

from benchmarks.quality import classical, cohort, lesions, oracle
from benchmarks.quality.cohort import Fold
from benchmarks.quality.federation import train_federated
from benchmarks.quality.heads import PERSONS
from benchmarks.quality.lesions import Changed, Predict, Shown
from benchmarks.quality.store import Store, code_sha256
from benchmarks.quality.studies import ABLATIONS, BRAIN, FEDERATED, FEDERATED_AS, FEDERATIONS, NETWORKS, study_of
from benchmarks.quality.training import Trained, steps_within, train
from common.metrics import case_metrics
from common.study import Study

MEAN, NEAREST, RIDGE = "mean volume", "nearest DRR", "ridge"
CONSISTENT = " + consistency"
BASELINES = (MEAN, NEAREST, RIDGE, MEAN + CONSISTENT, RIDGE + CONSISTENT)
LOCAL = "local only, site "
LOCALS = tuple(f"{LOCAL}{person}" for person in PERSONS)
# What two radiographs can tell at all, with photon noise or without.
ORACLES: Mapping[str, bool] = {"oracle, 50 000 photons": True, "oracle, no noise": False}
CENTRALISED = "centralised, the sites' cases"
# Networks trained on all sites' cases in one place.
POOLED: Mapping[str, str] = {CENTRALISED: FEDERATED_AS, f"{CENTRALISED}, fixed atlas": BRAIN}
# What one person more is worth, at equal steps.
OF_PERSONS: Mapping[str, int] = {
    f"{FEDERATED_AS}, {name}": persons
    for persons, name in enumerate(("no person", "one person", "two persons", "three persons"))
}
METHODS = (*BASELINES, *NETWORKS, CENTRALISED, FEDERATED, *LOCALS)
FILLED = "the atlas's skull, mean brain"
EXTRAS = (
    *ABLATIONS,
    FILLED,
    *OF_PERSONS,
    *(name for name in (*POOLED, *FEDERATIONS) if name not in {CENTRALISED, FEDERATED}),
)
ALONE = {*NETWORKS, *ABLATIONS}

_METRIC_CODE = (
    "client/evaluation/baselines.py",
    "common/metrics/calculation.py",
    "common/metrics/intracranial.py",
    "common/metrics/regions.py",
    "common/metrics/sharpness.py",
    "benchmarks/quality/methods.py",
)
BASELINE_CODE = (
    *cohort.CODE,
    *_METRIC_CODE,
    "benchmarks/quality/classical.py",
    "common/networks/consistency.py",
    "common/objective.py",
)
ORACLE_CODE = (*cohort.CODE, *_METRIC_CODE, "benchmarks/quality/oracle.py")
NETWORK_CODE = (
    *cohort.CODE,
    *_METRIC_CODE,
    "common/networks",
    "common/objective.py",
    "common/study/networks.py",
    "common/averaging.py",
    "client/learning/moments.py",
    "client/learning/muon.py",
    "client/learning/players.py",
    "client/learning/precision.py",
    "client/learning/running_average.py",
    "client/learning/samples.py",
    "client/learning/schedule.py",
    "client/learning/local_training.py",
    "client/synthesis/synthesiser.py",
    "benchmarks/quality/training.py",
)
FEDERATED_CODE = (
    *NETWORK_CODE,
    "client/link/work.py",
    "common/exchange/weights.py",
    "server/aggregation",
    "server/rounds",
    "benchmarks/quality/federation.py",
)
# How many steps fit is found by measuring; a study is told from another at this many.
_STEPS_OF_A_KEY = 1000
# Federations are compared at equal steps: all sites together take so many a second of the budget, whatever the core.
_FEDERATION_STEPS_PER_S = 1.0
# A site's steps come by this number: federations that average at its divisors take equally many.
_SITE_STEPS_BY = 20
_STEPS_OF_PERSONS = 300


@final
@dataclass(frozen=True)
class Result:
    """One method on one fold with one seed.

    Attributes:
        poses: metrics of each pose of the held-out person, by name.
        cpu_s: processor seconds of training.
        steps: training steps of each site, 0 where nothing is trained.
        note: what was chosen, in words.
    """

    poses: Sequence[Mapping[str, float | None]]
    cpu_s: float
    steps: int
    note: str

    def mean(self, metric: str) -> float:
        """Mean over the poses that have the metric; NaN where none has."""
        known = [value for pose in self.poses if (value := pose.get(metric)) is not None]
        return sum(known) / len(known) if known else float("nan")


@final
class Runner:
    """Runs methods on one fold.

    Args:
        fold: the held-out person and the cohort without it.
        store: where results are kept.
        seed: of first weights and sampling.
        budget_s: processor seconds of each training; a federation takes its steps by them (:func:`site_steps`).
        say: told what is going on.
    """

    def __init__(self, fold: Fold, store: Store, seed: int, budget_s: float, say: Callable[[str], None]) -> None:
        self.fold = fold
        self._store = store
        self._seed = seed
        self._budget_s = budget_s
        self._say = say
        self._training: classical.TrainingSet | None = None

    def result(self, method: str, *, only_known: bool = False) -> Result | None:
        """The result of a method, computed where it is not known; None where it does not apply to this fold."""
        if method.removeprefix(LOCAL) == self.fold.person:
            return None
        record = self._store.find_record("results", self._key(method))
        if record is None:
            if only_known or (method == FILLED and self.predictions(BRAIN) is None):
                return None
            record = self._compute(method)
        return Result(record["poses"], record["cpu_s"], record["steps"], record["note"])

    def predictions(self, method: str) -> Tensor | None:
        """(POSES, z, y, x) HU of a method that was run, or None."""
        kept = self._store.find_tensors("predictions", self._key(method))
        return None if kept is None else kept["hu"]

    def predictor(self, method: str) -> Predict | None:
        """A method, ready to predict (B, z, y, x) HU from other radiographs; None where it was not run."""
        if method in BASELINES:
            return lambda integrals: self._baseline(method, integrals)[0]
        weights = self._store.find_tensors("weights", self._key(method))
        if weights is None:
            return None
        return Trained(study_of(method, self._seed, 1), weights, 0, 0.0).predict

    def findings(self, method: str, what: str, make: Callable[[Tensor], list[Changed]]) -> list[Shown]:
        """What a method or an oracle shows of findings put into the held-out head; empty where it was not run.

        Args:
            method: a method, or one of :data:`ORACLES`.
            what: the findings, in words.
            make: puts them into a head.
        """
        key = self._key(method) | {"what": what, "lesions": code_sha256(("benchmarks/quality/lesions.py",))}
        record = self._store.find_record("findings", key)
        if record is None:
            shown = self._shown(method, make)
            if not shown:
                return []
            record = {"shown": [asdict(one) for one in shown]}
            self._store.keep_record("findings", key, record)
        return [Shown(**one) for one in record["shown"]]

    def _shown(self, method: str, make: Callable[[Tensor], list[Changed]]) -> list[Shown]:
        if method in ORACLES:
            head_hu = self.fold.heads.fine_hu.float()
            return oracle.shown_by(head_hu, make(head_hu), photons=ORACLES[method])
        predict = self.predictor(method)
        return [] if predict is None else lesions.shown_by(self.fold, predict, make(self.fold.heads.fine_hu.float()))

    @property
    def training(self) -> classical.TrainingSet:
        """The fold's training cases as matrices."""
        if self._training is None:
            self._training = classical.TrainingSet.of(self.fold)
        return self._training

    def _compute(self, method: str) -> dict[str, Any]:
        self._say(f"{self.fold.person}: {method}, seed {self._seed}")
        key, integrals = self._key(method), self.fold.heads.integrals
        if method == FILLED:
            skulls = self.predictions(BRAIN)
            assert skulls is not None
            predicted = classical.filled(self.training, skulls.float())
            record = {"cpu_s": 0.0, "steps": 0, "note": ""}
        elif method in BASELINES:
            predicted, note = self._baseline(method, integrals)
            record = {"cpu_s": 0.0, "steps": 0, "note": note}
        else:
            trained = self._train(method)
            predicted = trained.predict(integrals)
            record = {"cpu_s": trained.cpu_s, "steps": trained.steps, "note": ""}
            if method in (FEDERATED_AS, BRAIN):
                self._store.keep_tensors("weights", key, trained.weights)
        pairs = zip(self.fold.heads.truths_hu, predicted, strict=True)
        record["poses"] = [
            asdict(case_metrics(truth, hu, classical.WINDOW, cohort.GRID.voxel_mm)) for truth, hu in pairs
        ]
        self._store.keep_tensors("predictions", key, {"hu": predicted.round().to(torch.int16)})
        self._store.keep_record("results", key, record)
        return record

    def _baseline(self, method: str, integrals: Tensor) -> tuple[Tensor, str]:
        if method.endswith(CONSISTENT):
            predicted, note = self._baseline(method.removesuffix(CONSISTENT), integrals)
            return classical.consistent(predicted, integrals, self.training.variance()), note
        if method == RIDGE:
            predicted, penalty = classical.ridge(self.training, integrals)
            return predicted, f"penalty {penalty:g}"
        simple = {MEAN: classical.mean_volume, NEAREST: classical.nearest}[method]
        return simple(self.training, integrals), ""

    def _train(self, method: str) -> Trained:
        fold = self.fold
        if method in ALONE:
            steps = steps_within(method, self._seed, fold.cases, self._budget_s)
            return train(self._study(method, steps), fold.cases, lambda _: None)
        if method in OF_PERSONS:
            return train(self._study(method, _STEPS_OF_PERSONS), fold.cases_of(OF_PERSONS[method]), lambda _: None)
        # The network on all sites' cases takes the steps of all sites together, and a site alone those of one.
        by_site = site_steps(self._budget_s, len(fold.sites))
        if method in POOLED:
            cases = [case for cases in fold.sites.values() for case in cases]
            return train(self._study(method, by_site * len(fold.sites)), cases, lambda _: None)
        study = self._study(method, by_site)
        if method in FEDERATIONS:
            return train_federated(study, fold.sites, lambda _: None)
        return train(study, fold.sites[method.removeprefix(LOCAL)], lambda _: None)

    def _study(self, method: str, steps: int) -> Study:
        """The study of a method with a number of steps at each site."""
        federation = FEDERATIONS.get(method)
        if federation is not None:
            network = federation.network
        else:
            network = method if method in ALONE else POOLED.get(method, FEDERATED_AS)
        return study_of(network, self._seed, steps, federation=federation)

    def _key(self, method: str) -> dict[str, Any]:
        common = {"method": method, "person": self.fold.person}
        if method in BASELINES or method in ORACLES:
            return common | {"code": code_sha256(ORACLE_CODE if method in ORACLES else BASELINE_CODE)}
        network = BRAIN if method == FILLED else method
        code = NETWORK_CODE if network in ALONE or network in OF_PERSONS else FEDERATED_CODE
        study = self._study(network, _STEPS_OF_A_KEY).sha256
        return common | {"seed": self._seed, "budget_s": self._budget_s, "study": study, "code": code_sha256(code)}


def site_steps(budget_s: float, sites: int) -> int:
    """Steps of each site of a federation: the same on every core.

    Args:
        budget_s: processor seconds of a training.
        sites: how many train together.
    """
    return max(1, int(budget_s * _FEDERATION_STEPS_PER_S) // sites // _SITE_STEPS_BY) * _SITE_STEPS_BY
