"""The main job on one machine, as the real commands on loopback."""

from server.demo.demo import Demo, DemoPlan

__all__ = [
    "Demo",
    "DemoPlan",
]
