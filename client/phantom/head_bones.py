"""The procedural head's bones: vault, skull base, face, jaws with teeth, and the first cervical vertebrae."""

from __future__ import annotations

from typing import final

import numpy as np

from client.phantom.head_plan import HeadPlan
from client.phantom.shapes import Arch, Bounds, Canvas, Ellipsoid, Field, Plate, Rod, coverage

SIDES = (-1.0, 1.0)
_TABLE_MM = 1.9
_TABLE_HU = 1650.0
_DIPLOE_HU = 620.0
_SPONGY_HU = 550.0
_COMPACT_HU = 1200.0
_PETROUS_HU = 1750.0
_DENTINE_HU = 1900.0
_ENAMEL_HU = 2700.0
_TOOTH_MM = 7.4


def paint_vault(canvas: Canvas, cavity: Field, plan: HeadPlan) -> None:
    """Bone around the cavity: two dense tables with diploe between; thin at the temples, thick in front and behind."""
    near = np.flatnonzero((cavity.ravel() > -3.0) & (cavity.ravel() < 2.6 * plan.skull_mm))
    outward = cavity.ravel()[near]
    x, y, z = (field.ravel()[near] for field in (canvas.x, canvas.y, canvas.z))
    thick = _thickness(x, y, z, plan)
    edge = canvas.edge_mm
    core = coverage(_TABLE_MM - np.minimum(outward, thick - outward), edge)
    bone: Field = (_TABLE_HU + (_DIPLOE_HU + _mottling(x, y, z, plan) - _TABLE_HU) * core) * plan.bone
    share = coverage(outward - thick, edge) * coverage(-outward - 2.0, edge)
    flat = canvas.hu.ravel()
    flat[near] += (bone - flat[near]) * share


def _mottling(x: Field, y: Field, z: Field, plan: HeadPlan) -> Field:
    a, b, c = plan.folds
    patches = np.cos(x * 0.16 + b) * np.sin(y * 0.15 + c + 1.2 * np.cos(x * 0.11 + a))
    mottling: Field = 260.0 * patches * np.sin(z * 0.17 + a + np.sin(y * 0.12 + b))
    return mottling


def _thickness(x: Field, y: Field, z: Field, plan: HeadPlan) -> Field:
    sideways = np.square(x * (1 / 68.0))
    temple = sideways * np.exp(-np.square((z - 8.0) * (1 / 26.0))) * np.exp(-np.square((y + 8.0) * (1 / 40.0)))
    inion = np.exp(
        -(np.square(x * (1 / 14.0)) + np.square((y - 88.0) * (1 / 16.0)) + np.square((z - 8.0) * (1 / 12.0)))
    )
    brow = np.exp(
        -(np.square(x * (1 / 40.0)) + np.square((y + 80.0) * (1 / 14.0)) + np.square((z - 22.0) * (1 / 14.0)))
    )
    wavy = 0.12 * np.cos(x * 0.045 + plan.folds[0]) * np.sin(y * 0.05 + plan.folds[1])
    wavy += 0.07 * np.cos(x * 0.13 + plan.folds[1]) * np.sin(z * 0.14 + plan.folds[2] + 0.06 * y)
    base = np.clip((8.0 - z) * (1 / 30.0), 0.0, 0.35)
    thick: Field = plan.skull_mm * (1.0 + wavy - 0.55 * temple - base + 0.7 * inion + 0.35 * brow)
    return np.maximum(thick, 1.6, out=thick)


