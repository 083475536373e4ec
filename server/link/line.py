"""The line to the sites: ask each, and take the answers one at a time as they complete."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from itertools import count
from typing import final

from flwr.app import Message, RecordDict
from flwr.common.constant import SUPERLINK_NODE_ID
from flwr.serverapp import Grid

from common.exchange import Kind, RefusalCode

RECONNECT_S = 300.0
LOOK_S = 1.0
SOONEST_PULL_S = 0.05
LATEST_PULL_S = 2.0
PULL_SLOWDOWN = 0.05
MAX_ASKS = 6
ASK_AGAIN_S = 1.0
TTL_SLACK_S = 60.0

_groups = count(1)


class AnswerError(StrEnum):
    """Why a site's answer holds no record."""

    REFUSED_BY_SITE = "refused_by_site"
    TIMED_OUT = "timed_out"
    DISCONNECTED = "disconnected"


@final
@dataclass(frozen=True)
class Answer:
    """What a site answered.

    Attributes:
        site: its name.
        record: the reply, not yet checked; None exactly where ``error`` is set.
        error: why there is none.
        refusal: why the site refused, where it did; a reason this software does not know counts as ``INTERNAL``.
    """

    site: str
    record: RecordDict | None
    error: AnswerError | None = None
    refusal: RefusalCode | None = None


@final
class Line:
    """Asks sites through a Grid.

    The Grid's ``pull_messages`` should return at once; then no site can hold up another, and one reply is in memory at
    a time.

    Args:
        grid: of the run.
        nodes: node id by site name.
        reconnect_s: how long a site that was asked may be offline before its answer counts as ``DISCONNECTED``.
    """

    def __init__(self, grid: Grid, nodes: Mapping[str, int], *, reconnect_s: float = RECONNECT_S) -> None:
        self._grid = grid
        self._nodes = dict(nodes)
        self._reconnect_s = reconnect_s

    def online(self) -> set[str]:
        """Names of the sites that are connected now."""
        activations = self._activations()
        return {site for site, node in self._nodes.items() if node in activations}

    def ask(
        self, requests: Mapping[str, RecordDict], kind: Kind, timeout_s: float, stop: Callable[[], bool]
    ) -> Iterator[Answer]:
        """One answer for each site asked, in the order in which they complete.

        A site that is offline is asked once it connects. One that restarted, or whose message or reply was lost on its
        way, is asked anew. Whatever happens, it gets its answer or an error by its deadline.

        Args:
            requests: what to ask, by site name; one record may serve several sites.
            kind: of the requests.
            timeout_s: for each site's answer, from now.
            stop: ends the iteration early, without the missing answers, once it is true.
        """
        deadline = time.monotonic() + timeout_s
        group = f"{kind.value}-{next(_groups)}"
        talks = [
            _Talk(self._grid, site, self._nodes[site], record, kind, group, deadline, self._reconnect_s)
            for site, record in requests.items()
        ]
        looked_at, activations = float("-inf"), dict[int, str]()
        while talks and not stop():
            if time.monotonic() - looked_at >= LOOK_S:
                activations, looked_at = self._activations(), time.monotonic()
            for talk in list(talks):
                answer = talk.step(activations.get(talk.node))
                if answer is not None:
                    talks.remove(talk)
                    yield answer
                    # Nothing here may keep this reply alive while the next one is decoded.
                    del answer, talk
            if talks:
                time.sleep(SOONEST_PULL_S)

    def _activations(self) -> dict[int, str]:
        return {int(node.node_id): str(node.last_activated_at) for node in self._grid.get_nodes()}


@final
class _Talk:
    """One site's request until its answer: what was sent, what is awaited, and when to ask anew."""

    def __init__(
        self,
        grid: Grid,
        site: str,
        node: int,
        record: RecordDict,
        kind: Kind,
        group: str,
        deadline: float,
        reconnect_s: float,
    ) -> None:
        self.node = node
        self._grid = grid
        self._site = site
        self._record = record
        self._kind = kind
        self._group = group
        self._deadline = deadline
        self._reconnect_s = reconnect_s
        self._awaited: list[str] = []
        self._asks = 0
        self._asked_at = float("-inf")
        self._pull_at = float("-inf")
        self._activation: str | None = None
        self._offline_since: float | None = None

    def step(self, activation: str | None) -> Answer | None:
        """Do what is due now; the answer, if this completed it.

        Args:
            activation: when the site last connected, None while it is offline.
        """
        now = time.monotonic()
        if activation is None:
            return self._wait_for_site(now)
        self._offline_since = None
        # A new activation means a new process or a long drop-out: what was delivered before may be forgotten.
        if activation != self._activation and self._may_ask(now):
            self._ask(activation, now)
        if now >= self._pull_at:
            self._pull_at = now + min(max((now - self._asked_at) * PULL_SLOWDOWN, SOONEST_PULL_S), LATEST_PULL_S)
            answer = self._pull()
            if answer is not None:
                return answer
        if self._asks >= MAX_ASKS and not self._awaited:
            return Answer(self._site, None, AnswerError.DISCONNECTED)
        return Answer(self._site, None, AnswerError.TIMED_OUT) if now >= self._deadline else None

    def _wait_for_site(self, now: float) -> Answer | None:
        # The SuperLink would answer a pull for an offline site with an error and forget the message.
        if self._asks == 0:
            return Answer(self._site, None, AnswerError.TIMED_OUT) if now >= self._deadline else None
        self._offline_since = self._offline_since or now
        gone = now - self._offline_since >= self._reconnect_s or now >= self._deadline
        return Answer(self._site, None, AnswerError.DISCONNECTED) if gone else None

    def _may_ask(self, now: float) -> bool:
        return self._asks < MAX_ASKS and now - self._asked_at >= ASK_AGAIN_S and now < self._deadline

    def _ask(self, activation: str, now: float) -> None:
        ttl = self._deadline - now + TTL_SLACK_S
        message = Message(self._record, self.node, self._kind.value, ttl=ttl, group_id=self._group)
        message_id = next(iter(self._grid.push_messages([message])), "")
        self._asks, self._asked_at = self._asks + 1, time.monotonic()
        self._pull_at = self._asked_at
        if message_id:
            self._awaited.append(message_id)
            self._activation = activation

    def _pull(self) -> Answer | None:
        for message_id in list(self._awaited):
            for reply in self._grid.pull_messages([message_id]):
                if not _made_by_superlink(reply):
                    return _answer(self._site, reply)
                self._awaited.remove(message_id)
                # Lost on its way: ask anew, as if the site had just connected.
                self._activation = None
        return None


def _made_by_superlink(reply: Message) -> bool:
    return reply.has_error() and reply.metadata.src_node_id == SUPERLINK_NODE_ID


def _answer(site: str, reply: Message) -> Answer:
    if not reply.has_error():
        return Answer(site, reply.content)
    try:
        code = RefusalCode(reply.error.reason or "")
    except ValueError:
        code = RefusalCode.INTERNAL
    return Answer(site, None, AnswerError.REFUSED_BY_SITE, code)
