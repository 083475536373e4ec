"""``tomoray-site init``: this site's identity."""

from __future__ import annotations

from pathlib import Path

from client.joining import make_key_pair


def make_identity(folder: Path) -> None:
    """Make the key pair and say where its public half is; refuses as :func:`client.joining.make_key_pair` does."""
    public = make_key_pair(folder)
    print(f"public key: {public.path}\nkey SHA-256: {public.key_sha256}")
