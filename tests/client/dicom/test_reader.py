"""What is read through a limited process is what the files hold, each answer in its place."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pydicom
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from client.dicom import Fault, Frame, Reader, ReadFile
from client.dicom.parsing import image_headers
from client.dicom.wire import Unreadable

TEST_FILES = Path(pydicom.__file__).parent / "data" / "test_files"


def in_this_process(path):
    """The plain reference: pydicom without a process between."""
    try:
        with path.open("rb") as stream:
            return image_headers(stream)
    except Unreadable as unreadable:
        return unreadable.fault


def images(answer):
    return answer.images if isinstance(answer, ReadFile) else answer


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


@pytest.mark.parametrize("charset", ["ISO_IR 192", "ISO_IR 100", "ISO_IR 144", "GB18030", "\\ISO 2022 IR 87"])
def test_texts_of_every_character_set_are_read_by_a_confined_process(reader, ct, head_like, tmp_path, charset):
    text = {"ISO_IR 100": "Müller", "ISO_IR 144": "Люкceмбypг"}.get(charset, "山田")
    path = ct.save(tmp_path / "a", ct.object(head_like[0], SpecificCharacterSet=charset.split("\\"), Manufacturer=text))
    (answer,) = reader.headers([path])
    assert answer.images == in_this_process(path)
    assert answer.images[0].manufacturer == text.upper()


def test_what_is_said_of_a_file_names_nothing(ct, head_like, tmp_path, small):
    path = ct.save(tmp_path / "SECRET-folder", ct.object(head_like[0]))
    with Reader(small) as reader:
        (answer,) = reader.headers([path])
    shown = repr(answer) + repr(Frame(path, 1, 1)) + "".join(Fault)
    assert "SECRET" not in shown
    assert "1.2.826" not in shown
