"""Entry point of the SuperLink's own process: Flower's SuperLink with a patient database, behind our door.

Run as ``python -P superlink_entry.py SECRET BYTES OBJECTS`` followed by the options of ``flower-superlink``: by its
path, so that the SuperLink does not load the rest of this wing. ``SECRET`` is the file that holds what opens the door,
the numbers say how large a site's reply may be (:mod:`server.link.fleet_door`).
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

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


def stand_at_the_door(secret: bytes, largest_bytes: int, largest_objects: int) -> None:
    """Put our door before Flower's handlers: outermost, and behind its verification of a site's key."""
    import flwr.superlink.main as superlink
    from starlette.middleware import Middleware

    door, flowers = _door(), superlink._get_middleware
    rules = door.FleetRules(largest_bytes, largest_objects)

    def middleware() -> list[Middleware]:
        outer, inner = Middleware(door.OuterDoor, secret=secret), Middleware(door.FleetDoor, rules=rules)
        return [outer, *flowers(), inner]

    vars(superlink)["_get_middleware"] = middleware


def _door() -> ModuleType:
    path = Path(__file__).with_name("fleet_door.py")
    specification = importlib.util.spec_from_file_location("fleet_door", path)
    assert specification is not None and specification.loader is not None  # noqa: S101 - a path has both
    module = importlib.util.module_from_spec(specification)
    # Its dataclasses look themselves up there.
    sys.modules["fleet_door"] = module
    specification.loader.exec_module(module)
    return module


def main() -> None:
    """Become the SuperLink."""
    secret, largest_bytes, largest_objects = sys.argv[1:4]
    del sys.argv[1:4]
    silence_flower()
    be_patient()
    stand_at_the_door(Path(secret).read_bytes(), int(largest_bytes), int(largest_objects))
    from flwr.superlink.cli.flower_superlink import flower_superlink

    sys.argv[0] = "flower-superlink"
    flower_superlink()


if __name__ == "__main__":
    main()
