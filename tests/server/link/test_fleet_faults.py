"""A real SuperLink, with sites in threads of the test, and faults on the way between them."""

import datetime as dt
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, RecordDict
from flwr.proto.control_pb2 import ListRunsRequest
from flwr.supernode.fleet_http_client import FleetHttpClient

from client.link import LinkEventKind
from common.errors import ExitCode, Refusal
from common.exchange import RefusalCode, ReplySize
from common.trust import load_private_key, new_site_key, public_key_of
from server.consortium import make_certificates
from server.link import Answer, AnswerError, Control, ServerTask
from tests.letters import ABOUT

pytestmark = pytest.mark.processes


def _request(data: bytes = b"") -> RecordDict:
    record = RecordDict({"header": ConfigRecord({"json": "{}"})})
    if data:
        record["generator"] = ArrayRecord({"generator.0000": Array("uint8", (len(data),), "raw", data)})
    return record


def _ask_one(line, site: str, record: RecordDict, timeout_s: float = 30.0) -> Answer:
    (answer,) = line.ask({site: record}, ABOUT, timeout_s, lambda: False)
    return answer


def _break_once(
    monkeypatch: pytest.MonkeyPatch, call: str, error: Callable[[], Exception], *, after: bool
) -> list[int]:
    """Let one call of the fleet API fail, before it reaches the SuperLink or after its effect."""
    original, broken = getattr(FleetHttpClient, call), list[int]()

    def wrapper(self, request):
        if call == "PullMessages":
            response = original(self, request) if after else None
            if not broken and (response is None or response.messages_list):
                broken.append(1)
                raise error()
            return response if response is not None else original(self, request)
        if broken:
            return original(self, request)
        broken.append(1)
        if after:
            original(self, request)
        raise error()

    monkeypatch.setattr(FleetHttpClient, call, wrapper)
    return broken


def _lost_response() -> Exception:
    return httpx.ReadError("connection reset")


def test_arrays_pass_both_ways_unchanged(consortium) -> None:
    data = bytes(range(256)) * 60_000
    with consortium.site("arrays").running(), consortium.run() as grid:
        answer = _ask_one(consortium.line(grid, "arrays"), "arrays", _request(data))
    assert answer.record == _request(data)


@pytest.mark.parametrize(
    ("call", "after"),
    [
        ("PullMessages", False),
        # The message is delivered, but the site never sees it.
        ("PullMessages", True),
        ("GetRun", True),
        ("PullObject", True),
        ("ConfirmMessageReceived", True),
        ("PushMessages", True),
        # Repeating this push answers "not stored".
        ("PushObject", True),
        ("PushObject", False),
    ],
)
def test_a_call_that_fails_once_loses_nothing(
    consortium, monkeypatch: pytest.MonkeyPatch, call: str, after: bool
) -> None:
    name = f"faulty-{call.lower()}-{after}".lower()
    site = consortium.site(name)
    broken = _break_once(monkeypatch, call, _lost_response, after=after)
    with site.running(), consortium.run() as grid:
        answer = _ask_one(consortium.line(grid, name), name, _request(b"weights" * 1000))
    assert answer.record == _request(b"weights" * 1000)
    assert broken
    assert site.failure is None


