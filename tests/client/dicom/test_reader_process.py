"""The parent believes its reading process nothing that was not asked, outlives it, and leaves none behind."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest
from pydicom.data import get_testdata_file

from client.dicom import Fault, Frame, Reader
from common.errors import ExitCode, Refusal

STAND_IN = """
import json, mmap, os, socket, struct, sys, time
channel = socket.socket(fileno=0)
def say(text): channel.sendall(struct.pack("<I", len(text)) + text)
say(b'{"ready": true}')
while True:
    head, files, _, _ = socket.recv_fds(channel, 4, 65)
    if not head: sys.exit()
    asked = json.loads(channel.recv(struct.unpack("<I", head)[0], socket.MSG_WAITALL))
"""

RUBBISH = {
    "noise": "say(os.urandom(64))",
    "no message": "channel.sendall(os.urandom(3)); sys.exit()",
    "too long": "channel.sendall(struct.pack('<I', 1 << 31)); time.sleep(60)",
    "another kind": "say(b'{\"ready\": true}')",
    "nothing in it": "say(b'[]')",
    "more than asked": 'say(b\'{"images": null, "fault": null, "values": "int16", "more": 1}\')',
    "not a number": 'say(b\'{"images": [{"rows": NaN}]}\')',
    "another type": 'say(b\'{"values": "float64", "fault": null}\')',
    "nested": "say(b'[' * 100_000)",
}


def stand_in(tmp_path, does):
    """The command of a process that says it is ready and then does something else than it should."""
    script = tmp_path / "stand_in.py"
    script.write_text(STAND_IN + "".join(f"    {line}\n" for line in does.splitlines()))
    return [sys.executable, "-S", str(script)]


@pytest.mark.parametrize("does", RUBBISH.values(), ids=RUBBISH)
def test_a_process_that_answers_rubbish_is_believed_nothing(ct, head_like, tmp_path, does, small):
    path = ct.save(tmp_path / "a", ct.object(head_like[0]))
    with Reader(small, stand_in(tmp_path, does)) as reader:
        assert list(reader.headers([path])) == [Fault.CRASHED]
        assert list(reader.frames([Frame(path, *head_like[0].shape)])) == [Fault.CRASHED]


def test_a_process_that_drips_its_answer_is_ended_at_the_deadline(ct, head_like, tmp_path, small):
    path = ct.save(tmp_path / "a", ct.object(head_like[0]))
    does = "channel.sendall(struct.pack('<I', 1 << 20))\nwhile True: channel.send(b' '); time.sleep(0.05)"
    with Reader(replace(small, seconds=0.5), stand_in(tmp_path, does)) as reader:
        started = time.monotonic()
        assert list(reader.headers([path])) == [Fault.TOO_SLOW]
        assert time.monotonic() - started < 15


def test_a_file_that_used_up_its_processor_time_is_not_tried_again(ct, head_like, tmp_path, small):
    path = ct.save(tmp_path / "a", ct.object(head_like[0]))
    asked = tmp_path / "asked"
    does = f"open({str(asked)!r}, 'a').write('x')\nimport signal\nos.kill(os.getpid(), signal.SIGXCPU)"
    with Reader(small, stand_in(tmp_path, does)) as reader:
        assert list(reader.headers([path])) == [Fault.TOO_SLOW]
        assert asked.read_text() == "x"
        assert list(reader.frames([Frame(path, *head_like[0].shape)])) == [Fault.TOO_SLOW]
        assert asked.read_text() == "xx"


def test_a_process_cannot_shrink_the_memory_its_parent_reads(ct, head_like, tmp_path, small):
    path = ct.save(tmp_path / "a", ct.object(head_like[0]))
    does = (
        "try: os.ftruncate(files[-1], 0); cut = True\n"
        "except OSError: cut = False\n"
        'say(b\'{"values": "int16", "fault": null}\' if not cut else b\'{}\')'
    )
    with Reader(small, stand_in(tmp_path, does)) as reader:
        (found,) = reader.frames([Frame(path, *head_like[0].shape)])
        assert not found.any(), "what was never written is zero"


def test_a_process_killed_between_and_within_requests_is_replaced(ct, head_like, tmp_path, small):
    paths = [ct.save(tmp_path / f"{index}", ct.object(values)) for index, values in enumerate(head_like)] * 40
    with Reader(small) as reader:
        for use in (reader.headers, lambda found: reader.frames(Frame(path, *head_like[0].shape) for path in found)):
            expected = list(use(paths[:5])) * 40
            os.kill(reader.child_pid, signal.SIGKILL)
            answers = []
            for answer in use(paths):
                answers.append(answer)
                if len(answers) == 150:
                    os.kill(reader.child_pid, signal.SIGKILL)
            for got, want in zip(answers, expected, strict=True):
                assert np.array_equal(got, want) if isinstance(want, np.ndarray) else got == want


def test_a_request_left_halfway_does_not_answer_the_next(ct, head_like, tmp_path, small):
    paths = [ct.save(tmp_path / f"{index}", ct.object(values)) for index, values in enumerate(head_like)]
    shape = head_like[0].shape
    with Reader(small) as reader:
        left = reader.frames(Frame(paths[0], *shape) for _ in range(100))
        assert np.array_equal(next(left), head_like[0])
        assert np.array_equal(next(reader.frames([Frame(paths[1], *shape)])), head_like[1])
        with pytest.raises(RuntimeError):
            next(left)
        closed = reader.frames(Frame(paths[2], *shape) for _ in range(100))
        next(closed)
        closed.close()
        assert np.array_equal(next(reader.frames([Frame(paths[3], *shape)])), head_like[3])


def test_a_process_that_cannot_start_is_a_refusal(tmp_path, small):
    with pytest.raises(Refusal) as refusal, Reader(small, [sys.executable, "-c", "raise SystemExit"]) as reader:
        list(reader.headers([Path(get_testdata_file("CT_small.dcm", download=False))]))
    assert refusal.value.code is ExitCode.CHILD_FAILED


def test_nothing_is_left_when_the_interpreter_ends(ct, head_like, tmp_path):
    """Without closing: in the main thread, in a thread that has ended, and in a forked copy, which has its own."""
    path = ct.save(tmp_path / "a", ct.object(head_like[0]))
    code = """
