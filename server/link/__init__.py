"""The coordinator's line to the sites, over Flower: the only wing that touches Flower's internals on this side."""

from server.link.control import Control
from server.link.in_process import InProcessGrid
from server.link.line import Answer, AnswerError, Line
from server.link.round_task import RoundGrid, ServerTask
from server.link.superlink import SuperLink

__all__ = ["Answer", "AnswerError", "Control", "InProcessGrid", "Line", "RoundGrid", "ServerTask", "SuperLink"]
