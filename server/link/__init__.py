"""The coordinator's line to the sites, over Flower: the only wing that touches Flower's internals on this side."""

from server.link.control import Control
from server.link.in_process import InProcessGrid
from server.link.inspection import Addressee, InspectingGrid
from server.link.line import Answer, AnswerError, Line
from server.link.round_grid import RoundGrid
from server.link.round_task import ServerTask
from server.link.superlink import SuperLink

__all__ = [
    "Addressee",
    "Answer",
    "AnswerError",
    "Control",
    "InProcessGrid",
    "InspectingGrid",
    "Line",
    "RoundGrid",
    "ServerTask",
    "SuperLink",
]
