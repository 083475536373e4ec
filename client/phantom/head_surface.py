"""The procedural head's outer surface, its cranial cavity and its soft tissue."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import numpy as np

from client.phantom.head_plan import HeadPlan
from client.phantom.shapes import Canvas, Ellipsoid, Field, Rod, coverage, smooth_union

CEREBRUM = Ellipsoid((0.0, 4.0, 34.0), (66.0, 82.0, 57.0))
CEREBELLUM = Ellipsoid((0.0, 46.0, -12.0), (50.0, 40.0, 36.0))
_SKIN_MM = 1.8
_MUSCLE_HU = 52.0
_SKIN_HU = 35.0
_FAT_HU = -95.0


@final
@dataclass(frozen=True)
class CranialCavity:
    """Signed distances in mm, shape (z, y, x): ``distance`` to the cavity, ``vault`` to the cerebrum's ellipsoid."""

    distance: Field
    vault: Field


def cranial_cavity(canvas: Canvas) -> CranialCavity:
    """The space inside the skull: cerebrum above the anterior fossa, both middle fossae, posterior fossa."""
    vault = CEREBRUM.distance(canvas.x, canvas.y, canvas.z)
    distance = vault.copy()
    _cut_anterior_floor(canvas, distance)
    canvas.join(distance, CEREBELLUM, 17.0)
    for side in (-1.0, 1.0):
        canvas.join(distance, Ellipsoid((side * 40.0, -10.0, 2.0), (24.0, 34.0, 25.0)), 8.0)
    return CranialCavity(distance=distance, vault=vault)


def _cut_anterior_floor(canvas: Canvas, distance: Field) -> None:
    slab = canvas.slab(((-90.0, -120.0, -60.0), (90.0, -5.0, 40.0)))
    if slab is None:
        return
    x, y, z = canvas.at(slab)
    # The floor dips at the cribriform plate and drops behind the sphenoid ridge into the middle fossa.
    aside = np.abs(x)
    floor = 9.0 + 11.0 * np.exp(-np.square((aside - 33.0) * (1 / 17.0)))
    floor = -60.0 + (floor + 60.0) * (0.5 - 0.5 * np.tanh((y + 22.0 + 0.35 * aside) * (1 / 7.0)))
    cut = -smooth_union(-distance[slab], z - floor, 6.0)
    distance[slab] = cut


def paint_soft_tissue(canvas: Canvas, cavity: CranialCavity, plan: HeadPlan) -> None:
    """Fill the head's outline with skin, subcutaneous fat and muscle crossed by fat planes."""
    skin = _skin(canvas, cavity, plan)
    inside = np.flatnonzero(skin.ravel() < canvas.edge_mm)
    depth = -skin.ravel()[inside]
    x, y, z = (field.ravel()[inside] for field in (canvas.x, canvas.y, canvas.z))
    # Fat is thin on the scalp and thick in cheek and neck.
    fat_mm = plan.fat_mm * (0.8 + 0.9 * np.clip((-z - 15.0) * (1 / 40.0), 0.0, 1.0))
    planes = np.cos(x * 0.21 + plan.folds[0]) + np.sin(y * 0.24 + 0.05 * np.abs(x)) + np.sin(z * 0.06 + plan.folds[1])
    deep = np.where(np.abs(planes - 0.6) < 0.13, -60.0, _MUSCLE_HU) * np.where(z < 10.0, 1.0, 0.9)
    edge = canvas.edge_mm
    tissue = _SKIN_HU + (_FAT_HU - _SKIN_HU) * coverage(_SKIN_MM - depth, edge)
    tissue += (deep - tissue) * coverage(_SKIN_MM + fat_mm - depth, edge)
    canvas.hu.ravel()[inside] += (tissue - canvas.background_hu) * coverage(-depth, edge)


def _skin(canvas: Canvas, cavity: CranialCavity, plan: HeadPlan) -> Field:
    scalp_mm = plan.skull_mm + plan.fat_mm + 2.5
    skin = cavity.vault - scalp_mm
    nape = Ellipsoid((0.0, 44.0, -12.0), (62.0, 52.0, 48.0))
    canvas.join(skin, nape, 12.0, 20.0)
    canvas.join(skin, Ellipsoid((0.0, 2.0, -14.0), (70.0, 52.0, 46.0)), 14.0, 20.0)
    canvas.join(skin, Ellipsoid((0.0, -34.0, -28.0), (70.0, 59.0, 58.0)), 14.0, 20.0)
    canvas.join(skin, Ellipsoid((0.0, -40.0 - plan.jaw_mm, -74.0), (57.0, 54.0, 40.0)), 16.0, 20.0)
    neck = np.square((canvas.x) * (1 / 60.0)) + np.square((canvas.y - 18.0) * (1 / 58.0))
    neck = (np.sqrt(neck) - 1.0) * 59.0
    np.maximum(neck, canvas.z + 40.0, out=neck)
    skin = smooth_union(skin, neck, 20.0)
    canvas.join(skin, Rod((0.0, -92.0, 6.0), (0.0, -101.0, -28.0), 6.0, 10.5), 9.0, 20.0)
    for side in (-1.0, 1.0):
        canvas.join(skin, Ellipsoid((side * 8.0, -97.0, -32.0), (8.0, 9.0, 7.0)), 5.0, 10.0)
        canvas.join(skin, Ellipsoid((side * 75.0, 20.0, -12.0), (4.5, 14.0, 27.0)), 6.0, 10.0)
        canvas.join(skin, Ellipsoid((side * 32.0, -73.0, -1.5), (17.0, 13.5, 13.0)), 5.0, 10.0)
    canvas.join(skin, Ellipsoid((0.0, -93.0 - plan.jaw_mm, -64.0), (22.0, 7.0, 9.0)), 6.0, 10.0)
    canvas.join(skin, Ellipsoid((0.0, -87.0 - plan.jaw_mm, -99.0), (20.0, 11.0, 11.0)), 8.0, 10.0)
    return skin
