from __future__ import annotations

from pathlib import Path

import pytest

from common.networks import build_discriminator, build_generator
from common.study import Study

CONFIGS = Path(__file__).parents[3] / "configs"


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.toml")), ids=lambda path: path.stem)
def test_networks_of_every_shipped_study_fit_its_grid_and_detector(path: Path) -> None:
    study = Study.from_toml(path)
    assert study.name == path.stem
    assert sum(p.numel() for p in build_generator(study).parameters()) > 0
    assert sum(p.numel() for p in build_discriminator(study).parameters()) > 0
