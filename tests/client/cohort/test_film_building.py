"""Films of an archive: found, paired, posed against the CT that is used, and kept beside the case."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from client.cohort import Cohort, cohort_counts, examine, film_building
from client.cohort.examination import build_cohort
from client.learning import Samples
from client.virtual_films import write_virtual_films
from client.virtual_hospital import STYLES, VirtualAnatomy, write_virtual_archive
from common.roles import Role
from common.study import Study

STYLE, SEED = STYLES["toshiba"], 5
STUDY = Study.model_validate(
    {
        "name": "films",
        "grid": {"shape": [48, 48, 48], "voxel_mm": 4.8},
        "geometry": {"detector_shape": [64, 64], "pixel_mm": 6.0},
        "radiograph": {"spectrum": {"kvp": 75}, "source": "film"},
        "cohort": {"minimum_cases": 1, "validation_fraction": 0.0},
        "privacy": {"minimum_cases": 1},
    }
)


def with_source(source: str) -> Study:
    radiograph = STUDY.radiograph.model_copy(update={"source": source})
    return STUDY.model_copy(update={"radiograph": radiograph})


@dataclass
class Site:
    archive: Path
    state: Path
    cohort: Cohort


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """Three patients with CT, of whom the third has no films."""
    root = tmp_path_factory.mktemp("films")
    archive = root / "archive"
    write_virtual_archive(archive, patients=3, style=STYLE, seed=SEED, matrix=128)
    write_virtual_films(archive, VirtualAnatomy(STYLE, SEED, None, 128), 2)
    return Site(archive, root / "state", build_cohort(archive, STUDY, Role.TRAIN, root / "state", workers=1))


def test_a_study_of_films_has_the_patients_with_films_and_names_the_others(site: Site) -> None:
    assert len(site.cohort.train) == 2
    assert site.cohort.flow.excluded["without_films"] == 1
    assert site.cohort.flow.used == 2


def test_a_case_holds_its_films_as_its_drrs_are(site: Site) -> None:
    for file in site.cohort.train:
        case = file.load()
        assert case.films is not None
        for integrals, exposed, drr, facts in zip(
            case.films.integrals, case.films.exposed, case.integrals, case.films.facts, strict=True
        ):
            inside = exposed & (drr > 0.5)
            assert inside.sum() > 300
            assert exposed.mean() > 0.9
            assert np.corrcoef(integrals[inside], drr[inside])[0, 1] > 0.95
            assert facts.residual < 0.5
            assert facts.pose in {"pose_found", "pose_uncertain"}
            assert (facts.spacing_origin, facts.magnification_origin) == ("stated", "stated")
            assert max(abs(angle) for angle in facts.rotation_deg) < 15


def test_counts_say_what_became_of_films(site: Site, no_films_built: None) -> None:
    findings = examine(site.archive, STUDY, site.state, workers=1)
    assert findings.films is not None
    assert findings.films.films == {"used": 4}
    assert findings.films.pairs == {"used": 2}
    assert findings.films.cases == 2
    counts = cohort_counts(findings, [case.load().facts for case in findings.cases], {})
    assert counts.films is not None
    assert counts.films.cases == 2


def test_other_sources_share_cases_and_films(site: Site, no_films_built: None) -> None:
    both = examine(site.archive, with_source("both"), site.state, workers=1)
    assert sorted(case.load().films is not None for case in both.cases) == [False, True, True]
    plain = examine(site.archive, with_source("drr"), site.state, workers=1)
    assert plain.films is None
    assert [case.path for case in plain.cases] == [case.path for case in both.cases]
    assert all(case.load().films is None for case in plain.cases)


def test_training_is_given_the_films_themselves(site: Site) -> None:
    cases = [file.load() for file in site.cohort.train]
    batch = next(iter(Samples(STUDY, cases, 1)))
    assert batch.exposed is not None
    films = [case.films for case in cases if case.films is not None]
    assert any(np.array_equal(batch.integrals[0].numpy(), film.integrals) for film in films)
    assert any(np.array_equal(batch.exposed[0].numpy() > 0, film.exposed) for film in films)


def test_the_films_of_another_person_are_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = tmp_path / "archive"
    write_virtual_archive(archive, patients=1, style=STYLE, seed=SEED, matrix=128)
    volume_hu, voxel_mm = VirtualAnatomy(STYLE, SEED + 1, None, 128).patient(7)
    # The same identifiers, another head; procedural ones are more alike than persons.
    other = ndimage.zoom(volume_hu, (1.0, 1.12, 0.86), order=1), voxel_mm
    monkeypatch.setattr(VirtualAnatomy, "patient", lambda *_: other)
    write_virtual_films(archive, VirtualAnatomy(STYLE, SEED, None, 128), 1)
    findings = examine(archive, with_source("both"), tmp_path / "state", workers=1)
    assert findings.films is not None
    assert findings.films.pairs == {"used": 1}
    assert findings.films.poses["pose_failed"] >= 1
    assert findings.films.cases == 0
    assert [case.load().films for case in findings.cases] == [None]


@pytest.fixture
def no_films_built(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise AssertionError("built again")

    unbuilt: Callable[..., None] = fail
    monkeypatch.setattr(film_building, "estimate_poses", unbuilt)
    monkeypatch.setattr(film_building, "read_films", unbuilt)
