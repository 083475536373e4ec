import gc
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping

import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Error, Message, RecordDict

from common.errors import ExitCode, Refusal
from common.exchange import RefusalCode
from server.link import Answer, AnswerError, InProcessGrid, Line
from tests.letters import ABOUT, KEYS, SignedSite, line_of

App = Callable[[Message], Message]


def _request(text: str = "request") -> RecordDict:
    return RecordDict({"header": ConfigRecord({"json": text})})


def _text(answer: Answer) -> object:
    assert answer.record is not None
    return answer.record["header"]["json"]


def _says(text: str) -> App:
    return lambda message: Message(_request(text), reply_to=message)


def _refuses(reason: str) -> App:
    return lambda message: Message(Error(200, reason), reply_to=message)


@pytest.fixture
def never() -> Iterator[threading.Event]:
    """Set at the end, so that no thread outlives its test for long."""
    event = threading.Event()
    yield event
    event.set()


def _waits(event: threading.Event, text: str = "late") -> App:
    def app(message: Message) -> Message:
        event.wait(30)
        return _says(text)(message)

    return app


def _line(apps: Mapping[str, App], reconnect_s: float = 5.0) -> tuple[InProcessGrid, Line, dict[str, int]]:
    nodes = {site: 100 + index for index, site in enumerate(apps)}
    keys = dict.fromkeys(apps, KEYS["north"])
    grid = InProcessGrid({nodes[site]: SignedSite(app, keys[site]).answer for site, app in apps.items()})
    return grid, line_of(grid, nodes, keys, reconnect_s=reconnect_s), nodes


def _ask(
    line: Line, *sites: str, timeout_s: float = 10.0, stop: Callable[[], bool] = lambda: False
) -> Iterator[Answer]:
    return line.ask({site: _request() for site in sites}, ABOUT, timeout_s, stop)


def test_answers_come_as_they_complete_not_as_they_were_asked() -> None:
    first_is_out = threading.Event()
    _, line, _ = _line({"slow": _waits(first_is_out, "slow"), "quick": _says("quick")})
    answers = _ask(line, "slow", "quick")
    assert next(answers).site == "quick"
    first_is_out.set()
    assert [answer.site for answer in answers] == ["slow"]


def test_a_site_that_never_answers_holds_nobody_up_and_times_out(never: threading.Event) -> None:
    _, line, _ = _line({"stuck": _waits(never), "quick": _says("quick")})
    started = time.monotonic()
    answers = list(_ask(line, "stuck", "quick", timeout_s=0.6))
    assert [(a.site, a.error) for a in answers] == [("quick", None), ("stuck", AnswerError.TIMED_OUT)]
    assert 0.6 <= time.monotonic() - started < 3


def test_requests_and_replies_arrive_as_they_were_sent() -> None:
    seen: list[Message] = []

    def app(message: Message) -> Message:
        seen.append(message)
        return Message(message.content, reply_to=message)

    _, line, _ = _line({"north": app})
    array = Array("uint8", (3,), "raw", b"\x00\xff\x01")
    record = RecordDict({"header": ConfigRecord({"json": "{}"}), "generator": ArrayRecord({"generator.0000": array})})
    (answer,) = line.ask({"north": record}, ABOUT, 10, lambda: False)
    assert answer.record == record
    assert seen[0].metadata.message_type == ABOUT.kind.value
    # What the site holds is its own copy, as it would be over the wire.
    assert seen[0].content is not record


@pytest.mark.parametrize("code", list(RefusalCode))
def test_refusal_codes_come_through(code: RefusalCode) -> None:
    _, line, _ = _line({"north": _refuses(code.value)})
    (answer,) = _ask(line, "north")
    assert answer == Answer("north", None, AnswerError.REFUSED_BY_SITE, code)


def test_a_site_that_never_connects_times_out() -> None:
    grid, line, nodes = _line({"away": _says("x"), "north": _says("y")})
    grid.disconnect(nodes["away"])
    assert line.online() == {"north"}
    answers = {a.site: a.error for a in _ask(line, "away", "north", timeout_s=0.4)}
    assert answers == {"north": None, "away": AnswerError.TIMED_OUT}


def test_a_site_that_connects_late_is_asked_then() -> None:
    grid, line, nodes = _line({"late": _says("here")})
    grid.disconnect(nodes["late"])
    timer = threading.Timer(0.5, grid.connect, [nodes["late"]])
    timer.start()
    (answer,) = _ask(line, "late")
    timer.join()
    assert _text(answer) == "here"