import os, sys, threading
from pathlib import Path
from client.dicom import ReadFile, shared_reader
def read():
    (answer,) = shared_reader().headers([Path(sys.argv[1])])
    assert isinstance(answer, ReadFile)
    print(shared_reader().child_pid, flush=True)
read()
thread = threading.Thread(target=read)
thread.start(); thread.join()
if os.fork() == 0:
    read()
    os._exit(0)
os.wait()
read()
"""
    done = subprocess.run(
        [sys.executable, "-W", "error::ResourceWarning", "-c", code, str(path)],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    pids = [int(line) for line in done.stdout.split()]
    assert len(pids) == 4
    assert pids[0] == pids[3] and len(set(pids)) == 3
    assert not done.stderr
    deadline = time.monotonic() + 10
    while any(psutil.pid_exists(pid) for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(psutil.pid_exists(pid) for pid in pids)


def test_a_closed_reader_leaves_no_zombie_and_no_open_file(ct, head_like, tmp_path, small):
    path = ct.save(tmp_path / "a", ct.object(head_like[0]))
    with Reader(small) as warm:
        list(warm.headers([path]))
    before = len(list(Path("/proc/self/fd").iterdir()))
    with Reader(small) as reader:
        list(reader.headers([path] * 100))
        list(reader.frames([Frame(path, *head_like[0].shape)] * 100))
        pid = reader.child_pid
    gc.collect()
    assert not psutil.pid_exists(pid)
    assert len(list(Path("/proc/self/fd").iterdir())) == before
