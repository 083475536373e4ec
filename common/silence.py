"""Silence towards third parties: what Flower's makers would hear of otherwise."""

from __future__ import annotations

import os

SILENCE = {"FLWR_TELEMETRY_ENABLED": "0", "FLWR_DISABLE_UPDATE_CHECK": "1"}
"""Environment under which Flower sends nothing to its makers; the update check obeys exactly ``1``."""


def silence_flower() -> None:
    """Switch Flower's telemetry and update check off, for this process and its children.

    Flower reads these variables while it is imported, so call this before anything imports it.
    """
    os.environ.update(SILENCE)
