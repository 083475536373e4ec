"""Nothing of a release is believed before its turn, and no folder ends in anything but a refusal of one line."""

from __future__ import annotations

import json
import os
import shutil
import stat
from pathlib import Path

import pytest
import torch
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from common.errors import ExitCode, Refusal
from common.files import write_tensors
from common.release import folder_reading as reading
from common.release import read_release, release_key_of
from common.spectrum import Spectrum
from common.study import Study
from tests.common.release.releases import Signed

FILES = ("SHA256SUMS", "SHA256SUMS.sig", "card.html", "card.json", "generator.safetensors")
IN_A_FOLDER = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


def refusal(signed: Signed, asked: Study | None = None) -> Refusal:
    with pytest.raises(Refusal) as caught:
        read_release(signed.folder, signed.key, asked)
    assert "\n" not in str(caught.value)
    return caught.value


def code(signed: Signed, asked: Study | None = None) -> ExitCode:
    return refusal(signed, asked).code


def test_a_sound_release_gives_its_card_and_weights_bit_for_bit(signed: Signed, study: Study) -> None:
    found = read_release(signed.folder, signed.key, study)
    assert found.card == signed.card
    assert all(torch.equal(found.weights[name], tensor) for name, tensor in signed.weights.items())


def test_another_key_is_refused_before_anything_else_is_read(signed: Signed) -> None:
    (signed.folder / "card.json").write_text("nothing to be believed")
    with pytest.raises(Refusal) as caught:
        read_release(signed.folder, release_key_of(Ed25519PrivateKey.generate()))
    assert caught.value.code is ExitCode.RELEASE_NOT_SIGNED
    assert signed.key.sha256 in caught.value.what


