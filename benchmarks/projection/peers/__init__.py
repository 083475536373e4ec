"""One file a peer; each hands on a class that follows :class:`benchmarks.projection.peers.peer.Peer`."""

from __future__ import annotations

from importlib import import_module

from benchmarks.projection.peers.peer import Peer

PEERS = (
    ("rtk_joseph", "RtkJoseph"),
    ("itk_siddon_jacobs", "ItkSiddonJacobs"),
    ("plastimatch", "Plastimatch"),
    ("nanodrr", "NanoDRR"),
    ("diffdrr", "DiffDRRTrilinear"),
    ("diffdrr", "DiffDRRSiddon"),
    ("flashdrr", "FlashDRR"),
)


def available_peers(threads: int = 2) -> list[Peer]:
    """The installed peers, each limited to ``threads`` threads; prints a line that names those that are missing."""
    peers: list[Peer] = []
    missing = []
    for module, name in PEERS:
        try:
            peers.append(getattr(import_module(f"{__name__}.{module}"), name)(threads))
        except (ImportError, AttributeError, OSError) as problem:
            missing.append(f"{name} ({problem})")
    if missing:
        print(f"Peers left out: {', '.join(missing)}")
    return peers
