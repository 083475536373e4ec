"""A signed release of a tiny network with its key, and two films of one head, in a folder of a test's own."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from client.cli import main
from common.exchange import weights_of
from common.networks import build_generator
from common.release import NetworkCard, release_key_of, write_release
from common.study import Study
from tests.client.radiographs.films import FilmWriter, frontal, lateral
from tests.common.release.releases import Signed, card_for


@dataclass(frozen=True)
class Desk:
    """Where one person works: release, key, films, and an output folder that is not there yet."""

    folder: Path
    signed: Signed

    @property
    def out(self) -> Path:
        return self.folder / "out"

    def film(self, name: str, writer: FilmWriter) -> Path:
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        return writer.write(path)

    @property
    def pair(self) -> tuple[Path, Path]:
        return self.film("a.dcm", frontal()), self.film("b.dcm", lateral())

    def arguments(self, *films: Path, options: tuple[object, ...] = ()) -> list[str]:
        known = ("--model", self.signed.folder, "--key", self.folder / "release.pub", "--out", self.out)
        return [str(part) for part in ("synthesize", *films, *known, *options)]

    def end(self, monkeypatch: pytest.MonkeyPatch, *films: Path, options: tuple[object, ...] = ()) -> int:
        """The exit code of ``tomoray-site synthesize``."""
        monkeypatch.setattr(sys, "argv", ["tomoray-site", *self.arguments(*films, options=options)])
        with pytest.raises(SystemExit) as caught:
            main()
        return int(caught.value.code or 0)


def desk_of(folder: Path, study: Study, **card_fields: object) -> Desk:
    """A desk with a release of a generator of this study that was never trained."""
    private, weights = Ed25519PrivateKey.generate(), weights_of(build_generator(study))
    card = NetworkCard.model_validate(card_for(study, weights).model_dump() | card_fields)
    write_release(folder / "release", card, "page", weights, private)
    (folder / "release.pub").write_text(f"{release_key_of(private).openssh} coordinator\n")
    return Desk(folder, Signed(folder / "release", card, weights, private))
