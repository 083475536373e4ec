"""A trained network's release: the generator of a round with its card, signed by the coordinator."""

from server.release.network_release import make_release

__all__ = ["make_release"]
