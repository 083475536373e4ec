"""A flat couch is cut off along its top, and a head that fills its field is none."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from client.archive import VerdictCode
from client.case import Case, find_body
from client.case.couch import flat_couch
from client.case.decoding import SliceStack
from tests.client.archives import axial_origins

PIXEL_MM, SLICE_MM = 3.0, 6.0


def planned(head_hu, *, columns=64, gap=0, thick=8, shell_hu=60.0, core_hu=60.0, mask_hu=None):
    """The head on a couch from edge to edge, ``gap`` pixels below it, and under a mask that touches it."""
    side = (columns - head_hu.shape[2]) // 2
    hu = np.pad(head_hu.astype(float), ((0, 0), (0, 24), (side, side)), constant_values=-1000.0)
    body = hu > -300
    hindmost = int(np.flatnonzero(body[20:].any(axis=(0, 2)))[-1])
    top = hindmost + 1 + gap
    couch = np.full(hu.shape[1:], -1000.0)
    couch[top : top + thick] = core_hu
    couch[[top, top + thick - 1]] = shell_hu
    if mask_hu is not None:
        shell = ndimage.binary_dilation(body, np.ones((1, 3, 3))) & ~body
        shell[:, top:] = False
        hu[shell] = mask_hu
        # The frame that holds the mask, as far as the couch.
        couch[top - 2, 4:-4] = mask_hu
    return np.where((hu < -300) & (couch > hu), couch, hu)


def stack_of(hu):
    origins = axial_origins(len(hu), SLICE_MM)
    row, column = np.array([0, PIXEL_MM, 0]), np.array([PIXEL_MM, 0, 0])
    return SliceStack(hu.astype(np.float32), origins, row, column, -1000.0, 1500.0)


COUCHES = {
    "solid": {},
    "foam": {"shell_hu": -150.0, "core_hu": -150.0},
    "carbon": {"shell_hu": 200.0, "core_hu": -930.0},
    "thick": {"thick": 20, "shell_hu": 100.0, "core_hu": -250.0},
    "wide": {"columns": 160},
    "apart": {"gap": 1},
    "masked": {"mask_hu": 60.0},
    "masked and wide": {"mask_hu": -80.0, "columns": 140},
}


@pytest.mark.parametrize("how", COUCHES.values(), ids=COUCHES.keys())
@pytest.mark.parametrize("turned", [False, True])
def test_nothing_of_the_couch_stays_and_nothing_of_the_head_goes(head_hu, how, turned):
    hu = planned(head_hu, **how)
    side = (hu.shape[2] - 64) // 2
    head = np.full(hu.shape, -1000.0)
    head[:, :80, side : side + 64] = head_hu
    if turned:
        hu, head = hu.swapaxes(1, 2), head.swapaxes(1, 2)
    body = find_body(stack_of(np.ascontiguousarray(hu)))
    assert body is not None
    kept, true = body.stack.hu > -300, head > -300
    beyond_skin = ~ndimage.binary_dilation(true, np.ones((1, 5, 5)))
    assert (kept & beyond_skin).sum() < 0.005 * true.sum()
    assert (true & ~kept).sum() < 0.002 * true.sum()
    assert body.cut_share == 0


def test_a_head_cut_on_both_sides_is_no_couch(head_hu):
    narrow = head_hu[:, :, 18:46].astype(np.float32)
    assert not flat_couch(narrow > -300, narrow, 250.0, PIXEL_MM).any()


@pytest.mark.parametrize("how", ["solid", "thick", "masked"])
def test_a_head_on_a_couch_makes_the_case_that_it_makes_without(head_hu, series, outcome, tmp_path, how):
    noise = np.random.default_rng(2).normal(0, 6, (40, 104, 64))
    bare = {"thick": 2, "core_hu": -1000.0, "shell_hu": -1000.0, "mask_hu": COUCHES[how].get("mask_hu")}
    cases = []
    for name, couch in (("couch", COUCHES[how]), ("twin", bare)):
        hu = planned(head_hu, **couch)
        writer = series(np.rint(np.where(hu > -900, hu + noise, hu)), spacing_mm=(PIXEL_MM,) * 2)
        writer.origins = axial_origins(40, SLICE_MM, (-94.5, -118.5, -117.0))
        writer.write(tmp_path / name)
        cases.append(outcome(tmp_path / name))
    case, twin = cases
    assert isinstance(case, Case)
    # A mask that touches the skin cannot be told from skin: it stays with either.
    assert np.abs(case.volume_hu.astype(float) - twin.volume_hu).mean() <= 2


def test_a_head_that_the_field_cuts_beside_a_couch_is_still_refused(head_hu, series, outcome, tmp_path):
    hu = planned(head_hu)[:, :, 16:48]
    series(hu, origins=axial_origins(40, SLICE_MM, (-46.5, -118.5, -117.0)), spacing_mm=(3.0, 3.0)).write(tmp_path)
    assert outcome(tmp_path) in (VerdictCode.FIELD_OF_VIEW_CUT, VerdictCode.NOT_A_HEAD)
