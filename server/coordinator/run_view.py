"""What a terminal shows of a run: rounds, sites, steps, losses, held-out PSNR and SSIM; plain lines elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self, final

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from common.progress import Phase, ProgressFile
from server.rounds import Event, follow

SHOWN_PROBLEMS = 3


@dataclass
class _SiteLine:
    role: str = ""
    cases: int = 0
    last: str = ""


@dataclass
class _Scene:
    """What the events so far add up to."""

    round: int = 0
    rounds: int = 0
    state: str = "starting"
    sites: dict[str, _SiteLine] = field(default_factory=dict)
    held_out: list[tuple[int, str, float, float]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def take(self, event: Event) -> str:
        """Take an event in; the line a plain terminal prints for it, or nothing."""
        self.round, self.rounds = event.round or self.round, event.rounds or self.rounds
        line = self.sites.setdefault(event.site, _SiteLine()) if event.site else _SiteLine()
        head = f"round {event.round}/{self.rounds}"
        match event.kind:
            case "waiting":
                self.state = f"waiting for {event.detail}"
                return self.state
            case "registered":
                line.role, line.cases = event.detail, int(event.values.get("cases", 0))
                return f"{event.site} registered: {line.role}, {line.cases} cases"
            case "round_started":
                self.state = "training"
            case "trained":
                line.last = _losses(event)
                return f"{head} {event.site} trained: {line.last}"
            case "aggregated":
                self.state = "evaluating"
            case "evaluated":
                return self._evaluated(event, line, head)
            case "round_ended":
                return f"{head} done in {event.values['seconds']:.1f} s"
            case "finished":
                self.state = "finished"
            case "flagged":
                self.problems.append(f"{event.site}: {event.detail}")
                return f"{head} {event.site} flagged: {event.detail}"
            case "problem":
                self.problems.append(f"{event.site or 'run'}: {event.detail}")
                return f"problem at {self.problems[-1]}"
        return ""

    def _evaluated(self, event: Event, line: _SiteLine, head: str) -> str:
        psnr_db, ssim = event.values.get("generator.psnr_db"), event.values.get("generator.ssim")
        if psnr_db is None or ssim is None:
            line.last = "suppressed: too few cases"
        else:
            line.last = f"{psnr_db:.2f} dB  SSIM {ssim:.3f}"
            if line.role == "evaluate":
                self.held_out.append((event.round, event.site, psnr_db, ssim))
        return f"{head} {event.site} evaluated: {line.last}"


def _losses(event: Event) -> str:
    """Losses of G and, once it plays, of D."""
    discriminator = event.values.get("discriminator")
    return f"G {event.values['generator']:.4f}" + ("" if discriminator is None else f"  D {discriminator:.4f}")


@final
class RunView:
    """Shows a run's events as they come; a context manager.

    Args:
        events: the run's ``events.jsonl``.
        site_progress: progress files of sites on this machine, by name.
    """

    def __init__(
        self, events: Path, site_progress: Mapping[str, ProgressFile] | None = None, *, console: Console | None = None
    ) -> None:
        self._events = events
        self._offset = events.stat().st_size if events.exists() else 0
        self._site_progress = dict(site_progress or {})
        self._console = console or Console()
        self._scene = _Scene()
        self._live = Live(console=self._console, refresh_per_second=4, transient=False)

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._console.is_terminal:
            self._live.stop()

    def refresh(self) -> None:
        """Read new events and draw."""
        events, self._offset = follow(self._events, self._offset)
        lines = [self._scene.take(event) for event in events]
        if self._console.is_terminal:
            self._live.update(self._picture())
            return
        for line in filter(None, lines):
            self._console.print(line, markup=False, highlight=False, soft_wrap=True)

    def _picture(self) -> Group:
        scene = self._scene
        done = f"round {scene.round}/{scene.rounds}  " if scene.rounds else ""
        parts: list[Text | Table] = [Text(f"{done}{scene.state}", style="bold"), self._site_table()]
        if scene.held_out:
            parts.append(self._held_out_table())
        parts += [Text(problem, style="yellow") for problem in scene.problems[-SHOWN_PROBLEMS:]]
        return Group(*parts)

    def _site_table(self) -> Table:
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
        for title in ("site", "role", "cases", "now", "", "last result"):
            table.add_column(title, header_style="dim")
        for name in sorted(set(self._scene.sites) | set(self._site_progress)):
            line = self._scene.sites.get(name, _SiteLine())
            now, bar = self._now(name)
            table.add_row(name, line.role, str(line.cases or ""), now, bar, line.last)
        return table

    def _now(self, name: str) -> tuple[str, ProgressBar | str]:
        progress = self._site_progress[name].read() if name in self._site_progress else None
        if progress is None:
            return "", ""
        text = progress.phase.value
        if progress.phase is Phase.TRAINING and progress.loss is not None:
            text += f" {progress.done}/{progress.total} loss {progress.loss:.3f}"
        bar = ProgressBar(total=progress.total, completed=progress.done, width=20) if progress.total else ""
        return text, bar

    def _held_out_table(self) -> Table:
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
        for title in ("held-out", "round", "PSNR dB", "SSIM"):
            table.add_column(title, header_style="dim", justify="left" if title == "held-out" else "right")
        for number, site, psnr_db, ssim in self._scene.held_out[-6:]:
            table.add_row(site, str(number), f"{psnr_db:.2f}", f"{ssim:.3f}")
        return table
