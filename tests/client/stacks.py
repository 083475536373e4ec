"""Heads as stacks of slices, posed at will."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import SimpleITK as sitk
from scipy.spatial.transform import Rotation

from client.case.alignment import align
from client.case.body import find_body
from client.case.decoding import AIR_HU, SliceStack, block_mean
from client.case.volume import Pose, resample
from common.geometry import Grid

GRID = Grid(shape=(88, 88, 80), voxel_mm=3.0)


def stack_of(hu, grid=GRID):
    x, y, z = (grid.centres_mm(axis) for axis in (2, 1, 0))
    origins = np.stack([np.full_like(z, x[0]), np.full_like(z, y[0]), z], axis=1)
    row, column = np.array([0, grid.voxel_mm, 0]), np.array([grid.voxel_mm, 0, 0])
    return SliceStack(np.clip(hu, AIR_HU, None).astype(np.float32), origins, row, column, -1000.0, 1500.0)


def posed(hu, turn_deg, shift_mm):
    """A head turned about (x, y, z) and shifted in LPS, with the pose that brings it back."""
    rotation = Rotation.from_euler("xyz", turn_deg, degrees=True).as_matrix()
    pose = Pose(rotation, np.array(shift_mm, float))
    inverse = Pose(rotation.T, -rotation.T @ pose.centre_mm)
    return stack_of(resample(stack_of(hu), inverse, GRID)), pose


def aligned(stack):
    body = find_body(stack)
    assert body is not None
    return align(body.stack, body.brain_guesses_mm)


def apart(first, second):
    """Angle in degrees and distance of the centres in mm."""
    angle = np.degrees(Rotation.from_matrix(first.rotation.T @ second.rotation).magnitude())
    return angle, float(np.linalg.norm(first.centre_mm - second.centre_mm))


def part(stack, low_mm=-1e9, high_mm=1e9):
    kept = (stack.positions_mm >= low_mm) & (stack.positions_mm <= high_mm)
    return replace(stack, hu=stack.hu[kept], origins_mm=stack.origins_mm[kept])


def nifti_stack(path):
    image = sitk.ReadImage(str(path))
    hu = np.clip(sitk.GetArrayFromImage(image).astype(np.float32), AIR_HU, None)
    step, origin = np.array(image.GetSpacing()), np.array(image.GetOrigin())
    blocks = [max(1, round(1.44 / length)) for length in step]
    hu = block_mean(hu, (1, blocks[1], blocks[0]))
    shift = (np.array(blocks) - 1) / 2 * step
    origins = np.array([[origin[0] + shift[0], origin[1] + shift[1], origin[2] + i * step[2]] for i in range(len(hu))])
    row, column = np.array([0, step[1] * blocks[1], 0]), np.array([step[0] * blocks[0], 0, 0])
    return SliceStack(hu, origins, row, column, -1000.0, 1500.0)
