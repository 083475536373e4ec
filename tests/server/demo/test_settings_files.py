"""The demo's settings files say what its hospitals are, and are read by those who start from them."""

from __future__ import annotations

from pathlib import Path

import pytest

from client.settings import SiteSettings
from common.documents import write_document
from common.roles import Role
from server.coordinator import CoordinatorSettings
from server.demo.hospitals import HOSPITALS, VirtualHospital
from server.demo.settings_files import coordinator_file, site_file


def test_three_hospitals_train_on_different_scanners_and_one_is_held_out() -> None:
    training = [hospital for hospital in HOSPITALS if hospital.role is Role.TRAIN]
    assert len(training) == 3
    assert len({hospital.style for hospital in HOSPITALS}) == 4
    assert len({hospital.seed for hospital in HOSPITALS}) == 4
    assert [hospital.role for hospital in HOSPITALS].count(Role.EVALUATE) == 1


@pytest.mark.parametrize("hospital", HOSPITALS, ids=lambda hospital: hospital.name)
def test_a_site_reads_what_the_demo_wrote_for_it(hospital: VirtualHospital, tmp_path: Path) -> None:
    strange = tmp_path / 'a "quoted" \\ folder'
    write_document(
        site_file(hospital, strange / "s.toml", strange / "ca.crt", "ssh-ed25519 AAAA", 4711), tmp_path / "site.toml"
    )
    read = SiteSettings.from_toml(tmp_path / "site.toml")
    assert (read.name, read.role, read.workers) == (hospital.name, hospital.role, 1)
    assert (read.archive, read.state) == (tmp_path / "archive", tmp_path / "state")
    assert read.studies == (strange / "s.toml",)
    assert read.coordinator.address == "127.0.0.1:4711"
    assert read.coordinator.ca_certificate == strange / "ca.crt"
    assert read.coordinator.release_key == "ssh-ed25519 AAAA"
    assert read.coordinator.private_key == tmp_path / "site.key"


def test_a_coordinator_reads_what_the_demo_wrote_for_it(tmp_path: Path) -> None:
    write_document(coordinator_file(tmp_path / "s.toml", 4711), tmp_path / "coordinator.toml")
    read = CoordinatorSettings.from_toml(tmp_path / "coordinator.toml")
    assert (read.study, read.run, read.port) == (tmp_path / "s.toml", tmp_path, 4711)
    assert (read.admissions, read.state) == (tmp_path / "sites.toml", tmp_path / "coordinator")
