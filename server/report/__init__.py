"""The evaluation round report: one publishable page and one JSON document from a run's records."""

from server.report.cli import ReportPaths, write_report
from server.report.document import ReportDocument

__all__ = ["ReportDocument", "ReportPaths", "write_report"]
