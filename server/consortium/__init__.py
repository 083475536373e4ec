"""Who belongs to the consortium: admitted sites, and the certificates they trust."""

from server.consortium.admission import AdmittedSite, admit, admit_all, read_admissions
from server.consortium.certificates import Certificates, make_certificates, tls_context
from server.consortium.enrolment import add_admission

__all__ = [
    "AdmittedSite",
    "Certificates",
    "add_admission",
    "admit",
    "admit_all",
    "make_certificates",
    "read_admissions",
    "tls_context",
]
