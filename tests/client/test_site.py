from __future__ import annotations

import threading
from pathlib import Path

import pytest

from client.cohort_command import place_of
from client.gate import Approvals
from client.pacs import PacsProgress
from client.settings import SiteSettings
from client.site import Site
from common.errors import ExitCode, Refusal
from common.study import Study

SETTINGS = """
name = "north"
role = "train"
archive = "archive"
state = "state"
studies = ["a.toml"]
[coordinator]
address = "127.0.0.1:1"
ca_certificate = "ca.crt"
private_key = "site.key"
"""


@pytest.fixture
def site(tmp_path: Path) -> Site:
    (tmp_path / "site.toml").write_text(SETTINGS)
    return Site(SiteSettings.from_toml(tmp_path / "site.toml"), threading.Event())


def _without_cohort(study: Study) -> Refusal:
    return Refusal(ExitCode.COHORT_TOO_SMALL, f"too few cases for {study.name}", where="archive", mend="-")


def test_a_study_without_a_cohort_does_not_keep_the_others_from_being_served(
    site: Site, study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = study.model_copy(update={"name": "other"})

    def work(chosen: Study) -> str:
        if chosen.name == "other":
            raise _without_cohort(chosen)
        return "at work"

    monkeypatch.setattr(site, "_work", work)
    assert site._works(Approvals({other.sha256: other, study.sha256: study})) == {study.sha256: "at work"}


def test_a_site_without_any_cohort_does_not_start(site: Site, study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    def work(chosen: Study) -> None:
        raise _without_cohort(chosen)

    monkeypatch.setattr(site, "_work", work)
    with pytest.raises(Refusal) as caught:
        site._works(Approvals({study.sha256: study}))
    assert caught.value.code is ExitCode.COHORT_TOO_SMALL


def test_a_site_that_is_stopped_retrieves_no_further(site: Site) -> None:
    site._on_pacs(PacsProgress(1, 9, 40))
    site._stop.set()
    with pytest.raises(Refusal, match="what was retrieved is kept") as caught:
        site._on_pacs(PacsProgress(2, 9, 80))
    assert caught.value.code is ExitCode.INTERRUPTED


def test_a_site_builds_its_cohort_in_as_many_processes_as_its_settings_say(
    tmp_path: Path, study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "archive").mkdir()
    (tmp_path / "site.toml").write_text("workers = 3\n" + SETTINGS)
    site = Site(SiteSettings.from_toml(tmp_path / "site.toml"), threading.Event())
    monkeypatch.setattr(site, "_archive", tmp_path / "archive", raising=False)
    asked: list[int | None] = []

    def build(*_: object, workers: int | None) -> None:
        asked.append(workers)
        raise _without_cohort(study)

    monkeypatch.setattr("client.site.build_cohort", build)
    with pytest.raises(Refusal):
        site._work(study)
    assert asked == [3]
    assert place_of(tmp_path / "site.toml", None, None, refresh=False).workers == 3
