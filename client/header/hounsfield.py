"""Whether a CT image's values are Hounsfield units as a tube of 120 kV gives them, by what its header says of them.

Sources: DICOM PS3.3 C.11.1.1.2 (Rescale Type), C.8.2.1.1.1 and C.8.15.2.1.1.5 (Image Type of multi-energy CT).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final

from client.header.word_list import word_list

# Between these, monoenergetic water, brain and bone lie about where 120 kV has them.
LIKE_120_KV_KEV: Final = (65.0, 75.0)
_HU: Final = frozenset({"", "HU", "US", "UNSPECIFIED", "HOUNSFIELD", "HOUNSFIELD UNIT", "HOUNSFIELD UNITS"})
_MAPS: Final = word_list("""
    MAT MATERIAL MATERIALS FRACTION FRACTIONAL BASIS DECOMPOSITION IODINE IOD JOD IODO IODE WATER HAP CALCIUM URIC GOUT
    VNC VNCA VUE VNU ZEFF EFFZ EFF ATOMIC RHO RHOZ ELECTRON DENSITY EDENSITY ED EDW PHOTOELECTRIC COMPTON SBI PBV MGML
""")
_MONOENERGETIC: Final = re.compile(r"MONO(?!CHROME)[A-Z]*|VMI|VMC|VMIS|KEV")
_WORD: Final = re.compile(r"[A-Z]+|[0-9]+(?:\.[0-9]+)?")


def holds_hu(rescale_type: str, image_type: Sequence[str], energies_kev: Iterable[float] = ()) -> bool:
    """Whether values are HU, or may be: a header that says nothing of them is believed, content has its own say.

    Material maps, virtual non-contrast, effective atomic numbers and electron densities are none; a monoenergetic image
    is one from 65 to 75 keV, and none at other energies or if it does not say at which.

    Args:
        rescale_type: Rescale Type (0028,1054), upper case.
        image_type: Image Type (0008,0008) or Frame Type, upper case.
        energies_kev: Monoenergetic Energy Equivalent (0018,937C), wherever it is said.
    """
    if rescale_type not in _HU:
        return False
    energies, is_monoenergetic = list(energies_kev), False
    for value in image_type:
        parts = _WORD.findall(value)
        if not _MAPS.isdisjoint(parts):
            return False
        if any(_MONOENERGETIC.fullmatch(part) for part in parts):
            is_monoenergetic = True
            energies += [float(part) for part in parts if part[0].isdigit()]
    low, high = LIKE_120_KV_KEV
    return all(low <= energy <= high for energy in energies) and bool(energies or not is_monoenergetic)
