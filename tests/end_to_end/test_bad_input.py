"""What goes wrong at a site or coordinator ends in one line that helps, and a numbered exit code."""

from __future__ import annotations

import ctypes
import os
import re
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from common.errors import ExitCode
from common.release import release_key_of
from common.trust import new_site_key

Run = Callable[..., subprocess.CompletedProcess[str]]
CAPABILITIES_THAT_IGNORE_RIGHTS = (1, 2)
PR_CAPBSET_DROP = 24


def _refused(done: subprocess.CompletedProcess[str], code: ExitCode, *words: str) -> None:
    assert done.returncode == int(code), done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("tomoray-"), done.stderr
    assert f"(exit {int(code)})" in last
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in last


@pytest.fixture
def site(tmp_path: Path, study_file: Path) -> Path:
    """Settings of a site whose coordinator is nowhere."""
    private, _ = new_site_key()
    (tmp_path / "site.key").write_bytes(private)
    (tmp_path / "ca.crt").write_text("-")
    (tmp_path / "archive").mkdir()
    settings = tmp_path / "site.toml"
    pinned = release_key_of(Ed25519PrivateKey.generate()).openssh
    settings.write_text(
        f'name = "north"\nrole = "train"\narchive = "archive"\nstate = "state"\nstudies = ["{study_file.name}"]\n'
        '[coordinator]\naddress = "127.0.0.1:1"\nca_certificate = "ca.crt"\nprivate_key = "site.key"\n'
        f'release_key = "{pinned}"\n'
    )
    return settings


@pytest.fixture
def coordinator(tmp_path: Path, study_file: Path) -> Path:
    _, public = new_site_key()
    key = b" ".join(public.split()[:2]).decode()
    (tmp_path / "sites.toml").write_text(f'[[site]]\nname = "north"\nrole = "train"\npublic_key = "{key}"\n')
    settings = tmp_path / "coordinator.toml"
    settings.write_text(
        f'study = "{study_file.name}"\nrun = "run"\nadmissions = "sites.toml"\nstate = "coordinator"\nport = 18499\n'
    )
    return settings


def test_an_empty_archive(run: Run, site: Path) -> None:
    _refused(run("tomoray-site", "start", "--settings", site), ExitCode.ARCHIVE_EMPTY, "archive")


def test_an_archive_that_does_not_exist(run: Run, site: Path) -> None:
    (site.parent / "archive").rmdir()
    _refused(run("tomoray-site", "start", "--settings", site), ExitCode.ARCHIVE_UNREADABLE, "archive")


def test_an_archive_without_rights(run: Run, site: Path) -> None:
    (site.parent / "archive").chmod(0)
    libc = ctypes.CDLL(None)

    def obey_rights() -> None:
        for capability in CAPABILITIES_THAT_IGNORE_RIGHTS:
            libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)

    options = {"preexec_fn": obey_rights} if os.geteuid() == 0 else {}
    done = run("tomoray-site", "start", "--settings", site, **options)
    (site.parent / "archive").chmod(0o700)
    _refused(done, ExitCode.ARCHIVE_UNREADABLE, "archive")


def test_an_unknown_key_in_a_study(run: Run, coordinator: Path, site: Path, study_file: Path) -> None:
    study_file.write_text(study_file.read_text() + "[optimization]\nsteps = 3\n")
    for name, settings in (("tomoray-coordinator", coordinator), ("tomoray-site", site)):
        _refused(run(name, "start", "--settings", settings), ExitCode.STUDY_INVALID, "unknown key 'optimization'")


def test_an_unknown_key_in_settings(run: Run, coordinator: Path, site: Path) -> None:
    for name, settings in (("tomoray-coordinator", coordinator), ("tomoray-site", site)):
        settings.write_text("speed = 3\n" + settings.read_text())
        _refused(run(name, "start", "--settings", settings), ExitCode.SETTINGS_INVALID, "unknown key 'speed'")


def test_a_port_in_use(run: Run, coordinator: Path) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        coordinator.write_text(coordinator.read_text().replace("18499", str(port)))
        _refused(run("tomoray-coordinator", "start", "--settings", coordinator), ExitCode.PORT_IN_USE, str(port))


def test_a_full_disk_at_the_checkpoint(run: Run, coordinator: Path, small_disk: Path) -> None:
    coordinator.write_text(coordinator.read_text().replace('run = "run"', f'run = "{small_disk}/run"'))
    done = run("tomoray-coordinator", "start", "--settings", coordinator)
    _refused(done, ExitCode.DISK_FULL, "no space left", "checkpoints")
    assert [path.name for path in (small_disk / "run" / "checkpoints").iterdir()] == []


def test_a_damaged_run_has_no_report(run: Run, tmp_path: Path) -> None:
    _refused(run("tomoray-report", tmp_path), ExitCode.RUN_INVALID)


def test_missing_real_heads(run: Run, tmp_path: Path, study_file: Path) -> None:
    done = run("tomoray-coordinator", "demo", "--ct", tmp_path, "--output", tmp_path / "demo", "--study", study_file)
    _refused(done, ExitCode.ARCHIVE_EMPTY)
    # The hospitals look for their heads side by side: whichever finds none first is named.
    assert re.search(r"no head with id 0[1236]\b", done.stderr)


def test_a_demo_does_not_replace_a_folder_that_is_none(run: Run, tmp_path: Path, study_file: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter1.txt").write_text("years of work")
    done = run("tomoray-coordinator", "demo", "--output", tmp_path / "thesis", "--study", study_file)
    _refused(done, ExitCode.SETTINGS_INVALID, "thesis")
    assert (tmp_path / "thesis" / "chapter1.txt").exists()
