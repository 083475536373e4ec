from __future__ import annotations

import stat
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from client.case import Case
from client.learning import LocalTrainer, StepProgress, TrainOutcome
from common.errors import ExitCode, Refusal
from common.exchange import Weights, weights_of
from common.networks import build_discriminator, build_generator
from common.study import Study

Tiny = Callable[..., Study]
MakeCases = Callable[..., list[Case]]
CPU = torch.device("cpu")


def start(study: Study) -> tuple[Weights, Weights]:
    return weights_of(build_generator(study)), weights_of(build_discriminator(study))


def same(a: Weights | None, b: Weights | None) -> bool:
    assert a is not None and b is not None
    return all(torch.equal(a[name], b[name]) for name in a)


def follow(trainer: LocalTrainer, study: Study, rounds: range, first: tuple[Weights, Weights]) -> TrainOutcome:
    """Rounds in which a site's own weights come back to it unchanged."""
    generator, discriminator = first
    for number in rounds:
        outcome = trainer.train_round(number, generator, discriminator, None, lambda: False)
        assert outcome.discriminator is not None
        generator, discriminator = outcome.generator, outcome.discriminator
    return outcome


def test_training_lowers_the_reconstruction_loss(tiny: Tiny, make_cases: MakeCases, tmp_path: Path) -> None:
    study = tiny(steps_per_round=12, adversarial_weight=0.0, lr_generator=5e-3)
    trainer = LocalTrainer(study, make_cases(study, 3), tmp_path, CPU)
    generator, _ = start(study)
    first = trainer.train_round(1, generator, None)
    second = trainer.train_round(2, first.generator, None)
    assert second.losses.reconstruction < 0.8 * first.losses.reconstruction


def test_a_round_moves_both_networks_and_reports_finite_losses(
    tiny: Tiny, make_cases: MakeCases, tmp_path: Path
) -> None:
    study = tiny(adversarial_from_step=0, raw_weight=0.0)
    generator, discriminator = start(study)
    outcome = LocalTrainer(study, make_cases(study, 3), tmp_path, CPU).train_round(1, generator, discriminator)
    assert not same(outcome.generator, generator)
    assert not same(outcome.discriminator, discriminator)
    assert (outcome.steps, outcome.skipped_steps) == (3, 0)
    assert outcome.seconds > 0
    losses, options = outcome.losses, study.optimisation
    weighted = options.reprojection_weight * losses.reprojection + options.adversarial_weight * losses.adversarial
    assert losses.generator == pytest.approx(losses.reconstruction + weighted, rel=1e-4)


def test_adversarial_term_waits_for_its_step_across_rounds(tiny: Tiny, make_cases: MakeCases, tmp_path: Path) -> None:
    study = tiny(adversarial_from_step=3)
    trainer = LocalTrainer(study, make_cases(study, 3), tmp_path, CPU)
    generator, discriminator = start(study)
    first = trainer.train_round(1, generator, discriminator)
    assert first.losses.adversarial is None
    assert first.losses.discriminator is None
    assert same(first.discriminator, discriminator)
    second = trainer.train_round(2, first.generator, discriminator)
    assert second.losses.adversarial > 0 and second.losses.discriminator > 0


def test_a_restarted_site_goes_on_bit_for_bit(tiny: Tiny, make_cases: MakeCases, tmp_path: Path) -> None:
    study = tiny()
    cases = make_cases(study, 3)
    unbroken = follow(LocalTrainer(study, cases, tmp_path / "a", CPU), study, range(1, 4), start(study))
    before = follow(LocalTrainer(study, cases, tmp_path / "b", CPU), study, range(1, 3), start(study))
    assert before.discriminator is not None
    restarted = LocalTrainer(study, cases, tmp_path / "b", CPU)
    after = restarted.train_round(3, before.generator, before.discriminator)
    assert same(after.generator, unbroken.generator)
    assert same(after.discriminator, unbroken.discriminator)
    assert after.losses == unbroken.losses


def test_a_repeated_round_gives_the_same_bits(tiny: Tiny, make_cases: MakeCases, tmp_path: Path) -> None:
    study = tiny()
    trainer = LocalTrainer(study, make_cases(study, 3), tmp_path, CPU)
    first = follow(trainer, study, range(1, 2), start(study))
    assert first.discriminator is not None
    once, again = (trainer.train_round(2, first.generator, first.discriminator) for _ in range(2))
    assert same(once.generator, again.generator)
    assert once.losses == again.losses


def test_moments_carry_over_between_rounds(tiny: Tiny, make_cases: MakeCases, tmp_path: Path) -> None:
    study = tiny()
    cases = make_cases(study, 3)
    first = follow(LocalTrainer(study, cases, tmp_path / "kept", CPU), study, range(1, 2), start(study))
    kept = LocalTrainer(study, cases, tmp_path / "kept", CPU).train_round(2, first.generator, first.discriminator)
    fresh = LocalTrainer(study, cases, tmp_path / "none", CPU).train_round(2, first.generator, first.discriminator)
    assert not same(kept.generator, fresh.generator)


