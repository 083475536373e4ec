from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch

from client.learning import ranks
from client.learning.ranks import Ranks
from client.learning.samples import Batch
from common.errors import ExitCode, Refusal
from common.files import read_tensors

PROCESS = Path(__file__).with_name("rank_process.py")


@pytest.fixture(scope="module")
def rank_process() -> ModuleType:
    spec = importlib.util.spec_from_file_location("rank_process", PROCESS)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What two processes leave that train together over loopback."""
    folder = tmp_path_factory.mktemp("ranks")
    processes = [subprocess.Popen([sys.executable, str(PROCESS), str(folder), str(rank), "2"]) for rank in range(2)]
    try:
        assert [process.wait(timeout=200) for process in processes] == [0, 0]
    finally:
        for process in processes:
            process.kill()
            process.wait()
    return folder


@pytest.mark.processes
def test_two_halves_of_a_batch_give_the_whole_batchs_gradients(trained: Path, rank_process: ModuleType) -> None:
    whole = rank_process.gradients(None)
    for rank in range(2):
        halves = read_tensors(trained / f"gradients-{rank}.safetensors")
        assert set(halves) == set(whole)
        for name, gradient in whole.items():
            assert torch.allclose(halves[name], gradient, rtol=1e-3, atol=2e-6), name


@pytest.mark.processes
def test_both_processes_end_a_run_with_the_same_bits_and_keep_moments_once(trained: Path) -> None:
    ours, theirs = (read_tensors(trained / f"trained-{rank}.safetensors") for rank in range(2))
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    names = sorted(path.name for path in (trained / "state").iterdir())
    assert names == ["round-000001.safetensors", "round-000002.safetensors"]


@pytest.mark.parametrize(
    ("device", "gpus", "backend"),
    [("cpu", 0, "gloo"), ("cuda", 2, "cpu:gloo,cuda:nccl"), ("cuda", 1, "cpu:gloo,cuda:gloo")],
)
def test_processes_that_share_a_gpu_leave_nccl_out(
    monkeypatch: pytest.MonkeyPatch, device: str, gpus: int, backend: str
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    assert ranks._backend(torch.device(device), 2) == backend


def test_each_process_takes_other_cases() -> None:
    batch = Batch(torch.arange(4.0), 10 * torch.arange(4.0))
    shares = [Ranks(rank, 2).share(batch) for rank in range(2)]
    assert [share.target.tolist() for share in shares] == [[0, 2], [1, 3]]
    assert [share.integrals.tolist() for share in shares] == [[0, 20], [10, 30]]


def test_a_batch_that_does_not_divide_is_refused() -> None:
    with pytest.raises(Refusal, match=r"optimisation\.batch_size") as refusal:
        Ranks(0, 2).share(Batch(torch.zeros(3), torch.zeros(3)))
    assert refusal.value.code is ExitCode.STUDY_INVALID
