"""Who takes part: sites register once a run, and their case numbers bound what they may claim later."""

from __future__ import annotations

import time
from typing import final

from common.errors import ExitCode, Refusal
from common.exchange import Kind, RegisterReply, RegisterRequest, pack
from common.roles import Role
from server.rounds.asking import POLL_S, content
from server.rounds.context import RunContext
from server.rounds.record import RunRecord, SiteRecord
from server.rounds.replies import read_register

REGISTER_TIMEOUT_S = 60.0


@final
class Registration:
    """The registered sites of a run, kept in ``run.json``.

    Args:
        context: the run.
        record: the run's record as far as it is known.
    """

    def __init__(self, context: RunContext, record: RunRecord) -> None:
        self._context = context
        self._record = record
        self._sites = {site.name: site for site in record.sites}
        self._refused: set[str] = set()

    def site(self, name: str) -> SiteRecord:
        """The registered site with this name."""
        return self._sites[name]

    def named(self, role: Role) -> list[SiteRecord]:
        """Registered sites with this role, by name."""
        return [self._sites[name] for name in sorted(self._sites) if self._sites[name].role is role]

    def gather(self, wait_s: float) -> None:
        """Wait for the admitted sites, and go on with enough of them at the deadline.

        Raises:
            Refusal: ``TOO_FEW_SITES``.
        """
        deadline = time.monotonic() + wait_s
        said: list[str] = []
        while (missing := self._missing()) and time.monotonic() < deadline:
            if missing != said:
                self._context.events.say("waiting", detail=", ".join(missing))
                said = missing
            self.register_newcomers()
            if self._missing():
                self._context.asker.pause(POLL_S)
        needed, found = self._context.study.federation.minimum_train_sites, len(self.named(Role.TRAIN))
        if found < needed:
            mend = "start the missing sites, then start the coordinator again"
            what = f"{found} training sites registered, the study needs {needed}"
            raise Refusal(ExitCode.TOO_FEW_SITES, what, where="registration", mend=mend)

    def register_newcomers(self) -> None:
        """Register admitted sites that are online and not yet registered."""
        online = self._context.asker.line.online()
        names = [name for name in self._missing() if name in online]
        if not names:
            return
        request = RegisterRequest(study_sha256=self._record.study_sha256, run=self._context.run)
        record = pack(request)
        before = len(self._sites)
        for answer in self._context.asker.ask(dict.fromkeys(names, record), Kind.REGISTER, REGISTER_TIMEOUT_S):
            try:
                admitted = self._context.admitted[answer.site]
                self._admit(answer.site, read_register(content(answer), request, admitted, self._context.study))
            except Refusal as refusal:
                if answer.record is not None or answer.refusal is not None:
                    self._refused.add(answer.site)
                self._context.events.say("problem", site=answer.site, detail=str(refusal))
        if len(self._sites) > before:
            self._write()

    def _missing(self) -> list[str]:
        return sorted(set(self._context.admitted) - set(self._sites) - self._refused)

    def _admit(self, name: str, reply: RegisterReply) -> None:
        admitted = self._context.admitted[name]
        self._sites[name] = SiteRecord(
            name=name,
            role=admitted.role,
            key_sha256=admitted.key_sha256,
            train_cases=reply.train_cases,
            evaluation_cases=reply.evaluation_cases,
            flow=reply.flow,
            release=reply.release,
            device=reply.device,
        )
        self._context.events.say("registered", site=name, detail=admitted.role.value, values={"cases": reply.flow.used})

    def _write(self) -> None:
        sites = tuple(self._sites[name] for name in sorted(self._sites))
        self._record = self._record.model_copy(update={"sites": sites})
        self._context.directory.write_run_record(self._record)
