"""Messages as a site receives them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from flwr.app import Message, RecordDict
from flwr.supercore.task_identity import TaskIdentity


@pytest.fixture
def flower_task() -> Iterator[None]:
    """Flower's Message takes its sender from the process's task."""
    TaskIdentity.task_id, TaskIdentity.run_id, TaskIdentity.node_id = 1, 1, 1
    yield
    TaskIdentity.task_id = TaskIdentity.run_id = TaskIdentity.node_id = None


@pytest.fixture
def train_message(flower_task: None) -> Message:
    return Message(RecordDict(), 7, "train")
