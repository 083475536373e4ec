"""The section of a study that says what is reported."""

from __future__ import annotations

from typing import Literal, final

from common.study.section import Section


@final
class Endpoints(Section):
    """What is reported. The primary endpoint is PSNR in the study's window at held-out centres."""

    primary: Literal["psnr"] = "psnr"
    internal_validation: Literal["never", "last_round", "every_round"] = "last_round"
