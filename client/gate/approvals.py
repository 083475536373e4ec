"""The studies this site has approved, by their hash. A message for any other study is refused."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Self, final

from common.errors import ExitCode, Refusal
from common.study import Study


@final
@dataclass(frozen=True)
class Approvals:
    """Approved studies by SHA-256."""

    studies: dict[str, Study]

    @classmethod
    def of(cls, paths: Iterable[Path]) -> Self:
        """Approve the studies in these TOML files: naming a file in the site's settings is the approval.

        Raises:
            Refusal: ``STUDY_INVALID`` for a file that is no study, ``SETTINGS_INVALID`` if there is none.
        """
        studies = [Study.from_toml(path) for path in paths]
        if not studies:
            mend = "list at least one study file under 'studies'"
            raise Refusal(ExitCode.SETTINGS_INVALID, "no study approved", where="settings", mend=mend)
        return cls({study.sha256: study for study in studies})

    def study(self, sha256: str) -> Study:
        """The approved study with this hash.

        Raises:
            Refusal: ``STUDY_NOT_APPROVED``.
        """
        if sha256 not in self.studies:
            mend = "review the coordinator's study file and list it under 'studies' to approve it"
            raise Refusal(ExitCode.STUDY_NOT_APPROVED, "study not approved", where=sha256[:12], mend=mend)
        return self.studies[sha256]
