"""The section of a study that says which HU count."""

from __future__ import annotations

from typing import Self, final

from pydantic import model_validator

from common.study.section import Section


@final
class Window(Section):
    """HU window of targets and metrics; every PSNR and SSIM is meaningless without it."""

    low_hu: float = -1000.0
    high_hu: float = 1500.0

    @property
    def width_hu(self) -> float:
        """Width of the window in HU: the data range of PSNR and SSIM."""
        return self.high_hu - self.low_hu

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not self.low_hu < self.high_hu:
            raise ValueError("low_hu must be below high_hu")
        return self
