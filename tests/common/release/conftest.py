"""A release of a small study, signed with a key of the tests' own."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from common.exchange import weights_of
from common.networks import build_generator
from common.release import NetworkCard, write_release
from common.study import Study
from tests.common.release.releases import Signed, card_for

PAGE = "<!doctype html><title>card</title>\n"


@pytest.fixture(scope="session")
def private() -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(bytes(range(32)))


@pytest.fixture
def weights(study: Study) -> dict[str, torch.Tensor]:
    return weights_of(build_generator(study))


@pytest.fixture
def card(study: Study, weights: dict[str, torch.Tensor]) -> NetworkCard:
    return card_for(study, weights)


@pytest.fixture
def signed(tmp_path: Path, card: NetworkCard, weights: dict[str, torch.Tensor], private: Ed25519PrivateKey) -> Signed:
    folder = tmp_path / "round-000003"
    write_release(folder, card, PAGE, weights, private)
    return Signed(folder, card, weights, private)
