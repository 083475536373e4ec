"""What the procedural head's bones enclose: brain with its fluid and findings, eyes, air sinuses and airways."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import numpy as np

from client.phantom.head_plan import HeadPlan, Lesion, LesionKind
from client.phantom.head_surface import CEREBELLUM
from client.phantom.shapes import Bounds, Canvas, Ellipsoid, Field, Rod, Shape, coverage

SIDES = (-1.0, 1.0)
_FLUID_HU = 7.0
_GREY_HU = 38.0
_WHITE_HU = 28.0
_AIR_HU = -1000.0
_ETHMOID_HU = -700.0


def paint_brain(canvas: Canvas, cavity: Field, plan: HeadPlan) -> None:
    """Fill the cavity: fluid, folded grey matter, white matter, deep nuclei, ventricles, falx, cerebellum, findings."""
    inside = np.flatnonzero(cavity.ravel() < canvas.edge_mm)
    depth = -cavity.ravel()[inside]
    x, y, z = (field.ravel()[inside] for field in (canvas.x, canvas.y, canvas.z))
    edge = canvas.edge_mm
    tissue = _folded_cortex(x, y, z, depth, plan, edge)
    small = CEREBELLUM.distance(x, y, z) + 2.5
    tentorium = z - 4.0 - 0.16 * (60.0 - np.abs(x))
    hind = coverage(np.maximum(small, tentorium), edge)
    tissue += (36.0 + 3.0 * np.sin(z * 1.1 + 0.2 * y) - tissue) * hind
    for shape, hu in _deep_parts(plan):
        tissue += (hu - tissue) * coverage(shape.distance(x, y, z), edge)
    falx = np.maximum(np.abs(x) - 0.9, np.maximum(depth - 32.0, 18.0 - z))
    tissue += (62.0 - tissue) * coverage(falx, edge)
    for lesion in plan.lesions:
        _apply(lesion, tissue, x, y, z, edge)
    flat = canvas.hu.ravel()
    flat[inside] += (tissue - flat[inside]) * coverage(-depth, edge)


def _folded_cortex(x: Field, y: Field, z: Field, depth: Field, plan: HeadPlan, edge: float) -> Field:
    a, b, c = plan.folds
    # Measured from the midline with a phase that differs in sign: the hemispheres differ unless the phase is zero.
    side = a * np.sign(x)
    x = np.abs(x)
    folds = np.sin(x * 0.24 + side + 1.3 * np.sin(y * 0.11 + b)) + np.sin(y * 0.22 + b + 1.4 * np.sin(z * 0.12 + c))
    folds += np.sin(z * 0.24 + c + 1.2 * np.sin(x * 0.1 + side))
    # Distance to the middle of the nearest sulcus: the pattern over its typical slope.
    sulcus = np.abs(folds) * 3.2
    tissue = np.full_like(depth, _WHITE_HU)
    grey = np.minimum(depth - 5.5, np.maximum(sulcus - 4.2, depth - 20.0))
    tissue += (_GREY_HU - _WHITE_HU) * coverage(grey, 1.5 * edge)
    narrowing = np.clip(depth * (1 / 16.0), 0.0, 1.0)
    fluid = np.minimum(sulcus - 1.3 * plan.sulcus * (1.0 - narrowing), depth - 1.6 * plan.sulcus)
    fluid = np.where(depth > 16.0, 10.0, fluid)
    sylvian = np.abs(z - 12.0 + 0.3 * (np.abs(x) - 45.0)) - 1.4 * plan.sulcus
    sylvian = np.maximum(np.maximum(sylvian, 34.0 - np.abs(x)), np.abs(y + 12.0) - 26.0)
    fissure = np.maximum(np.abs(x) - 1.2 * plan.sulcus, depth - 30.0)
    np.minimum(fluid, np.minimum(sylvian, fissure), out=fluid)
    tissue += (_FLUID_HU - tissue) * coverage(fluid, edge)
    return tissue


def _deep_parts(plan: HeadPlan) -> list[tuple[Shape, float]]:
    wide = plan.ventricle
    parts: list[tuple[Shape, float]] = [
        (Ellipsoid((0.0, -2.0, -2.0), (17.0, 16.0, 9.0)), _FLUID_HU),
        (Rod((0.0, 6.0, 4.0), (0.0, 20.0, -22.0), 11.0, 13.0), 32.0),
        (Rod((0.0, 20.0, -22.0), (0.0, 30.0, -46.0), 11.0, 6.0), 32.0),
        (Ellipsoid((0.0, 32.0, -18.0), (7.0 * wide, 4.0 * wide, 9.0)), _FLUID_HU),
    ]
    for side in SIDES:
        parts += [
            (Ellipsoid((side * 12.0, 2.0, 24.0), (8.0, 15.0, 9.0)), 40.0),
            (Ellipsoid((side * 24.0, -10.0, 23.0), (7.0, 17.0, 10.0)), 41.0),
            (Ellipsoid((side * 13.0, -24.0, 32.0), (5.0, 11.0, 8.0)), 41.0),
            (Rod((side * 8.0, -34.0, 34.0), (side * 9.0, 12.0, 42.0), 4.6 * wide, 5.4 * wide), _FLUID_HU),
            (Rod((side * 9.0, 12.0, 42.0), (side * 23.0, 34.0, 26.0), 5.4 * wide, 6.2 * wide), _FLUID_HU),
            (Rod((side * 23.0, 34.0, 26.0), (side * 19.0, 58.0, 26.0), 5.0 * wide, 2.2 * wide), _FLUID_HU),
            (Rod((side * 24.0, 32.0, 22.0), (side * 36.0, -4.0, 2.0), 4.0 * wide, 2.2 * wide), _FLUID_HU),
        ]
    parts.append((Ellipsoid((0.0, 2.0, 22.0), (2.4 * wide, 13.0, 9.0)), _FLUID_HU))
    return parts


def _apply(lesion: Lesion, tissue: Field, x: Field, y: Field, z: Field, edge: float) -> None:
    ragged = 1.6 * (np.sin(x * 0.55 + 0.3 * y) + np.sin(z * 0.6 - 0.2 * x))
    distance = Ellipsoid(lesion.centre, lesion.radii).distance(x, y, z)
    match lesion.kind:
        case LesionKind.INFARCT:
            tissue += lesion.hu * coverage(distance + ragged, 6.0 * edge)
        case LesionKind.BLEED:
            tissue += (18.0 - tissue) * coverage(distance + ragged - 4.0, 3.0 * edge)
            tissue += (lesion.hu - tissue) * coverage(distance + ragged, edge)
        case LesionKind.SUBDURAL | LesionKind.CALCIFICATION:
            tissue += (lesion.hu - tissue) * coverage(distance, edge)


def paint_orbits(canvas: Canvas, plan: HeadPlan) -> None:
    """Orbital cones of bone, filled with fat, eyeball, lens, optic nerve and two muscles."""
    for side in SIDES:
        apex = (side * 11.0, -30.0, 3.0)
        canvas.paint(Rod((side * 31.0, -62.0, -1.0), apex, 18.6, 6.0), 750.0 * plan.bone)
        canvas.paint(Rod((side * 31.5, -66.0, -1.5), apex, 17.0, 4.0), -85.0)
        canvas.paint(Rod((side * 31.5, -64.0, -1.5), apex, 2.4, 2.4), 30.0)
        canvas.paint(Rod((side * 20.0, -62.0, -1.5), apex, 2.4, 2.0), 50.0)
        canvas.paint(Rod((side * 43.0, -62.0, -1.5), apex, 2.4, 2.0), 50.0)
        canvas.paint(Ellipsoid((side * 32.0, -71.0, -1.5), (12.2, 12.2, 12.0)), 60.0)
        canvas.paint(Ellipsoid((side * 32.0, -71.0, -1.5), (10.8, 10.8, 10.6)), 8.0)
        canvas.paint(Ellipsoid((side * 32.0, -79.0, -1.5), (4.5, 2.2, 4.5)), 80.0)


def paint_sinuses(canvas: Canvas, plan: HeadPlan) -> None:
    """Air in the frontal, ethmoid, sphenoid and maxillary sinuses."""
    for walls in (True, False):
        for side, size in zip(SIDES, plan.frontal_sinus, strict=True):
            wall_mm = 2.0 if walls else 0.0
            radii = (10.5 * size + wall_mm, 3.6 + wall_mm, 9.0 * size + wall_mm)
            lobe = Ellipsoid((side * 10.0, -81.0, 20.0 + 5.0 * size), radii)
            canvas.paint(lobe, 1000.0 * plan.bone if walls else _AIR_HU)
    for side, cheek in zip(SIDES, plan.maxillary_sinus, strict=True):
        canvas.paint(Ellipsoid((side * 29.0, -57.0, -30.0), (14.5 * cheek, 16.5 * cheek, 16.0 * cheek)), _AIR_HU)
        canvas.paint(Rod((side * 8.0, -70.0, 2.0), (side * 8.0, -38.0, 1.0), 6.0, 6.5), _ETHMOID_HU)
        size = plan.sphenoid_sinus
        canvas.paint(Ellipsoid((side * 7.0, -24.0, -8.0), (6.4 * size, 13.0 * size, 9.0 * size)), _AIR_HU)


@final
@dataclass(frozen=True)
class _Septum:
    """The nasal septum, bent to one side by ``bend_mm`` in its middle."""

    bend_mm: float

    def bounds(self) -> Bounds:
        """The septum's box."""
        return (-6.0, -90.0, -43.0), (6.0, -24.0, 2.0)

    def distance(self, x: Field, y: Field, z: Field) -> Field:
        """Distance to the bent plate."""
        along = (y + 57.0) * (1 / 33.0)
        plate: Field = np.abs(x - self.bend_mm * (1.0 - along * along)) - 1.1
        np.maximum(plate, np.abs(y + 57.0) - 33.0, out=plate)
        np.maximum(plate, np.abs(z + 20.5) - 22.0, out=plate)
        return plate


