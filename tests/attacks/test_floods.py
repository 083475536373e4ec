"""A site that uploads more than a reply holds, or calls more often than a site works, over a real SuperLink."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, RecordDict
from flwr.proto.fleet_pb2 import ActivateNodeRequest
from flwr.proto.heartbeat_pb2 import SendNodeHeartbeatRequest
from flwr.proto.message_pb2 import ConfirmMessageReceivedRequest, ObjectTree, PushObjectRequest
from flwr.supercore.inflatable.inflatable_object import get_all_nested_objects, get_object_tree
from flwr.supercore.primitives.asymmetric import public_key_to_bytes

from common.exchange import ReplySize, salted
from common.trust import load_private_key
from server.consortium import make_certificates
from server.link import Control, SuperLink, fleet_door
from tests.attacks.intruder import Intruder
from tests.consortium import Consortium, free_port
from tests.letters import ABOUT

pytestmark = pytest.mark.processes

LARGEST = ReplySize(20_000_000, 40)
REQUEST = RecordDict({"header": ConfigRecord({"json": "{}"})})


@pytest.fixture(scope="module")
def narrow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Consortium]:
    """A SuperLink for replies of 20 MB at the most."""
    folder = tmp_path_factory.mktemp("narrow")
    certificates = make_certificates(folder / "certificates", ["localhost"])
    with (
        SuperLink(folder / "superlink", certificates, free_port(), largest=LARGEST) as superlink,
        Control(superlink.address, superlink.ca_certificate, superlink.secret) as control,
    ):
        yield Consortium(folder, superlink, control)


def _disk_bytes(consortium: Consortium) -> int:
    return sum(path.stat().st_size for path in (consortium.folder / "superlink").glob("superlink.db*"))


def _record(size: int) -> RecordDict:
    array = Array("uint8", (size,), "raw", os.urandom(size))
    return RecordDict({"header": ConfigRecord({"json": "{}"}), "generator": ArrayRecord({"generator.0000": array})})


def _asked(consortium: Consortium, grid, intruder: Intruder, name: str) -> str:
    """Id of a request to the intruder, for whose answer nobody waits."""
    line = consortium.line(grid, name)
    list(line.ask({name: REQUEST}, ABOUT, 0.5, lambda: False))
    found = intruder.pull()
    assert found is not None
    return found[0]


def test_the_disk_grows_by_at_most_two_of_a_sites_replies(narrow: Consortium) -> None:
    with Intruder(narrow.coordinator("fills")) as intruder, narrow.run() as grid:
        before, stored = _disk_bytes(narrow), 0
        for _ in range(6):
            request_id = _asked(narrow, grid, intruder, "fills")
            message = intruder.reply(salted(_record(18_000_000)), grid.run.run_id, request_id)
            status, session_id, wanted = intruder.announce(message)
            assert status == 200
            # Everything but the root, so that nobody takes it.
            for name, part in get_all_nested_objects(message).items():
                if name in wanted and name != message.object_id:
                    stored += intruder.upload(grid.run.run_id, session_id, part.deflate()) == 200
        assert stored >= 6 * 4
        # One in the database, and one in SQLite's journal.
        assert _disk_bytes(narrow) - before <= 2 * LARGEST.size_bytes


def test_no_more_bytes_are_stored_than_a_reply_may_have(narrow: Consortium) -> None:
    with Intruder(narrow.coordinator("heavy")) as intruder, narrow.run() as grid:
        before, request_id = _disk_bytes(narrow), _asked(narrow, grid, intruder, "heavy")
        message = intruder.reply(salted(_record(60_000_000)), grid.run.run_id, request_id)
        status, session_id, wanted = intruder.announce(message)
        assert status == 200
        answers = [
            intruder.upload(grid.run.run_id, session_id, part.deflate())
            for name, part in get_all_nested_objects(message).items()
            if name in wanted
        ]
        assert answers.count(200) <= 8
        assert 409 in answers
        assert _disk_bytes(narrow) - before <= 2 * LARGEST.size_bytes


def test_an_upload_that_is_repeated_counts_once() -> None:
    rules = fleet_door.FleetRules(100, 10)
    rules._callers[1].upload = fleet_door._Upload("root", "session", frozenset({"a", "b"}), 100)

    def takes(name: str, size: int, session: str = "session") -> bool:
        request = PushObjectRequest(session_id=session, object_id=name, object_content=b"x" * size)
        return rules._takes(1, request)

    assert [takes("a", 60), takes("a", 60), takes("a", 60)] == [True] * 3
    assert not takes("a", 1, "another session")
    assert not takes("c", 1)
    assert takes("b", 40)
    assert not rules._takes(2, PushObjectRequest(session_id="session", object_id="a"))


def test_twenty_thousand_objects_are_refused_at_once(narrow: Consortium) -> None:
    with Intruder(narrow.coordinator("many")) as intruder, narrow.run() as grid:
        request_id = _asked(narrow, grid, intruder, "many")
        message = intruder.reply(salted(REQUEST), grid.run.run_id, request_id)
        leaves = [ObjectTree(object_id=hashlib.sha256(str(number).encode()).hexdigest()) for number in range(20_000)]
        tree = ObjectTree(object_id=message.object_id, children=leaves)
        started = time.monotonic()
        assert intruder.announce(message, tree)[0] == 413
        assert time.monotonic() - started < 5
        few = ObjectTree(object_id=message.object_id, children=leaves[: LARGEST.objects])
        assert intruder.announce(message, few)[0] == 400


def test_what_no_site_sends_is_refused(narrow: Consortium) -> None:
    with Intruder(narrow.coordinator("odd")) as intruder, Intruder(narrow.coordinator("peer")), narrow.run() as grid:
        run_id, node = grid.run.run_id, intruder.node.node_id
        request_id = _asked(narrow, grid, intruder, "odd")
        instruction = intruder.instruction(salted(REQUEST), run_id, narrow.nodes["peer"])
        assert intruder.announce(instruction)[0] == 400
        other = intruder.message(
            salted(REQUEST), run_id, source=narrow.nodes["peer"], target=1, answers=request_id, kind="query"
        )
        assert intruder.announce(other)[0] == 400
        own = intruder.reply(salted(REQUEST), run_id, request_id)
        assert intruder.announce(own, ObjectTree(object_id="a" * 64))[0] == 400
        # Names that are there already are somebody's.
        assert intruder.announce(own)[0] == 200
        again = intruder.reply(own.content, run_id, request_id)
        assert intruder.announce(again, get_object_tree(again))[2] == []
        # An upload without its session was once taken for anybody's.
        assert intruder.upload(run_id, "", b"x") == 409
        with pytest.raises(Exception, match="400"):
            intruder.client.ConfirmMessageReceived(
                ConfirmMessageReceivedRequest(node=intruder.node, run_id=run_id, message_object_id=own.object_id)
            )
        with pytest.raises(Exception, match="400"):
            intruder.client.SendNodeHeartbeat(SendNodeHeartbeatRequest(node=intruder.node, heartbeat_interval=3600))
        assert node == intruder.node.node_id


def test_a_site_that_calls_without_pause_is_told_to_wait_and_others_are_served(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now_s = [0.0]
    monkeypatch.setattr(fleet_door.time, "monotonic", lambda: now_s[0])
    rules = fleet_door.FleetRules(LARGEST.size_bytes, LARGEST.objects)

    def call(node: int) -> bool:
        entered = rules.enter(node)
        if entered:
            rules.leave(node)
        return entered

    assert all(call(1) for _ in range(int(fleet_door.CALLS_AT_ONCE)))
    assert not call(1)
    assert call(2)
    now_s[0] += 1.0
    assert [call(1) for _ in range(int(fleet_door.CALLS_A_SECOND) + 1)] == [True] * int(fleet_door.CALLS_A_SECOND) + [
        False
    ]


def test_a_site_holds_few_of_the_superlinks_workers() -> None:
    rules = fleet_door.FleetRules(LARGEST.size_bytes, LARGEST.objects)
    assert [rules.enter(1) for _ in range(fleet_door.SIMULTANEOUS_CALLS + 1)][-2:] == [True, False]
    assert rules.enter(2)
    rules.leave(1)
    assert rules.enter(1)


def test_a_key_that_is_online_is_told_so_and_not_that_it_is_unknown(narrow: Consortium) -> None:
    coordinator = narrow.coordinator("twin")
    with Intruder(coordinator) as first:
        public = public_key_to_bytes(load_private_key(coordinator.private_key, where="test").public_key())
        with pytest.raises(Exception, match="409"):
            first.client.ActivateNode(ActivateNodeRequest(public_key=public, heartbeat_interval=30.0))


def test_a_second_computer_with_a_sites_key_is_told_what_is_wrong(narrow: Consortium, tmp_path: Path) -> None:
    site = narrow.site("both", patience_s=0.2)
    with site.running():
        narrow.wait_for(lambda: "connected" in [kind.value for kind in site.kinds()])
        second = type(site)(site.coordinator.__class__(**{**vars(site.coordinator), "state": tmp_path}))
        second.run()
    assert "another process is connected" in str(second.failure)
