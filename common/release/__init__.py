"""A released network: the folder that a coordinator signs and a site verifies before it believes anything in it.

``card`` is what the folder says of its generator, ``checksums`` the list that is signed, ``ssh_signature`` how,
``generator_file`` the weights as a study makes them; ``folder_writing`` and ``folder_reading`` are the two ends.
"""

from common.release.card import (
    FORMAT_VERSION,
    CardMetric,
    CardSite,
    CentreFigures,
    Figure,
    HeldOutFigures,
    Interval95,
    NetworkCard,
    OverCentres,
    PooledFigure,
)
from common.release.folder_reading import NetworkRelease, read_release
from common.release.folder_writing import write_release
from common.release.ssh_signature import ReleaseKey, pinned_key, read_release_key, release_key, release_key_of

__all__ = [
    "FORMAT_VERSION",
    "CardMetric",
    "CardSite",
    "CentreFigures",
    "Figure",
    "HeldOutFigures",
    "Interval95",
    "NetworkCard",
    "NetworkRelease",
    "OverCentres",
    "PooledFigure",
    "ReleaseKey",
    "pinned_key",
    "read_release",
    "read_release_key",
    "release_key",
    "release_key_of",
    "write_release",
]