def paint_airways(canvas: Canvas, plan: HeadPlan) -> None:
    """Nasal cavity with septum and turbinates, pharynx, and the mouth's narrow air space."""
    canvas.paint(Ellipsoid((0.0, -53.0, -23.0), (13.0, 31.0, 19.0)), _AIR_HU)
    canvas.paint(Rod((0.0, -24.0, -30.0), (0.0, -8.0, -60.0), 11.0, 9.0), _AIR_HU)
    canvas.paint(Rod((0.0, -8.0, -60.0), (0.0, -6.0, -130.0), 7.0, 9.0), _AIR_HU)
    canvas.paint(Rod((0.0, -6.0, -130.0), (0.0, 20.0, -300.0), 9.0, 9.0), _AIR_HU)
    for side in SIDES:
        canvas.paint(Rod((side * 6.0, -94.0, -36.0), (side * 6.0, -82.0, -26.0), 3.6, 5.0), _AIR_HU)
        canvas.paint(Rod((side * 8.0, -74.0, -34.0), (side * 8.0, -38.0, -32.0), 4.4, 4.0), 45.0)
        canvas.paint(Rod((side * 7.5, -64.0, -19.0), (side * 7.5, -38.0, -18.0), 3.4, 3.2), 45.0)
    canvas.paint(_Septum(plan.septum_mm), 300.0 * plan.bone)
    canvas.paint(Ellipsoid((0.0, -50.0, -50.0), (18.0, 24.0, 3.0)), -600.0)
    canvas.paint(Ellipsoid((0.0, -46.0, -66.0), (22.0, 27.0, 15.0)), 52.0)
