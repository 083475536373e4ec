"""Who belongs to the consortium: admitted sites, the certificates they trust, and the key of its releases."""

from server.consortium.admission import AdmittedSite, admit, admit_all, read_admissions
from server.consortium.certificates import Certificates, make_certificates, tls_context
from server.consortium.enrolment import add_admission
from server.consortium.signing_key import signing_key

__all__ = [
    "AdmittedSite",
    "Certificates",
    "add_admission",
    "admit",
    "admit_all",
    "make_certificates",
    "read_admissions",
    "signing_key",
    "tls_context",
]
