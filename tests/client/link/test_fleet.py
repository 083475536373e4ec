"""The site's line without a coordinator: what it repeats, what it gives up, and how fast it stops."""

import ast
import threading
import time
from collections.abc import Callable
from email.utils import formatdate
from importlib.metadata import version
from pathlib import Path

import httpx
import pytest
from flwr.app import Message

from client.gate import Released
from client.link import Coordinator, LinkEvent, LinkEventKind
from client.link.calls import Attempt, Calls, KeyUnknown, PreconditionFailed, RunOver, Stopped
from client.link.fleet import serve
from common.errors import ExitCode, Refusal
from common.trust import BUNDLE_SHA256, new_site_key

ROOT = Path(__file__).parents[3]
KEY, _ = new_site_key()


@pytest.fixture(autouse=True)
def _quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("client.link.calls.RETRY_FIRST_S", 0.001)


def _coordinator(folder: Path, address: str = "127.0.0.1:9") -> Coordinator:
    return Coordinator(address, b"", KEY, folder / "state")


def _calls(folder: Path, address: str = "127.0.0.1:9") -> tuple[Calls, threading.Event, list[LinkEvent]]:
    stop, events = threading.Event(), list[LinkEvent]()
    return Calls(_coordinator(folder, address), stop, events.append), stop, events


def _status(code: int, **headers: str) -> httpx.HTTPStatusError:
    request = httpx.Request("POST", "https://coordinator")
    response = httpx.Response(code, request=request, headers=headers)
    return httpx.HTTPStatusError(str(code), request=request, response=response)


def _fails_first(*errors: Exception) -> Callable[[], str]:
    left = list(errors)

    def call() -> str:
        if left:
            raise left.pop(0)
        return "done"

    return call


@pytest.mark.parametrize(
    ("error", "may_have_arrived"),
    [
        (httpx.ConnectError("refused"), False),
        (httpx.ConnectTimeout("slow"), False),
        (httpx.ProxyError("407"), False),
        (httpx.ReadError("reset"), True),
        (httpx.ReadTimeout("slow"), True),
        (httpx.RemoteProtocolError("closed"), True),
        (_status(503), False),
        (_status(502), True),
        (_status(504), True),
        (_status(500), True),
        (_status(429), True),
    ],
)
def test_passing_failures_are_repeated_and_remembered(tmp_path: Path, error: Exception, may_have_arrived: bool) -> None:
    calls, _, events = _calls(tmp_path)
    attempt = Attempt()
    assert calls.make(_fails_first(error, error), attempt) == "done"
    assert attempt.ambiguous is may_have_arrived
    assert [event.kind for event in events] == [LinkEventKind.WAITING] * 2


@pytest.mark.parametrize(
    ("error", "what"),
    [
        (_status(404), "HTTP 404"),
        (_status(403), "HTTP 403"),
        (_status(413), "HTTP 413"),
        (httpx.TooManyRedirects("loop"), "TooManyRedirects"),
        (ValueError("Invalid protobuf response payload"), "ValueError"),
        (httpx.ConnectError("[SSL: CERTIFICATE_VERIFY_FAILED] unable to get local issuer"), "certificate"),
    ],
)
def test_failures_that_cannot_pass_are_refused_at_once(tmp_path: Path, error: Exception, what: str) -> None:
    calls, _, _ = _calls(tmp_path)
    with pytest.raises(Refusal, match=what) as refusal:
        calls.make(_fails_first(error))
    assert refusal.value.code is ExitCode.COORDINATOR_UNREACHABLE


def test_what_the_coordinator_says_of_a_call_is_told_apart(tmp_path: Path) -> None:
    calls, _, _ = _calls(tmp_path)
    with pytest.raises(RunOver):
        calls.make(_fails_first(_status(403)), of_run=True)
    with pytest.raises(PreconditionFailed):
        calls.make(_fails_first(_status(412)))
    with pytest.raises(KeyUnknown):
        calls.make(_fails_first(_status(401, date=formatdate(usegmt=True))))
    with pytest.raises(KeyUnknown):
        calls.make(_fails_first(_status(401, date="no date")))


@pytest.mark.parametrize(("offset_s", "side"), [(20, "ahead of"), (-600, "behind")])
def test_a_wrong_clock_is_told_apart_from_a_wrong_key(tmp_path: Path, offset_s: int, side: str) -> None:
    calls, _, _ = _calls(tmp_path)
    with pytest.raises(Refusal, match=side) as refusal:
        calls.make(_fails_first(_status(401, date=formatdate(time.time() - offset_s, usegmt=True))))
    assert refusal.value.code is ExitCode.COORDINATOR_REFUSED_SITE


def test_a_stop_ends_a_call_that_gets_no_answer(tmp_path: Path) -> None:
    calls, stop, _ = _calls(tmp_path)
    never = threading.Event()
    threading.Timer(0.1, stop.set).start()
    started = time.monotonic()
    with pytest.raises(Stopped):
        calls.make(lambda: never.wait(30))
    assert time.monotonic() - started < 2
    never.set()


def test_a_stop_ends_the_waiting_between_tries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("client.link.calls.RETRY_FIRST_S", 60.0)
    calls, stop, _ = _calls(tmp_path)
    threading.Timer(0.1, stop.set).start()
    started = time.monotonic()
    with pytest.raises(Stopped):
        calls.make(_fails_first(httpx.ConnectError("refused")))
    assert time.monotonic() - started < 2


@pytest.mark.parametrize("address", ["", "coordinator", "https://coordinator:443", "a b:1", "coordinator:https", ":1"])
def test_what_is_no_address_is_refused(tmp_path: Path, address: str) -> None:
    with pytest.raises(Refusal) as refusal:
        _calls(tmp_path, address)
    assert refusal.value.code is ExitCode.SETTINGS_INVALID


@pytest.mark.parametrize("address", ["coordinator.example.org:443", "192.0.2.7:8443", "[2001:db8::1]:443"])
def test_addresses_of_every_kind_are_accepted(tmp_path: Path, address: str) -> None:
    _calls(tmp_path, address)


def _unasked(message: Message) -> Released:
    raise AssertionError("nobody may ask")


def test_a_bad_authority_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refusal) as refusal:
        serve(
            _coordinator(tmp_path),
            _unasked,
            admit=lambda head, content: None,
            refuse_bundle=_unasked,
            bundle_sha256=BUNDLE_SHA256,
            stop=threading.Event(),
            on_event=lambda event: None,
        )
    assert refusal.value.code is ExitCode.SETTINGS_INVALID


def _flower_imports(path: Path) -> set[str]:
    """Modules of Flower that a file imports, by whatever form of import."""
    names = set[str]()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
        elif isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
    return {name for name in names if name.split(".")[0] == "flwr"}


def test_flower_internals_are_touched_in_one_place_a_side() -> None:
    places = {
        str(path.relative_to(ROOT))
        for side in ("client", "server", "common")
        for path in (ROOT / side).rglob("*.py")
        if _flower_imports(path) - {"flwr.app", "flwr.serverapp"}
    }
    assert "client/link/session.py" in places
    assert {place for place in places if not place.startswith("server/link/")} == {"client/link/session.py"}


def test_flower_is_the_release_that_was_read() -> None:
    # Its internals change without notice: a new minor release needs these modules read again.
    assert version("flwr").startswith("1.41.")