def test_a_known_site_whose_activation_seems_to_fail_gets_in_at_once(
    consortium, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = consortium.site("activates-twice")
    with site.running():
        consortium.wait_for(lambda: LinkEventKind.CONNECTED in site.kinds())
    # Flower refuses to activate a node twice; the remembered node id is what helps.
    broken = _break_once(monkeypatch, "ActivateNode", _lost_response, after=True)
    again = type(site)(site.coordinator)
    with again.running():
        consortium.wait_for(lambda: LinkEventKind.CONNECTED in again.kinds(), 10)
    assert broken


def test_superlink_says_not_stored_to_a_repeated_push(consortium, monkeypatch: pytest.MonkeyPatch) -> None:
    # The contract behind the tolerance: should Flower make pushes idempotent, it can go.
    stored, original = list[tuple[bool, bool]](), FleetHttpClient.PushObject

    def twice(self, request):
        stored.append((original(self, request).stored, original(self, request).stored))
        raise httpx.ReadError("connection reset") if len(stored) == 1 else AssertionError

    monkeypatch.setattr(FleetHttpClient, "PushObject", twice)
    site = consortium.site("pushes-twice")
    with site.running(), consortium.run() as grid:
        line = consortium.line(grid, "pushes-twice")
        next(line.ask({"pushes-twice": _request()}, ABOUT, 2.0, lambda: False))
    assert stored[0] == (True, False)


def test_a_reply_that_is_never_finished_holds_nobody_up(consortium, monkeypatch: pytest.MonkeyPatch) -> None:
    slow, quick = consortium.site("never-finishes"), consortium.site("finishes")
    original, release = FleetHttpClient.PushObject, threading.Event()
    slow_node = consortium.nodes["never-finishes"]

    def push(self, request):
        if request.node.node_id == slow_node and b"generator.0000" in request.object_content:
            release.wait(20)
        return original(self, request)

    monkeypatch.setattr(FleetHttpClient, "PushObject", push)
    with slow.running(), quick.running(), consortium.run() as grid:
        line = consortium.line(grid, "never-finishes", "finishes")
        requests = {site: _request(site.encode()) for site in ("never-finishes", "finishes")}
        started = time.monotonic()
        answers = list(line.ask(requests, ABOUT, 4.0, lambda: False))
        took_s = time.monotonic() - started
        release.set()
    assert [(a.site, a.error) for a in answers] == [("finishes", None), ("never-finishes", AnswerError.TIMED_OUT)]
    assert took_s < 8


def test_a_reply_beyond_the_limit_is_dropped(consortium) -> None:
    def large(message: Message) -> Message:
        return Message(_request(bytes(2_000_000)), reply_to=message)

    with consortium.site("large", answer=large).running(), consortium.run(largest=ReplySize(1_000_000, 100)) as grid:
        answer = _ask_one(consortium.line(grid, "large"), "large", _request())
    assert answer == Answer("large", None, AnswerError.REFUSED_BY_SITE, RefusalCode.INTERNAL)


def test_messages_of_another_release_are_refused_unread(consortium) -> None:
    def must_not_run(message: Message) -> Message:
        raise AssertionError("a message of another release was handed on")

    site = consortium.site("other-release", answer=must_not_run, bundle_sha256="0" * 64)
    with site.running(), consortium.run() as grid:
        answer = _ask_one(consortium.line(grid, "other-release"), "other-release", _request(b"weights"))
    assert answer == Answer("other-release", None, AnswerError.REFUSED_BY_SITE, RefusalCode.BUNDLE_UNKNOWN)
    assert LinkEventKind.REFUSED in site.kinds()
    assert LinkEventKind.RECEIVED not in site.kinds()
    assert site.failure is None


def test_a_key_that_is_not_admitted_is_refused_with_its_digest(consortium) -> None:
    site = consortium.site("stranger", admitted=False, patience_s=0.2)
    site.run()
    assert isinstance(site.failure, Refusal)
    assert site.failure.code is ExitCode.COORDINATOR_REFUSED_SITE
    assert "SHA-256" in site.failure.mend


def test_a_key_that_is_admitted_while_it_knocks_gets_in(consortium) -> None:
    site = consortium.site("patient", admitted=False)
    key = load_private_key(site.coordinator.private_key, where="test")
    with site.running():
        consortium.wait_for(lambda: LinkEventKind.WAITING in site.kinds())
        consortium.control.register_site(public_key_of(key), "patient")
        consortium.wait_for(lambda: LinkEventKind.CONNECTED in site.kinds())


def test_a_clock_that_is_ahead_is_named(consortium, monkeypatch: pytest.MonkeyPatch) -> None:
    ahead = dt.timedelta(seconds=60)
    monkeypatch.setattr("flwr.supernode.node_auth_http_interceptor.now", lambda: dt.datetime.now(dt.UTC) + ahead)
    monkeypatch.setattr("client.link.calls.wall_clock_s", lambda: time.time() + 60)
    site = consortium.site("fast-clock")
    site.run()
    assert isinstance(site.failure, Refusal)
    assert site.failure.code is ExitCode.COORDINATOR_REFUSED_SITE
    assert "clock is 6" in site.failure.what
    assert "ahead" in site.failure.what


def test_a_certificate_of_another_authority_is_refused(consortium, tmp_path: Path) -> None:
    site = consortium.site("deceived")
    other = make_certificates(tmp_path, ["localhost"]).ca_certificate.read_bytes()
    site.coordinator = replace(site.coordinator, ca_certificate=other)
    site.run()
    assert isinstance(site.failure, Refusal)
    assert site.failure.code is ExitCode.COORDINATOR_UNREACHABLE


def test_two_processes_of_one_site_do_not_fight(consortium) -> None:
    site = consortium.site("twice")
    with site.running():
        consortium.wait_for(lambda: LinkEventKind.CONNECTED in site.kinds())
        second = type(site)(site.coordinator)
        second.run()
    assert isinstance(second.failure, Refusal)
    assert second.failure.code is ExitCode.SETTINGS_INVALID


def test_stopping_an_idle_site_says_goodbye_within_three_seconds(consortium) -> None:
    site = consortium.site("leaves")
    with consortium.run() as grid:
        with site.running():
            consortium.line(grid, "leaves")
            started = time.monotonic()
        assert time.monotonic() - started < 3
        # Without the goodbye the coordinator would count it as online for another half minute.
        assert consortium.nodes["leaves"] not in grid.get_node_ids()


def run_status(control: Control, run_id: int) -> str:
    """Status of a run as the SuperLink has it: ``running``, or ``finished:`` with how."""
    status = control._client.ListRuns(ListRunsRequest(run_id=run_id)).run_dict[run_id].status
    return f"{status.status}:{status.sub_status}" if status.sub_status else status.status


def test_a_stopped_run_ends_the_round_loop_with_a_refusal_not_a_signal(consortium) -> None:
    run_id = consortium.control.start_run()
    link = consortium.superlink
    with ServerTask(link.address, link.ca_certificate, link.secret, run_id=run_id) as grid:
        consortium.control.stop_run(run_id)
        with pytest.raises(Refusal, match="run is stopped"):
            grid.get_nodes()
    assert run_status(consortium.control, run_id).startswith("finished")


def test_abandoned_runs_are_ended_by_the_next_one(consortium) -> None:
    abandoned = consortium.control.start_run()
    with consortium.run() as grid:
        assert grid.run.run_id != abandoned
    assert run_status(consortium.control, abandoned) == "finished:failed"
    assert run_status(consortium.control, grid.run.run_id) == "finished:completed"


def test_a_proxy_in_the_environment_is_not_used_for_the_superlink(consortium, monkeypatch: pytest.MonkeyPatch) -> None:
    link = consortium.superlink
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    with Control(link.address, link.ca_certificate, link.secret) as control:
        run_id = control.start_run()
    with ServerTask(link.address, link.ca_certificate, link.secret, run_id=run_id) as grid:
        assert list(grid.get_nodes()) == []


def test_a_site_that_the_coordinator_forgot_joins_again_once_it_is_admitted(consortium) -> None:
    site = consortium.site("forgotten")
    key = load_private_key(site.coordinator.private_key, where="test")
    with site.running():
        consortium.wait_for(lambda: LinkEventKind.CONNECTED in site.kinds())
        consortium.superlink.stop()
        for path in (consortium.folder / "superlink").glob("superlink.db*"):
            path.unlink()
        consortium.superlink.restart()
        consortium.wait_for(lambda: any("does not know" in event.detail for event in site.events))
        node = consortium.control.register_site(public_key_of(key), "forgotten")
        consortium.wait_for(lambda: site.kinds().count(LinkEventKind.CONNECTED) == 2)
    assert node != consortium.nodes["forgotten"]


def test_registering_a_site_again_gives_the_same_node(consortium) -> None:
    _, public = new_site_key()
    first = consortium.control.register_site(public, "again")
    assert consortium.control.register_site(public + b" comment", "again") == first
