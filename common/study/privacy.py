"""The section of a study that says what never leaves a site."""

from __future__ import annotations

from typing import Annotated, final

from pydantic import Field

from common.study.section import Section


@final
class Privacy(Section):
    """Statistics over fewer than ``minimum_cases`` cases never leave a site."""

    minimum_cases: Annotated[int, Field(ge=1, le=1000)] = 10
