"""``tomoray-site start``: the cohort, then the line to the coordinator, until stopped."""

from __future__ import annotations

from pathlib import Path

from client.settings import SiteSettings
from client.site import Site
from common.console import log_to_stderr, stop_on_signals


def run_site(settings: Path) -> None:
    """Take part in the approved studies until stopped; refuses as :meth:`client.site.Site.run` does."""
    log_to_stderr("tomoray-site")
    Site(SiteSettings.from_toml(settings), stop_on_signals()).run()
