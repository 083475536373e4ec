"""Makes the tables of spectra and attenuation that the other files here read:

    python -m common.spectrum.making common/spectrum/photons.safetensors

It needs the packages ``spekpy`` and ``xraylib``, which nothing else does. What it prints last is the tables' SHA-256,
which goes into :data:`common.spectrum.photon_tables.SHA256`.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Mapping
from importlib import import_module
from importlib.metadata import version
from pathlib import Path

import numpy as np
from safetensors.numpy import save

from common.errors import ExitCode, Refusal
from common.files import write_atomic
from common.spectrum.photon_tables import HIGHEST_KVP, LOWEST_KVP, FloatArray

LOWEST_KEV, BIN_KEV = 10.5, 1.0
ANODE_DEG = 12.0
PHYSICS, COEFFICIENTS = "spekpy-v2-casim", "pene"
# ICRU Report 44 by atomic number, shares of mass.
CORTICAL_BONE = {1: 0.034, 6: 0.155, 7: 0.042, 8: 0.435, 11: 0.001, 12: 0.002, 15: 0.103, 16: 0.003, 20: 0.225}
WATER = {1: 0.111894, 8: 0.888106}
CAESIUM_IODIDE = {53: 0.488451, 55: 0.511549}
ALUMINIUM, COPPER = {13: 1.0}, {29: 1.0}


def tables() -> dict[str, FloatArray]:
    """Every table by its name, as :class:`common.spectrum.photon_tables.PhotonTables` describes them."""
    spekpy, xraylib = import_module("spekpy"), import_module("xraylib")
    energies = np.arange(LOWEST_KEV, HIGHEST_KVP, BIN_KEV)

    def mixed(shares: Mapping[int, float]) -> FloatArray:
        return np.array([sum(share * xraylib.CS_Total(z, kev) for z, share in shares.items()) for kev in energies])

    attenuation = {
        "water": WATER,
        "bone": CORTICAL_BONE,
        "aluminium": ALUMINIUM,
        "copper": COPPER,
        "caesium_iodide": CAESIUM_IODIDE,
    }
    found = {name: mixed(shares) for name, shares in attenuation.items()}
    photons = np.zeros((HIGHEST_KVP - LOWEST_KVP + 1, len(energies)))
    for row, kvp in enumerate(range(LOWEST_KVP, HIGHEST_KVP + 1)):
        tube = spekpy.Spek(kvp=kvp, th=ANODE_DEG, dk=BIN_KEV, physics=PHYSICS, mu_data_source=COEFFICIENTS, targ="W")
        centres, fluence = tube.get_spectrum(edges=False, flu=True)
        kept = centres > LOWEST_KEV - BIN_KEV / 2
        photons[row, : kept.sum()] = fluence[kept] / fluence[kept].max()
    return {"energy_kev": energies, "photons": photons, **found}


def provenance() -> dict[str, str]:
    """Where the tables come from, kept in the file beside them."""
    return {
        "spectra": f"spekpy {version('spekpy')}, MIT: {PHYSICS}, coefficients {COEFFICIENTS}, tungsten, anode "
        f"{ANODE_DEG:g} degrees, no filter, relative photons in bins of {BIN_KEV:g} keV, kVp a row",
        "attenuation": f"xraylib {version('xraylib')}, BSD-3-Clause: CS_Total, cm2/g",
        "materials": "cortical bone of ICRU Report 44; water, aluminium, copper, caesium iodide",
        "made_by": "common/spectrum/making.py",
    }


def main(arguments: list[str]) -> None:
    """Write the file that is named and print its SHA-256."""
    if len(arguments) != 1:
        raise Refusal(ExitCode.SETTINGS_INVALID, "name one file to write", where="making", mend="give its path")
    single = {name: table.astype(np.float32) for name, table in tables().items()}
    # One key: the order of several is not the same in every run.
    content = save(single, metadata={"provenance": json.dumps(provenance(), sort_keys=True)})
    write_atomic(Path(arguments[0]), content, mode=0o644)
    sys.stdout.write(f"{hashlib.sha256(content).hexdigest()}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
