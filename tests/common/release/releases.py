"""A release in a folder that tests tamper with and sign again."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import torch
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from common.errors import ExitCode
from common.exchange import CohortFlow, weights_sha256
from common.release import (
    CardMetric,
    CardSite,
    CentreFigures,
    Figure,
    HeldOutFigures,
    Interval95,
    NetworkCard,
    PooledFigure,
    ReleaseKey,
    release_key_of,
)
from common.release.checksums import LISTED_FILES, checksums_text
from common.release.ssh_signature import signature_of
from common.roles import Role
from common.study import Study


@dataclass(frozen=True)
class Signed:
    """A release in a folder, and all that it was made of."""

    folder: Path
    card: NetworkCard
    weights: dict[str, torch.Tensor]
    private: Ed25519PrivateKey

    @property
    def key(self) -> ReleaseKey:
        return release_key_of(self.private)

    def sign(self, *, first_line: str = "") -> None:
        """Sign what lies in the folder now, as a coordinator that is wrong or hostile could."""
        sums = {name: hashlib.sha256((self.folder / name).read_bytes()).hexdigest() for name in LISTED_FILES}
        text = checksums_text(sums)
        if first_line:
            text = first_line.encode() + text[text.index(b"\n") :]
        self.sign_list(text)

    def spoil(self, trouble: str) -> None:
        """One of :data:`RELEASE_TROUBLES`."""
        if trouble == "edited card":
            text = (self.folder / "card.json").read_text()
            (self.folder / "card.json").write_text(text.replace("Research.", "Everything."))
        elif trouble == "extra file":
            (self.folder / "run.sh").write_text("")
        elif trouble == "another format":
            self.sign(first_line="# tomoray network release, format 7")
        elif trouble == "another card":
            (self.folder / "card.json").write_text("{}")
            self.sign()
        else:
            assert trouble == "other weights"
            (self.folder / "generator.safetensors").write_bytes(b"\0" * 64)
            self.sign()

    def sign_list(self, text: bytes) -> None:
        (self.folder / "SHA256SUMS").write_bytes(text)
        (self.folder / "SHA256SUMS.sig").write_bytes(signature_of(text, self.private))


RELEASE_TROUBLES = {
    "edited card": ExitCode.RELEASE_DAMAGED,
    "extra file": ExitCode.RELEASE_DAMAGED,
    "another format": ExitCode.RELEASE_FORMAT_UNKNOWN,
    "another card": ExitCode.RELEASE_CARD_INVALID,
    "other weights": ExitCode.RELEASE_WEIGHTS_INVALID,
}


def card_for(study: Study, weights: dict[str, torch.Tensor]) -> NetworkCard:
    figure = Figure(
        method="generator", metric="psnr_db", cases=4, mean=20.0, sd=1.0, ci=Interval95(low=18.0, high=22.0)
    )
    pooled = PooledFigure(method="generator", metric="psnr_db", centres=1, cases=4, mean=20.0, sd=1.0)
    flow = CohortFlow(found=20, eligible=15, used=4, excluded={"coverage": 5})
    return NetworkCard(
        study=study,
        study_sha256=study.sha256,
        run="small-20260314-091502-a3f2",
        round=3,
        selection="Round 3, the last averaged.",
        generator_sha256=weights_sha256(weights),
        generator_average=True,
        generator_parameters=sum(tensor.numel() for tensor in weights.values()),
        sites=(
            CardSite(
                name="west", role=Role.EVALUATE, train_cases=0, evaluation_cases=4, flow=flow, contributed_rounds=0
            ),
        ),
        held_out=HeldOutFigures(
            centres=(CentreFigures(site="west", cases=4, reason="", figures=(figure,)),),
            pooled=(pooled,),
            over_centres=(),
        ),
        metrics=(
            CardMetric(name="psnr_db", label="PSNR", unit="dB", decimals=2, higher_is_better=True, definition="window"),
        ),
        intended_use=("Research.",),
        tested_for=("Computed radiographs.",),
        limits=("One geometry.",),
        trained_with="0.1.0",
        versions={"torch": "2.13.0"},
        bundle_sha256="b" * 64,
        made_with="0.1.0",
        made_on=date(2026, 3, 14),
    )
