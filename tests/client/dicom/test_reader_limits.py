"""Hostile files cost themselves and nothing else: not the parent, not its memory, not the files beside them."""

from __future__ import annotations

import os
import subprocess
import sys
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pydicom
import pytest
from pydicom.uid import DeflatedExplicitVRLittleEndian

from client.dicom import Fault, Frame, Reader, ReadFile
from tests import absences


def resident_mib():
    return psutil.Process().memory_info().rss / (1 << 20)


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


def test_a_deflate_bomb_costs_only_its_file(ct, head_like, tmp_path, small):
    whole = ct.save(tmp_path / "whole", ct.object(head_like[0]))
    huge = bomb(ct, head_like[0], tmp_path / "bomb", 400)
    assert huge.stat().st_size < 1 << 20
    with Reader(replace(small, memory_bytes=400 << 20)) as reader:
        before = resident_mib()
        first, second, third = reader.headers([whole, huge, whole])
        assert second in (Fault.NO_MEMORY, Fault.CRASHED)
        assert first == third
        pixels = list(reader.frames(Frame(path, *head_like[0].shape) for path in (whole, huge, whole)))
        assert pixels[1] in (Fault.NO_MEMORY, Fault.CRASHED)
        assert np.array_equal(pixels[2], head_like[0])
        assert resident_mib() - before < 64


@pytest.mark.parametrize("claim", ["rows", "frames", "bits", "length"])
def test_a_claim_of_a_huge_size_costs_only_its_file(ct, head_like, tmp_path, claim, small):
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
    with Reader(small) as reader:
        before = resident_mib()
        answers = list(reader.headers([huge, whole]))
        assert isinstance(answers[1], ReadFile)
        found = list(reader.frames([Frame(huge, rows, columns), Frame(whole, *head_like[0].shape)]))
        assert isinstance(found[0], Fault)
        assert np.array_equal(found[1], head_like[0])
        assert resident_mib() - before < 64


def test_a_giant_element_in_the_header_costs_only_its_file(ct, head_like, tmp_path, small):
    path = ct.save(tmp_path / "a", ct.object(head_like[0]))
    content = path.read_bytes()
    place = content.index(b"\x18\x00\x60\x00DS")
    giant = b"\x10\x00\x20\x00UT\0\0" + b"\xf0\xff\xff\x7f"
    path.write_bytes(content[:place] + giant + content[place:])
    with Reader(small) as reader:
        before = resident_mib()
        assert [isinstance(answer, ReadFile | Fault) for answer in reader.headers([path] * 3)] == [True] * 3
        assert resident_mib() - before < 64


def test_endless_decoding_is_ended_at_the_deadline_and_costs_only_its_file(ct, head_like, tmp_path, small):
    """The deadline is shorter than any decoding takes, so every file counts as endless."""
    path = ct.save(tmp_path / "a", ct.object(np.tile(head_like[0], (40, 30))))
    with Reader(replace(small, seconds=0.0005)) as reader:
        assert list(reader.frames([Frame(path, 1920, 1920)] * 2)) == [Fault.TOO_SLOW] * 2
    with Reader(small) as reader:
        assert isinstance(next(reader.frames([Frame(path, 1920, 1920)])), np.ndarray)


def test_the_memory_of_the_parent_does_not_grow_with_what_is_read(ct, head_like, tmp_path, small):
    stored = np.tile(head_like[0], (10, 8))
    path = ct.save(tmp_path / "a", ct.object(stored))
    with Reader(small) as reader:
        list(reader.headers([path]))
        before = peak = resident_mib()
        for values in reader.frames([Frame(path, *stored.shape)] * 400):
            assert isinstance(values, np.ndarray)
            peak = max(peak, resident_mib())
    assert peak - before < 160, "400 slices of half a MiB, 32 MiB asked for at once"


def test_the_process_is_limited_before_it_reads(ct, head_like, tmp_path, small):
    path = ct.save(tmp_path / "a", ct.object(head_like[0]))
    os.environ["TOMORAY_SECRET"] = "PASSWORD"
    try:
        with Reader(small) as reader:
            list(reader.headers([path]))
            process = Path(f"/proc/{reader.child_pid}")
            limits = {line[:26].strip(): line[26:].split()[0] for line in (process / "limits").read_text().splitlines()}
            status = (process / "status").read_text()
            environment = (process / "environ").read_bytes()
    finally:
        del os.environ["TOMORAY_SECRET"]
    assert limits["Max address space"] == str(small.memory_bytes)
    assert limits["Max file size"] == limits["Max core file size"] == limits["Max processes"] == "0"
    assert limits["Max open files"] == str(small.descriptors)
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
        pytest.skip(absences.LANDLOCK)
    assert done.returncode == 0
    assert (tmp_path / "a").exists()


def test_the_process_never_loads_what_it_does_not_need():
    code = "import sys, client.dicom.reader_process; sys.exit('torch' in sys.modules or 'scipy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
