"""A consortium of three training sites and one held-out."""

from __future__ import annotations

import pytest

from common.roles import Role
from common.trust import new_site_key
from server.consortium import AdmittedSite, admit


@pytest.fixture(scope="session")
def admitted() -> dict[str, AdmittedSite]:
    roles = {"east": Role.TRAIN, "north": Role.TRAIN, "south": Role.TRAIN, "west": Role.EVALUATE}
    return {name: admit(name, role, new_site_key()[1]) for name, role in roles.items()}
