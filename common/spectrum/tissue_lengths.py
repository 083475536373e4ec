"""HU as amounts of water and cortical bone."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from common.attenuation import AIR_HU, water_mu_per_mm
from common.spectrum.beam_quality import CT_KEV, bone_mu_per_mm

# Soft tissue up to the first, bone alone from the second on, both in between.
SOFT_HU, BONE_HU = 100.0, 1500.0


def water_and_bone(hu: npt.NDArray[np.float32]) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Millimetres of water and of cortical bone in a millimetre of tissue.

    Together they attenuate at :data:`common.spectrum.beam_quality.CT_KEV` as :func:`common.attenuation.hu_to_mu` says.
    Metal is taken for dense bone, air and padding for nothing.

    Args:
        hu: of any shape.

    Returns:
        Water and bone, of the same shape.
    """
    relative = np.maximum(hu, np.float32(AIR_HU)) / np.float32(-AIR_HU) + np.float32(1)
    bone_share = np.clip((hu - np.float32(SOFT_HU)) / np.float32(BONE_HU - SOFT_HU), 0, 1)
    water_per_bone = np.float32(water_mu_per_mm(CT_KEV) / bone_mu_per_mm(CT_KEV))
    return relative * (1 - bone_share), relative * bone_share * water_per_bone
