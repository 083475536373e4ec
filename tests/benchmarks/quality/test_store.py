from __future__ import annotations

from pathlib import Path

import pytest
import torch

from benchmarks.quality import store as store_module
from benchmarks.quality.store import Store, code_sha256


def test_tensors_are_made_once_for_a_key(tmp_path: Path) -> None:
    made: list[int] = []

    def make() -> dict[str, torch.Tensor]:
        made.append(1)
        return {"hu": torch.full((2,), float(len(made)))}

    store = Store(tmp_path / "kept")
    first = store.tensors("heads", {"person": "01"}, make)
    again = Store(tmp_path / "kept").tensors("heads", {"person": "01"}, make)
    other = store.tensors("heads", {"person": "02"}, make)
    assert torch.equal(first["hu"], again["hu"])
    assert not torch.equal(first["hu"], other["hu"])
    assert len(made) == 2


def test_a_record_is_found_by_equal_keys_alone(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.keep_record("results", {"method": "ridge", "seed": 1}, {"psnr_db": 25.0})
    found = store.find_record("results", {"seed": 1, "method": "ridge"})
    assert found is not None
    assert found["psnr_db"] == 25.0
    assert store.find_record("results", {"method": "ridge", "seed": 2}) is None
    assert store.find_tensors("results", {"method": "ridge", "seed": 1}) is None


def test_records_apart_from_tensors_outlive_them(tmp_path: Path) -> None:
    kept, key = tmp_path / "kept", {"method": "ridge"}
    store = Store(kept / "tensors", kept / "records")
    store.keep_tensors("results", key, {"hu": torch.zeros(2)})
    store.keep_record("results", key, {"psnr_db": 25.0})
    assert not list((kept / "records").rglob("*.safetensors"))
    assert not list((kept / "tensors").rglob("*.json"))
    elsewhere = Store(tmp_path / "elsewhere", kept / "records")
    assert elsewhere.find_record("results", key) is not None
    assert elsewhere.find_tensors("results", key) is None


def test_nothing_is_found_that_followed_from_other_data(tmp_path: Path) -> None:
    key = {"method": "ridge"}
    store = Store(tmp_path, source="these heads")
    store.keep_record("results", key, {"psnr_db": 25.0})
    store.keep_tensors("weights", key, {"w": torch.zeros(2)})
    other = Store(tmp_path, source="other heads")
    assert other.find_record("results", key) is None
    assert other.find_tensors("weights", key) is None
    again = Store(tmp_path, source="these heads").find_record("results", key)
    assert again is not None
    assert again["key"] == {"method": "ridge", "source": "these heads"}


def test_the_hash_of_code_follows_contents_and_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "ROOT", tmp_path)
    (tmp_path / "wing").mkdir()
    (tmp_path / "wing" / "a.py").write_text("x = 1\n")
    before = code_sha256(("wing",))
    assert code_sha256(("wing", "wing")) != before
    (tmp_path / "wing" / "notes.md").write_text("no code")
    assert code_sha256(("wing",)) == before
    (tmp_path / "wing" / "a.py").rename(tmp_path / "wing" / "b.py")
    renamed = code_sha256(("wing",))
    (tmp_path / "wing" / "b.py").write_text("x = 2\n")
    assert len({before, renamed, code_sha256(("wing",))}) == 3
