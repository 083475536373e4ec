"""The demo of films: the network of DRRs is of the same study, and the table compares like with like."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from common.documents import write_document
from common.errors import ExitCode, Refusal
from common.roles import Role
from common.study import Study
from server.demo.demo_figures import DemoFigures
from server.demo.film_demo import film_demo_figures, on_drrs_alone
from server.demo.hospitals import FILM_HOSPITALS

CONFIGS = Path(__file__).parents[3] / "configs"


def _figures(**changes: Any) -> DemoFigures:
    values: dict[str, Any] = {
        "study_sha256": "0" * 64,
        "real_heads": False,
        "window_hu": (-1000.0, 1500.0),
        "held_out": "west",
        "cases": 6,
        "rounds": 8,
        "psnr_by_round_db": (20.0, 22.0),
        "mae_last_hu": 100.0,
        "psnr_mean_volume_db": 18.0,
        "psnr_back_projection_db": 9.0,
        "psnr_first_db": 20.0,
        "psnr_last_db": 22.0,
        "ssim_first": 0.5,
        "ssim_last": 0.6,
        "seconds": 100.0,
        "peak_rss_bytes": 1,
    }
    return DemoFigures(**(values | changes))


def test_two_hospitals_train_and_one_is_held_out() -> None:
    assert [hospital.role for hospital in FILM_HOSPITALS].count(Role.EVALUATE) == 1
    assert len(FILM_HOSPITALS) == 3


def test_the_network_of_drrs_is_of_the_same_study(tmp_path: Path) -> None:
    study = Study.from_toml(CONFIGS / "demo-xray.toml")
    write_document(on_drrs_alone(study), tmp_path / "drr.toml")
    other = Study.from_toml(tmp_path / "drr.toml")
    assert (other.radiograph.source, other.own_films, other.film.share) == ("both", 0, 0)
    assert other.film.expected_scatter_to_primary == study.film.expected_scatter_to_primary
    assert (other.networks, other.optimisation, other.widening) == (study.networks, study.optimisation, study.widening)
    assert other.sees_films


def test_a_study_of_drrs_has_no_film_demo() -> None:
    with pytest.raises(Refusal) as caught:
        on_drrs_alone(Study.from_toml(CONFIGS / "demo.toml"))
    assert caught.value.code is ExitCode.STUDY_INVALID


def test_both_networks_are_set_on_the_same_kinds_of_radiographs() -> None:
    first = _figures(psnr_last_db=25.0, ssim_last=0.8, psnr_otherwise_db=23.0, ssim_otherwise=0.7)
    second = _figures(psnr_last_db=24.0, ssim_last=0.75, psnr_otherwise_db=24.5, ssim_otherwise=0.78)
    figures = film_demo_figures(first, second)
    assert (figures.model_1_on_drrs, figures.model_1_on_films) == ((25.0, 0.8), (23.0, 0.7))
    assert (figures.model_2_on_drrs, figures.model_2_on_films) == ((24.5, 0.78), (24.0, 0.75))
    assert figures.seconds == 200
    with pytest.raises(Refusal) as caught:
        film_demo_figures(_figures(), second)
    assert caught.value.code is ExitCode.RUN_INVALID
