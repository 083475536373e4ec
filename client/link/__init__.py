"""The line to the coordinator: message → work → gate → reply, over Flower's fleet connection."""

from client.link.app import SiteApp, works_by_study
from client.link.calls import Coordinator, LinkEvent, LinkEventKind
from client.link.fleet import serve
from client.link.work import StudyWork, Workbench

__all__ = ["Coordinator", "LinkEvent", "LinkEventKind", "SiteApp", "StudyWork", "Workbench", "serve", "works_by_study"]
