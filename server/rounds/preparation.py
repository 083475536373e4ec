"""A new run, or an unfinished one taken up again."""

from __future__ import annotations

import importlib.metadata
import platform
import secrets
from datetime import UTC, datetime

import torch

from common.errors import ExitCode, Refusal
from common.exchange import build_network, networks_that_travel, on_the_wire, weights_of
from common.study import Study
from common.trust import BUNDLE_SHA256, RELEASE
from server.rounds.record import RunRecord
from server.rounds.run_directory import RunDirectory

_DISTRIBUTIONS = ("flwr", "torch", "monai", "numpy", "pydicom", "SimpleITK", "scipy", "safetensors")


def prepare_run(study: Study, directory: RunDirectory) -> RunRecord:
    """The run's record; a new run also gets its initial weights, drawn from the study's seed.

    Raises:
        Refusal: ``RUN_INVALID`` if the folder holds a run of another study or release.
    """
    record = directory.run_record()
    if record is None:
        record = _new_record(study)
        directory.write_run_record(record)
    elif (record.study_sha256, record.bundle_sha256) != (study.sha256, BUNDLE_SHA256):
        mend = "name another run folder, or the study and release this run was started with"
        where = str(directory.path)
        raise Refusal(ExitCode.RUN_INVALID, "folder holds a run of another study or release", where=where, mend=mend)
    if directory.latest_checkpoint() is None:
        directory.write_checkpoint(0, on_the_wire(study, _initial_weights(study)), ())
    return record


def _new_record(study: Study) -> RunRecord:
    now = datetime.now(UTC)
    versions = {name: importlib.metadata.version(name) for name in _DISTRIBUTIONS}
    return RunRecord(
        run=f"{study.name}-{now:%Y%m%d-%H%M%S}-{secrets.token_hex(2)}",
        study_json=study.canonical_json(),
        study_sha256=study.sha256,
        bundle_sha256=BUNDLE_SHA256,
        release=RELEASE,
        versions={"python": platform.python_version(), **versions},
        started_at=now.isoformat(timespec="seconds"),
        sites=(),
        generator_parameters=_parameters(study, "generator"),
        discriminator_parameters=_parameters(study, "discriminator"),
    )


def _initial_weights(study: Study) -> dict[str, dict[str, torch.Tensor]]:
    weights: dict[str, dict[str, torch.Tensor]] = {}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(study.optimisation.seed)
        for network in networks_that_travel(study):
            weights[network] = weights_of(build_network(study, network))
    return weights


def _parameters(study: Study, network: str) -> int:
    return sum(parameter.numel() for parameter in build_network(study, network).parameters())
