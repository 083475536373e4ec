from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from flwr.app import ConfigRecord, Error, Message, MetricRecord, RecordDict

from common.errors import ExitCode, Refusal
from common.exchange import on_the_wire, weights_sha256
from common.study import Study, WireDtype
from server.rounds import Outcome, RunDirectory, prepare_run


def _checkpoint(directory: RunDirectory, number: int) -> dict[str, dict[str, torch.Tensor]]:
    return directory.read_checkpoint(number)[0]


def test_three_rounds_train_everyone_but_the_held_out_and_evaluate_it_each_round(bench) -> None:
    directory = bench.run()
    assert bench.sites["west"].asked == ["query:0", "evaluate:1", "evaluate:2", "evaluate:3"]
    assert bench.sites["east"].asked == ["query:0", "train:1", "train:2", "train:3", "evaluate:3"]
    rounds = list(directory.rounds())
    assert [record.round for record in rounds] == [1, 2, 3]
    outcomes = [(record.round, e.site, e.outcome, e.reason) for record in rounds for e in record.training]
    assert [outcome for outcome in outcomes if outcome[2] is not Outcome.ACCEPTED] == []
    assert {entry.site for entry in rounds[-1].evaluation} == {"east", "north", "south", "west"}
    assert rounds[0].bytes_sent > 0
    assert rounds[0].bytes_received > 0


def test_weights_of_g_and_d_move_by_the_case_weighted_mean(bench) -> None:
    directory = bench.run()
    before, after = _checkpoint(directory, 2), _checkpoint(directory, 3)
    shift = (2 * 0.025 + 3 * -0.05 + 5 * 0.1) / 10
    assert set(after) == {"generator", "discriminator"}
    for network, tensors in after.items():
        for name, tensor in tensors.items():
            # bfloat16 holds 8 bits: both ends round.
            assert torch.allclose(tensor, before[network][name] + shift, rtol=0.01, atol=0.002), name


def test_the_recorded_hash_is_of_the_very_weights_the_sites_evaluated(bench) -> None:
    directory = bench.run()
    weights = _checkpoint(directory, 3)
    assert bench.study.federation.wire_dtype is WireDtype.BFLOAT16
    received = on_the_wire(bench.study, weights)["generator"]
    assert all(torch.equal(received[name], tensor) for name, tensor in weights["generator"].items())
    assert list(directory.rounds())[-1].generator_sha256 == weights_sha256(weights["generator"])


def _edited(reply: Message, change: dict[str, object]) -> Message:
    document = json.loads(str(reply.content["header"]["json"])) | change
    reply.content["header"] = ConfigRecord({"json": json.dumps(document)})
    return reply


def _poisoned(reply: Message, value: float) -> Message:
    record = reply.content["generator"]
    name, array = next(iter(record.items()))
    flat = torch.frombuffer(bytearray(array.data), dtype=torch.bfloat16).clone()
    flat[0] = value
    array.data = flat.view(torch.uint8).numpy().tobytes()
    record[name] = array
    return reply


BAD_REPLIES = {
    "all NaN": lambda m, r: _poisoned(r, float("nan")),
    "infinite": lambda m, r: _poisoned(r, float("inf")),
    "far away": lambda m, r: _poisoned(r, 3e6),
    "too many cases": lambda m, r: _edited(r, {"cases": 10**6}),
    "negative cases": lambda m, r: _edited(r, {"cases": -9}),
    "no cases": lambda m, r: _edited(r, {"cases": 0}),
    "another study": lambda m, r: _edited(r, {"study_sha256": "0" * 64}),
    "another run": lambda m, r: _edited(r, {"run": "other"}),
    "another round": lambda m, r: _edited(r, {"round": 77}),
    "extra field": lambda m, r: _edited(r, {"note": "hello"}),
    "extra record": lambda m, r: Message(RecordDict({**r.content, "x": MetricRecord({"a": 1.0})}), reply_to=m),
    "no weights": lambda m, r: Message(RecordDict({"header": r.content["header"]}), reply_to=m),
    "nothing": lambda m, r: Message(RecordDict(), reply_to=m),
    "error": lambda m, r: Message(Error(code=200, reason="training_diverged"), reply_to=m),
    "foreign error": lambda m, r: Message(Error(code=1, reason="DOE^JOHN <script>"), reply_to=m),
}


