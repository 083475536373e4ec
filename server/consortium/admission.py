"""Which sites the coordinator admits: names, roles and public keys from its settings."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from common.documents import first_fault, read_document, write_document
from common.errors import ExitCode, Refusal
from common.roles import Role
from common.trust import load_public_key, public_key_sha256

MAX_SITES = 1000
MostCases = Annotated[int, Field(ge=1, le=1_000_000)]
SiteName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,31}$")]


@final
class AdmittedSite(BaseModel):
    """A site the coordinator admits.

    Attributes:
        name: the site's name in records and reports.
        role: what the site does; the site's own settings must agree.
        public_key: one OpenSSH line, EC P-384.
        key_sha256: the key's digest, for comparison over the telephone.
        most_cases: the most cases that the site may register; any number where it is not given.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    name: SiteName
    role: Role
    public_key: bytes
    key_sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    most_cases: MostCases | None = None


@final
class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    name: SiteName
    role: Role
    public_key: Annotated[str, Field(max_length=1000)]
    most_cases: MostCases | None = None


@final
class _Roll(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    site: Annotated[tuple[_Entry, ...], Field(max_length=MAX_SITES)] = ()


def admit(
    name: str, role: Role, public_key: bytes, *, most_cases: int | None = None, where: str = "site"
) -> AdmittedSite:
    """One admitted site; its name and key are checked.

    Raises:
        Refusal: ``SETTINGS_INVALID`` if the name is not lower-case letters, digits and hyphens, or the key is no
            EC P-384 public key in OpenSSH format.
    """
    load_public_key(public_key, where=f"{where}, public_key of '{name[:32]}'")
    digest = public_key_sha256(public_key)
    try:
        return AdmittedSite(
            name=name, role=role, public_key=public_key.strip(), key_sha256=digest, most_cases=most_cases
        )
    except ValidationError as error:
        raise first_fault(error, where, ExitCode.SETTINGS_INVALID) from error


def admit_all(sites: Iterable[AdmittedSite], *, where: str) -> tuple[AdmittedSite, ...]:
    """The sites in order of their names, each name and each key admitted once.

    Raises:
        Refusal: ``SETTINGS_INVALID`` naming the second use of a name or a key.
    """
    admitted = tuple(sorted(sites, key=lambda site: site.name))
    names: dict[str, str] = {}
    keys: dict[str, str] = {}
    for site in admitted:
        if site.name in names:
            raise _invalid(f"site '{site.name}' is admitted twice", where, "give each site a name of its own")
        if site.key_sha256 in keys:
            what = f"sites '{keys[site.key_sha256]}' and '{site.name}' have the same key"
            raise _invalid(what, where, "have one of them make a key of its own")
        names[site.name] = keys[site.key_sha256] = site.name
    return admitted


def read_admissions(path: Path) -> tuple[AdmittedSite, ...]:
    """Admitted sites from a TOML file of ``[[site]]`` tables with ``name``, ``role``, ``public_key`` and, where it is
    bounded, ``most_cases``.

    Raises:
        Refusal: ``SETTINGS_INVALID`` if the file is unreadable or an entry is wrong or repeated.
    """
    where = str(path)
    roll = read_document(_Roll, path, ExitCode.SETTINGS_INVALID)
    sites = (
        admit(entry.name, entry.role, entry.public_key.encode(), most_cases=entry.most_cases, where=where)
        for entry in roll.site
    )
    return admit_all(sites, where=where)


def write_admissions(path: Path, sites: Iterable[AdmittedSite]) -> None:
    """Write admitted sites as the file that :func:`read_admissions` reads; comments of their keys are left out.

    Raises:
        Refusal: ``DISK_FULL`` or ``DISK_UNWRITABLE``.
    """
    entries = (
        _Entry(
            name=site.name,
            role=site.role,
            public_key=b" ".join(site.public_key.split()[:2]).decode("ascii"),
            most_cases=site.most_cases,
        )
        for site in sites
    )
    write_document(_Roll(site=tuple(entries)), path, mode=0o644)


def _invalid(what: str, where: str, mend: str) -> Refusal:
    return Refusal(ExitCode.SETTINGS_INVALID, what, where=where, mend=mend)
