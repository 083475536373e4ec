from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace

import numpy as np
import pytest
import torch

from client.case import Case, CaseFilms, FilmFacts
from client.evaluation import StudyEvaluation, evaluate, mean_volumes_hu, summarise
from common.exchange import Weights, weights_of
from common.metrics.calculation import CaseMetrics, psnr_db
from common.networks import build_generator
from common.objective import to_window
from common.study import Study

Tiny = Callable[..., Study]
MakeCases = Callable[..., list[Case]]
CPU = torch.device("cpu")
FILM = FilmFacts(
    pixel_mm=0.5,
    spacing_origin="stated",
    magnification_origin="stated",
    source_patient_mm=1000,
    source_detector_mm=1200,
    magnification=1.2,
    kvp=75,
    metal_share=0,
    rotation_deg=(0, 0, 0),
    translation_mm=(0, 0, 0),
    depth_is_known=True,
    likeness=0.97,
    pose="pose_found",
    residual=0.2,
)


def weights(study: Study) -> Weights:
    return weights_of(build_generator(study))


def metrics(psnr: float, dice: float | None = 0.5) -> CaseMetrics:
    return CaseMetrics(psnr, 0.5, 100.0, psnr, 90.0, 80.0, 40.0, dice, 0.9, 0.4)


def test_mean_volume_of_a_held_out_site_leaves_the_case_out(tiny: Tiny, make_cases: MakeCases) -> None:
    study = tiny()
    cases = make_cases(study, 4)
    means = mean_volumes_hu(cases, cases, study.window)
    assert means is not None
    others = np.stack([np.clip(c.volume_hu, -1000, 1500) for c in cases[1:]]).mean(axis=0)
    assert np.allclose(means[0].numpy(), others, atol=1e-2)


def test_mean_volume_at_a_training_site_is_that_of_its_training_cases(tiny: Tiny, make_cases: MakeCases) -> None:
    study = tiny()
    held, train = make_cases(study, 2, "held"), make_cases(study, 3, "train")
    means = mean_volumes_hu(held, train, study.window)
    expected = np.stack([np.clip(c.volume_hu, -1000, 1500) for c in train]).mean(axis=0)
    assert means is not None
    assert all(np.allclose(mean.numpy(), expected, atol=1e-2) for mean in means)


def test_there_is_no_mean_of_nobody_else(tiny: Tiny, make_cases: MakeCases) -> None:
    study = tiny()
    case = make_cases(study, 1)
    assert mean_volumes_hu(case, case, study.window) is None
    assert mean_volumes_hu(case, [], study.window) is None


def test_generator_is_compared_on_what_it_predicts(tiny: Tiny, make_cases: MakeCases) -> None:
    study = tiny(consistency_steps=0, photons=0.0)
    cases = make_cases(study, 3)
    generator = build_generator(study)
    with torch.inference_mode():
        pair = torch.from_numpy(cases[2].integrals)[None] / study.radiograph.integral_scale
        predicted = generator(pair)[0, 0] * 2500 - 1000
    expected = psnr_db(torch.from_numpy(cases[2].volume_hu), predicted, study.window)
    assert evaluate(study, weights(study), cases, CPU)[2].psnr_db == pytest.approx(expected, abs=1e-3)


def test_every_round_sees_the_same_radiographs(tiny: Tiny, make_cases: MakeCases) -> None:
    study = tiny()
    cases = make_cases(study, 3)
    assert evaluate(study, weights(study), cases, CPU) == evaluate(study, weights(study), cases, CPU)


def test_all_methods_are_summed_over_all_cases(tiny: Tiny, make_cases: MakeCases) -> None:
    study = tiny()
    cases = make_cases(study, 3)
    result = StudyEvaluation(study, cases, cases, CPU).run(weights(study))
    assert [method.method for method in result.statistics] == [
        "generator",
        "own_skull_mean_brain",
        "mean_volume",
        "template",
        "back_projection",
    ]
    for method in result.statistics:
        assert set(method.metrics) <= {field.name for field in fields(CaseMetrics)}
        assert method.metrics["psnr_db"].cases == 3
    total = sum(case.psnr_db for case in result.cases)
    assert result.statistics[0].metrics["psnr_db"].total == pytest.approx(total)


def test_baselines_do_not_change_with_the_generator(tiny: Tiny, make_cases: MakeCases) -> None:
    study = tiny()
    cases = make_cases(study, 3)
    evaluation = StudyEvaluation(study, cases, cases, CPU)
    first = evaluation.run(weights(study)).statistics
    moved = evaluation.run({name: tensor + 0.1 for name, tensor in weights(study).items()}).statistics
    # The generator, and its skull filled with what does not come from it.
    assert first[2:] == moved[2:]
    assert first[0] != moved[0] and first[1] != moved[1]