def paint_skull_base(canvas: Canvas, plan: HeadPlan) -> None:
    """Sphenoid, clivus, petrous bones with inner ear and canals, mastoids, condyles."""
    bone = plan.bone
    for side in SIDES:
        canvas.paint(Rod((side * 6.0, -23.0, 7.0), (side * 46.0, -37.0, 11.0), 2.6, 2.4), _COMPACT_HU * bone)
        canvas.paint(Rod((side * 12.0, -30.0, -16.0), (side * 14.0, -27.0, -44.0), 3.0, 2.2), 700.0 * bone)
        canvas.paint(Rod((side * 9.0, -24.0, -10.0), (side * 40.0, -34.0, -12.0), 7.0, 4.0), 700.0 * bone)
        canvas.paint(Rod((side * 12.0, 2.0, -12.0), (side * 52.0, 26.0, -14.0), 6.0, 10.0), _PETROUS_HU * bone)
        canvas.paint(Ellipsoid((side * 53.0, 25.0, -30.0), (12.0, 15.0, 23.0)), _spongy_mastoid(plan, side))
        canvas.paint(Rod((side * 62.0, 8.0, -20.0), (side * 50.0, 2.0, -19.0), 6.0, 5.0), _COMPACT_HU * bone)
        canvas.paint(Rod((side * 84.0, 9.0, -21.0), (side * 40.0, 11.0, -18.0), 3.6, 3.2), -1000.0)
        canvas.paint(Ellipsoid((side * 37.0, 13.0, -15.0), (3.5, 3.0, 5.0)), -700.0)
        canvas.paint(Rod((side * 30.0, 10.0, -10.0), (side * 20.0, 10.0, -9.0), 2.0, 3.2), 100.0)
        canvas.paint(Ellipsoid((side * 17.0, 24.0, -46.0), (7.0, 11.0, 6.0)), 800.0 * bone)
    canvas.paint(Plate((0.0, -22.0, -8.0), (17.0, 17.0, 12.0), 5.0), 600.0 * bone)
    canvas.paint(Rod((0.0, -6.0, -4.0), (0.0, 13.0, -36.0), 9.0, 6.0), 550.0 * bone)
    canvas.paint(Ellipsoid((0.0, -11.0, 6.0), (7.5, 7.0, 6.5)), 45.0)
    canvas.paint(Rod((-7.0, -3.5, 6.5), (7.0, -3.5, 6.5), 2.4, 2.4), _COMPACT_HU * bone)
    canvas.paint(Rod((-6.0, -20.0, 5.5), (6.0, -20.0, 5.5), 2.4, 2.4), _COMPACT_HU * bone)


def _spongy_mastoid(plan: HeadPlan, side: float) -> _Cells:
    air = plan.mastoid_air[int(side > 0)]
    return _Cells(bone_hu=850.0 * plan.bone, air_hu=-850.0, threshold=1.0 - 0.9 * air, phase=plan.folds[2])


@final
class _Cells:
    """A texture of small air cells in bone."""

    def __init__(self, *, bone_hu: float, air_hu: float, threshold: float, phase: float) -> None:
        self.bone_hu, self.air_hu, self.threshold, self.phase = bone_hu, air_hu, threshold, phase

    def __call__(self, x: Field, y: Field, z: Field) -> Field:
        """HU at the points."""
        # Measured from the midline, so that without a phase both sides are alike.
        x = np.abs(x)
        u = x + 2.5 * np.sin(y * 0.5 + self.phase) + 1.5 * np.sin(z * 0.43)
        v = y + 2.5 * np.sin(z * 0.47 - self.phase) + 1.5 * np.sin(x * 0.39)
        w = z + 2.5 * np.sin(x * 0.53 + 2.0 * self.phase) + 1.5 * np.sin(y * 0.41)
        pattern = np.sin(u * 1.1 + 0.4 * v) + np.sin(v * 0.95 - 0.3 * w) + np.sin(w * 1.05 + 0.35 * u)
        air = np.clip((pattern - self.threshold) * 0.8, 0.0, 1.0)
        tissue: Field = self.bone_hu + (self.air_hu - self.bone_hu) * air
        return tissue


