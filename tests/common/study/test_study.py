from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.attenuation import water_mu_per_mm
from common.errors import ExitCode, Refusal
from common.spectrum import Spectrum, head_energy_kev
from common.study import GeneratorSettings, RadiographSettings, Study

SMALL = """
name = "small"
[grid]
shape = [32, 32, 32]
voxel_mm = 7.0
[geometry]
detector_shape = [64, 64]
pixel_mm = 7.0
"""


def test_identity_is_the_sha256_of_canonical_json_and_ignores_layout() -> None:
    reordered = """
# a comment
[geometry]
pixel_mm = 7
detector_shape = [64,64]
[grid]
voxel_mm = 7.00
shape = [32, 32,   32]
"""
    first = Study.from_text(SMALL, where="a")
    second = Study.from_text('name = "small"\n' + reordered, where="b")
    assert first.sha256 == second.sha256
    assert json.loads(first.canonical_json()) == first.model_dump(mode="json")


@pytest.mark.parametrize(
    ("old", "new"),
    [("voxel_mm = 7.0", "voxel_mm = 7.1"), ("pixel_mm = 7.0", "pixel_mm = 6.9"), ('"small"', '"small2"')],
)
def test_any_change_changes_the_identity(old: str, new: str) -> None:
    assert Study.from_text(SMALL, where="a").sha256 != Study.from_text(SMALL.replace(old, new), where="b").sha256


def test_canonical_json_reads_back_to_the_same_study(study: Study) -> None:
    assert Study.model_validate_json(study.canonical_json()) == study


def test_unknown_key_is_named_in_one_line() -> None:
    with pytest.raises(Refusal) as caught:
        Study.from_text(SMALL + "\n[optimisation]\nstepz = 3\n", where="study.toml")
    assert caught.value.code is ExitCode.STUDY_INVALID
    assert "unknown key 'optimisation.stepz'" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "field"),
    [
        (SMALL.replace("7.0\n[geometry]", "nan\n[geometry]"), "grid.voxel_mm"),
        (SMALL + "source_detector_mm = 900.0\n", "geometry"),
        (SMALL + "[window]\nlow_hu = 5.0\nhigh_hu = 5.0\n", "window"),
        (SMALL + "[radiograph]\neffective_energy_kev = 19.9\n", "radiograph.effective_energy_kev"),
        (SMALL + "[radiograph]\neffective_energy_kev = 151\n", "radiograph.effective_energy_kev"),
        (SMALL + "[radiograph]\nwater_mu_per_mm = 0.02\n", "radiograph.water_mu_per_mm"),
        (SMALL + "[radiograph]\nspectrum = {kvp = 150}\n", "radiograph.spectrum.kvp"),
        (SMALL + "[radiograph]\neffective_energy_kev = 60\nspectrum = {kvp = 75}\n", "state one of them"),
        (SMALL + '[radiograph]\nresolution = "fine"\n', "radiograph.resolution"),
        (SMALL + "[optimisation]\nlr_generator = 1e-4\nlr_discriminator = 1e-3\n", "optimisation"),
        (SMALL.replace("[32, 32, 32]", "[32, 32]"), "grid.shape.2"),
        ("[[[", "not TOML"),
    ],
)
def test_wrong_field_is_named(text: str, field: str) -> None:
    with pytest.raises(Refusal, match=field.replace(".", r"\.")) as caught:
        Study.from_text(text, where="study.toml")
    assert caught.value.code is ExitCode.STUDY_INVALID


def test_missing_and_oversized_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(Refusal, match="unreadable"):
        Study.from_toml(tmp_path / "absent.toml")
    big = tmp_path / "big.toml"
    big.write_bytes(b"#" * 100_000)
    with pytest.raises(Refusal, match="larger than"):
        Study.from_toml(big)


@given(st.text(max_size=300))
def test_arbitrary_text_is_a_study_or_a_refusal(text: str) -> None:
    with pytest.raises(Refusal) as caught:
        Study.from_text(text, where="fuzz")
    assert caught.value.code is ExitCode.STUDY_INVALID


@pytest.mark.parametrize("path", sorted(Path("configs").glob("*.toml")), ids=lambda path: path.name)
def test_shipped_configurations_are_studies(path: Path) -> None:
    assert Study.from_toml(path).name == path.stem


@pytest.mark.parametrize("energy_kev", [20.0, 70.0, 150.0])
def test_water_attenuates_as_at_the_effective_energy(energy_kev: float) -> None:
    assert RadiographSettings(effective_energy_kev=energy_kev).water_mu_per_mm == water_mu_per_mm(energy_kev)


def test_a_stated_spectrum_gives_the_energy_and_a_study_without_it_keeps_its_identity() -> None:
    plain = Study.from_text(SMALL, where="a")
    stated = Study.from_text(SMALL + "[radiograph]\nspectrum = {kvp = 75, aluminium_mm = 3}\n", where="b")
    assert plain.sha256 == "647e7790019ef135d16c0c85f2962b35e201591517c7bddc096336a7463bd541"
    assert plain.radiograph.energy_kev == 70
    assert stated.sha256 != plain.sha256
    assert stated.radiograph.energy_kev == head_energy_kev(Spectrum(kvp=75, aluminium_mm=3))
    assert stated.radiograph.water_mu_per_mm == water_mu_per_mm(stated.radiograph.energy_kev)
    assert Study.model_validate_json(stated.canonical_json()) == stated