@pytest.mark.parametrize("name", BAD_REPLIES)
def test_a_bad_reply_is_refused_with_a_reason_and_the_round_goes_on(bench, name: str) -> None:
    bench.study = bench.study.model_copy(update={"federation": bench.study.federation.model_copy(update={"rounds": 1})})
    for site in bench.sites.values():
        site.study = bench.study
    bench.sites["south"].tamper = BAD_REPLIES[name]
    directory = bench.run()
    (record,) = directory.rounds()
    by_site = {entry.site: entry for entry in record.training}
    assert by_site["south"].outcome in (Outcome.REFUSED_BY_COORDINATOR, Outcome.REFUSED_BY_SITE)
    assert by_site["south"].reason
    assert "DOE" not in record.model_dump_json()
    assert by_site["east"].outcome is by_site["north"].outcome is Outcome.ACCEPTED
    before, after = _checkpoint(directory, 0)["generator"], _checkpoint(directory, 1)["generator"]
    shift = (2 * 0.025 + 3 * -0.05) / 5
    assert all(torch.allclose(after[k], before[k] + shift, rtol=0.01, atol=0.002) for k in after)


def test_a_round_without_enough_replies_changes_nothing_and_is_tried_again(bench, tmp_path: Path) -> None:
    untouched = RunDirectory(tmp_path / "untouched")
    prepare_run(bench.study, untouched)
    initial_sha256 = weights_sha256(_checkpoint(untouched, 0)["generator"])
    attempts = []

    def fail_once(message: Message, reply: Message) -> Message:
        attempts.append(1)
        return Message(Error(code=200, reason="disk_full"), reply_to=message) if len(attempts) == 1 else reply

    bench.sites["north"].tamper = fail_once
    bench.sites["east"].tamper = lambda m, r: Message(Error(code=200, reason="internal"), reply_to=m)
    directory = bench.run()
    rounds = list(directory.rounds())
    assert [(record.round, record.aggregated) for record in rounds] == [(1, False), (1, True), (2, True), (3, True)]
    assert rounds[0].generator_sha256 == initial_sha256
    # South's reply of the first attempt was kept: it trained once.
    assert bench.sites["south"].asked.count("train:1") == 1


def test_too_few_sites_end_the_run_with_a_refusal_and_keep_what_was_done(bench) -> None:
    for name in ("east", "north"):
        bench.sites[name].tamper = lambda m, r: Message(Error(code=200, reason="internal"), reply_to=m)
    with pytest.raises(Refusal) as caught:
        bench.run()
    assert caught.value.code is ExitCode.TOO_FEW_SITES
    assert RunDirectory(bench.path).latest_checkpoint() == 0


def test_a_site_whose_role_differs_from_its_admission_does_not_take_part(bench) -> None:
    from common.roles import Role

    bench.sites["south"].role = Role.EVALUATE
    bench.wait_for_sites_s = 1.0
    directory = bench.run()
    assert {site.name for site in directory.run_record().sites} == {"east", "north", "west"}
    assert "train:1" not in bench.sites["south"].asked


@pytest.mark.parametrize("killed_after", [1, 2])
def test_a_run_resumes_at_the_next_round_with_the_same_result(bench, tmp_path: Path, killed_after: int) -> None:
    uninterrupted = bench.run()
    final = list(uninterrupted.rounds())[-1].generator_sha256
    bench.path = tmp_path / "again"
    done = []

    def stop_here() -> None:
        done.append(1)
        bench.stop = len(done) == killed_after

    bench.on_round = stop_here
    with pytest.raises(Refusal) as caught:
        bench.run()
    assert caught.value.code is ExitCode.INTERRUPTED
    bench.stop = False
    bench.on_round = lambda: None
    resumed = bench.run()
    assert [record.round for record in resumed.rounds()] == [1, 2, 3]
    assert list(resumed.rounds())[-1].generator_sha256 == final
    assert resumed.run_record().run == RunDirectory(bench.path).run_record().run


