"""The tables of spectra and attenuation, as they were made once by ``common/spectrum/making.py``."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import final

import numpy as np
import numpy.typing as npt
from safetensors.numpy import load

FloatArray = npt.NDArray[np.float64]
LOWEST_KVP, HIGHEST_KVP = 60, 125
FILE = Path(__file__).with_name("photons.safetensors")
# The file's SHA-256: code that is hashed, such as a case's, thereby counts the tables.
SHA256 = "8c8af75e06aa3a49b6016f00faa087933806cc8b08ed0ce198540209801de9ed"


@final
@dataclass(frozen=True)
class PhotonTables:
    """Attenuation in cm²/g, coherent scattering included, at the middle of each bin of energy; spectra by tube voltage.

    Attributes:
        energy_kev: (bins,), 10.5 to 124.5 in steps of 1.
        photons: (kVp from 60 to 125, bins), a tungsten tube's photons before any filter, relative.
        water, bone, aluminium, copper, caesium_iodide: (bins,), mass attenuation; bone is ICRU 44's cortical bone.
    """

    energy_kev: FloatArray
    photons: FloatArray
    water: FloatArray
    bone: FloatArray
    aluminium: FloatArray
    copper: FloatArray
    caesium_iodide: FloatArray


@lru_cache(maxsize=1)
def photon_tables() -> PhotonTables:
    """The tables, read once."""
    return PhotonTables(**{name: table.astype(np.float64) for name, table in load(FILE.read_bytes()).items()})
