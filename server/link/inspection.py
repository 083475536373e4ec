"""What a Grid asks before it fetches a reply: whether the one who was asked signed it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol, final

from flwr.app import Message
from flwr.proto.node_pb2 import NodeInfo

from common.signatures import VerifyingKey

Inspection = Callable[[Message, str], bool]
"""Whether a reply may be fetched, by its head and the id of its record (empty where it carries an error)."""


def nothing(_head: Message, _content: str) -> bool:
    """Lets nothing in, until somebody says what may come in."""
    return False


@final
@dataclass(frozen=True)
class Addressee:
    """A site as the line knows it.

    Attributes:
        node: its node at Flower.
        key: what its replies are verified with.
    """

    node: int
    key: VerifyingKey


class InspectingGrid(Protocol):
    """Flower's Grid, as far as the line uses it, with an inspection of every reply before it is fetched."""

    inspect: Inspection

    def get_nodes(self) -> Iterable[NodeInfo]:
        """Nodes that are online."""

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        """Send messages; the id of each, empty where it could not be stored."""

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        """Replies that are there; what the inspection does not let in comes as an error of the SuperLink."""
