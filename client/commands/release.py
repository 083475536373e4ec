"""``tomoray-site release verify``: whether a released network is the coordinator's, whole, and what it says it is."""

from __future__ import annotations

from pathlib import Path

from client.settings import SiteSettings
from common.errors import ExitCode, Refusal
from common.release import ReleaseKey, read_release, read_release_key, release_key
from common.study import Study

_MEND = (
    "ask the coordinator for the line that 'tomoray-coordinator release-key' prints, compare its digest by telephone, "
    "and set it as release_key below [coordinator], or give its file with --key"
)


def key_of(file: Path | None, settings: SiteSettings | None) -> ReleaseKey:
    """The coordinator's key for releases: the file's, or the one that the site's settings pin.

    Raises:
        Refusal: ``SETTINGS_INVALID`` if there is none, or what is there is no such key.
    """
    if file is not None:
        return read_release_key(file)
    if settings is None:
        raise Refusal(ExitCode.USAGE, "no key to verify with", where="command line", mend="give --key or --settings")
    line = settings.coordinator.release_key
    if line is None:
        raise Refusal(
            ExitCode.SETTINGS_INVALID, "no release key is pinned", where="coordinator.release_key", mend=_MEND
        )
    return release_key(line.encode(), where="coordinator.release_key")


def verify(folder: Path, key_file: Path | None, settings_file: Path | None, study_file: Path | None) -> None:
    """Verify a release and say what it is; refuses as :func:`key_of` and :func:`common.release.read_release` do."""
    settings = None if settings_file is None else SiteSettings.from_toml(settings_file)
    key = key_of(key_file, settings)
    asked = None if study_file is None else Study.from_toml(study_file)
    card = read_release(folder, key, asked).card
    print(f"release intact: study {card.study.name}, run {card.run}, round {card.round}, of {card.made_on}")
    print(f"signed with key SHA-256 {key.sha256}\ngenerator SHA-256 {card.generator_sha256}")
    print(f"research only; limits and figures: {folder / 'card.html'}")