def test_a_kill_between_checkpoint_and_record_is_made_good(bench) -> None:
    directory = bench.run()
    lines = (bench.path / "rounds.jsonl").read_text().splitlines(keepends=True)
    (bench.path / "rounds.jsonl").write_text("".join(lines[:-1]) + lines[-1][:20])
    resumed = bench.run()
    again = list(resumed.rounds())
    assert [record.round for record in again] == [1, 2, 3]
    assert {entry.site for entry in again[-1].training} == {"east", "north", "south"}
    assert again[-1].generator_sha256 == list(directory.rounds())[-1].generator_sha256


def use(bench, study: Study) -> None:
    bench.study = study
    for site in bench.sites.values():
        site.study = study


def with_average(study: Study) -> Study:
    options = study.optimisation.model_copy(update={"ema_decay": 0.5, "steps_per_round": 1})
    return study.model_copy(update={"optimisation": options})


def test_the_running_average_is_evaluated_and_never_broadcast(bench) -> None:
    use(bench, with_average(bench.study))
    directory = bench.run()
    first, second = _checkpoint(directory, 1), _checkpoint(directory, 2)
    name, tensor = next(iter(second["generator_average"].items()))
    assert torch.equal(first["generator_average"][name], first["generator"][name])
    assert torch.allclose(tensor, 0.5 * (first["generator"][name] + second["generator"][name]))
    assert not torch.equal(tensor, second["generator"][name])
    evaluated, broadcast = (
        bench.sites[site].received[kind] for site, kind in (("west", "evaluate"), ("east", "train"))
    )
    sent = on_the_wire(bench.study, {"generator": _checkpoint(directory, 3)["generator_average"]})["generator"]
    assert torch.equal(evaluated[name], sent[name])
    assert torch.equal(broadcast[name], second["generator"][name])
    assert list(directory.rounds())[1].generator_sha256 == weights_sha256(second["generator_average"])


def with_momentum(study: Study) -> Study:
    return study.model_copy(update={"federation": study.federation.model_copy(update={"outer_momentum": 0.5})})


def test_momentum_over_rounds_is_kept_in_the_checkpoint_and_never_broadcast(bench) -> None:
    use(bench, with_momentum(bench.study))
    directory = bench.run()
    first, second = _checkpoint(directory, 1), _checkpoint(directory, 2)
    name, velocity = next(iter(second["generator_velocity"].items()))
    # w2 = w1 + d + m v2 with v2 = m v1 + d.
    moved = 1.5 * velocity - 0.5 * first["generator_velocity"][name]
    assert bool(velocity.any())
    assert torch.allclose(second["generator"][name] - first["generator"][name], moved, atol=1e-2)
    assert torch.equal(bench.sites["east"].received["train"][name], second["generator"][name])


@pytest.mark.parametrize("change", [with_average, with_momentum])
def test_a_resumed_run_goes_on_with_what_the_coordinator_keeps(
    bench, tmp_path: Path, change: Callable[[Study], Study]
) -> None:
    use(bench, change(bench.study))
    final = list(bench.run().rounds())[-1].generator_sha256
    bench.path = tmp_path / "again"
    bench.on_round = lambda: setattr(bench, "stop", True)
    with pytest.raises(Refusal):
        bench.run()
    bench.stop, bench.on_round = False, lambda: None
    assert list(bench.run().rounds())[-1].generator_sha256 == final


def test_a_folder_with_another_studys_run_is_refused(bench) -> None:
    bench.run()
    bench.study = bench.study.model_copy(update={"name": "other"})
    with pytest.raises(Refusal) as caught:
        bench.run()
    assert caught.value.code is ExitCode.RUN_INVALID


def test_a_full_disk_at_the_checkpoint_keeps_the_last_one(bench, monkeypatch: pytest.MonkeyPatch) -> None:
    import errno

    from server.rounds import run_directory

    real = run_directory.write_tensors

    def full(path: Path, tensors, **options) -> None:
        if "round-000002" in str(path):
            from common.files import disk_refusals

            with disk_refusals(path):
                raise OSError(errno.ENOSPC, "No space left on device")
        real(path, tensors, **options)

    monkeypatch.setattr(run_directory, "write_tensors", full)
    with pytest.raises(Refusal) as caught:
        bench.run()
    assert caught.value.code is ExitCode.DISK_FULL
    monkeypatch.undo()
    directory = RunDirectory(bench.path)
    assert directory.latest_checkpoint() == 1
    bench.run()
    assert directory.latest_checkpoint() == 3
    assert bench.sites["south"].asked.count("train:2") == 1
