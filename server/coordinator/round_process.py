"""The round loop's own process: it takes its order on standard input, acquires the run's task, and runs the rounds.

It is a process of its own because Flower's client code may interrupt the process it lives in, and because a killed
round loop must not take the coordinator with it.
"""

from __future__ import annotations

import sys
import time
from typing import final

import torch

from common.console import stop_on_signals
from common.errors import ExitCode, Refusal
from common.exchange import largest_reply
from common.signatures import SigningKey
from common.study import Study
from server.consortium import signing_key
from server.coordinator.roster import Roster
from server.coordinator.round_order import RoundOrder
from server.link import Control, Line, ServerTask
from server.report import write_report
from server.rounds import Asker, EventLog, RoundLoop, RunContext, RunDirectory, prepare_run

REPORT_EVERY_S = 60.0


def run_rounds(order: RoundOrder) -> None:
    """Carry out an order; raises what :meth:`RoundLoop.run` raises."""
    stop = stop_on_signals()
    torch.set_num_threads(1)
    study = Study.from_toml(order.study)
    directory = RunDirectory(order.run)
    record = prepare_run(study, directory)
    secret = bytes.fromhex(order.secret)
    events = EventLog(directory.events)

    def tell(site: str, detail: str) -> None:
        events.say("problem", site=site, detail=detail)

    certificate = order.ca_certificate.encode()
    task = ServerTask(
        order.address, certificate, secret, run_id=order.flower_run, stop=stop.is_set, largest=largest_reply(study)
    )
    with Control(order.address, certificate, secret) as control, task as grid:
        roster = Roster(order.admissions, control, tell)
        line = Line(
            grid,
            roster.addressees,
            SigningKey(signing_key(order.signing)),
            memory=order.signing / "ledger-heads.json",
        )
        roster.readdress = line.readdress
        context = RunContext(
            study=study,
            run=record.run,
            admitted=roster.sites,
            directory=directory,
            asker=Asker(line, stop.is_set, tell),
            events=events,
            refresh=roster.refresh,
        )
        report = LiveReport(context)
        RoundLoop(context, record, wait_for_sites_s=order.wait_for_sites_s, on_round=report.refresh).run()
        report.write()


@final
class LiveReport:
    """Keeps the run's report fresh without holding up its rounds.

    Args:
        context: the run.
    """

    def __init__(self, context: RunContext) -> None:
        self._context = context
        self._written_at = float("-inf")

    def refresh(self) -> None:
        """Write the report if the one on disk is old."""
        if time.monotonic() - self._written_at >= REPORT_EVERY_S:
            self.write()

    def write(self) -> None:
        """Write the report; where that is refused, say so and let the run go on."""
        if next(self._context.directory.rounds(), None) is None:
            return
        try:
            write_report(self._context.directory.path)
        except Refusal as refusal:
            self._context.events.say("problem", detail=str(refusal))
        self._written_at = time.monotonic()


def main() -> int:
    """Entry point; the exit code is the refusal's."""
    order = RoundOrder.model_validate_json(sys.stdin.buffer.read())
    try:
        run_rounds(order)
    except Refusal as refusal:
        sys.stderr.write(f"tomoray-coordinator: {refusal}\n")
        return int(refusal.code)
    return int(ExitCode.OK)


if __name__ == "__main__":
    sys.exit(main())