def paint_face_bones(canvas: Canvas, plan: HeadPlan) -> None:
    """Orbital rims, zygoma and arch, maxilla, palate, nasal bones, mandible, teeth."""
    bone = plan.bone
    canvas.paint(Rod((-12.0, -83.0, 18.0), (12.0, -83.0, 18.0), 6.0, 6.0), 900.0 * bone)
    canvas.paint(Rod((0.0, -84.0, 13.0), (0.0, -95.0, -8.0), 4.0, 3.0), 1000.0 * bone)
    for side in SIDES:
        canvas.paint(Rod((side * 10.0, -81.0, 19.0), (side * 40.0, -71.0, 18.0), 5.0, 5.0), _COMPACT_HU * bone)
        canvas.paint(Rod((side * 42.0, -69.0, 17.0), (side * 50.0, -58.0, -4.0), 5.0, 4.0), _COMPACT_HU * bone)
        canvas.paint(Rod((side * 50.0, -58.0, -4.0), (side * 47.0, -62.0, -24.0), 4.0, 8.0), _COMPACT_HU * bone)
        canvas.paint(Rod((side * 16.0, -77.0, -20.0), (side * 46.0, -64.0, -22.0), 3.2, 5.0), _COMPACT_HU * bone)
        canvas.paint(Rod((side * 9.0, -80.0, 10.0), (side * 14.0, -79.0, -40.0), 3.2, 3.6), 900.0 * bone)
        canvas.paint(Rod((side * 50.0, -56.0, -24.0), (side * 65.0, -28.0, -21.0), 4.0, 2.8), _COMPACT_HU * bone)
        canvas.paint(Rod((side * 65.0, -28.0, -21.0), (side * 63.0, 4.0, -19.0), 2.8, 3.4), _COMPACT_HU * bone)
        antrum = plan.maxillary_sinus[int(side > 0)]
        wall = Ellipsoid((side * 29.0, -57.0, -30.0), (14.5 * antrum + 3.0, 16.5 * antrum + 3.0, 16.0 * antrum + 2.5))
        canvas.paint(wall, 800.0 * bone)
    canvas.paint(Plate((0.0, -56.0, -43.0), (24.0, 24.0, 2.2), 1.5), 900.0 * bone)
    canvas.paint(Arch(-84.0, 0.055, 6.5, (-60.0, 0.06), (-40.0, 0.0), -40.0), 700.0 * bone)
    _mandible(canvas, plan)
    _teeth(canvas, plan)


def _mandible(canvas: Canvas, plan: HeadPlan) -> None:
    bone, forward = plan.bone, -plan.jaw_mm
    body = Arch(-82.0 + forward, 0.0335, 6.2, (-107.0, 0.30), (-80.0, 0.06), -10.0 + forward)
    canvas.paint(body, 1400.0 * bone)
    marrow = Arch(-82.0 + forward, 0.0335, 3.2, (-103.0, 0.30), (-82.0, 0.06), -12.0 + forward)
    canvas.paint(marrow, _SPONGY_HU * bone)
    canvas.paint(Ellipsoid((0.0, -88.0 + forward, -101.0), (14.0, 5.0, 7.0)), _COMPACT_HU * bone)
    for side in SIDES:
        ramus = Plate((side * 48.5, -12.0 + forward, -62.0), (4.2, 17.0, 25.0), 3.5, (side * 0.06, 0.22))
        canvas.paint(ramus, _COMPACT_HU * bone)
        inner = Plate((side * 48.5, -12.0 + forward, -62.0), (1.6, 14.0, 22.0), 1.5, (side * 0.06, 0.22))
        canvas.paint(inner, _SPONGY_HU * bone)
        canvas.paint(
            Rod((side * 50.0, 2.0 + forward, -42.0), (side * 51.0, 3.0 + forward, -31.0), 4.5, 4.0), 1000 * bone
        )
        canvas.paint(Ellipsoid((side * 51.0, 2.0 + forward, -27.5), (10.0, 4.5, 4.5)), 1000.0 * bone)
        coronoid = Rod((side * 48.0, -19.0 + forward, -42.0), (side * 48.0, -22.0 + forward, -28.0), 4.0, 2.0)
        canvas.paint(coronoid, _COMPACT_HU * bone)


def _teeth(canvas: Canvas, plan: HeadPlan) -> None:
    forward = -plan.jaw_mm
    upper = (-83.5, 0.055, 3.4, -41.0)
    lower = (-80.0 + forward, 0.055, 3.2, -38.0 + forward)
    for row, (front, curve, half, back), root, crown in (
        (0, upper, (-60.0, -48.0), (-69.5, -60.0)),
        (100, lower, (-92.0, -80.0), (-80.0, -70.5)),
    ):
        for (low, high), hu in ((root, _DENTINE_HU), (crown, _ENAMEL_HU)):
            wall = Arch(front, curve, half, (low, 0.06), (high, 0.06), back)
            canvas.paint(_Tooth(wall, plan.missing_teeth, row), hu * min(plan.bone, 1.1))


