"""How the three commands start, report refusals and stop."""

from __future__ import annotations

import logging
import signal
import sys
import threading
from types import FrameType
from typing import NoReturn

import typer

from common.errors import ExitCode, Refusal


def run_command(name: str, app: typer.Typer) -> NoReturn:
    """Run a command; a refusal becomes one line on standard error and its numbered exit code."""
    try:
        app(prog_name=name)
    except Refusal as refusal:
        sys.stderr.write(f"{name}: {refusal}\n")
        sys.exit(int(refusal.code))
    except KeyboardInterrupt:
        sys.exit(int(ExitCode.INTERRUPTED))
    sys.exit(int(ExitCode.OK))


def stop_on_signals() -> threading.Event:
    """An event that SIGINT and SIGTERM set. A second signal ends the process at once."""
    stop = threading.Event()

    def on_signal(number: int, _frame: FrameType | None) -> None:
        if stop.is_set():
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, on_signal)
    return stop


def log_to_stderr(name: str) -> None:
    """Log lines with time and level to standard error, where a service manager keeps them."""
    logging.basicConfig(
        level=logging.INFO,
        format=f"%(asctime)s {name} %(levelname)s %(message)s",
        datefmt="%Y-%m-%dT%H:%M:%S",
        stream=sys.stderr,
    )
    # One line for every poll would bury what matters.
    for chatty in ("httpx", "httpcore", "flwr"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
