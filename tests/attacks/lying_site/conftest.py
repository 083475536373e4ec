"""The rounds' consortium of scripted sites, one of which lies."""

from __future__ import annotations

from tests.client.conftest import flower_task, train_message
from tests.server.conftest import admitted
from tests.server.rounds.conftest import bench

__all__ = ["admitted", "bench", "flower_task", "train_message"]
