"""The evaluation round report: one publishable page and one JSON document from a run's records."""

from server.report.document import ReportDocument
from server.report.page import page_environment
from server.report.recorded_run import RecordedRun, read_run
from server.report.results import CentreResult, CentreState, Evaluation
from server.report.statistics import Interval
from server.report.summary import RESEARCH_ONLY, limits_of_results
from server.report.writing import ReportPaths, write_report

__all__ = [
    "RESEARCH_ONLY",
    "CentreResult",
    "CentreState",
    "Evaluation",
    "Interval",
    "RecordedRun",
    "ReportDocument",
    "ReportPaths",
    "limits_of_results",
    "page_environment",
    "read_run",
    "write_report",
]
