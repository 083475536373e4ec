"""What a round's update of the brain's atlas tells of the site that it comes from; a fixed one tells nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy import ndimage

from client.case import Case
from client.learning import LocalTrainer
from client.phantom import procedural_head
from common.attenuation import hu_to_mu
from common.exchange import weights_of
from common.geometry import Grid
from common.metrics import SOFT_HU, soft_tissue_within
from common.networks import ATLAS_LOW_MM, ATLAS_NODE_MM, ATLAS_SHAPE, build_generator
from common.projection import Projector
from common.study import Study
from tests.client.tiny_cases import FACTS

GRID = Grid(shape=(32, 32, 32), voxel_mm=7.2)
SITES = {"north": (11, 12, 13), "south": (21, 22, 23), "west": (31, 32, 33)}
# A learned atlas tells its site: in ten steps on three heads about a third of what the mean image itself would.
LEAST_TOLD = 0.25

Values = NDArray[np.float64]


@pytest.fixture(scope="module")
def study() -> Study:
    return Study.model_validate(
        {
            "name": "memory",
            "grid": GRID.model_dump(),
            "geometry": {"detector_shape": (32, 32), "pixel_mm": 12.0},
            "networks": {"generator": {"anatomy": "learned", "width_2d": 8, "width_3d": 8, "stages_3d": 2}},
            "optimisation": {
                "steps_per_round": 10,
                "batch_size": 1,
                "lr_generator": 3e-3,
                "warmup_steps": 0,
                "adversarial_weight": 0.0,
                "brain_window_weight": 0.2,
                "brain_contrast_weight": 0.05,
            },
            "federation": {"rounds": 1},
        }
    )


@pytest.fixture(scope="module")
def cases(study: Study) -> dict[str, list[Case]]:
    projector = Projector(study.grid, study.geometry)

    def case(site: str, seed: int) -> Case:
        hu = procedural_head(seed, GRID)
        mu_per_mm = hu_to_mu(torch.from_numpy(hu)[None, None].float(), study.radiograph.water_mu_per_mm)
        return Case(f"{site}-{seed}", hu, projector(mu_per_mm)[0].numpy(), FACTS)

    return {site: [case(site, seed) for seed in seeds] for site, seeds in SITES.items()}


@pytest.fixture(scope="module")
def updates(study: Study, cases: dict[str, list[Case]], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Values]:
    """Each site's change of the atlas's mean in one round."""
    start = weights_of(build_generator(study))

    def update(site: str) -> Values:
        folder: Path = tmp_path_factory.mktemp(site)
        outcome = LocalTrainer(study, cases[site], folder, torch.device("cpu")).train_round(1, start, None)
        return (outcome.generator["anatomy.atlas"] - start["anatomy.atlas"])[0].double().numpy()

    return {site: update(site) for site in SITES}


@pytest.fixture(scope="module")
def images(cases: dict[str, list[Case]]) -> dict[str, Values]:
    """Each site's mean brain at the atlas's nodes, less that of all sites."""
    found = {site: np.mean([_brain_at_nodes(case) for case in held], axis=0) for site, held in cases.items()}
    middle = np.mean(list(found.values()), axis=0)
    return {site: image - middle for site, image in found.items()}


def _brain_at_nodes(case: Case) -> Values:
    hu = torch.from_numpy(case.volume_hu).float()
    brain = soft_tissue_within(hu[None, None])[0, 0].numpy()
    filled = np.where(brain, np.clip(case.volume_hu, *SOFT_HU), np.median(case.volume_hu[brain])).astype(float)
    places = [
        (low + ATLAS_NODE_MM * np.arange(count)) / GRID.voxel_mm + (cells - 1) / 2
        for low, count, cells in zip(ATLAS_LOW_MM, ATLAS_SHAPE, GRID.shape, strict=True)
    ]
    nodes = np.stack(np.meshgrid(*places, indexing="ij"))
    return ndimage.map_coordinates(filled, nodes, order=1, mode="nearest")


def told(updates: dict[str, Values], images: dict[str, Values]) -> float:
    """How much more a site's update correlates with its own mean image than with another site's, on average."""
    middle = np.mean(list(updates.values()), axis=0)

    def like(update: Values, image: Values) -> float:
        return float(np.corrcoef((update - middle).ravel(), image.ravel())[0, 1])

    own = [like(updates[site], images[site]) for site in SITES]
    other = [like(updates[site], images[beside]) for site in SITES for beside in SITES if beside != site]
    return float(np.mean(own) - np.mean(other))


def test_an_update_that_is_a_sites_mean_image_would_be_found(images: dict[str, Values]) -> None:
    assert told(images, images) > 1.0
    noisy = {
        site: image + image.std() * np.random.default_rng(4).normal(size=image.shape) for site, image in images.items()
    }
    assert told(noisy, images) > 0.5


def test_what_a_site_learns_of_an_atlas_tells_its_mean_brain(
    updates: dict[str, Values], images: dict[str, Values]
) -> None:
    assert all(update.any() for update in updates.values())
    assert told(updates, images) > LEAST_TOLD


def test_a_fixed_atlas_never_travels(study: Study) -> None:
    document = study.model_dump()
    document["networks"]["generator"]["anatomy"] = "fixed"
    fixed, learned = (weights_of(build_generator(one)) for one in (Study.model_validate(document), study))
    assert set(learned) - set(fixed) == {"anatomy.atlas"}
    nodes = int(np.prod(ATLAS_SHAPE))
    assert all(tensor.numel() < nodes for name, tensor in fixed.items() if name.startswith("anatomy."))