def test_what_is_kept_is_private_and_only_two_rounds_of_it(tiny: Tiny, make_cases: MakeCases, tmp_path: Path) -> None:
    study = tiny(steps_per_round=1)
    folder = tmp_path / "run"
    follow(LocalTrainer(study, make_cases(study, 2), folder, CPU), study, range(1, 5), start(study))
    files = sorted(folder.iterdir())
    assert [path.name for path in files] == ["round-000003.safetensors", "round-000004.safetensors"]
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in files)


def test_going_back_ignores_and_drops_later_rounds(tiny: Tiny, make_cases: MakeCases, tmp_path: Path) -> None:
    study = tiny(steps_per_round=1)
    folder = tmp_path / "run"
    trainer = LocalTrainer(study, make_cases(study, 2), folder, CPU)
    follow(trainer, study, range(1, 4), start(study))
    generator, discriminator = start(study)
    trainer.train_round(2, generator, discriminator)
    assert [path.name for path in folder.iterdir()] == ["round-000002.safetensors"]


def test_a_discriminator_that_stays_home_survives_a_restart(tiny: Tiny, make_cases: MakeCases, tmp_path: Path) -> None:
    study = tiny(federated=False)
    cases = make_cases(study, 3)
    generator, _ = start(study)
    first = LocalTrainer(study, cases, tmp_path / "a", CPU).train_round(1, generator, None)
    assert first.discriminator is not None
    go_on = LocalTrainer(study, cases, tmp_path / "a", CPU).train_round(2, first.generator, None)
    anew = LocalTrainer(study, cases, tmp_path / "b", CPU).train_round(2, first.generator, None)
    assert not same(go_on.discriminator, anew.discriminator)


def test_progress_counts_every_step(tiny: Tiny, make_cases: MakeCases, tmp_path: Path) -> None:
    study = tiny()
    seen: list[StepProgress] = []
    trainer = LocalTrainer(study, make_cases(study, 2), tmp_path, CPU)
    trainer.train_round(1, *start(study), seen.append, lambda: False)
    assert [(said.step, said.steps) for said in seen] == [(1, 3), (2, 3), (3, 3)]
    assert all(said.loss > 0 for said in seen)


def test_asked_to_stop_it_ends_before_the_next_step_and_keeps_nothing(
    tiny: Tiny, make_cases: MakeCases, tmp_path: Path
) -> None:
    study = tiny()
    seen: list[StepProgress] = []
    trainer = LocalTrainer(study, make_cases(study, 2), tmp_path, CPU)
    with pytest.raises(Refusal) as refusal:
        trainer.train_round(1, *start(study), seen.append, lambda: len(seen) == 2)
    assert refusal.value.code is ExitCode.INTERRUPTED
    assert len(seen) == 2
    assert list(tmp_path.iterdir()) == []


def poisoned(case: Case) -> Case:
    return Case(case.pseudonym, case.volume_hu, np.full_like(case.integrals, np.nan), case.facts)


def test_a_step_that_is_not_finite_is_skipped_and_counted(tiny: Tiny, make_cases: MakeCases, tmp_path: Path) -> None:
    study = tiny(photons=0.0, batch_size=1, steps_per_round=3, max_bad_steps=1)
    cases = make_cases(study, 3)
    cases[1] = poisoned(cases[1])
    outcome = LocalTrainer(study, cases, tmp_path, CPU).train_round(1, *start(study))
    assert outcome.skipped_steps == 1
    assert all(bool(torch.isfinite(tensor).all()) for tensor in outcome.generator.values())


def test_too_many_such_steps_stop_the_site(tiny: Tiny, make_cases: MakeCases, tmp_path: Path) -> None:
    study = tiny(photons=0.0, max_bad_steps=1)
    cases = [poisoned(case) for case in make_cases(study, 2)]
    with pytest.raises(Refusal) as refusal:
        LocalTrainer(study, cases, tmp_path, CPU).train_round(1, *start(study))
    assert refusal.value.code is ExitCode.TRAINING_DIVERGED
    assert list(tmp_path.iterdir()) == []


def test_a_site_without_cases_is_refused(tiny: Tiny, tmp_path: Path) -> None:
    with pytest.raises(Refusal) as refusal:
        LocalTrainer(tiny(), [], tmp_path, CPU)
    assert refusal.value.code is ExitCode.COHORT_TOO_SMALL


def test_damaged_moments_are_refused(tiny: Tiny, make_cases: MakeCases, tmp_path: Path) -> None:
    study = tiny(steps_per_round=1)
    trainer = LocalTrainer(study, make_cases(study, 2), tmp_path, CPU)
    first = trainer.train_round(1, *start(study))
    next(tmp_path.iterdir()).write_bytes(b"no tensors")
    with pytest.raises(Refusal) as refusal:
        trainer.train_round(2, first.generator, first.discriminator)
    assert refusal.value.code is ExitCode.RUN_INVALID
