"""Hostile files cost themselves and nothing else: not the parent, not its memory, not the files beside them."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import time
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pydicom
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.data import get_testdata_file
from pydicom.uid import DeflatedExplicitVRLittleEndian

from client.dicom import Fault, Frame, Reader, ReaderLimits, ReadFile
from client.dicom.parsing import image_headers
from client.dicom.wire import Unreadable
from common.errors import ExitCode, Refusal

TEST_FILES = Path(pydicom.__file__).parent / "data" / "test_files"
SMALL = ReaderLimits(memory_bytes=700 << 20, seconds=30.0)


def in_this_process(path):
    """The plain reference: pydicom without a process between."""
    try:
        with path.open("rb") as stream:
            return image_headers(stream)
    except Unreadable as unreadable:
        return unreadable.fault


def images(answer):
    return answer.images if isinstance(answer, ReadFile) else answer


def resident_mib():
    return psutil.Process().memory_info().rss / (1 << 20)


def test_headers_equal_those_read_without_a_process_between(reader):
    paths = sorted(path for path in TEST_FILES.rglob("*") if path.is_file())
    answers = list(reader.headers(paths))
    assert len(answers) == len(paths) > 80
    found = 0
    for path, answer in zip(paths, answers, strict=True):
        opening = path.read_bytes()[:132]
        if opening[128:] == b"DICM":
            assert images(answer) == in_this_process(path)
            found += isinstance(answer, ReadFile)
        else:
            assert answer is None or images(answer) == in_this_process(path)
    assert found > 60


def test_an_answer_keeps_its_place_among_links_pipes_and_other_files(reader, ct, head_like, tmp_path):
    whole = ct.save(tmp_path / "whole", ct.object(head_like[0]))
    (tmp_path / "text").write_text("no image " * 100)
    (tmp_path / "empty").touch()
    (tmp_path / "link").symlink_to(whole)
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "damaged").write_bytes(whole.read_bytes()[:200])
    names = ["text", "whole", "link", "empty", "pipe", "damaged", "absent", "whole"] * 12
    answers = list(reader.headers(tmp_path / name for name in names))
    expected = {"text": None, "empty": None} | dict.fromkeys(("link", "pipe", "damaged", "absent"), Fault.DAMAGED)
    for name, answer in zip(names, answers, strict=True):
        if name == "whole":
            assert answer.images[0].position == (-10.5, 2.0, 3.25)
            assert answer.size_bytes == whole.stat().st_size
        else:
            assert answer is expected[name]


def test_frames_keep_their_place_among_damaged_ones(reader, ct, head_like, tmp_path):
    shape = head_like[0].shape
    paths = [ct.save(tmp_path / f"{index}", ct.object(values)) for index, values in enumerate(head_like)]
    (tmp_path / "cut").write_bytes(paths[0].read_bytes()[:-500])
    wanted, expected = [], []
    for index in range(40):
        wanted += [Frame(paths[index % 5], *shape), Frame(tmp_path / "cut", *shape)]
        wanted += [Frame(paths[0], *shape, size_bytes=7), Frame(paths[0], 1 << 20, 1 << 20), Frame(paths[0], 5, 5)]
        expected += [head_like[index % 5], Fault.DAMAGED, Fault.CHANGED, Fault.TOO_LARGE, Fault.DAMAGED]
    found = list(reader.frames(wanted))
    for got, want in zip(found, expected, strict=True):
        assert got is want if isinstance(want, Fault) else np.array_equal(got, want)


def test_values_stay_when_the_reader_has_gone_on(reader, ct, head_like, tmp_path):
    paths = [ct.save(tmp_path / f"{index}", ct.object(values)) for index, values in enumerate(head_like)]
    kept = list(reader.frames(Frame(path, *head_like[0].shape) for path in paths))
    again = list(reader.frames(Frame(path, *head_like[0].shape) for path in reversed(paths)))
    assert np.array_equal(kept, head_like)
    assert np.array_equal(again, head_like[::-1])


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_mutated_headers_read_as_without_a_process_between(reader, ct, head_like, tmp_path, data):
    content = bytearray(ct.save(tmp_path / "whole", ct.object(head_like[0, :4, :4])).read_bytes())
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(132, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path / "mutated"
    path.write_bytes(bytes(content[: data.draw(st.integers(140, len(content)))]))
    (answer,) = reader.headers([path])
    expected = in_this_process(path)
    # Only the limited process runs out of memory on a length that lies.
    assert images(answer) == expected or (answer is Fault.NO_MEMORY and expected is Fault.DAMAGED)


def bomb(ct, stored, path, mebibytes):
    """A deflated object that inflates to so many MiB."""
    whole = ct.save(path, ct.object(stored, syntax=DeflatedExplicitVRLittleEndian)).read_bytes()
    begin = whole.index(DeflatedExplicitVRLittleEndian.encode())
    meta = pydicom.dcmread(path, stop_before_pixels=True).file_meta
    start = 144 + int(meta.FileMetaInformationGroupLength)
    assert begin < start
    squeeze = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    content = bytearray(squeeze.compress(zlib.decompress(whole[start:], -zlib.MAX_WBITS)))
    content += squeeze.compress(b"\x09\x00\x01\x00OB\0\0" + (mebibytes << 20).to_bytes(4, "little"))
    for _ in range(mebibytes):
        content += squeeze.compress(bytes(1 << 20))
    path.write_bytes(whole[:start] + bytes(content + squeeze.flush()))
    return path


def test_a_deflate_bomb_costs_only_its_file(ct, head_like, tmp_path):
    whole = ct.save(tmp_path / "whole", ct.object(head_like[0]))
    huge = bomb(ct, head_like[0], tmp_path / "bomb", 400)
    assert huge.stat().st_size < 1 << 20
    with Reader(replace(SMALL, memory_bytes=400 << 20)) as reader:
        before = resident_mib()
        first, second, third = reader.headers([whole, huge, whole])
        assert second in (Fault.NO_MEMORY, Fault.CRASHED)
        assert first == third
        pixels = list(reader.frames(Frame(path, *head_like[0].shape) for path in (whole, huge, whole)))
        assert pixels[1] in (Fault.NO_MEMORY, Fault.CRASHED)
        assert np.array_equal(pixels[2], head_like[0])
        assert resident_mib() - before < 64


@pytest.mark.parametrize("claim", ["rows", "frames", "bits", "length"])
def test_a_claim_of_a_huge_size_costs_only_its_file(ct, head_like, tmp_path, claim):
    whole = ct.save(tmp_path / "whole", ct.object(head_like[0]))
    dataset = ct.object(head_like[0])
    rows, columns = head_like[0].shape
    if claim == "rows":
        dataset.Rows = dataset.Columns = 65535
        rows = columns = 65535
    elif claim == "frames":
        dataset.NumberOfFrames = 2_000_000_000
    elif claim == "bits":
        dataset.BitsAllocated = 65528
    huge = ct.save(tmp_path / "huge", dataset)
    if claim == "length":
        content = huge.read_bytes()
        element = b"\xe0\x7f\x10\x00OW\0\0"
        place = content.index(element) + len(element)
        huge.write_bytes(content[:place] + b"\xf0\xff\xff\xff" + content[place + 4 :])
    with Reader(SMALL) as reader:
        before = resident_mib()
        answers = list(reader.headers([huge, whole]))
        assert isinstance(answers[1], ReadFile)
        found = list(reader.frames([Frame(huge, rows, columns), Frame(whole, *head_like[0].shape)]))
        assert isinstance(found[0], Fault)
        assert np.array_equal(found[1], head_like[0])
        assert resident_mib() - before < 64


def test_a_giant_element_in_the_header_costs_only_its_file(ct, head_like, tmp_path):
    path = ct.save(tmp_path / "a", ct.object(head_like[0]))
    content = path.read_bytes()
    place = content.index(b"\x18\x00\x60\x00DS")
    giant = b"\x10\x00\x20\x00UT\0\0" + b"\xf0\xff\xff\x7f"
    path.write_bytes(content[:place] + giant + content[place:])
    with Reader(SMALL) as reader:
        before = resident_mib()
        assert [isinstance(answer, ReadFile | Fault) for answer in reader.headers([path] * 3)] == [True] * 3
        assert resident_mib() - before < 64


def test_the_process_is_limited_before_it_reads(ct, head_like, tmp_path):
    path = ct.save(tmp_path / "a", ct.object(head_like[0]))
    os.environ["TOMORAY_SECRET"] = "PASSWORD"
    try:
        with Reader(SMALL) as reader:
            list(reader.headers([path]))
            process = Path(f"/proc/{reader.child_pid}")
            limits = {line[:26].strip(): line[26:].split()[0] for line in (process / "limits").read_text().splitlines()}
            status = (process / "status").read_text()
            environment = (process / "environ").read_bytes()
    finally:
        del os.environ["TOMORAY_SECRET"]
    assert limits["Max address space"] == str(SMALL.memory_bytes)
    assert limits["Max file size"] == limits["Max core file size"] == limits["Max processes"] == "0"
    assert limits["Max open files"] == str(SMALL.descriptors)
    assert limits["Max cpu time"] != "unlimited"
    assert "NoNewPrivs:\t1\n" in status
    assert b"PASSWORD" not in environment


CONFINED = """
import os, pathlib, socket, sys
from client.dicom.confinement import confine_this_process
from client.dicom.limits import limit_this_process
limit_this_process(1 << 30, 64, os.getppid())
held = open(sys.argv[1], "rb")
if not confine_this_process():
    sys.exit(3)
