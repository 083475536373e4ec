"""Where a site's DICOM comes from: the folder it names, or its copy of what a PACS has."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from client.archive import site_pseudonyms
from client.cohort import SECRET_NAME
from client.pacs import PacsProgress, copy_of, synchronise
from client.settings import SiteSettings
from common.files import make_folder

PACS_NAME = "pacs"


def archive_place(settings: SiteSettings) -> Path:
    """The folder of DICOM as it is now: nothing is retrieved, so the copy of a PACS may be old or missing."""
    source = settings.source
    return source if isinstance(source, Path) else copy_of(settings.state / PACS_NAME)


def archive_folder(settings: SiteSettings, progress: Callable[[PacsProgress], None] | None = None) -> Path:
    """The folder of DICOM that the site's cohort is made of; from a PACS what is new is retrieved first.

    Args:
        settings: the site's settings.
        progress: called several times a second while objects are retrieved; what it raises ends the work.

    Raises:
        Refusal: as :func:`client.pacs.synchronise`.
    """
    source = settings.source
    if isinstance(source, Path):
        return source
    state = make_folder(settings.state)
    return synchronise(source, state / PACS_NAME, site_pseudonyms(state / SECRET_NAME).of, progress)
