"""What might keep a card busier in a training step, each tried alone and beside the step as it is."""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, Self, final
from unittest import mock

import torch
from torch import Tensor

from benchmarks.gpu.card import Card
from benchmarks.gpu.outcome import Outcome
from benchmarks.gpu.studies import procedural_case, shipped
from benchmarks.gpu.tiles import whole_tiles
from client.learning import Batch, Players, Samples, muon
from common.study import Study

PROTOCOL = (
    "configs/cranial-drr-128.toml, bfloat16, batch of two, both players stepping, every widening switched on. Time "
    "of a step that follows another, the card waited for after the last."
)
AS_IT_IS = "as it is"
STEPS, WARM_STEPS = 12, 4

Change = Callable[[], contextlib.AbstractContextManager[object]]


@final
class Ahead:
    """Batches that a thread of its own draws while the card works on others, on a stream of its own.

    Args:
        samples: where they come from; read by that thread alone.
        card: where they lie.
    """

    def __init__(self, samples: Iterator[Batch], card: Card) -> None:
        self._samples = samples
        self._card = card
        self._drawn: queue.Queue[tuple[Batch, torch.cuda.Event | None]] = queue.Queue(1)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._draw, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        while self._thread.is_alive():
            with contextlib.suppress(queue.Empty):
                self._drawn.get(timeout=0.05)

    def __iter__(self) -> Iterator[Batch]:
        while True:
            batch, ready = self._drawn.get()
            if ready is not None:
                now = torch.cuda.current_stream(self._card.device)
                now.wait_event(ready)
                for tensor in (batch.target, batch.integrals):
                    # Its memory belongs to the other stream, which must not take it back too soon.
                    tensor.record_stream(now)
            yield batch

    def _draw(self) -> None:
        on_card = self._card.device.type == "cuda"
        with _own_stream(self._card) if on_card else contextlib.nullcontext():
            while not self._ended.is_set():
                batch = next(self._samples)
                ready = torch.cuda.current_stream(self._card.device).record_event() if on_card else None
                self._drawn.put((batch, ready))


def measure(card: Card, *, tiny: bool) -> Outcome:
    """Every change alone, and all that keep the result together."""
    study = shipped(tiny=tiny, widened=True, mixed_precision=True)
    steps = 2 if tiny else STEPS
    figures: dict[str, Any] = {}
    changes: dict[str, Change] = {
        AS_IT_IS: contextlib.nullcontext,
        "whole tiles": whole_tiles,
        "cudnn.benchmark": lambda: torch.backends.cudnn.flags(enabled=True, benchmark=True, allow_tf32=True),
        "without Muon's iterations": lambda: mock.patch.object(muon, "orthogonalised", _same),
    }
    for name, change in changes.items():
        with change():
            figures[name] = {"step_ms": step_ms(study, card, steps)}
    figures["drawn ahead"] = {"step_ms": step_ms(study, card, steps, ahead=True)}
    with whole_tiles():
        figures["whole tiles, drawn ahead"] = {"step_ms": step_ms(study, card, steps, ahead=True)}
    return Outcome(PROTOCOL, figures)


def step_ms(study: Study, card: Card, steps: int, *, ahead: bool = False) -> float:
    """Mean time of a step among others, in ms."""
    players = Players(study, card.device)
    samples = iter(Samples(study, [procedural_case(study, number) for number in (1, 2)], 1, card.device))
    with contextlib.ExitStack() as stack:
        batches = iter(stack.enter_context(Ahead(samples, card))) if ahead else samples
        for number in range(WARM_STEPS):
            players.step(next(batches), number)
        card.wait()
        start = time.perf_counter()
        for number in range(steps):
            players.step(next(batches), number)
        card.wait()
        return (time.perf_counter() - start) / steps * 1e3


def _own_stream(card: Card) -> contextlib.AbstractContextManager[object]:
    stream = torch.cuda.Stream(card.device)  # type: ignore[no-untyped-call]
    return torch.cuda.stream(stream)


def _same(matrix: Tensor) -> Tensor:
    return matrix
