from __future__ import annotations

import subprocess
import sys

import pytest

from common.errors import Refusal
from common.spectrum.making import ALUMINIUM, CAESIUM_IODIDE, COPPER, CORTICAL_BONE, WATER, main


@pytest.mark.parametrize("shares", [WATER, CORTICAL_BONE, CAESIUM_IODIDE, ALUMINIUM, COPPER])
def test_shares_of_a_material_are_the_whole_of_it(shares: dict[int, float]) -> None:
    assert sum(shares.values()) == pytest.approx(1, abs=1e-6)


def test_what_makes_the_tables_asks_for_a_file() -> None:
    with pytest.raises(Refusal, match="name one file"):
        main([])


def test_nothing_that_runs_needs_what_made_the_tables() -> None:
    code = (
        "import sys; import client.virtual_hospital, common.spectrum; print({'spekpy', 'xraylib'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
