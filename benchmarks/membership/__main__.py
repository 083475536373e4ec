"""``make bench-membership``: does a network of a shipped study tell who was in its training?"""

from __future__ import annotations

import os
from dataclasses import asdict
from typing import Annotated, Any

import torch
import typer
from rich.console import Console

from benchmarks.measure import Goal, conclude, show
from benchmarks.membership.attack import Attack, attacked, errors_hu
from benchmarks.quality.store import ROOT
from benchmarks.quality.training import train
from benchmarks.robustness.short_training import procedural_case
from common.study import CohortSettings, Privacy, Study, Widening

STUDIES = ("demo", "cranial-drr-64")
MEMBERS, STRANGERS, FIRST_STRANGER = 12, 48, 7000
GREATEST_AUC = 0.6
PROTOCOL = (
    f"One site of {MEMBERS} procedural heads, all steps of the study at that site; {STRANGERS} heads of the same "
    "family that it never saw. The attacker holds a candidate's CT and radiographs and takes the mean absolute error "
    "inside the window. AUC with a 95 % bootstrap interval; 0.5 is chance."
)


def main(
    studies: Annotated[list[str] | None, typer.Option("--study", help="These alone, by their names.")] = None,
    quick: Annotated[bool, typer.Option(help="A tenth of the steps of the demo's study, few heads.")] = False,
    threads: Annotated[int, typer.Option(help="Threads of PyTorch.")] = 1,
) -> None:
    """Train, attack, print a table, write results."""
    torch.set_num_threads(threads)
    console = Console(width=int(os.environ.get("COLUMNS", "160")))
    names = tuple(studies or (STUDIES[:1] if quick else STUDIES))
    rows, goals = [], []
    figures: dict[str, Any] = {}
    for name in names:
        shipped = Study.from_toml(ROOT / "configs" / f"{name}.toml")
        for how, study in ((name, shipped), (f"{name}, without widening", _unwidened(shipped))):
            console.log(how)
            attack = _attack(study, 0.1 if quick else 1.0, MEMBERS if not quick else 4, STRANGERS if not quick else 6)
            interval = f"{attack.auc:.2f} [{attack.low:.2f}, {attack.high:.2f}]"
            rows.append([how, f"{attack.members_hu:.1f} / {attack.strangers_hu:.1f} HU", interval])
            figures[how] = asdict(attack)
            if study is shipped:
                goals.append(Goal(f"{name}: AUC ≤ {GREATEST_AUC:g}", interval, attack.auc <= GREATEST_AUC))
    show(console, "Who was in training?", ["study", "error, members / strangers", "AUC"], rows)
    conclude(console, "membership", goals, figures, PROTOCOL, complete=not quick and names == STUDIES)


def _attack(study: Study, share: float, members: int, strangers: int) -> Attack:
    known = [procedural_case(study, seed) for seed in range(members)]
    unseen = [procedural_case(study, FIRST_STRANGER + number) for number in range(strangers)]
    weights = train(_at_one_site(study, share), known, lambda _: None).weights
    return attacked(errors_hu(study, weights, known), errors_hu(study, weights, unseen))


def _unwidened(study: Study) -> Study:
    return Study.model_validate(study.model_dump() | {"widening": Widening().model_dump()})


def _at_one_site(study: Study, share: float) -> Study:
    """All steps of the study, or a share of them, in one round of one site that is alone."""
    document = study.model_dump()
    options, rounds = document["optimisation"], study.federation.rounds
    steps = max(4, round(share * rounds * study.optimisation.steps_per_round))
    options |= {
        "steps_per_round": steps,
        "warmup_steps": min(options["warmup_steps"], steps // 5),
        "adversarial_from_step": round(share * options["adversarial_from_step"]),
    }
    document["federation"]["rounds"] = 1
    document |= {"cohort": CohortSettings().model_dump(), "privacy": Privacy(minimum_cases=1).model_dump()}
    return Study.model_validate(document)


if __name__ == "__main__":
    typer.run(main)
