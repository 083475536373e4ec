"""The coordinator's settings: one TOML file. Relative paths count from that file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Self, final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import BaseModel, ConfigDict, Field

from common.documents import read_document
from common.errors import ExitCode
from server.consortium import signing_key


@final
class CoordinatorSettings(BaseModel):
    """One coordinator of one run.

    Attributes:
        study: the study file.
        run: folder of the run; an unfinished run there is resumed.
        admissions: TOML file with one ``[[site]]`` table for each admitted site.
        state: folder for certificates, the SuperLink's database and logs.
        port: loopback port of the SuperLink; a TLS front passes the sites' requests to it.
        hosts: names and addresses the server certificate is valid for.
        wait_for_sites_s: patience for sites before the first round.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    study: Path
    run: Path
    admissions: Path
    state: Path
    port: Annotated[int, Field(ge=1, le=65535)] = 8443
    hosts: tuple[str, ...] = ("localhost", "127.0.0.1")
    wait_for_sites_s: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 900.0

    @classmethod
    def from_toml(cls, path: Path) -> Self:
        """Read settings.

        Raises:
            Refusal: ``SETTINGS_INVALID`` naming the first field that is wrong.
        """
        settings = read_document(cls, path, ExitCode.SETTINGS_INVALID)
        folder = path.resolve().parent
        names = ("study", "run", "admissions", "state")
        return settings.model_copy(update={name: folder / getattr(settings, name) for name in names})

    @property
    def signing(self) -> Path:
        """Folder with the key that signs releases and requests."""
        return self.state / "release"

    def signing_key(self) -> Ed25519PrivateKey:
        """The key that signs releases and requests; refuses as :func:`server.consortium.signing_key` does."""
        return signing_key(self.signing)
