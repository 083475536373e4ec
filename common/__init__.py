"""What both sides agree on: study, geometry, networks, metrics, wire contract. Opens no socket, reads no DICOM."""
