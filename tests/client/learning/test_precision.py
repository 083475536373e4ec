from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from client.case import Case
from client.learning import LocalTrainer, players
from client.learning.precision import bfloat16_is_fast, network_dtype
from common.exchange import weights_of
from common.networks import build_discriminator, build_generator
from common.study import Study

Tiny = Callable[..., Study]
CPU, CUDA = torch.device("cpu"), torch.device("cuda")


@pytest.mark.parametrize(
    ("device", "cpu", "fast"),
    [
        (CPU, {"avx2": True}, False),
        (CPU, {"avx512_f": True, "amx_bf16": False}, False),
        (CPU, {"amx_bf16": True}, True),
        (CPU, {"avx512_bf16": True}, True),
        (CPU, {}, False),
        (CUDA, {}, True),
        (torch.device("mps"), {"amx_bf16": True}, False),
    ],
)
def test_bfloat16_is_fast_on_gpus_and_on_cpus_that_multiply_it(
    device: torch.device, cpu: dict[str, object], fast: bool
) -> None:
    assert bfloat16_is_fast(device, cpu) is fast


def test_float32_unless_the_study_allows_less(tiny: Tiny) -> None:
    assert network_dtype(tiny(), CUDA) is torch.float32
    assert network_dtype(tiny(mixed_precision=True), CUDA) is torch.bfloat16


def test_a_step_in_bfloat16_learns_like_one_in_float32(
    tiny: Tiny, make_cases: Callable[..., list[Case]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = tiny(steps_per_round=1, batch_size=1, adversarial_from_step=0)
    cases = make_cases(study, 1)
    start = weights_of(build_generator(study)), weights_of(build_discriminator(study))
    exact = LocalTrainer(study, cases, tmp_path / "a", CPU).train_round(1, *start)
    monkeypatch.setattr(players, "network_dtype", lambda *_: torch.bfloat16)
    rounded = LocalTrainer(study, cases, tmp_path / "b", CPU).train_round(1, *start)
    assert rounded.losses != exact.losses
    assert rounded.losses.generator == pytest.approx(exact.losses.generator, rel=0.02)
    assert all(tensor.dtype is torch.float32 for tensor in rounded.generator.values())
