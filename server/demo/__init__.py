"""The main job on one machine, as the real commands on loopback."""

from server.demo.demo import Demo
from server.demo.film_demo import FilmDemo
from server.demo.hospitals import DemoPlan

__all__ = [
    "Demo",
    "DemoPlan",
    "FilmDemo",
]