@final
class _Tooth:
    """A dental arch cut into teeth."""

    def __init__(self, wall: Arch, missing: frozenset[int], row: int) -> None:
        self.wall, self.missing, self.row = wall, missing, row

    def bounds(self) -> Bounds:
        """The arch's box."""
        return self.wall.bounds()

    def distance(self, x: Field, y: Field, z: Field) -> Field:
        """Distance to the arch, interrupted between teeth and where teeth are absent."""
        slope = 2 * self.wall.curvature
        u = x * slope
        arc = (u * np.sqrt(1 + u * u) + np.arcsinh(u)) * (0.5 / slope)
        place = arc * (1 / _TOOTH_MM)
        number = np.rint(place)
        across = (np.abs(place - number) - 0.44) * _TOOTH_MM
        for tooth in self.missing:
            if (tooth >= 50) == (self.row >= 50):
                across = np.where(number == tooth - self.row, 4.0, across)
        cut: Field = np.maximum(self.wall.distance(x, y, z), across)
        return cut


def paint_spine(canvas: Canvas, plan: HeadPlan) -> None:
    """Atlas, axis with its dens, and further vertebrae down to the grid's edge, with cord and canal."""
    bone = plan.bone
    for side in SIDES:
        canvas.paint(Ellipsoid((side * 20.0, 22.0, -56.0), (9.0, 10.0, 7.0)), 800.0 * bone)
        canvas.paint(Rod((side * 24.0, 24.0, -56.0), (side * 38.0, 24.0, -57.0), 5.0, 3.5), 700.0 * bone)
        canvas.paint(Rod((side * 20.0, 34.0, -56.0), (0.0, 54.0, -57.0), 3.5, 4.5), 900.0 * bone)
        canvas.paint(Rod((side * 16.0, 14.0, -56.0), (0.0, 7.0, -56.0), 4.0, 4.5), 900.0 * bone)
    canvas.paint(Rod((0.0, 16.0, -48.0), (0.0, 17.0, -72.0), 4.8, 6.0), 1000.0 * bone)
    lowest = float(canvas.z.min())
    for level in range(1, 12):
        top = -68.0 - 19.0 * (level - 1)
        if top < lowest:
            break
        y = 17.0 + 1.5 * level
        canvas.paint(Plate((0.0, y, top - 7.5), (11.0, 8.5, 7.5), 3.0), 450.0 * bone)
        canvas.paint(Plate((0.0, y, top - 1.5), (11.0, 8.5, 1.0), 0.9), 800.0 * bone)
        canvas.paint(Plate((0.0, y, top - 14.0), (11.0, 8.5, 1.0), 0.9), 800.0 * bone)
        for side in SIDES:
            canvas.paint(Plate((side * 20.0, y + 14.0, top - 8.0), (6.0, 6.5, 8.0), 3.0, (0.0, -0.4)), 750.0 * bone)
            canvas.paint(Rod((side * 18.0, y + 20.0, top - 9.0), (0.0, y + 33.0, top - 13.0), 3.0, 3.5), 800.0 * bone)
        canvas.paint(Rod((0.0, y + 33.0, top - 13.0), (0.0, y + 50.0, top - 19.0), 4.0, 4.0), 700.0 * bone)
    canvas.paint(Rod((0.0, 33.0, -38.0), (0.0, 37.0, -80.0), 12.0, 9.0), 12.0)
    canvas.paint(Rod((0.0, 37.0, -80.0), (0.0, 52.0, -290.0), 9.0, 9.0), 12.0)
    canvas.paint(Rod((0.0, 31.0, -36.0), (0.0, 37.0, -80.0), 6.0, 5.0), 36.0)
    canvas.paint(Rod((0.0, 37.0, -80.0), (0.0, 52.0, -290.0), 5.0, 5.0), 36.0)
