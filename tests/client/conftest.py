"""Messages as a site receives them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from flwr.app import Message, RecordDict
from flwr.supercore.task_identity import TaskIdentity

from common.exchange import TrainRequest, build_network, pack, train_manifests, weights_of
from common.study import Study
from tests.letters import KEYS, signed_request


@pytest.fixture
def flower_task() -> Iterator[None]:
    """Flower's Message takes its sender from the process's task."""
    TaskIdentity.task_id, TaskIdentity.run_id, TaskIdentity.node_id = 1, 1, 1
    yield
    TaskIdentity.task_id = TaskIdentity.run_id = TaskIdentity.node_id = None


@pytest.fixture
def train_message(flower_task: None) -> Message:
    request = TrainRequest(study_sha256="5" * 64, run="r", round=1)
    return signed_request(request, pack(request), KEYS["north"])


@pytest.fixture
def train_record(study: Study) -> RecordDict:
    """A training request's record, with weights."""
    request = TrainRequest(study_sha256="5" * 64, run="run", round=3)
    return pack(request, {n: (m, weights_of(build_network(study, n))) for n, m in train_manifests(study).items()})
