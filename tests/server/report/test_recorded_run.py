"""A run directory is read whole or refused; only a last line cut short by a kill is forgiven."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from common.errors import ExitCode, Refusal
from server.report.recorded_run import read_run
from server.rounds import RunDirectory

Make = Callable[..., Any]


def refused(directory: Path) -> Refusal:
    with pytest.raises(Refusal) as caught:
        read_run(directory)
    assert caught.value.code is ExitCode.RUN_INVALID
    assert "\n" not in str(caught.value)
    return caught.value


def test_a_finished_run_is_read_in_order(demo: Any) -> None:
    recorded = read_run(demo.directory)
    assert recorded.study == demo.study
    assert [record.round for record in recorded.rounds] == list(range(1, 13))
    assert not recorded.truncated
    assert not recorded.superseded


def test_a_missing_or_foreign_directory_is_refused(tmp_path: Path) -> None:
    refused(tmp_path / "absent")
    (tmp_path / "run.json").write_text('{"name": "another program"}', encoding="utf-8")
    refused(tmp_path)
    (tmp_path / "run.json").write_bytes(b"\xff\xfe\x00")
    refused(tmp_path)


def test_a_study_that_is_not_the_one_named_is_refused(make_run: Make) -> None:
    written = make_run(rounds=2)
    written.run = written.run.model_copy(update={"study_sha256": "0" * 64})
    written.write()
    assert "hash" in refused(written.directory).what


def test_a_study_of_another_release_names_that_release(make_run: Make) -> None:
    written = make_run(rounds=2)
    foreign = written.run.study_json.replace('"schema_version":1', '"schema_version":2')
    written.run = written.run.model_copy(update={"study_json": foreign, "release": "9.8.7"})
    written.write()
    assert "9.8.7" in refused(written.directory).mend


def test_two_sites_of_one_name_are_refused(make_run: Make) -> None:
    written = make_run(rounds=2)
    written.run = written.run.model_copy(update={"sites": written.run.sites + written.run.sites[:1]})
    written.write()
    refused(written.directory)


def test_a_damaged_line_in_the_middle_is_refused_by_its_number(make_run: Make) -> None:
    written = make_run(rounds=3)
    path = written.directory / "rounds.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines()
    path.write_text("\n".join([lines[0], lines[1][:100], lines[2]]) + "\n", encoding="utf-8")
    assert refused(written.directory).where == "rounds.jsonl line 2"


def test_a_complete_last_line_that_is_no_round_is_refused(make_run: Make) -> None:
    written = make_run(rounds=2)
    with (written.directory / "rounds.jsonl").open("a", encoding="utf-8") as stream:
        stream.write('{"round": 3}\n')
    refused(written.directory)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(share=st.floats(0, 1, exclude_max=True))
def test_a_kill_at_any_byte_of_the_last_line_costs_that_round_alone(make_run: Make, share: float) -> None:
    written = make_run(rounds=3, train={"alder": 12}, held={"harbour": 12})
    path = written.directory / "rounds.jsonl"
    whole = path.read_bytes()
    start = whole.rindex(b"\n", 0, len(whole) - 1) + 1
    cut = start + int(share * (len(whole) - 1 - start))
    path.write_bytes(whole[:cut])
    recorded = read_run(written.directory)
    assert [record.round for record in recorded.rounds] == [1, 2]
    assert recorded.truncated is (cut > start)


def test_a_last_line_that_lacks_only_its_newline_is_left_out_as_on_resume(make_run: Make) -> None:
    written = make_run(rounds=2)
    path = written.directory / "rounds.jsonl"
    path.write_bytes(path.read_bytes().rstrip(b"\n"))
    recorded = read_run(written.directory)
    assert [r.round for r in recorded.rounds] == [r.round for r in RunDirectory(written.directory).rounds()] == [1]
    assert recorded.truncated


def test_a_run_that_has_just_begun_has_no_rounds(make_run: Make) -> None:
    written = make_run(rounds=2)
    (written.directory / "rounds.jsonl").unlink()
    assert read_run(written.directory).rounds == ()


def test_of_a_round_run_twice_the_last_record_counts_and_the_first_is_kept(make_run: Make) -> None:
    written = make_run(rounds=3)
    written.rounds.append(written.rounds[1].model_copy(update={"seconds": 1.0}))
    written.write()
    recorded = read_run(written.directory)
    assert [record.round for record in recorded.rounds] == [1, 2, 3]
    assert recorded.rounds[1].seconds == 1.0
    assert [record.round for record in recorded.superseded] == [2]
    assert len(recorded.everything) == 4
