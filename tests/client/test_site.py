from __future__ import annotations

import threading
from pathlib import Path

import pytest
import torch

from client.cohort import Cohort
from client.commands.cohort import place_of
from client.gate import Approvals
from client.pacs import PacsProgress
from client.settings import SiteSettings
from client.site import Site, _device
from common.errors import ExitCode, Refusal
from common.exchange import CohortFlow
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


def _settings(folder: Path, lines: str) -> SiteSettings:
    (folder / "site.toml").write_text(lines + SETTINGS)
    return SiteSettings.from_toml(folder / "site.toml")


def test_a_study_whose_batch_the_devices_cannot_share_is_refused_before_its_cohort_is_built(
    tmp_path: Path, study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = Site(_settings(tmp_path, 'device = "cpu"\ndevices = 3\n'), threading.Event())
    monkeypatch.setattr("client.site.build_cohort", lambda *_, **__: pytest.fail("the cohort was built"))
    with pytest.raises(Refusal, match="batch of 2 on 3 devices") as caught:
        site._work(study)
    assert caught.value.code is ExitCode.STUDY_INVALID


@pytest.mark.parametrize(
    ("lines", "gpus", "outcome"),
    [
        ('device = "cpu"\ndevices = 4\n', 0, "cpu"),
        ('device = "cpu"\n', 2, "cpu"),
        ("", 0, "cpu"),
        ("devices = 2\n", 2, "cuda"),
        ('device = "cuda"\ndevices = 2\n', 3, "cuda"),
        ('device = "cuda"\n', 0, "no GPU found"),
        ("devices = 2\n", 0, "set devices to 1, or device to 'cpu'"),
        ('device = "cuda"\ndevices = 3\n', 2, "3 devices asked for, 2 GPUs found [devices]; set devices to 2"),
    ],
)
def test_more_devices_than_there_are_gpus_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lines: str, gpus: int, outcome: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    settings = _settings(tmp_path, lines)
    if outcome in ("cpu", "cuda"):
        assert _device(settings) == torch.device(outcome)
        return
    with pytest.raises(Refusal) as caught:
        _device(settings)
    assert caught.value.code is ExitCode.SETTINGS_INVALID
    assert outcome in str(caught.value)


def test_a_sites_work_trains_on_as_many_devices_as_its_settings_say(
    tmp_path: Path, study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = Site(_settings(tmp_path, 'device = "cpu"\ndevices = 2\n'), threading.Event())
    monkeypatch.setattr(site, "_archive", tmp_path, raising=False)
    cohort = Cohort((), (), CohortFlow(found=0, eligible=0, used=0), ())
    monkeypatch.setattr("client.site.build_cohort", lambda *_, **__: cohort)
    assert site._work(study)._bench.devices == 2
