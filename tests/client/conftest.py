"""A small study and messages as a site receives them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from flwr.app import Message, RecordDict
from flwr.supercore.task_identity import TaskIdentity

from common.study import Study

SMALL = """
name = "small"
[grid]
shape = [32, 32, 32]
voxel_mm = 7.0
[geometry]
detector_shape = [64, 64]
pixel_mm = 7.0
[privacy]
minimum_cases = 3
"""


@pytest.fixture
def study() -> Study:
    return Study.from_text(SMALL, where="test")


@pytest.fixture
def flower_task() -> Iterator[None]:
    """Flower's Message takes its sender from the process's task."""
    TaskIdentity.task_id, TaskIdentity.run_id, TaskIdentity.node_id = 1, 1, 1
    yield
    TaskIdentity.task_id = TaskIdentity.run_id = TaskIdentity.node_id = None


@pytest.fixture
def train_message(flower_task: None) -> Message:
    return Message(RecordDict(), 7, "train")
