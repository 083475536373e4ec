from __future__ import annotations

import numpy as np
import pytest

from client.case.body import find_body
from client.case.decoding import AIR_HU, SliceStack

SHAPE = (40, 96, 96)
PIXEL_MM = 2.5


def stack_of(hu):
    origins = np.array([[-118.75, -118.75, 4.0 * index - 78] for index in range(len(hu))])
    row, column = np.array([0, PIXEL_MM, 0]), np.array([PIXEL_MM, 0, 0])
    return SliceStack(hu.astype(np.float32), origins, row, column, -1000.0, 1500.0)


def places():
    return np.meshgrid(
        np.arange(40) * 4.0 - 78, np.arange(96) * PIXEL_MM - 118.75, np.arange(96) * PIXEL_MM - 118.75, indexing="ij"
    )


@pytest.fixture
def head() -> np.ndarray:
    """A skull with brain: an ellipsoid of 140 x 180 x 150 mm, with bone of 8 mm, and scalp of 6 mm."""
    z, y, x = places()
    radius = np.sqrt((x / 70) ** 2 + ((y + 10) / 90) ** 2 + (z / 75) ** 2)
    hu = np.where(radius < 1, 40.0, AIR_HU)
    hu[(radius < 0.92) & (radius > 0.82)] = 900
    return hu


def test_table_and_headrest_are_removed_and_the_head_stays(head):
    _, y, x = places()
    table = (y > 95) & (y < 115)
    rest = (np.hypot(x, y + 10) > 96) & (np.hypot(x, y + 10) < 101) & (y > 20)
    both = head.copy()
    both[(table | rest) & (head == AIR_HU)] = 150
    body = find_body(stack_of(both))
    assert body is not None
    near = np.abs(body.stack.hu - head) > 1
    assert near.mean() < 0.002
    assert (body.stack.hu[head > AIR_HU] == head[head > AIR_HU]).all()


def test_a_head_lying_on_the_table_is_freed_from_it(head):
    _, y, _ = places()
    table = (y > 80) & (y < 100)
    touching = head.copy()
    touching[table & (head == AIR_HU)] = 60
    body = find_body(stack_of(touching))
    assert body is not None
    left = (body.stack.hu > -300) & (head == AIR_HU)
    assert left.sum() < 0.15 * (table & (head == AIR_HU)).sum()


@pytest.mark.parametrize("gap_mm", [5.0, 10.0])
def test_a_mask_that_stands_off_the_skin_goes_though_it_touches_it_in_places(head, gap_mm):
    z, y, x = places()
    radius = np.sqrt((x / 70) ** 2 + ((y + 10) / 90) ** 2 + (z / 75) ** 2)
    away_mm = (radius - 1) * np.sqrt(x**2 + (y + 10) ** 2 + z**2) / np.maximum(radius, 0.1)
    shell = (away_mm > gap_mm) & (away_mm < gap_mm + 3.5) & (y < 0)
    props = (away_mm > 0) & (away_mm <= gap_mm) & (y < -60) & (np.abs(z % 40 - 20) < 4) & (np.abs(x) < 12)
    masked = head.copy()
    masked[shell | props] = -60
    body = find_body(stack_of(masked))
    assert body is not None
    kept = body.stack.hu > -300
    assert (kept & shell).sum() < 0.05 * shell.sum()
    assert (body.stack.hu[head > AIR_HU] == head[head > AIR_HU]).all()


def test_ears_stay(head):
    z, y, x = places()
    ear = (abs(x) > 66) & (abs(x) < 84) & (abs(y) < 10) & (abs(z) < 22) & (head == AIR_HU)
    head[ear] = 20
    body = find_body(stack_of(head))
    assert body is not None
    assert (body.stack.hu[ear] == 20).mean() > 0.95


def test_the_cavity_of_the_skull_gives_the_middle_of_the_brain(head):
    body = find_body(stack_of(head))
    assert body is not None
    assert body.brain_guesses_mm[0] == pytest.approx([0, -10, 0], abs=4)
    assert body.cavity_ml == pytest.approx(4 / 3 * np.pi * 7 * 9 * 7.5 * 0.82**3, rel=0.2)


def test_a_skull_with_a_wide_defect_still_gives_a_guess_near_the_brain(head):
    _, y, _ = places()
    head[(y < -30) & (head > 300)] = 40
    body = find_body(stack_of(head))
    assert body is not None
    assert min(np.linalg.norm(guess - [0, -10, 0]) for guess in body.brain_guesses_mm) < 25


def test_air_alone_holds_no_body():
    assert find_body(stack_of(np.full(SHAPE, AIR_HU))) is None
