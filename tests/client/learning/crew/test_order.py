from __future__ import annotations

import stat
from collections.abc import Callable
from pathlib import Path

import torch

from client.learning.crew.order import Complaint, CrewOrder
from common.errors import ExitCode, Refusal
from common.study import Study


def order_of(study: Study) -> CrewOrder:
    return CrewOrder(
        study=study,
        cases=(Path("/cases/b ä.safetensors"), Path("/cases/a.safetensors")),
        state=Path("/state"),
        round=3,
        device="cuda",
        count=2,
        threads=1,
        answer_seconds=0.1,
    )


def test_an_order_is_read_as_it_was_written_and_its_study_keeps_its_identity(
    tiny: Callable[..., Study], tmp_path: Path
) -> None:
    order = order_of(tiny(gradient_clip=1 / 3))
    order.write(tmp_path, {"a": torch.ones(2)}, None)
    read, weights = CrewOrder.read(tmp_path)
    assert read == order
    assert read.study.sha256 == order.study.sha256
    assert list(weights) == ["generator"] and torch.equal(weights["generator"]["a"], torch.ones(2))
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o600}


def test_each_rank_has_a_gpu_of_its_own_and_cpus_are_shared(tiny: Callable[..., Study]) -> None:
    order = order_of(tiny())
    assert [order.device_of(rank) for rank in range(2)] == [torch.device("cuda", 0), torch.device("cuda", 1)]
    assert order.model_copy(update={"device": "cpu"}).device_of(1) == torch.device("cpu")


def test_a_complaint_is_the_refusal_it_was_and_a_damaged_one_is_none(tmp_path: Path) -> None:
    refusal = Refusal(ExitCode.RUN_INVALID, "what", where="where", mend="mend")
    Complaint.of(refusal).write(tmp_path, 1)
    assert str(Complaint.read(tmp_path, 1)) == str(refusal)
    assert Complaint.read(tmp_path, 2) is None
    next(tmp_path.iterdir()).write_text("{}")
    assert Complaint.read(tmp_path, 1) is None
