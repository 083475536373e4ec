from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import typer

from benchmarks.quality import methods
from benchmarks.quality.cohort import Fold
from benchmarks.quality.lesions import Shown
from benchmarks.quality.methods import ORACLES, Runner
from benchmarks.quality.record_keys import key_now
from benchmarks.quality.rename import OLDER, RECORDS, RENAMED, SAME, TAKEN, UNKNOWN, read_records, rename, rename_all
from benchmarks.quality.store import ROOT, Store, record_name

SOURCE = "these heads"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "tensors", tmp_path / "records", source=SOURCE)


def without_source(key: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in key.items() if name != "source"}


def test_the_tool_asks_for_the_keys_that_the_benchmark_keeps_by(
    fold: Fold, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner = Runner(fold, store, 1, 5.0, lambda _: None)
    runner.result("mean volume")
    monkeypatch.setattr(methods.lesions, "shown_by", lambda *_: [Shown(4.0, 30.0, 3.0, 0.5)])
    monkeypatch.setattr(methods.oracle, "shown_by", lambda *_, photons: [Shown(4.0, 30.0, 3.0, 0.5)])
    for name in ("mean volume", *ORACLES):
        runner.findings(name, "bleed", lambda head_hu: [(4.0, head_hu)])
    records = read_records(tmp_path / "records")
    assert [record.kind for record in records] == ["findings"] * 3 + ["results"]
    assert [key_now(record.kind, record.key) for record in records] == [without_source(r.key) for r in records]
    assert [record.path.name for record in records] == [record_name(record.key) for record in records]


def test_seed_and_budget_of_a_training_belong_to_its_key() -> None:
    asked = {"method": "lifting", "person": "01", "seed": 2, "budget_s": 50.0}
    key = key_now("results", asked)
    assert key is not None
    assert asked.items() <= key.items()
    assert key_now("results", asked | {"method": "given up"}) is None
    assert key_now("results", asked | {"person": "99"}) is None
    assert key_now("results", asked | {"method": "local only, site 01"}) is None


def test_a_record_keeps_its_figures_and_gets_the_new_key(store: Store, tmp_path: Path) -> None:
    old, new = {"method": "ridge", "code": "a"}, {"method": "ridge", "code": "b"}
    store.keep_record("results", old, {"psnr_db": 25.0})
    records = read_records(tmp_path / "records")
    assert [became for _, became in rename(records, [old], [new], dry_run=True)] == [RENAMED]
    assert store.find_record("results", old) is not None
    assert [became for _, became in rename(records, [old], [new])] == [RENAMED]
    assert store.find_record("results", old) is None
    assert store.find_record("results", new) == {"key": new | {"source": SOURCE}, "psnr_db": 25.0}
    again = read_records(tmp_path / "records")
    assert [became for _, became in rename(again, [old], [new])] == [SAME]


def test_what_has_no_counterpart_stays_as_it_is(store: Store, tmp_path: Path) -> None:
    key, other = {"method": "ridge", "code": "a"}, {"method": "ridge", "code": "b"}
    store.keep_record("results", key, {"psnr_db": 25.0})
    before = next((tmp_path / "records").rglob("*.json")).read_bytes()
    records = read_records(tmp_path / "records")
    assert rename(records, [other], [{"code": "c"}])[0][1] == OLDER
    assert rename(records, [None], [{"code": "c"}])[0][1] == OLDER
    assert rename(records, [key], [None])[0][1] == UNKNOWN
    store.keep_record("results", other, {"psnr_db": 26.0})
    assert rename(records, [key], [other])[0][1] == TAKEN
    assert records[0].path.read_bytes() == before


def test_a_whole_repository_is_renamed_once(tmp_path: Path) -> None:
    """A wording changes in code that heads follow from; only what followed from the revision before is renamed."""
    for name in ("benchmarks", "client", "common", "configs", "server"):
        left_out = shutil.ignore_patterns("__pycache__", "results", "*.html.j2")
        shutil.copytree(ROOT / name, tmp_path / name, ignore=left_out)
    git(tmp_path, "init", "--quiet")
    keep(tmp_path, {"method": "ridge", "person": "01"})
    keep(tmp_path, {"method": "ridge", "person": "02", "code": "of long ago"})
    git(tmp_path, "add", "--all")
    git(tmp_path, "commit", "--quiet", "--message", "records")
    with (tmp_path / "client" / "case" / "body.py").open("a", encoding="utf-8") as file:
        file.write("# a wording\n")
    assert {record.key["person"]: became for record, became in rename_all(tmp_path, "HEAD")} == {
        "01": RENAMED,
        "02": OLDER,
    }
    staged = git(tmp_path, "diff", "--cached", "--name-status", "--find-renames=50%").split()
    assert staged[0].startswith("R")
    assert sorted(became for _, became in rename_all(tmp_path, "HEAD")) == sorted([SAME, OLDER])
    with pytest.raises(typer.BadParameter, match="no revision nowhere"):
        rename_all(tmp_path, "nowhere")


def keep(root: Path, asked: dict[str, Any]) -> None:
    """Write a record as this tree's code keeps it, or with the code's hash that is asked for."""
    key = (key_now("results", asked) or {}) | asked
    poses = [{"psnr_db": 25.0 + number, "ssim": 0.8} for number in range(4)]
    Store(root / "tensors", root / RECORDS, source=SOURCE).keep_record("results", key, {"poses": poses})


def git(root: Path, *arguments: str) -> str:
    who = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    done = subprocess.run(["git", *who, *arguments], cwd=root, check=True, stdout=subprocess.PIPE, text=True)
    return done.stdout


def test_published_records_are_readable_and_named_by_their_keys() -> None:
    records = read_records(ROOT / RECORDS)
    assert len(records) > 0
    for record in records:
        assert record.path.name == record_name(record.key), record.told
        assert json.loads(record.path.read_text(encoding="utf-8")) == record.content
