"""Admissions that change while a run goes on: added, revoked, renamed, another key; a key is one site."""

from __future__ import annotations

from common.roles import Role
from server.aggregation import IncomingReplies
from server.consortium import admit
from server.link import Addressee
from server.report import write_report
from server.rounds import Outcome, RunDirectory
from tests.letters import KEYS


def _trained(directory: RunDirectory) -> list[dict[str, Outcome]]:
    return [{entry.site: entry.outcome for entry in record.training} for record in directory.rounds()]


def _after_first_round(bench, change) -> None:
    """Have the admissions changed between the first and the second round."""
    done: list[bool] = []

    def refresh() -> None:
        recorded = len(list(RunDirectory(bench.path).rounds()))
        if recorded >= 1 and not done:
            done.append(True)
            change()

    bench.admitted = dict(bench.admitted)
    bench.refresh = refresh


def _readdress(bench, names: dict[str, str]) -> None:
    """Write to sites by these names, each with the node and key of a scripted site."""
    bench.line.readdress({name: Addressee(bench.nodes[old], KEYS[old].verifying) for name, old in names.items()})


def test_a_revoked_site_takes_no_part_from_the_next_round_on(bench) -> None:
    _after_first_round(bench, lambda: bench.admitted.pop("south"))
    rounds = _trained(bench.run())
    assert [set(entries) for entries in rounds] == [{"east", "north", "south"}, {"east", "north"}, {"east", "north"}]
    assert bench.sites["south"].asked.count("train:2") == 0


def test_a_renamed_site_counts_once_and_is_asked_under_its_new_name_alone(bench) -> None:
    def rename() -> None:
        bench.admitted.pop("south")
        bench.admitted["sunny"] = admit("sunny", Role.TRAIN, KEYS["south"].verifying.openssh)
        _readdress(bench, {"east": "east", "north": "north", "sunny": "south", "west": "west"})

    _after_first_round(bench, rename)
    directory = bench.run()
    rounds = _trained(directory)
    assert [set(entries) for entries in rounds] == [
        {"east", "north", "south"},
        {"east", "north", "sunny"},
        {"east", "north", "sunny"},
    ]
    assert all(outcome is Outcome.ACCEPTED for entries in rounds for outcome in entries.values())
    # It keeps its registration, and is not asked for it again.
    assert bench.sites["south"].asked.count("query:0") == 1
    record = directory.run_record()
    assert record is not None
    assert len({site.key_sha256 for site in record.sites}) == len(record.sites) == 4
    write_report(directory.path)


def test_two_sites_that_swap_their_names_keep_their_own_registrations(bench) -> None:
    def swap() -> None:
        for name, old in (("east", "south"), ("south", "east")):
            bench.admitted[name] = admit(name, Role.TRAIN, KEYS[old].verifying.openssh)
        _readdress(bench, {"east": "south", "south": "east", "north": "north", "west": "west"})

    _after_first_round(bench, swap)
    directory = bench.run()
    record = directory.run_record()
    assert record is not None
    cases = {site.name: site.train_cases for site in record.sites}
    assert (cases["east"], cases["south"]) == (5, 2)
    assert all(outcome is Outcome.ACCEPTED for entries in _trained(directory) for outcome in entries.values())


def test_a_site_that_is_added_comes_in_without_a_restart(bench) -> None:
    added = bench.admitted["south"]
    _after_first_round(bench, lambda: bench.admitted.update(south=added))
    del bench.admitted["south"]
    assert [set(entries) for entries in _trained(bench.run())] == [{"east", "north"}, *[{"east", "north", "south"}] * 2]


def test_another_key_under_a_known_name_registers_anew(bench) -> None:
    def rotate() -> None:
        # East's key under south's name, and nobody under east's.
        bench.admitted.pop("east")
        bench.admitted["south"] = admit("south", Role.TRAIN, KEYS["north"].verifying.openssh)
        bench.admitted.pop("north")
        _readdress(bench, {"south": "north", "west": "west"})

    bench.study = bench.study.model_copy(
        update={"federation": bench.study.federation.model_copy(update={"minimum_train_sites": 1})}
    )
    for site in bench.sites.values():
        site.study = bench.study
    _after_first_round(bench, rotate)
    rounds = _trained(bench.run())
    assert [set(entries) for entries in rounds[1:]] == [{"south"}, {"south"}]
    assert bench.sites["south"].asked.count("train:2") == 0
    assert bench.sites["north"].asked.count("train:2") == 1


def test_a_reply_of_a_site_that_was_revoked_in_mid_round_does_not_count(bench) -> None:
    _after_first_round(bench, lambda: None)
    directory = bench.run()
    folder = directory.path / "incoming" / "again"
    incoming = IncomingReplies(folder)
    for site in ("east", "south"):
        (folder / f"{site}.json").write_text(_reply_json(bench))
        (folder / f"{site}.safetensors").write_bytes(b"")
    incoming.keep({"east"})
    assert set(incoming.replies()) == {"east"}
    assert {path.name for path in folder.iterdir()} == {"east.json", "east.safetensors"}


def _reply_json(bench) -> str:
    losses = '{"generator":1,"reconstruction":1,"reprojection":1}'
    head = f'{{"study_sha256":"{bench.study.sha256}","run":"r","round":1,"cases":2,"steps":1'
    return f'{head},"skipped_steps":0,"seconds":1,"losses":{losses}}}'