def test_a_site_that_vanishes_while_working_is_disconnected(never: threading.Event) -> None:
    grid, line, nodes = _line({"north": _waits(never)}, reconnect_s=0.5)
    threading.Timer(0.2, grid.disconnect, [nodes["north"]]).start()
    started = time.monotonic()
    (answer,) = _ask(line, "north", timeout_s=60)
    assert answer == Answer("north", None, AnswerError.DISCONNECTED)
    assert time.monotonic() - started < 10


def test_a_site_that_restarted_while_working_is_asked_anew(never: threading.Event) -> None:
    calls = 0

    def app(message: Message) -> Message:
        nonlocal calls
        calls += 1
        return (_waits(never) if calls == 1 else _says("second time"))(message)

    grid, line, nodes = _line({"north": app})
    threading.Timer(0.3, lambda: (grid.disconnect(nodes["north"]), grid.connect(nodes["north"]))).start()
    (answer,) = _ask(line, "north")
    assert _text(answer) == "second time"
    assert calls == 2


def test_a_site_that_refuses_to_go_on_goes_offline() -> None:
    def app(message: Message) -> Message:
        raise Refusal(ExitCode.DISK_FULL, "no space left", where="state", mend="free space")

    _, line, _ = _line({"north": app}, reconnect_s=0.2)
    (answer,) = _ask(line, "north")
    assert answer.error is AnswerError.DISCONNECTED


def test_stop_ends_the_asking(never: threading.Event) -> None:
    _, line, _ = _line({"stuck": _waits(never), "quick": _says("quick")})
    stop = threading.Event()
    answers = _ask(line, "stuck", "quick", timeout_s=60, stop=stop.is_set)
    assert next(answers).site == "quick"
    stop.set()
    assert list(answers) == []


def test_an_answer_that_came_before_its_deadline_counts_though_it_is_taken_later() -> None:
    _, line, _ = _line({"first": _says("a"), "second": _says("b")})
    answers = _ask(line, "first", "second", timeout_s=0.5)
    taken = [next(answers)]
    # The coordinator may be busy aggregating beyond the deadline.
    time.sleep(0.7)
    taken += answers
    assert {answer.site: answer.error for answer in taken} == {"first": None, "second": None}


def test_an_answer_is_dropped_before_the_next_is_taken() -> None:
    _, line, _ = _line({name: _says(name) for name in ("a", "b", "c")})
    earlier: list[weakref.ref[RecordDict]] = []
    for answer in _ask(line, "a", "b", "c"):
        gc.collect()
        assert [ref() for ref in earlier] == [None] * len(earlier)
        assert answer.record is not None
        earlier.append(weakref.ref(answer.record))
        del answer
    assert len(earlier) == 3


def test_a_bug_in_a_site_surfaces_in_the_test_that_runs_it() -> None:
    def app(message: Message) -> Message:
        raise ZeroDivisionError

    _, line, _ = _line({"north": app})
    with pytest.raises(ZeroDivisionError):
        list(_ask(line, "north"))


class _LossyGrid(InProcessGrid):
    """Loses what it is told to lose, as a SuperLink does that was killed at the wrong moment."""

    def __init__(self, apps: Mapping[int, App], *, pushes: int = 0, replies: int = 0) -> None:
        super().__init__(apps)
        self.lost_pushes, self.lost_replies = pushes, replies

    def push_messages(self, messages):
        if self.lost_pushes > 0:
            self.lost_pushes -= 1
            return ["" for _ in messages]
        return super().push_messages(messages)

    def pull_messages(self, message_ids):
        replies = list(super().pull_messages(message_ids))
        if replies and self.lost_replies > 0:
            self.lost_replies -= 1
            for reply in replies:
                reply.__dict__.update(_content=None, _error=Error(3, "unavailable"))
                reply.metadata.__dict__["_src_node_id"] = 1
        return replies


@pytest.mark.parametrize("losses", [{"pushes": 1}, {"replies": 1}, {"pushes": 1, "replies": 1}])
def test_what_the_superlink_loses_is_asked_anew(losses: dict[str, int]) -> None:
    grid = _LossyGrid({7: SignedSite(_says("here"), KEYS["north"]).answer}, **losses)
    line = line_of(grid, {"north": 7}, KEYS)
    (answer,) = _ask(line, "north")
    assert _text(answer) == "here"


def test_a_site_whose_answers_always_get_lost_ends_as_disconnected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.link.line.ASK_AGAIN_S", 0.01)
    grid = _LossyGrid({7: SignedSite(_says("here"), KEYS["north"]).answer}, replies=1000)
    line = line_of(grid, {"north": 7}, KEYS)
    (answer,) = _ask(line, "north", timeout_s=60)
    assert answer.error is AnswerError.DISCONNECTED
