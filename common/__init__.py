"""What both sides agree on: study, geometry, networks, metrics, wire contract. Opens no socket, reads no DICOM."""

from common.silence import silence_flower

# Flower reads these variables while it is imported, and every process of both sides imports this package first.
silence_flower()
