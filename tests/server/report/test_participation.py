"""The matrix says what happened, and training by a held-out centre cannot hide."""

from collections.abc import Callable
from typing import Any

from common.roles import Role
from server.report.document import ReportDocument
from server.report.participation import (
    Task,
    incidents_of,
    losses_of,
    participation_of,
    separation_of,
    unregistered_sites,
)
from server.report.recorded_run import read_run
from server.rounds import Outcome, SiteTraining

Make = Callable[..., Any]


def test_every_site_has_a_row_for_its_task_and_a_cell_for_each_request(demo: Any) -> None:
    rows = {(row.site, row.task): row for row in participation_of(read_run(demo.directory))}
    assert len(rows[("cedar", Task.TRAIN)].cells) == 12
    assert rows[("cedar", Task.TRAIN)].cell(7).outcome is Outcome.REFUSED_BY_SITE  # type: ignore[union-attr]
    assert rows[("birch", Task.EVALUATE)].cell(11) is None
    assert rows[("islet", Task.EVALUATE)].cell(3).suppressed  # type: ignore[union-attr]
    assert ("harbour", Task.TRAIN) not in rows


def test_incidents_group_the_rounds_of_one_cause(demo: Any) -> None:
    found = {
        (i.site, i.task, i.outcome, i.reason, i.rounds)
        for i in incidents_of(participation_of(read_run(demo.directory)))
    }
    assert found == {
        ("alder", Task.TRAIN, Outcome.REFUSED_BY_COORDINATOR, "update norm 14.2 above 10", (9,)),
        ("birch", Task.TRAIN, Outcome.TIMED_OUT, "no reply within 3600 s", (4,)),
        ("cedar", Task.TRAIN, Outcome.REFUSED_BY_SITE, "disk_full", (7, 8)),
        ("lakeside", Task.EVALUATE, Outcome.TIMED_OUT, "no reply within 3600 s", (5,)),
    }


def test_separation_holds_where_no_held_out_centre_trained(demo: Any) -> None:
    found = separation_of(read_run(demo.directory))
    assert found.holds
    assert (found.training_entries, found.accepted_entries) == (36, 32)
    assert found.held_out == ("harbour", "lakeside", "islet")


def test_training_by_a_held_out_centre_is_found_even_in_a_record_that_was_replaced(make_run: Make) -> None:
    written = make_run(rounds=3)
    clean = written.rounds[1]
    trained = SiteTraining(site="harbour", outcome=Outcome.ACCEPTED, cases=24, steps=40)
    written.rounds[1] = clean.model_copy(update={"training": (*clean.training, trained)})
    written.rounds.append(clean)
    written.write()
    found = separation_of(read_run(written.directory))
    assert not found.holds
    assert found.named == ("harbour",)


def test_a_request_to_train_breaks_the_separation_even_if_it_was_refused(make_run: Make) -> None:
    written = make_run(rounds=2)
    asked = SiteTraining(site="islet", outcome=Outcome.REFUSED_BY_SITE, reason="role_forbids")
    record = written.rounds[1]
    written.rounds[1] = record.model_copy(update={"training": (*record.training, asked)})
    written.write()
    assert separation_of(read_run(written.directory)).named == ("islet",)


def test_one_key_in_both_roles_breaks_the_separation(make_run: Make) -> None:
    written = make_run(rounds=2)
    sites = list(written.run.sites)
    sites[3] = sites[3].model_copy(update={"key_sha256": sites[0].key_sha256})
    written.run = written.run.model_copy(update={"sites": tuple(sites)})
    written.write()
    found = separation_of(read_run(written.directory))
    assert not found.holds
    assert found.shared_keys == ("harbour",)


def test_a_site_that_never_registered_is_named(make_run: Make) -> None:
    written = make_run(rounds=2)
    record = written.rounds[1]
    stranger = SiteTraining(site="stranger", outcome=Outcome.ACCEPTED, cases=5, steps=40)
    written.rounds[1] = record.model_copy(update={"training": (*record.training, stranger)})
    written.write()
    recorded = read_run(written.directory)
    assert unregistered_sites(recorded) == ("stranger",)
    assert any(row.site == "stranger" and row.role is Role.TRAIN for row in participation_of(recorded))


def test_losses_come_from_accepted_training_alone(demo: Any) -> None:
    curve = next(c for c in losses_of(read_run(demo.directory)) if (c.site, c.loss) == ("cedar", "generator"))
    assert [point.round for point in curve.points] == [1, 2, 3, 4, 5, 6, 9, 10, 11, 12]
    assert curve.points[0].value == demo.rounds[0].training[2].losses.generator


def test_an_update_that_lay_apart_is_an_incident_though_it_counted(make_run: Make) -> None:
    written = make_run(rounds=3)
    for number in (1, 2):
        record = written.rounds[number]
        first, *others = record.training
        odd = first.model_copy(update={"reason": "generator points away from the others'"})
        written.rounds[number] = record.model_copy(update={"training": (odd, *others)})
    written.write()
    document = ReportDocument.of(read_run(written.directory))
    found = [(i.site, i.outcome, i.reason, i.rounds) for i in document.incidents if i.task is Task.TRAIN]
    assert found == [("alder", Outcome.ACCEPTED, "generator points away from the others'", (2, 3))]
    assert "2 updates of alder lay apart from the others' and count; the incidents are listed." in document.limitations
