"""The line to the sites: ask each, and take the answers one at a time as they complete.

Every request is signed for its one receiver, and an answer that the receiver did not sign is never fetched.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import final

from flwr.app import Message, RecordDict
from flwr.common.constant import SUPERLINK_NODE_ID

from common.errors import Refusal
from common.exchange import RefusalCode, Request, salted, unsalted
from common.signatures import SigningKey
from server.link.correspondence import Correspondence
from server.link.inspection import Addressee, InspectingGrid

RECONNECT_S = 300.0
LOOK_S = 1.0
SOONEST_PULL_S = 0.05
LATEST_PULL_S = 2.0
PULL_SLOWDOWN = 0.05
MAX_ASKS = 6
MAX_UNSIGNED = 2
ASK_AGAIN_S = 1.0
TTL_SLACK_S = 60.0


class AnswerError(StrEnum):
    """Why a site's answer holds no record."""

    REFUSED_BY_SITE = "refused_by_site"
    TIMED_OUT = "timed_out"
    DISCONNECTED = "disconnected"
    UNSIGNED = "unsigned"


@final
@dataclass(frozen=True)
class Answer:
    """What a site answered.

    Attributes:
        site: its name.
        record: the reply, not yet checked; None exactly where ``error`` is set.
        error: why there is none.
        refusal: why the site refused, where it did.
        remarks: what a person should know of the site, e.g. that two computers hold its key.
    """

    site: str
    record: RecordDict | None
    error: AnswerError | None = None
    refusal: RefusalCode | None = None
    remarks: tuple[str, ...] = ()


@final
class Line:
    """Asks sites through a Grid.

    The Grid's ``pull_messages`` should return at once; then no site can hold up another, and one reply is in memory at
    a time.

    Args:
        grid: of the run.
        sites: node and key by site name.
        key: the coordinator's, which signs requests.
        reconnect_s: how long a site that was asked may be offline before its answer counts as ``DISCONNECTED``.
        memory: file that keeps what the sites' ledgers said.
    """

    def __init__(
        self,
        grid: InspectingGrid,
        sites: Mapping[str, Addressee],
        key: SigningKey,
        *,
        reconnect_s: float = RECONNECT_S,
        memory: Path | None = None,
    ) -> None:
        self._grid = grid
        self._letters = Correspondence(key, sites, memory)
        self._reconnect_s = reconnect_s
        grid.inspect = self._letters.inspect

    def readdress(self, sites: Mapping[str, Addressee]) -> None:
        """Write to these sites from now on; what their keys said before is remembered."""
        self._letters.sites = dict(sites)

    def online(self) -> set[str]:
        """Names of the sites that are connected now."""
        activations = self._activations()
        return {site for site, addressee in self._letters.sites.items() if addressee.node in activations}

    def ask(
        self, requests: Mapping[str, RecordDict], about: Request, timeout_s: float, stop: Callable[[], bool]
    ) -> Iterator[Answer]:
        """One answer for each site asked, in the order in which they complete.

        A site that is offline is asked once it connects. One that restarted, or whose message or reply was lost on its
        way, is asked anew. Whatever happens, it gets its answer or an error by its deadline.

        Args:
            requests: what to ask, by site name; one record may serve several sites.
            about: the message that these records carry.
            timeout_s: for each site's answer, from now.
            stop: ends the iteration early, without the missing answers, once it is true.
        """
        deadline = time.monotonic() + timeout_s
        letters = {id(record): _Letter(salted(record), about) for record in requests.values()}
        talks = [
            _Talk(self._grid, self._letters, site, letters[id(record)], deadline, self._reconnect_s)
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
                    talk.end()
                    yield answer
                    # Nothing here may keep this reply alive while the next one is decoded.
                    del answer, talk
            if talks:
                time.sleep(SOONEST_PULL_S)

    def _activations(self) -> dict[int, str]:
        return {int(node.node_id): str(node.last_activated_at) for node in self._grid.get_nodes()}


@final
@dataclass(frozen=True)
class _Letter:
    """A salted record, and the message that it carries."""

    record: RecordDict
    about: Request

    def anew(self) -> _Letter:
        """The same under another salt, so that no part of it has the name it had."""
        return _Letter(salted(unsalted(self.record)), self.about)


@final
class _Talk:
    """One site's request until its answer: what was sent, what is awaited, and when to ask anew."""

    def __init__(
        self,
        grid: InspectingGrid,
        letters: Correspondence,
        site: str,
        letter: _Letter,
        deadline: float,
        reconnect_s: float,
    ) -> None:
        self.node = letters.sites[site].node
        self._grid = grid
        self._letters = letters
        self._site = site
        self._letter = letter
        self._deadline = deadline
        self._reconnect_s = reconnect_s
        self._sent: list[str] = []
        self._unsigned = 0
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
        if self._unsigned >= MAX_UNSIGNED:
            return Answer(self._site, None, AnswerError.UNSIGNED)
        if self._asks >= MAX_ASKS and not self._awaited:
            return Answer(self._site, None, AnswerError.DISCONNECTED)
        return Answer(self._site, None, AnswerError.TIMED_OUT) if now >= self._deadline else None

    def end(self) -> None:
        """Whatever still comes in answer to this is of no use."""
        for message_id in self._sent:
            self._letters.forget(message_id)

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
        self._asks += 1
        envelope = self._letters.envelope(self._site, self._letter.about, self._letter.record, self._asks)
        seal = self._letters.seal(envelope)
        message = Message(self._letter.record, self.node, envelope.kind.value, ttl=ttl, group_id=seal)
        message_id = next(iter(self._grid.push_messages([message])), "")
        self._pull_at = self._asked_at = time.monotonic()
        if message_id:
            self._letters.expect(message_id, self._site, envelope)
            self._sent.append(message_id)
            self._awaited.append(message_id)
            self._activation = activation
        else:
            # Somebody may have taken one of its names.
            self._letter = self._letter.anew()

    def _pull(self) -> Answer | None:
        for message_id in list(self._awaited):
            for reply in self._grid.pull_messages([message_id]):
                if not _made_by_superlink(reply):
                    return self._answer(reply)
                self._awaited.remove(message_id)
                self._unsigned += self._letters.was_unsigned(message_id)
                # Lost on its way: ask anew, as if the site had just connected.
                self._activation = None
        return None

    def _answer(self, reply: Message) -> Answer:
        signed = self._letters.signed(reply)
        if signed is None:
            return Answer(self._site, None, AnswerError.REFUSED_BY_SITE, RefusalCode.INTERNAL)
        remarks = self._letters.note(signed)
        if signed.refusal is not None:
            return Answer(self._site, None, AnswerError.REFUSED_BY_SITE, signed.refusal, remarks)
        try:
            return Answer(self._site, unsalted(reply.content), remarks=remarks)
        except Refusal:
            return Answer(self._site, None, AnswerError.REFUSED_BY_SITE, RefusalCode.INTERNAL, remarks)


def _made_by_superlink(reply: Message) -> bool:
    return reply.has_error() and reply.metadata.src_node_id == SUPERLINK_NODE_ID