def test_nothing_is_opened_before_the_signature_holds(signed: Signed, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[object] = []
    monkeypatch.setattr(
        reading.os, "open", lambda path, *a, real=os.open, **k: (opened.append(path), real(path, *a, **k))[1]
    )
    with pytest.raises(Refusal):
        read_release(signed.folder, release_key_of(Ed25519PrivateKey.generate()))
    assert opened == [signed.folder, "SHA256SUMS", "SHA256SUMS.sig"]


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_missing_is_named(signed: Signed, name: str) -> None:
    (signed.folder / name).unlink()
    found = refusal(signed)
    assert found.code is ExitCode.RELEASE_DAMAGED
    assert (found.what, Path(found.where).name) == ("file is missing", name)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("kind", ["link", "folder", "pipe", "empty", "cut", "grown"])
def test_a_file_of_another_kind_or_length_is_refused(signed: Signed, name: str, kind: str, tmp_path: Path) -> None:
    path = signed.folder / name
    content = path.read_bytes()
    path.unlink()
    if kind == "link":
        (tmp_path / name).write_bytes(content)
        path.symlink_to(tmp_path / name)
    elif kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.write_bytes({"empty": b"", "cut": content[:-1], "grown": content + b"\0"}[kind])
    unsigned = name.startswith("SHA256SUMS") and kind in ("empty", "cut", "grown")
    assert code(signed) is (ExitCode.RELEASE_NOT_SIGNED if unsigned else ExitCode.RELEASE_DAMAGED)


@pytest.mark.parametrize(
    "name",
    ["extra.bin", ".hidden", "card.json~", "CARD.JSON", "line\nbreak", os.fsdecode(b"\xff\x1b[31m")],
    ids=["extra", "hidden", "backup", "capitals", "two lines", "no text"],
)
def test_whatever_else_lies_in_the_folder_is_refused(signed: Signed, name: str) -> None:
    (signed.folder / name).write_bytes(b"")
    found = refusal(signed)
    assert (found.code, "no file of a release" in found.what) == (ExitCode.RELEASE_DAMAGED, True)
    assert str(found).isprintable()


def test_a_folder_within_or_a_link_beside_is_refused(signed: Signed) -> None:
    (signed.folder / "more").mkdir()
    assert code(signed) is ExitCode.RELEASE_DAMAGED
    (signed.folder / "more").rmdir()
    (signed.folder / "more").symlink_to("/etc/passwd")
    assert code(signed) is ExitCode.RELEASE_DAMAGED


def test_a_signed_list_cannot_lead_out_of_the_folder(signed: Signed, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes((signed.folder / "card.json").read_bytes())
    text = (signed.folder / "SHA256SUMS").read_bytes()
    signed.sign_list(text.replace(b"card.json", b"../secret"))
    assert code(signed) is ExitCode.RELEASE_DAMAGED


@pytest.mark.parametrize("name", FILES)
def test_a_file_too_large_is_refused_unread(signed: Signed, name: str) -> None:
    os.truncate(signed.folder / name, 1 << 40)
    found = refusal(signed)
    assert (found.code, "larger than" in found.what) == (ExitCode.RELEASE_DAMAGED, True)


@IN_A_FOLDER
@given(data=st.data())
def test_any_byte_of_any_file_changed_is_refused(signed: Signed, data: st.DataObject) -> None:
    path = signed.folder / data.draw(st.sampled_from(FILES))
    content = path.read_bytes()
    changed = bytearray(content)
    changed[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    path.write_bytes(changed)
    try:
        assert code(signed) in (ExitCode.RELEASE_NOT_SIGNED, ExitCode.RELEASE_DAMAGED)
    finally:
        path.write_bytes(content)
    assert read_release(signed.folder, signed.key).card == signed.card


@IN_A_FOLDER
@given(data=st.data())
def test_any_file_cut_swapped_or_replaced_is_refused(signed: Signed, data: st.DataObject) -> None:
    name, other = (data.draw(st.sampled_from(FILES)) for _ in range(2))
    path = signed.folder / name
    content, given_ = path.read_bytes(), (signed.folder / other).read_bytes()
    cut = content[: data.draw(st.integers(0, len(content) - 1))]
    changed = data.draw(st.sampled_from([cut, cut + data.draw(st.binary(max_size=64)), given_]))
    path.write_bytes(changed)
    try:
        if changed != content:
            assert code(signed) in (ExitCode.RELEASE_NOT_SIGNED, ExitCode.RELEASE_DAMAGED)
    finally:
        path.write_bytes(content)


def test_an_edited_card_is_not_the_one_that_was_signed(signed: Signed) -> None:
    path = signed.folder / "card.json"
    path.write_bytes(path.read_bytes().replace(b'"round":3', b'"round":9'))
    found = refusal(signed)
    assert (found.code, found.what) == (ExitCode.RELEASE_DAMAGED, "not the file that was signed")


def test_a_signed_card_that_is_none_is_refused_as_a_card(signed: Signed) -> None:
    path = signed.folder / "card.json"
    for content in (b"", b"[]", b"\xff", b"{" * 10_000, path.read_bytes().replace(b'"round":3', b'"round": 3')):
        path.write_bytes(content)
        signed.sign()
        assert code(signed) is ExitCode.RELEASE_CARD_INVALID


def test_a_release_of_another_format_is_refused_by_its_number(signed: Signed) -> None:
    signed.sign(first_line="# tomoray network release, format 2")
    found = refusal(signed)
    assert found.code is ExitCode.RELEASE_FORMAT_UNKNOWN
    assert "format 2" in found.what


def test_signed_weights_of_another_network_are_refused_as_weights(signed: Signed) -> None:
    path = signed.folder / "generator.safetensors"
    for change in ({"renamed.weight": torch.zeros(3)}, {"extra": torch.zeros(1)}):
        weights = signed.weights | change if "extra" in change else change
        write_tensors(path, weights)
        signed.sign()
        assert code(signed) is ExitCode.RELEASE_WEIGHTS_INVALID
    write_tensors(path, {name: tensor.to(torch.float64) for name, tensor in signed.weights.items()})
    signed.sign()
    assert code(signed) is ExitCode.RELEASE_WEIGHTS_INVALID


def test_signed_weights_that_are_not_finite_are_refused(signed: Signed) -> None:
    name, tensor = next(iter(signed.weights.items()))
    spoilt = tensor.clone()
    spoilt.view(-1)[0] = torch.nan
    write_tensors(signed.folder / "generator.safetensors", signed.weights | {name: spoilt})
    signed.sign()
    assert code(signed) is ExitCode.RELEASE_WEIGHTS_INVALID


def test_a_card_of_other_weights_is_refused(signed: Signed) -> None:
    moved = {name: tensor + 1 for name, tensor in signed.weights.items()}
    write_tensors(signed.folder / "generator.safetensors", moved)
    signed.sign()
    found = refusal(signed)
    assert (found.code, "other weights" in found.what) == (ExitCode.RELEASE_CARD_INVALID, True)


def _asked(study: Study, section: str, **fields: object) -> Study:
    document = json.loads(study.canonical_json())
    document[section] = document[section] | fields
    return Study.model_validate_json(json.dumps(document))


def test_a_release_of_another_study_is_refused_by_what_differs(signed: Signed, study: Study) -> None:
    spectrum = Spectrum(kvp=75).model_dump()
    asked = {
        "geometry than asked for: pixel_mm 7.0 instead of 6.0": _asked(study, "geometry", pixel_mm=6.0),
        "spectrum than asked for: one states it": _asked(study, "radiograph", spectrum=spectrum),
        "grid than asked for: voxel_mm 7.0 instead of 6.5": _asked(study, "grid", voxel_mm=6.5),
        "HU window than asked for: high_hu 1500.0 instead of 2000.0": _asked(study, "window", high_hu=2000.0),
        "study than asked for: optimisation": _asked(study, "optimisation", seed=2**20),
    }
    for words, other in asked.items():
        found = refusal(signed, other)
        assert (found.code, words in found.what) == (ExitCode.RELEASE_OF_ANOTHER_STUDY, True), found


def test_what_is_no_folder_is_refused(tmp_path: Path, signed: Signed) -> None:
    shutil.move(signed.folder, tmp_path / "elsewhere")
    assert code(signed) is ExitCode.RELEASE_DAMAGED
    signed.folder.write_bytes(b"")
    assert code(signed) is ExitCode.RELEASE_DAMAGED
    assert stat.S_ISREG(signed.folder.stat().st_mode)
