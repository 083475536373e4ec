"""The DRR of one view in any pose, as quickly as a search of poses asks for it.

Joseph's method (IEEE Trans Med Imaging 1:192, 1982) read linearly: plane by plane along the beam, four voxels a plane.
:class:`common.projection.Projector` makes the same image with cubic reading, and is what tests hold this against.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, final

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy import ndimage

from common.attenuation import water_mu_per_mm
from common.geometry import Beam, Geometry
from common.spectrum import HEAD_BONE_MM, HEAD_WATER_MM, Spectrum, bone_mu_per_mm, transmission, water_and_bone

Image = NDArray[np.float32]

# Attenuation per mm of what nobody has scanned, so large that a ray which only grazes it shows it, and a line integral
# that no other ray has.
_MARK, UNKNOWN = 1e9, 50.0
_SAME = 1e-6
# Of a Gaussian, in old voxels a new one: as wide as the mean over the new one.
_SMOOTH_OF_FACTOR = 0.4


@final
@dataclass(frozen=True)
class PosedHead:
    """A head ready to be projected in one view: (plane, z, across) attenuation per mm, with a rim of air.

    Attributes:
        mu_per_mm: planes along the beam first; C-contiguous float32.
        voxel_mm: edge of its voxels.
        along, across: the (z, y, x) axes of its first and last one.
    """

    mu_per_mm: Image
    voxel_mm: float
    along: int
    across: int

    @classmethod
    def of(cls, mu_per_mm: Image, voxel_mm: float, beam: Beam) -> PosedHead:
        """From (z, y, x) attenuation, centred on the isocentre, for one beam."""
        padded = np.pad(mu_per_mm, 1)
        planes = padded.transpose(beam.along, 0, beam.across)
        return cls(np.ascontiguousarray(planes, dtype=np.float32), voxel_mm, beam.along, beam.across)

    def integrals(self, geometry: Geometry, beam: Beam) -> Image:
        """(rows, columns) line integrals of the geometry's detector, for the patient in the beam's pose.

        Those above :data:`UNKNOWN` met what nobody has scanned. Rays must cross the head's planes along the beam, as
        they do for angles below 45 degrees.
        """
        rays = geometry.rays(beam)
        order = [2 - self.along, 2, 2 - self.across]
        middle = (np.array(self.mu_per_mm.shape) - 1) / 2
        source, corner = (point[order] / self.voxel_mm + middle for point in (rays.source_mm, rays.corner_mm))
        down, right = (step[order] / self.voxel_mm for step in (rays.row_step_mm, rays.column_step_mm))
        image = np.empty(geometry.detector_shape, dtype=np.float32)
        _sweep(self.mu_per_mm, source, corner, down, right, self.voxel_mm, image)
        return image


def film_mu_per_mm(volume_hu: NDArray[np.int16] | Image, spectrum: Spectrum) -> Image:
    """Attenuation as a film of this spectrum sees it behind an average head: bone more than its HU say.

    Args:
        volume_hu: of any shape.
        spectrum: of the film.
    """
    kev = film_energy_kev(spectrum)
    water, bone = water_and_bone(np.asarray(volume_hu, dtype=np.float32))
    return np.asarray(water * np.float32(water_mu_per_mm(kev)) + bone * np.float32(bone_mu_per_mm(kev)))


def coarse_head(mu_per_mm: Image, unscanned: NDArray[np.bool_], voxel_mm: float, wanted_mm: float) -> Image:
    """Attenuation in voxels of another edge, marked where nobody has scanned.

    Args:
        mu_per_mm, unscanned: (z, y, x).
        voxel_mm, wanted_mm: edges of the voxels.
    """
    share = resampled(unscanned.astype(np.float32), voxel_mm, wanted_mm)
    coarse = np.where(share > 0.5, np.float32(_MARK), resampled(mu_per_mm, voxel_mm, wanted_mm))
    return np.asarray(coarse, dtype=np.float32)


def film_energy_kev(spectrum: Spectrum) -> float:
    """The one energy at which water and bone of an average head let through as much as this spectrum does."""
    energies = np.arange(30.0, 110.0, 0.5)
    behind = [water_mu_per_mm(kev) * HEAD_WATER_MM + bone_mu_per_mm(kev) * HEAD_BONE_MM for kev in energies]
    shown = -math.log(float(transmission(spectrum, HEAD_WATER_MM, HEAD_BONE_MM)))
    return float(np.interp(-shown, -np.array(behind), energies))


def resampled(volume: Image, voxel_mm: float, wanted_mm: float) -> Image:
    """The volume in voxels of another edge about the same centre, kept from aliasing; the same where they are equal.

    Args:
        volume: (z, y, x) attenuation.
        voxel_mm: edge of its voxels.
        wanted_mm: edge of the wanted ones.
    """
    factor = wanted_mm / voxel_mm
    if abs(factor - 1) < _SAME:
        return volume
    smooth = ndimage.gaussian_filter(volume, _SMOOTH_OF_FACTOR * factor) if factor > 1 else volume
    shape = tuple(math.ceil(edge / factor) for edge in volume.shape)
    first = [(edge - 1) / 2 - factor * (wanted - 1) / 2 for edge, wanted in zip(volume.shape, shape, strict=True)]
    return np.asarray(ndimage.affine_transform(smooth, np.full(3, factor), first, shape, order=1), dtype=np.float32)


@njit(nogil=True, error_model="numpy", fastmath=True)  # type: ignore[untyped-decorator, unused-ignore]
def _sweep(head: Any, source: Any, corner: Any, down: Any, right: Any, voxel_mm: Any, image: Any) -> None:  # noqa: ANN401
    """All in voxels of (plane, z, across)."""
    planes, heights, places = head.shape
    for row in range(image.shape[0]):
        for column in range(image.shape[1]):
            along = corner[0] + row * down[0] + column * right[0] - source[0]
            up = (corner[1] + row * down[1] + column * right[1] - source[1]) / along
            aside = (corner[2] + row * down[2] + column * right[2] - source[2]) / along
            z0, a0 = source[1] - source[0] * up, source[2] - source[0] * aside
            first, last = 0.0, planes - 1.0
            # Planes at which the ray lies within the volume, in both directions across the beam.
            for start, slope, most in ((z0, up, heights - 1.001), (a0, aside, places - 1.001)):
                if abs(slope) < 1e-9:
                    if start < 0.0 or start > most:
                        last = -1.0
                else:
                    one, other = -start / slope, (most - start) / slope
                    first, last = max(first, min(one, other)), min(last, max(one, other))
            total = np.float32(0.0)
            for plane in range(math.ceil(first), math.floor(last) + 1):
                z, a = np.float32(z0 + plane * up), np.float32(a0 + plane * aside)
                low, left = int(z), int(a)
                dz, da = z - np.float32(low), a - np.float32(left)
                near = head[plane, low, left] * (np.float32(1) - da) + head[plane, low, left + 1] * da
                far = head[plane, low + 1, left] * (np.float32(1) - da) + head[plane, low + 1, left + 1] * da
                total += near * (np.float32(1) - dz) + far * dz
            image[row, column] = total * np.float32(voxel_mm * math.sqrt(1.0 + up * up + aside * aside))
