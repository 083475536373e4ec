"""Adding a site to the admissions file."""

from __future__ import annotations

from pathlib import Path

from common.errors import ExitCode, Refusal
from common.roles import Role
from server.consortium.admission import AdmittedSite, admit, admit_all, read_admissions, write_admissions


def add_admission(path: Path, name: str, role: Role, public_key: Path) -> AdmittedSite:
    """Add a site with the key in a file to an admissions file, created where absent.

    Raises:
        Refusal: ``SETTINGS_INVALID`` if the key file is unreadable or no site's key, or name or key are admitted
            already; ``DISK_FULL`` or ``DISK_UNWRITABLE``.
    """
    site = admit(name, role, _read_key(public_key), where=str(public_key))
    known = read_admissions(path) if path.exists() else ()
    sites = admit_all((*known, site), where=str(path))
    write_admissions(path, sites)
    return site


def _read_key(path: Path) -> bytes:
    try:
        return path.read_bytes()[:10_000]
    except OSError as error:
        mend = "name the site.pub file that the site sent"
        what = f"unreadable file ({type(error).__name__})"
        raise Refusal(ExitCode.SETTINGS_INVALID, what, where=str(path), mend=mend) from error
