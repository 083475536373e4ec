"""A coordinator at work: SuperLink and round loop as supervised processes, and what a terminal shows of them."""

from server.coordinator.coordinator import Coordinator
from server.coordinator.run_view import RunView
from server.coordinator.settings import CoordinatorSettings

__all__ = [
    "Coordinator",
    "CoordinatorSettings",
    "RunView",
]