def test_films_give_another_study_and_their_default_none() -> None:
    plain = Study.from_text(SMALL, where="a")
    default = Study.from_text(SMALL + '[radiograph]\nsource = "drr"\n[film]\nshare = 0\n', where="b")
    assert default.sha256 == plain.sha256
    assert not plain.sees_films
    assert plain.own_films == 0
    both = Study.from_text(SMALL + '[radiograph]\nsource = "both"\n[film]\nshare = 0.5\nkvp = [70, 80]\n', where="c")
    assert both.sha256 != plain.sha256
    assert both.sees_films
    assert both.own_films == 0.5
    assert both.film.expected_scatter_to_primary == 0.25
    assert Study.model_validate_json(both.canonical_json()) == both


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('[networks.generator]\nname = "x2ct"\n[film]\nshare = 1', "lifting"),
        ("[film]\nkvp = [70, 80]", "share above 0"),
        ("[film]\nshare = 1\nown = 0.5", "radiograph.source"),
        ("[film]\nshare = 1\nkvp = [80, 70]", "ascend"),
    ],
)
def test_films_that_no_network_could_learn_from_are_refused(text: str, reason: str) -> None:
    with pytest.raises(Refusal) as caught:
        Study.from_text(SMALL + text, where="a")
    assert reason in str(caught.value)


def test_reading_a_study_loads_neither_torch_nor_numba() -> None:
    code = "import sys, common.study; sys.exit(bool({'torch', 'numba'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0


def generator_of(text: str) -> GeneratorSettings:
    return Study.from_text(f"{SMALL}[networks.generator]\n{text}", where="study.toml").networks.generator


def test_a_size_gives_the_widths_and_a_width_given_wins() -> None:
    sizes = [generator_of(f'size = "{size}"').widths for size in ("small", "base", "large")]
    assert [(size.width_2d, size.width_3d, size.stages_3d) for size in sizes] == [(16, 16, 3), (16, 32, 4), (32, 48, 4)]
    mixed = generator_of('size = "large"\nwidth_3d = 8').widths
    assert (mixed.width_2d, mixed.width_3d, mixed.stages_3d) == (32, 8, 4)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('[networks.generator]\nname = "x2ct"\nwidth_3d = 8\n', "one size"),
        ('[networks.generator]\nsize = "huge"\n', "size"),
        ('[networks.generator]\nconsistency_weight = "variance"\n', "needs variance = true"),
        (
            '[networks.generator]\nconsistency_weight = "learned"\nconsistency_steps = 0\n'
            "inference_consistency_steps = 5\n",
            "consistency_steps",
        ),
        ('[networks.generator]\nconsistency_weight = "tissues"\ntissues_hu = []\n', "needs tissues_hu"),
        ('[networks.generator]\nname = "x2ct"\nconsistency_weight = "tissues"\n', "needs tissues_hu"),
        ("[networks.generator]\ntissues_hu = [700.0, 35.0]\n", "ascend"),
        ("[networks.generator]\ntissues_hu = [nan]\n", "finite"),
        ("[networks.generator]\nvariance = true\n", "likelihood_weight go together"),
        ("[optimisation]\nlikelihood_weight = 0.1\n", "likelihood_weight go together"),
        ("[optimisation]\nadversarial_weight = 0.0\nfeature_matching_weight = 1.0\n", "feature_matching_weight"),
        ("[optimisation]\nema_decay = 1.0\n", "ema_decay"),
        ('[optimisation]\nadversarial_loss = "wasserstein"\n', "adversarial_loss"),
    ],
)
def test_networks_and_losses_that_do_not_go_together_are_refused(text: str, reason: str) -> None:
    with pytest.raises(Refusal, match=reason) as caught:
        Study.from_text(SMALL + text, where="study.toml")
    assert caught.value.code is ExitCode.STUDY_INVALID


def test_lifting_mixes_tissues_unless_told_otherwise_and_x2ct_does_not() -> None:
    lifting, x2ct = generator_of(""), generator_of('name = "x2ct"')
    assert (lifting.tissues, lifting.weight) == ((35.0,), "tissues")
    assert (x2ct.tissues, x2ct.weight) == ((), "learned")
    assert generator_of("tissues_hu = []").weight == "learned"


def test_uniform_consistency_may_work_outside_training_alone() -> None:
    text = 'consistency_weight = "uniform"\nconsistency_steps = 0\ninference_consistency_steps = 20'
    assert generator_of(text).steps_outside_training == 20
    assert generator_of("consistency_steps = 3").steps_outside_training == 3


def test_how_liars_are_borne_is_no_part_of_a_study_that_does_not_say_so(study: Study) -> None:
    names = ("strategy", "hostile_sites", "maximum_share", "outliers")
    assert not [name for name in names if f'"{name}"' in study.canonical_json()]


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        ("maximum_share = 0.49", "maximum_share"),
        ("maximum_share = 0.5", ""),
        ("hostile_sites = 1", "hostile_sites goes with"),
        ('strategy = "median"', "equal"),
        ('strategy = "median"\nweighting = "equal"', ""),
        ('strategy = "trimmed_mean"\nweighting = "equal"\nminimum_train_sites = 9', "they need it"),
        ('strategy = "trimmed_mean"\nweighting = "equal"\nhostile_sites = 2\nminimum_train_sites = 4', "at least 5"),
        ('strategy = "trimmed_mean"\nweighting = "equal"\nhostile_sites = 2\nminimum_train_sites = 5', ""),
        ('strategy = "krum"\nweighting = "equal"\nhostile_sites = 1\nminimum_train_sites = 4', "at least 5"),
        ('strategy = "krum"\nweighting = "equal"\nhostile_sites = 1\nminimum_train_sites = 5', ""),
    ],
)
def test_a_federation_can_hold_what_it_promises(lines: str, reason: str) -> None:
    text = f"{SMALL}[federation]\n{lines}\n"
    if not reason:
        Study.from_text(text, where="study.toml")
        return
    with pytest.raises(Refusal, match=reason):
        Study.from_text(text, where="study.toml")
