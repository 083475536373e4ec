"""One admitted site against another, over a real SuperLink: it instructs, it answers, and it takes names beforehand."""

from __future__ import annotations

import contextlib
import threading
import time

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from flwr.app import ConfigRecord, Message, RecordDict
from flwr.proto.message_pb2 import ObjectTree
from flwr.supercore.inflatable.inflatable_utils import ObjectPushError
from flwr.superlink.grid import HttpGrid

from client.link import LinkEventKind
from common.exchange import salted, sealed
from common.signatures import SigningKey
from server.link import Answer, AnswerError
from tests.attacks.intruder import Intruder
from tests.letters import ABOUT, request_envelope

pytestmark = pytest.mark.processes

REQUEST = RecordDict({"header": ConfigRecord({"json": "the coordinator's"})})
FORGED = RecordDict({"header": ConfigRecord({"json": "forged"})})


def _ask(line, site: str, timeout_s: float = 30.0) -> Answer:
    (answer,) = line.ask({site: REQUEST}, ABOUT, timeout_s, lambda: False)
    return answer


@pytest.mark.parametrize("signer", ["nobody", "the intruder", "the victim"])
def test_an_instruction_from_another_site_is_not_worked_on(consortium, signer: str) -> None:
    name = f"instructed-by-{signer.split()[-1]}"
    seen: list[str] = []

    def work(message: Message) -> Message:
        seen.append(str(message.content["header"]["json"]))
        return Message(message.content, reply_to=message)

    victim = consortium.site(name, answer=work)
    with Intruder(consortium.coordinator(f"{name}-intruder")) as intruder, victim.running(), consortium.run() as grid:
        line = consortium.line(grid, name)
        content = salted(FORGED)
        message = intruder.instruction(content, grid.run.run_id, consortium.nodes[name], ABOUT.kind.value)
        if signer != "nobody":
            key = consortium.keys[f"{name}-intruder" if signer == "the intruder" else name]
            envelope = request_envelope(ABOUT, content.object_id, consortium.keys[name])
            message.metadata.group_id = sealed(envelope, key)
            message.metadata.__dict__["_message_id"] = message.object_id
        intruder.push(message)
        assert _ask(line, name).record == REQUEST
        # The forged one came first, and would have been worked on first.
        time.sleep(1.0)
    assert seen == ["the coordinator's"]


def test_a_forged_request_that_the_superlink_hands_on_is_dropped_before_it_is_fetched(consortium, monkeypatch) -> None:
    # As if the SuperLink were in the intruder's hands: the coordinator's own Grid pushes the forgery.
    def must_not_run(message: Message) -> Message:
        raise AssertionError("a forged request was worked on")

    victim = consortium.site("forged-from-above", answer=must_not_run)
    pulled: list[str] = []
    monkeypatch.setattr("client.link.session.Session.fetch", lambda self, head, tree: pulled.append("fetched"))
    with victim.running(), consortium.run() as grid:
        consortium.line(grid, "forged-from-above")
        impostor = SigningKey(Ed25519PrivateKey.generate())
        for number in range(3):
            content = salted(FORGED)
            envelope = request_envelope(ABOUT, content.object_id, victim.signed.key)
            seal = ("", "x" * 9000, sealed(envelope, impostor))[number]
            message = Message(content, consortium.nodes["forged-from-above"], "train", ttl=60.0, group_id=seal)
            # A head may be refused before its pieces are all there, and Flower then takes no more of them.
            with contextlib.suppress(ObjectPushError):
                list(HttpGrid.push_messages(grid, [message]))
        consortium.wait_for(lambda: victim.kinds().count(LinkEventKind.REFUSED) == 3, 20)
    assert pulled == []
    assert victim.failure is None


def test_an_answer_in_anothers_name_does_not_count(consortium) -> None:
    asked, may_answer = threading.Event(), threading.Event()
    request_ids: list[str] = []

    def slow(message: Message) -> Message:
        request_ids.append(message.metadata.message_id)
        asked.set()
        may_answer.wait(30)
        return Message(message.content, reply_to=message)

    victim = consortium.site("spoken-for", answer=slow)
    answers: list[Answer] = []
    with Intruder(consortium.coordinator("speaker")) as intruder, victim.running(), consortium.run() as grid:
        line = consortium.line(grid, "spoken-for")
        asking = threading.Thread(target=lambda: answers.append(_ask(line, "spoken-for", 60)))
        asking.start()
        assert asked.wait(20)
        # The worst case: the intruder knows the id of the victim's request.
        forged = intruder.message(
            salted(FORGED),
            grid.run.run_id,
            source=consortium.nodes["spoken-for"],
            target=1,
            answers=request_ids[0],
            kind=ABOUT.kind.value,
        )
        intruder.push(forged)
        time.sleep(1.0)
        may_answer.set()
        asking.join(60)
    assert [answer.record for answer in answers] == [REQUEST]


def test_a_site_whose_answers_are_signed_with_another_key_costs_nobody_but_itself(consortium) -> None:
    liar, honest = consortium.site("signs-wrongly"), consortium.site("signs-rightly")
    liar.signed.desk.key = consortium.keys["signs-rightly"]
    with liar.running(), honest.running(), consortium.run() as grid:
        line = consortium.line(grid, "signs-wrongly", "signs-rightly")
        requests = dict.fromkeys(("signs-wrongly", "signs-rightly"), REQUEST)
        answers = {answer.site: answer for answer in line.ask(requests, ABOUT, 60, lambda: False)}
    assert answers["signs-rightly"].record == REQUEST
    assert answers["signs-wrongly"] == Answer("signs-wrongly", None, AnswerError.UNSIGNED)


def test_names_taken_beforehand_end_no_coordinator(
    consortium, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    victim = consortium.site("named-before")
    with Intruder(consortium.coordinator("namer")) as intruder, consortium.run() as grid, victim.running():
        line = consortium.line(grid, "named-before", "namer")
        asking = threading.Thread(target=lambda: _ask(line, "namer", 4.0))
        asking.start()
        consortium.wait_for(lambda: (intruder.requests.append(intruder.pull()) or intruder.requests[-1]) is not None, 8)
        request_id, _ = intruder.requests[-1]
        # Nobody waits for the intruder's answer any more, so that nobody drops it.
        asking.join()
        # Even if the intruder knew the salt of the next request.
        monkeypatch.setattr("common.exchange.records.secrets.token_bytes", _SameAtFirst())
        foretold = salted(REQUEST)["header"].object_id
        own = intruder.reply(salted(FORGED), grid.run.run_id, request_id)
        children = [ObjectTree(object_id="a" * 64)]
        tree = ObjectTree(object_id=own.object_id, children=[ObjectTree(object_id=foretold, children=children)])
        assert intruder.announce(own, tree)[0] == 200
        # The same salt once more, for the request itself.
        monkeypatch.setattr("common.exchange.records.secrets.token_bytes", _SameAtFirst())
        assert _ask(line, "named-before", 60).record == REQUEST
    assert "sent again under other names" in caplog.text


class _SameAtFirst:
    """A source of salts whose first is no secret."""

    def __init__(self) -> None:
        self.drawn = 0

    def __call__(self, count: int) -> bytes:
        self.drawn += 1
        return self.drawn.to_bytes(count, "big")
