"""The SuperLink as a child: its settings, its faults, its end."""

import os
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from flwr.app import ConfigRecord, Message, RecordDict

from common.errors import ExitCode, Refusal
from common.exchange import RefusalCode
from common.trust import bundle_of
from server.consortium import make_certificates
from server.link import Answer, AnswerError, SuperLink, superlink_entry
from tests.letters import ABOUT

ENTRY = Path(superlink_entry.__file__)
REQUEST = RecordDict({"header": ConfigRecord({"json": "{}"})})
ORPHAN = """
import sys, time
from pathlib import Path
from server.consortium import make_certificates
from server.link import SuperLink
folder = Path(sys.argv[1])
with SuperLink(folder, make_certificates(folder / "certificates", []), int(sys.argv[2])) as superlink:
    print(superlink.pid, flush=True)
    time.sleep(60)
"""


def _alive(pid: int) -> bool:
    try:
        # A zombie is dead, whoever has yet to reap it.
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_every_database_connection_waits_two_minutes_for_a_lock(tmp_path: Path) -> None:
    program = (
        "import sys, runpy; entry = runpy.run_path(sys.argv[1]); entry['be_patient']();"
        "assert 'torch' not in sys.modules;"
        "from flwr.superlink.config_loader import get_federation_manager, get_objectstore_linkstate_factories as make;"
        "state = make(sys.argv[2], get_federation_manager(is_simulation=False))[1].state();"
        "connection = state._engine.connect();"
        "assert connection.exec_driver_sql('PRAGMA busy_timeout').scalar() == 120000;"
        "assert connection.exec_driver_sql('PRAGMA journal_mode').scalar() == 'wal'"
    )
    subprocess.run([sys.executable, "-P", "-c", program, str(ENTRY), str(tmp_path / "x.db")], check=True, timeout=60)


def test_a_taken_port_is_named_before_anything_starts(tmp_path: Path) -> None:
    certificates = make_certificates(tmp_path / "certificates", [])
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(Refusal) as refusal, SuperLink(tmp_path, certificates, port):
            pass
    assert refusal.value.code is ExitCode.PORT_IN_USE
    assert refusal.value.where == f"127.0.0.1:{port}"
    assert not (tmp_path / "superlink.log").exists()


@pytest.mark.processes
def test_a_superlink_that_cannot_start_says_why(tmp_path: Path) -> None:
    certificates = make_certificates(tmp_path / "certificates", [])
    certificates.key.write_bytes(b"damaged")
    with pytest.raises(Refusal) as refusal, SuperLink(tmp_path, certificates, _free_port()):
        pass
    assert refusal.value.code is ExitCode.SUPERLINK_FAILED
    assert "ended while it started" in refusal.value.what
    assert refusal.value.where.endswith("superlink.log")


@pytest.mark.processes
def test_it_dies_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    command = [sys.executable, "-c", ORPHAN, str(tmp_path), str(_free_port())]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert _alive(pid)
        parent.kill()
    deadline = time.monotonic() + 5
    while _alive(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _alive(pid)


@pytest.mark.processes
def test_its_files_are_for_the_owner_only_and_it_listens_on_loopback_alone(consortium) -> None:
    link = consortium.superlink
    assert stat.S_IMODE((consortium.folder / "superlink" / "superexec.secret").stat().st_mode) == 0o600
    assert stat.S_IMODE((consortium.folder / "superlink").stat().st_mode) == 0o700
    port = int(link.address.rsplit(":", 1)[1])
    listening = {
        bytes.fromhex(local.split(":")[0])
        for table in ("/proc/net/tcp", "/proc/net/tcp6")
        for local, state in ((line.split()[1], line.split()[3]) for line in Path(table).read_text().splitlines()[1:])
        if state == "0A" and int(local.split(":")[1], 16) == port
    }
    assert listening == {bytes([1, 0, 0, 127])}


@pytest.mark.processes
def test_a_round_survives_the_superlinks_death(consortium) -> None:
    working, restarted = threading.Event(), threading.Event()

    def app(message: Message) -> Message:
        working.set()
        restarted.wait(60)
        return Message(message.content, reply_to=message)

    answers: list[Answer] = []
    with consortium.site("survivor", answer=app).running(), consortium.run() as grid:
        line = consortium.line(grid, "survivor")
        asking = threading.Thread(
            target=lambda: answers.extend(line.ask({"survivor": REQUEST}, ABOUT, 60, lambda: False))
        )
        asking.start()
        assert working.wait(20)
        assert not consortium.superlink.poll()
        os.kill(consortium.superlink.pid, signal.SIGKILL)
        consortium.wait_for(lambda: not _alive(consortium.superlink.pid))
        time.sleep(0.5)
        # In this thread: the SuperLink dies with the thread that started it.
        assert consortium.superlink.poll()
        restarted.set()
        asking.join(60)
    assert answers == [Answer("survivor", REQUEST)]


@pytest.fixture(scope="module")
def pair(consortium):
    """Two sites in processes of their own; at the end they leave on a signal, in order."""
    processes = {}
    for name in ("process-a", "process-b"):
        consortium.coordinator(name)
        processes[name] = consortium.process(name)
    try:
        yield processes
    finally:
        printed = [
            consortium.end(process, number)
            for process, number in zip(processes.values(), (signal.SIGTERM, signal.SIGINT), strict=True)
        ]
    for process, text in zip(processes.values(), printed, strict=True):
        assert process.returncode == 0, text
        assert text.splitlines()[-1] == "disconnected stopped"
        assert "Traceback" not in text
        # The coordinator counts a killed process as online for half a minute; its successor must not wait for that.
        assert "waiting" not in text


@pytest.mark.processes
def test_site_processes_answer(consortium, pair) -> None:
    with consortium.run() as grid:
        line = consortium.line(grid, *pair)
        answers = {a.site: a.record for a in line.ask(dict.fromkeys(pair, REQUEST), ABOUT, 60, lambda: False)}
    assert answers == dict.fromkeys(pair, REQUEST)


@pytest.mark.processes
def test_site_processes_refuse_a_coordinator_of_another_release(consortium, pair) -> None:
    with consortium.run(bundle=bundle_of("9.9.9")) as grid:
        line = consortium.line(grid, *pair)
        answers = list(line.ask(dict.fromkeys(pair, REQUEST), ABOUT, 60, lambda: False))
    assert {(a.error, a.refusal) for a in answers} == {(AnswerError.REFUSED_BY_SITE, RefusalCode.BUNDLE_UNKNOWN)}


@pytest.mark.processes
def test_a_killed_site_that_starts_again_rejoins_and_is_asked_anew(consortium, pair) -> None:
    request = RecordDict({"header": ConfigRecord({"json": "wait at first"})})
    answers: list[Answer] = []
    with consortium.run() as grid:
        line = consortium.line(grid, *pair)
        asking = threading.Thread(
            target=lambda: answers.extend(line.ask({"process-a": request}, ABOUT, 120, lambda: False))
        )
        asking.start()
        consortium.wait_for((consortium.folder / "process-a" / "asked").exists)
        killed = pair["process-a"]
        consortium.end(killed)
        assert killed.returncode == -signal.SIGKILL
        pair["process-a"] = consortium.process("process-a")
        asking.join(120)
    assert answers == [Answer("process-a", request)]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
