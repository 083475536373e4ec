"""From a run's folder to a signed release of one of its rounds."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import ValidationError

from common.averaging import AVERAGED_GENERATOR, released
from common.documents import first_fault
from common.errors import ExitCode, Refusal
from common.exchange import Weights, weights_sha256
from common.release import write_release
from server.release.card_making import Facts, card_of
from server.release.page import card_page
from server.report import RecordedRun, read_run
from server.rounds import RoundRecord, RunDirectory


@final
@dataclass(frozen=True)
class _Generator:
    """A round's generator as its checkpoint holds it, and whether that is the running average."""

    weights: Weights
    is_average: bool


def make_release(
    run: Path,
    folder: Path | None,
    key: Ed25519PrivateKey,
    made_on: date,
    *,
    number: int | None = None,
    reprojection_limit: float | None = None,
) -> Path:
    """Write the release of a round; the same run, key and date give the same bytes.

    Args:
        run: a run's folder.
        folder: the release; ``releases/round-000012`` in the run's folder if not given. It must not exist.
        key: the coordinator's signing key.
        made_on: the date that the card bears, UTC.
        number: the round; the last one averaged if not given.
        reprojection_limit: goes to the card; see :class:`common.release.NetworkCard`.

    Returns:
        The release.

    Raises:
        Refusal: ``RUN_INVALID`` if there is no readable run, no averaged round, or a checkpoint that is not what the
            round's record names; ``USAGE`` for a round whose checkpoint is not kept, a limit that is not above 0, or a
            folder that exists;
            ``DISK_FULL`` or ``DISK_UNWRITABLE``.
    """
    if reprojection_limit is not None and not 0 < reprojection_limit < math.inf:
        mend = "name a number above 0, or leave the limit out"
        raise Refusal(ExitCode.USAGE, "no re-projection error", where="--reprojection-limit", mend=mend)
    recorded = read_run(run)
    record = _chosen(recorded, number, run)
    generator = _generator(run, record)
    facts = Facts(is_average=generator.is_average, made_on=made_on, reprojection_limit=reprojection_limit)
    try:
        card = card_of(recorded, record, facts)
    except ValidationError as error:
        raise first_fault(error, f"{run}, for the card", ExitCode.RUN_INVALID) from error
    place = folder or run / "releases" / f"round-{record.round:06d}"
    write_release(place, card, card_page(card), generator.weights, key)
    return place


def _chosen(recorded: RecordedRun, number: int | None, run: Path) -> RoundRecord:
    averaged = {record.round: record for record in recorded.rounds if record.aggregated}
    if not averaged:
        mend = "wait for the run's first averaged round"
        raise Refusal(ExitCode.RUN_INVALID, "no round has been averaged yet", where=str(run), mend=mend)
    if number is not None and number not in averaged:
        mend = f"name one of the run's averaged rounds, {min(averaged)} to {max(averaged)}"
        raise Refusal(ExitCode.USAGE, f"no averaged round {number} on record", where="--round", mend=mend)
    return averaged[max(averaged) if number is None else number]


def _generator(run: Path, record: RoundRecord) -> _Generator:
    directory = RunDirectory(run)
    kept = [str(number) for number in directory.checkpoints() if number > 0]
    if str(record.round) not in kept:
        mend = f"name a round whose checkpoint is kept: {', '.join(kept) or 'none is'}"
        raise Refusal(ExitCode.USAGE, f"checkpoint of round {record.round} is not kept", where="--round", mend=mend)
    checkpoint, _ = directory.read_checkpoint(record.round)
    weights = released(checkpoint)
    if weights_sha256(weights) != record.generator_sha256:
        mend = "restore the run's folder from a copy, or release another round"
        what = "checkpoint holds another generator than the round's record names"
        raise Refusal(ExitCode.RUN_INVALID, what, where=f"{run}, round {record.round}", mend=mend)
    return _Generator(weights, AVERAGED_GENERATOR in checkpoint)
