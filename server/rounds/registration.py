"""Who takes part: sites register once a run, and their case numbers bound what they may claim later.

A key is a site: one whose key is no longer admitted takes no part from the next round on, a new name for the same key
is the same site, and a new key under a known name registers anew.
"""

from __future__ import annotations

import time
from typing import final

from common.errors import ExitCode, Refusal
from common.exchange import RegisterReply, RegisterRequest, pack
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
        """Registered sites with this role whose key is admitted now, by name."""
        current = (self._sites[name] for name in sorted(self._sites) if self._is_current(name))
        return [site for site in current if site.role is role]

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
        """Follow the admissions as they are now, and register admitted sites that are online and not yet registered."""
        self._context.refresh()
        self._follow_names()
        online = self._context.asker.line.online()
        names = [name for name in self._missing() if name in online]
        if not names:
            return
        request = RegisterRequest(study_sha256=self._record.study_sha256, run=self._context.run)
        record = pack(request)
        before = dict(self._sites)
        for answer in self._context.asker.ask(names, request, record, REGISTER_TIMEOUT_S):
            try:
                admitted = self._context.admitted[answer.site]
                self._admit(answer.site, read_register(content(answer), request, admitted, self._context.study))
            except Refusal as refusal:
                if answer.record is not None or answer.refusal is not None:
                    self._refused.add(self._context.admitted[answer.site].key_sha256)
                self._context.events.say("problem", site=answer.site, detail=str(refusal))
        if self._sites != before:
            self._write()

    def _missing(self) -> list[str]:
        admitted = self._context.admitted
        return sorted(
            name for name in admitted if not self._is_current(name) and admitted[name].key_sha256 not in self._refused
        )

    def _is_current(self, name: str) -> bool:
        """Whether a site is registered under this name with the key and the role that are admitted now."""
        site, admitted = self._sites.get(name), self._context.admitted.get(name)
        if site is None or admitted is None:
            return False
        return (site.key_sha256, site.role) == (admitted.key_sha256, admitted.role)

    def _follow_names(self) -> None:
        """A known key under a new name is the same site: it keeps its registration, and its old name goes."""
        by_key = {site.key_sha256: site for site in self._sites.values()}
        for name, admitted in self._context.admitted.items():
            site = by_key.get(admitted.key_sha256)
            if site is None or site.name == name or site.role is not admitted.role:
                continue
            if self._sites.get(site.name) == site:
                del self._sites[site.name]
            self._sites[name] = site.model_copy(update={"name": name})
            self._context.events.say("registered", site=name, detail=site.role.value)
            self._write()

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
