"""Joining a consortium: the site's identity."""

from client.joining.site_keys import make_key_pair

__all__ = [
    "make_key_pair",
]
