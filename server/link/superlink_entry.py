"""Entry point of the SuperLink's own process: Flower's SuperLink with a patient database.

Run as ``python -P superlink_entry.py`` followed by the options of ``flower-superlink``: by its path, so that
the SuperLink does not load the rest of this wing.
"""

from __future__ import annotations

import sys

from common.silence import silence_flower

BUSY_TIMEOUT_MS = 120_000
"""How long SQLite waits for a lock. Flower's 5 s end in HTTP 500 when several sites upload hundreds of megabytes."""


def be_patient(busy_timeout_ms: int = BUSY_TIMEOUT_MS) -> None:
    """Lengthen the busy timeout of every SQLite connection that Flower opens from now on."""
    # Imported only now: telemetry must be off before the first import.
    import flwr.supercore.sql_mixin as sql
    from flwr.supercore.constant import SQLITE_PRAGMAS

    pragmas = dict(SQLITE_PRAGMAS) | {"busy_timeout": str(busy_timeout_ms)}
    # The module holds a name of its own, and reads it at each connection.
    vars(sql)["SQLITE_PRAGMAS"] = tuple(pragmas.items())


def main() -> None:
    """Become the SuperLink."""
    silence_flower()
    be_patient()
    from flwr.superlink.cli.flower_superlink import flower_superlink

    sys.argv[0] = "flower-superlink"
    flower_superlink()


if __name__ == "__main__":
    main()
