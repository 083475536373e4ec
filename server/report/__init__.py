"""The evaluation round report: one publishable page and one JSON document from a run's records."""

from server.report.document import ReportDocument
from server.report.writing import ReportPaths, write_report

__all__ = ["ReportDocument", "ReportPaths", "write_report"]
