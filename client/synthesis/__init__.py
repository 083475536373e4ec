"""From a radiograph pair to a synthetic CT volume, and to DICOM that says on every slice what it is."""

from client.synthesis.synthesiser import Synthesiser, SyntheticCt, synthesize, synthesize_with_sd
from client.synthesis.synthetic_ct import write_synthetic_ct

__all__ = [
    "Synthesiser",
    "SyntheticCt",
    "synthesize",
    "synthesize_with_sd",
    "write_synthetic_ct",
]