def test_gallery_shows_the_first_cases_without_naming_them(tiny: Tiny, make_cases: MakeCases) -> None:
    study = tiny()
    cases = make_cases(study, 3, "pseudonym")
    result = StudyEvaluation(study, cases, cases, CPU, gallery_cases=2).run(weights(study))
    assert [entry.label for entry in result.gallery] == ["case 1", "case 2"]
    assert all(np.array_equal(e.truth_hu, c.volume_hu) for e, c in zip(result.gallery, cases, strict=False))
    assert [entry.psnr_db for entry in result.gallery] == [case.psnr_db for case in result.cases[:2]]


def test_fewer_cases_than_the_minimum_give_no_statistics(tiny: Tiny, make_cases: MakeCases) -> None:
    study = tiny()
    cases = make_cases(study, 2)
    result = StudyEvaluation(study, cases, cases, CPU).run(weights(study))
    assert result.statistics == ()
    assert len(result.cases) == 2


def test_sums_are_those_of_the_values(tiny: Tiny) -> None:
    statistics = summarise(tiny(), {"generator": [metrics(20.0), metrics(22.0), metrics(27.0)]})
    sums = statistics[0].metrics["psnr_db"]
    assert (sums.cases, sums.total, sums.total_of_squares) == (3, 69.0, 400.0 + 484.0 + 729.0)


def test_a_metric_that_too_few_cases_have_is_left_out(tiny: Tiny) -> None:
    cases = [metrics(20.0), metrics(21.0, None), metrics(22.0), metrics(23.0, None)]
    statistics = summarise(tiny(), {"generator": cases})
    assert "bone_dice" not in statistics[0].metrics
    assert statistics[0].metrics["psnr_db"].cases == 4


def test_a_perfect_prediction_keeps_its_sums_finite(tiny: Tiny, make_cases: MakeCases) -> None:
    study = tiny()
    twin = make_cases(study, 1)[0]
    cases = [Case(f"t{i}", twin.volume_hu, twin.integrals, twin.facts) for i in range(3)]
    means = mean_volumes_hu(cases, cases, study.window)
    assert means is not None
    windowed = to_window(torch.from_numpy(twin.volume_hu), study.window) * 2500 - 1000
    assert np.isfinite(psnr_db(windowed, means[0], study.window))


def test_reprojection_compares_with_the_radiographs_before_noise(tiny: Tiny, make_cases: MakeCases) -> None:
    study = tiny(photons=100.0)
    cases = make_cases(study, 3)
    twin = [Case(f"t{i}", cases[0].volume_hu, cases[0].integrals, cases[0].facts) for i in range(3)]
    statistics = StudyEvaluation(study, twin, twin, CPU).run(weights(study)).statistics
    by_method = {method.method: method.metrics["reprojection"].mean for method in statistics}
    # The mean of a case's twins is the case, and projects onto its own radiographs.
    assert by_method["mean_volume"] < 1e-4
    assert by_method["back_projection"] > 0.1


def test_a_study_of_films_is_shown_films_and_says_what_drrs_would_give(tiny: Tiny, make_cases: MakeCases) -> None:
    plain = tiny(photons=0.0)
    study = Study.model_validate(plain.model_dump() | {"radiograph": {"source": "film", "photons": 0.0}})
    both = Study.model_validate(plain.model_dump() | {"radiograph": {"source": "both", "photons": 0.0}})
    cases = [
        replace(case, films=CaseFilms(0.7 * case.integrals, np.ones(case.integrals.shape, dtype=bool), (FILM, FILM)))
        for case in make_cases(study, 3)
    ]
    networks = weights(study)
    of_films = {
        m.method: m.metrics["psnr_db"].mean for m in StudyEvaluation(study, cases, (), CPU).run(networks).statistics
    }
    of_both = {
        m.method: m.metrics["psnr_db"].mean for m in StudyEvaluation(both, cases, (), CPU).run(networks).statistics
    }
    assert of_films["generator"] == pytest.approx(of_both["generator_on_films"], abs=1e-6)
    assert of_both["generator"] == pytest.approx(of_films["generator_on_drrs"], abs=1e-6)
    assert of_films["generator"] != of_both["generator"]
    entry = StudyEvaluation(study, cases, (), CPU).run(networks).gallery[0]
    assert cases[0].films is not None
    assert np.array_equal(entry.integrals, cases[0].films.integrals)