for path in (sys.argv[1], "/etc/passwd", "/proc/self/environ"):
    try: open(path, "rb")
    except PermissionError: continue
    sys.exit(1)
try: pathlib.Path(sys.argv[1]).unlink()
except PermissionError: pass
try: socket.create_connection(("127.0.0.1", 9), 1)
except PermissionError: pass
except OSError: sys.exit(2)
sys.exit(held.read(2) != b"ab")
"""


def test_a_confined_process_opens_nothing_and_reads_what_it_holds(reader, ct, head_like, tmp_path):
    (tmp_path / "a").write_bytes(b"ab")
    done = subprocess.run([sys.executable, "-c", CONFINED, str(tmp_path / "a")], check=False)
    list(reader.headers([ct.save(tmp_path / "b", ct.object(head_like[0]))]))
    assert reader.is_confined is (done.returncode != 3)
    if done.returncode == 3:
        pytest.skip("this kernel has no Landlock")
    assert done.returncode == 0
    assert (tmp_path / "a").exists()


@pytest.mark.parametrize("charset", ["ISO_IR 192", "ISO_IR 100", "ISO_IR 144", "GB18030", "\\ISO 2022 IR 87"])
def test_texts_of_every_character_set_are_read_by_a_confined_process(reader, ct, head_like, tmp_path, charset):
    text = {"ISO_IR 100": "Müller", "ISO_IR 144": "Люкceмбypг"}.get(charset, "山田")
    path = ct.save(tmp_path / "a", ct.object(head_like[0], SpecificCharacterSet=charset.split("\\"), Manufacturer=text))
    (answer,) = reader.headers([path])
    assert answer.images == in_this_process(path)
    assert answer.images[0].manufacturer == text.upper()


def test_the_process_never_loads_what_it_does_not_need():
    code = "import sys, client.dicom.reader_process; sys.exit('torch' in sys.modules or 'scipy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_process_killed_between_and_within_requests_is_replaced(ct, head_like, tmp_path):
    paths = [ct.save(tmp_path / f"{index}", ct.object(values)) for index, values in enumerate(head_like)] * 40
    with Reader(SMALL) as reader:
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


def test_a_request_left_halfway_does_not_answer_the_next(ct, head_like, tmp_path):
    paths = [ct.save(tmp_path / f"{index}", ct.object(values)) for index, values in enumerate(head_like)]
    shape = head_like[0].shape
    with Reader(SMALL) as reader:
        left = reader.frames(Frame(paths[0], *shape) for _ in range(100))
        assert np.array_equal(next(left), head_like[0])
        assert np.array_equal(next(reader.frames([Frame(paths[1], *shape)])), head_like[1])
        with pytest.raises(RuntimeError):
            next(left)
        closed = reader.frames(Frame(paths[2], *shape) for _ in range(100))
        next(closed)
        closed.close()
        assert np.array_equal(next(reader.frames([Frame(paths[3], *shape)])), head_like[3])


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
def test_a_process_that_answers_rubbish_is_believed_nothing(ct, head_like, tmp_path, does):
    path = ct.save(tmp_path / "a", ct.object(head_like[0]))
    with Reader(SMALL, stand_in(tmp_path, does)) as reader:
        assert list(reader.headers([path])) == [Fault.CRASHED]
        assert list(reader.frames([Frame(path, *head_like[0].shape)])) == [Fault.CRASHED]


def test_a_process_that_drips_its_answer_is_ended_at_the_deadline(ct, head_like, tmp_path):
    path = ct.save(tmp_path / "a", ct.object(head_like[0]))
    does = "channel.sendall(struct.pack('<I', 1 << 20))\nwhile True: channel.send(b' '); time.sleep(0.05)"
    with Reader(replace(SMALL, seconds=0.5), stand_in(tmp_path, does)) as reader:
        started = time.monotonic()
        assert list(reader.headers([path])) == [Fault.TOO_SLOW]
        assert time.monotonic() - started < 15


def test_a_file_that_used_up_its_processor_time_is_not_tried_again(ct, head_like, tmp_path):
    path = ct.save(tmp_path / "a", ct.object(head_like[0]))
    asked = tmp_path / "asked"
    does = f"open({str(asked)!r}, 'a').write('x')\nimport signal\nos.kill(os.getpid(), signal.SIGXCPU)"
    with Reader(SMALL, stand_in(tmp_path, does)) as reader:
        assert list(reader.headers([path])) == [Fault.TOO_SLOW]
        assert asked.read_text() == "x"
        assert list(reader.frames([Frame(path, *head_like[0].shape)])) == [Fault.TOO_SLOW]
        assert asked.read_text() == "xx"


def test_a_process_cannot_shrink_the_memory_its_parent_reads(ct, head_like, tmp_path):
    path = ct.save(tmp_path / "a", ct.object(head_like[0]))
    does = (
        "try: os.ftruncate(files[-1], 0); cut = True\n"
        "except OSError: cut = False\n"
        'say(b\'{"values": "int16", "fault": null}\' if not cut else b\'{}\')'
    )
    with Reader(SMALL, stand_in(tmp_path, does)) as reader:
        (found,) = reader.frames([Frame(path, *head_like[0].shape)])
        assert not found.any(), "what was never written is zero"


def test_endless_decoding_is_ended_at_the_deadline_and_costs_only_its_file(ct, head_like, tmp_path):
    """The deadline is shorter than any decoding takes, so every file counts as endless."""
    path = ct.save(tmp_path / "a", ct.object(np.tile(head_like[0], (40, 30))))
    with Reader(replace(SMALL, seconds=0.0005)) as reader:
        assert list(reader.frames([Frame(path, 1920, 1920)] * 2)) == [Fault.TOO_SLOW] * 2
    with Reader(SMALL) as reader:
        assert isinstance(next(reader.frames([Frame(path, 1920, 1920)])), np.ndarray)


def test_a_process_that_cannot_start_is_a_refusal(tmp_path):
    with pytest.raises(Refusal) as refusal, Reader(SMALL, [sys.executable, "-c", "raise SystemExit"]) as reader:
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


def test_a_closed_reader_leaves_no_zombie_and_no_open_file(ct, head_like, tmp_path):
    path = ct.save(tmp_path / "a", ct.object(head_like[0]))
    with Reader(SMALL) as warm:
        list(warm.headers([path]))
    before = len(list(Path("/proc/self/fd").iterdir()))
    with Reader(SMALL) as reader:
        list(reader.headers([path] * 100))
        list(reader.frames([Frame(path, *head_like[0].shape)] * 100))
        pid = reader.child_pid
    gc.collect()
    assert not psutil.pid_exists(pid)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_the_memory_of_the_parent_does_not_grow_with_what_is_read(ct, head_like, tmp_path):
    stored = np.tile(head_like[0], (10, 8))
    path = ct.save(tmp_path / "a", ct.object(stored))
    with Reader(SMALL) as reader:
        list(reader.headers([path]))
        before = peak = resident_mib()
        for values in reader.frames([Frame(path, *stored.shape)] * 400):
            assert isinstance(values, np.ndarray)
            peak = max(peak, resident_mib())
    assert peak - before < 160, "400 slices of half a MiB, 32 MiB asked for at once"


def test_what_is_said_of_a_file_names_nothing(ct, head_like, tmp_path):
    path = ct.save(tmp_path / "SECRET-folder", ct.object(head_like[0]))
    with Reader(SMALL) as reader:
        (answer,) = reader.headers([path])
    shown = repr(answer) + repr(Frame(path, 1, 1)) + "".join(Fault)
    assert "SECRET" not in shown
    assert "1.2.826" not in shown
