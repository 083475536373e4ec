"""The benchmark's studies are the shipped one with what each method changes: known by their hashes."""

from __future__ import annotations

import pytest

from benchmarks.quality.cohort import GEOMETRY, GRID, RADIOGRAPH
from benchmarks.quality.studies import ADVERSARIAL_FROM, BRAIN, FEDERATED, FEDERATIONS, RECIPE, study_of

# At the 1000 steps by which records know their study: another hash means that published rows are measured anew.
PINNED = {
    ("lifting", ""): "9213b01820768beccf1e4c34c19d7d8d7e0a07e4ca49242ada97c28963901921",
    ("lifting + consistency", ""): "3d08839da63dbe3b591a4cb7363160f69b153baa23aac1af720caea281c555df",
    ("lifting GAN", ""): "0e29abf4f9ef333004b58b47df47cbe33c2c1657a36d08db6d6cb4dc2daafc25",
    ("lifting GAN + consistency", ""): "9a599e0c672ffddd51deb6cca3f1912eb53c3d73b21ad24126723a3232062ece",
    ("X2CT-GAN", ""): "0faa5e61897716627834dfbd118d90dfa211a4bda13367b8524139dce3e7a805",
    (
        "lifting GAN + consistency",
        "federated, three sites",
    ): "d6daf0c7c2f5f29116b8fb6f8acfd5604100a4cd4cad79fc6c1b0d7c528a796f",
    (
        "lifting GAN + consistency",
        "federated, every 20 steps",
    ): "49f399363bfcc2c8e6f98a7a86c99de71a099964dd4187821f8f86b4789960a0",
    ("variance by likelihood", ""): "553257e7203a325c260522a231af782ac5248b69e38321b0324d99658828dc01",
    ("sigmoid, learned freedom", ""): "fd19d85d4e623d6fb382322e7e898f30f6741d703d067f0830eaa48ea80dc94a",
    ("widened on the fly", ""): "f9d5346162fa785d0a79796f908524e6f158e98571ad6cbd53463841328b7757",
}


@pytest.mark.parametrize(("network", "federation"), sorted(PINNED))
def test_records_still_follow_from_these_studies(network: str, federation: str) -> None:
    study = study_of(network, 1, 1000, federation=FEDERATIONS.get(federation))
    assert study.sha256 == PINNED[network, federation]


def test_what_a_hospital_would_run_is_what_was_measured() -> None:
    measured = study_of(BRAIN, RECIPE.optimisation.seed, 1000, federation=FEDERATIONS[FEDERATED])
    differing = {name for name in type(RECIPE).model_fields if getattr(measured, name) != getattr(RECIPE, name)}
    # The benchmark's cohorts hold deformed heads, in place of widening; its sites are equally large and do not lie.
    assert differing == {"name", "title", "cohort", "federation", "privacy", "widening"}
    assert (
        measured.federation.model_copy(update={"maximum_share": RECIPE.federation.maximum_share}) == RECIPE.federation
    )
    assert ADVERSARIAL_FROM == 0.3


def test_its_radiographs_are_those_of_the_benchmarks_cohorts() -> None:
    assert (RECIPE.grid, RECIPE.geometry, RECIPE.radiograph) == (GRID, GEOMETRY, RADIOGRAPH)


def test_a_hospital_releases_no_statistics_over_fewer_cases_than_other_shipped_studies_do() -> None:
    assert RECIPE.privacy.minimum_cases >= 10
