"""A release appears whole or not at all, never over another, and the same makes the same bytes."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from common.errors import ExitCode, Refusal
from common.files import write_tensors
from common.release import NetworkCard, read_release, release_key_of, write_release
from tests.common.release.releases import Signed

Weights = dict[str, torch.Tensor]


def _bytes(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_the_same_release_twice_is_the_same_bytes(signed: Signed, tmp_path: Path) -> None:
    again = tmp_path / "again"
    write_release(again, signed.card, "<!doctype html><title>card</title>\n", signed.weights, signed.private)
    assert _bytes(again) == _bytes(signed.folder)
    assert {path.stat().st_mode & 0o777 for path in again.iterdir()} == {0o644}


@pytest.mark.parametrize("kind", ["folder", "file", "dangling link"])
def test_what_exists_is_refused_and_left_alone(
    tmp_path: Path, card: NetworkCard, weights: Weights, private: Ed25519PrivateKey, kind: str
) -> None:
    place = tmp_path / "taken"
    if kind == "folder":
        place.mkdir()
    elif kind == "file":
        place.write_text("kept")
    else:
        place.symlink_to(tmp_path / "nowhere")
    with pytest.raises(Refusal) as caught:
        write_release(place, card, "", weights, private)
    assert caught.value.code is ExitCode.USAGE
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


@pytest.mark.parametrize("after", range(14))
def test_a_disk_that_fails_at_any_moment_leaves_nothing(
    tmp_path: Path,
    card: NetworkCard,
    weights: Weights,
    private: Ed25519PrivateKey,
    monkeypatch: pytest.MonkeyPatch,
    after: int,
) -> None:
    calls = iter(range(100))

    def full(descriptor: int, real=os.fsync) -> None:
        if next(calls) >= after:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    folder = tmp_path / "release"
    try:
        write_release(folder, card, "page", weights, private)
    except Refusal as refusal:
        assert refusal.code is ExitCode.DISK_FULL
        # The last sync comes after the rename: what is then there is whole.
        if folder.exists():
            read_release(folder, release_key_of(private))
        assert [path.name for path in tmp_path.iterdir()] in ([], ["release"])
    else:
        assert after >= 12


@pytest.mark.parametrize("small_disk", [64, 320], indirect=True)
def test_a_full_disk_leaves_nothing(
    small_disk: Path, card: NetworkCard, weights: Weights, private: Ed25519PrivateKey
) -> None:
    with pytest.raises(Refusal) as caught:
        write_release(small_disk / "release", card, "page" * 20_000, weights, private)
    assert caught.value.code is ExitCode.DISK_FULL
    assert list(small_disk.iterdir()) == []


def test_a_release_that_would_not_verify_is_not_made(
    tmp_path: Path, card: NetworkCard, weights: Weights, private: Ed25519PrivateKey
) -> None:
    moved = {name: tensor + 1 for name, tensor in weights.items()}
    with pytest.raises(Refusal, match="other weights"):
        write_release(tmp_path / "release", card, "page", moved, private)
    assert list(tmp_path.iterdir()) == []


KILLED = """
import os, signal, sys
from pathlib import Path
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from common.files import read_tensors
from common.release import NetworkCard, write_release
folder = Path(sys.argv[1])
card = NetworkCard.from_bytes((folder / "in.json").read_bytes(), "card")
os.fsync = lambda _: os.kill(os.getpid(), signal.SIGKILL) if next(calls) == int(sys.argv[2]) else None
calls = iter(range(100))
key = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
write_release(folder / "release", card, "page", read_tensors(folder / "in.safetensors"), key)
"""


@pytest.mark.parametrize("after", [0, 5, 9])
def test_a_kill_leaves_no_release_and_the_next_attempt_makes_it(
    tmp_path: Path, card: NetworkCard, weights: Weights, private: Ed25519PrivateKey, after: int
) -> None:
    (tmp_path / "in.json").write_bytes(card.canonical_bytes())
    write_tensors(tmp_path / "in.safetensors", weights)
    done = subprocess.run([sys.executable, "-c", KILLED, tmp_path, str(after)], check=False, timeout=120)
    assert done.returncode == -signal.SIGKILL
    assert not (tmp_path / "release").exists()
    assert (tmp_path / ".release.tmp").is_dir()
    write_release(tmp_path / "release", card, "page", weights, private)
    assert read_release(tmp_path / "release", release_key_of(private)).card == card
    assert not (tmp_path / ".release.tmp").exists()
