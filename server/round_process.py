"""The round loop's own process: it takes its order on standard input, acquires the run's task, and runs the rounds.

It is a process of its own because Flower's client code may interrupt the process it lives in, and because a killed
round loop must not take the coordinator with it.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import final

import torch
from pydantic import BaseModel, ConfigDict

from common.console import stop_on_signals
from common.errors import ExitCode, Refusal
from common.study import Study
from server.consortium import AdmittedSite
from server.link import Line, ServerTask
from server.report import write_report
from server.rounds import Asker, EventLog, RoundLoop, RunContext, RunDirectory, prepare_run


@final
class RoundOrder(BaseModel):
    """What the round loop's process is told.

    Attributes:
        study: path of the study file.
        run: the run's folder.
        sites: the admitted sites.
        nodes: Flower node id by site name.
        address: host and port of the SuperLink.
        ca_certificate: PEM that verifies it.
        secret: what acquires the run's task, in hex.
        wait_for_sites_s: patience for sites before the first round.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    study: Path
    run: Path
    sites: tuple[AdmittedSite, ...]
    nodes: dict[str, int]
    address: str
    ca_certificate: str
    secret: str
    wait_for_sites_s: float


def run_rounds(order: RoundOrder) -> None:
    """Carry out an order; raises what :meth:`RoundLoop.run` raises."""
    stop = stop_on_signals()
    torch.set_num_threads(1)
    study = Study.from_toml(order.study)
    directory = RunDirectory(order.run)
    record = prepare_run(study, directory)
    with ServerTask(order.address, order.ca_certificate.encode(), bytes.fromhex(order.secret)) as grid:
        context = RunContext(
            study=study,
            run=record.run,
            admitted={site.name: site for site in order.sites},
            directory=directory,
            asker=Asker(Line(grid, order.nodes), stop.is_set),
            events=EventLog(directory.events),
        )
        loop = RoundLoop(
            context, record, wait_for_sites_s=order.wait_for_sites_s, on_round=lambda: _refresh_report(directory.path)
        )
        loop.run()


def _refresh_report(run: Path) -> None:
    write_report(run)


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
