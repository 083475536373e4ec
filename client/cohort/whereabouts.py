"""From a pseudonym back to the folder, at the site alone: everything is hashed again, and nothing is written down."""

from __future__ import annotations

import os
from pathlib import Path

from client.archive import PSEUDONYM_CHARACTERS, site_pseudonyms
from client.cohort.examination import SECRET_NAME, find_series
from common.errors import ExitCode, Refusal


def whereabouts(archive: Path, state: Path, pseudonym: str) -> tuple[Path, ...]:
    """The folders of a series or of all series of a patient, sorted.

    Args:
        archive: folder of DICOM files; only read.
        state: the site's private folder, whose secret made the pseudonym.
        pseudonym: 32 hex digits of a series, of a patient, or of a folder with damaged or packed files.

    Raises:
        Refusal: ``ARCHIVE_EMPTY`` if nothing has this pseudonym, ``ARCHIVE_UNREADABLE``, or ``SETTINGS_INVALID`` if the
            site has no secret yet or it is damaged.
    """
    secret = state / SECRET_NAME
    if not secret.exists():
        mend = "name the state folder that the cohort was built in"
        raise Refusal(ExitCode.SETTINGS_INVALID, "no site secret here", where=str(state), mend=mend)
    name = pseudonym.strip().lower()
    folders: set[Path] = set()
    if len(name) == PSEUDONYM_CHARACTERS:
        for series in find_series(archive, state):
            is_named = name in (series.series, series.patient)
            folders |= {header.folder for header in series.slices if is_named or name == header.study}
        if not folders:
            pseudonyms = site_pseudonyms(secret)
            walked = (Path(folder) for folder, _, _ in os.walk(archive))
            kinds = ("folder", "packed files")
            folders = {folder for folder in walked if name in {pseudonyms.of(kind, str(folder)) for kind in kinds}}
    if not folders:
        mend = "copy all 32 digits from this site's cohort page; pseudonyms of other state folders differ"
        raise Refusal(ExitCode.ARCHIVE_EMPTY, "nothing in the archive has this pseudonym", where="--whereis", mend=mend)
    return tuple(sorted(folders))
