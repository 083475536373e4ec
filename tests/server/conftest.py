"""A consortium of three training sites and one held-out."""

from __future__ import annotations

import pytest

from common.roles import Role
from server.consortium import AdmittedSite, admit
from tests.letters import KEYS


@pytest.fixture(scope="session")
def admitted() -> dict[str, AdmittedSite]:
    roles = {"east": Role.TRAIN, "north": Role.TRAIN, "south": Role.TRAIN, "west": Role.EVALUATE}
    return {name: admit(name, role, KEYS[name].verifying.openssh) for name, role in roles.items()}
