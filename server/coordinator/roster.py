"""Who is in, at this moment: the admissions file is the truth, and Flower's registered keys follow it.

A key is a site. One that was added comes in, one that was removed is unregistered and gets nothing more, a new name for
a known key is the same site, and a new key under a known name is another installation that registers anew. Nothing
needs a restart.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import final

from common.errors import Refusal
from common.signatures import VerifyingKey
from common.trust import load_public_key
from server.consortium import AdmittedSite, read_admissions
from server.link import Addressee, Control

COMPARE_EVERY_S = 10.0


@final
class Roster:
    """The admitted sites of a run, read again while it goes on.

    Args:
        path: the admissions file.
        control: registers and unregisters keys.
        tell: told of what a person should look at, by site.

    Attributes:
        sites: the admitted sites by name; the same mapping throughout.
        addressees: those that can be written to.
        readdress: told whom to write to from now on.

    Raises:
        Refusal: ``SETTINGS_INVALID`` if the file is wrong when the run starts; ``SUPERLINK_FAILED``.
    """

    def __init__(self, path: Path, control: Control, tell: Callable[[str, str], None]) -> None:
        self._path = path
        self._control = control
        self._tell = tell
        self._said: set[tuple[str, str]] = set()
        self._compared_at = float("-inf")
        self.readdress: Callable[[dict[str, Addressee]], None] = _nobody
        self.sites: dict[str, AdmittedSite] = {}
        self.addressees: dict[str, Addressee] = {}
        self._compare(read_admissions(path))

    def refresh(self) -> None:
        """Compare registered keys with the admissions file, where it changed or the last look is some seconds ago.

        A file that cannot be read changes nothing: the admissions of before stand, and a person is told.
        """
        try:
            admitted = read_admissions(self._path)
        except Refusal as refusal:
            self._say("", str(refusal))
            return
        is_old = time.monotonic() - self._compared_at >= COMPARE_EVERY_S
        if is_old or {site.name: site for site in admitted} != self.sites:
            self._compare(admitted)

    def _compare(self, admitted: tuple[AdmittedSite, ...]) -> None:
        registered = self._control.registered_keys()
        wanted = {site.key_sha256 for site in admitted}
        for key_sha256, node in registered.items():
            if key_sha256 not in wanted:
                self._control.unregister_site(node)
        addressees = {}
        for site in admitted:
            try:
                node = registered.get(site.key_sha256) or self._control.register_site(site.public_key, site.name)
            except Refusal as refusal:
                self._say(site.name, f"its key cannot be registered ({refusal.what}): one that was revoked stays so")
                continue
            addressees[site.name] = Addressee(node, VerifyingKey(load_public_key(site.public_key, where=site.name)))
        self.sites.clear()
        self.sites.update({site.name: site for site in admitted})
        self.addressees = addressees
        self.readdress(addressees)
        self._compared_at = time.monotonic()

    def _say(self, site: str, detail: str) -> None:
        if (site, detail) not in self._said:
            self._said.add((site, detail))
            self._tell(site, detail)


def _nobody(_addressees: dict[str, Addressee]) -> None:
    """Nobody writes yet."""
