"""A case: one patient's canonical CT with its radiograph pair, in one file that names no patient."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Self, final

import numpy as np
import safetensors
import safetensors.numpy
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from client.case.case_films import CaseFilms, films_beside
from client.case.provenance import Provenance
from common.errors import ExitCode, Refusal
from common.files import write_atomic
from common.study import Study

FORMAT = "tomoray-case-2"

Finite = Annotated[float, Field(allow_inf_nan=False, ge=-1e6, le=1e6)]


@final
class CaseFacts(BaseModel):
    """What is known of a case besides its images. No field can hold text from a DICOM header.

    Attributes:
        manufacturer: scanner vendor from a fixed list, or ``other``.
        kvp: tube voltage, None if not stated.
        slices: slices of the series.
        slice_mm: mean distance between slices.
        least_step_mm, greatest_step_mm: between neighbouring slices.
        pixel_mm: pixel spacing in the slices.
        coverage_mm: scanned length.
        tilt_deg: slices from axial, positive where the front is higher.
        stated_tilt_deg: size of the gantry's tilt as slices state it apart from their orientation, 0 if they do not.
        pitch_deg: extension of the head against the template, positive where the chin is up.
        turn_deg: angle between the head and the template about any axis.
        residual_hu: root mean square difference to the template after alignment, in the alignment's HU window.
        orientation_margin: by which share more the best other axis orientation leaves unexplained than the recorded.
        skull_share: share of the template's scanned vault near which the patient has bone.
        brain_seen_share: share of the template's brain that was scanned.
        brain_like_share: share of that in which the patient shows brain too.
        cut_share: share of the head's slices in which it is cut by the field of view.
        shear_deg, slant_deg: lean of the stack to the back and to the left that the template does not explain.
        step_back_mm, step_left_mm: greatest shift of a slice against its neighbour that nothing explains, either way
            along columns and along rows.
        unseen_share: share of the steps over 1 mm that positions record which the images do not show.
        alternation: how unlike neighbouring slices are against the next but one, 0 if not looked at.
        wrapped_share: how much there is of what values beyond the stored bits leave; from 1 on they wrapped around.
        air_hu: median of the lowest quarter of the range of values, as rescaled.
        brain_median_hu: median where the template has its brain.
        bone_hu: 95th percentile of what exceeds 300 HU above the skull base, on the study's fine grid.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    manufacturer: Annotated[str, Field(pattern=r"^[a-z-]{1,20}$")]
    kvp: Finite | None
    slices: Annotated[int, Field(ge=1, le=10_000)]
    slice_mm: Finite
    least_step_mm: Finite
    greatest_step_mm: Finite
    pixel_mm: Finite
    coverage_mm: Finite
    tilt_deg: Finite
    stated_tilt_deg: Finite
    pitch_deg: Finite
    turn_deg: Finite
    residual_hu: Finite
    orientation_margin: Finite
    skull_share: Finite
    brain_seen_share: Finite
    brain_like_share: Finite
    cut_share: Finite
    shear_deg: Finite
    slant_deg: Finite
    step_back_mm: Finite
    step_left_mm: Finite
    unseen_share: Finite
    alternation: Finite
    wrapped_share: Finite
    air_hu: Finite
    brain_median_hu: Finite
    bone_hu: Finite


@final
@dataclass(frozen=True)
class Case:
    """One patient's canonical CT with its radiograph pair.

    Attributes:
        pseudonym: the patient's pseudonym at this site.
        volume_hu: (z, y, x) int16 on the study's grid: the mean over the fine voxels the radiographs were made from.
        integrals: (2, rows, columns) float32, noise-free line integrals, frontal then lateral.
        facts: scanner and quality figures.
        provenance: what was done, by which release, from which bytes.
        films: the patient's own, where the study has films and the patient a pair; kept in a file beside the case.
    """

    pseudonym: str
    volume_hu: NDArray[np.int16]
    integrals: NDArray[np.float32]
    facts: CaseFacts
    provenance: Provenance = field(default_factory=Provenance)
    films: CaseFilms | None = None

    def save(self, path: Path) -> None:
        """Write the case atomically, readable by its owner alone.

        Raises:
            Refusal: ``DISK_FULL`` or ``DISK_UNWRITABLE``.
        """
        metadata = {
            "format": FORMAT,
            "pseudonym": self.pseudonym,
            "facts": self.facts.model_dump_json(),
            "provenance": self.provenance.model_dump_json(),
        }
        tensors: dict[str, NDArray[Any]] = {"volume_hu": self.volume_hu, "integrals": self.integrals}
        write_atomic(path, safetensors.numpy.save(tensors, metadata), mode=0o600)

    @classmethod
    def load(cls, path: Path, study: Study) -> Self:
        """A case made for a study. Its arrays are private maps of the file: read from disk where they are used.

        Raises:
            Refusal: ``IMAGE_INVALID`` if the file is missing, damaged, or of another study's shape.
        """
        try:
            # Through PyTorch, safetensors maps the file and holds no descriptor; through NumPy it would copy it.
            with safetensors.safe_open(path, framework="pt") as stored:
                metadata = stored.metadata() or {}
                volume, integrals = (stored.get_tensor(name).numpy() for name in ("volume_hu", "integrals"))
            if metadata["format"] != FORMAT:
                raise KeyError("format")
            facts = CaseFacts.model_validate_json(metadata["facts"])
            provenance = Provenance.model_validate_json(metadata["provenance"])
            pseudonym = metadata["pseudonym"]
        except (OSError, safetensors.SafetensorError, KeyError, ValidationError) as error:
            raise _damaged(path) from error
        expected = ((study.grid.shape, np.int16), ((2, *study.geometry.detector_shape), np.float32))
        if ((volume.shape, volume.dtype), (integrals.shape, integrals.dtype)) != expected:
            raise _damaged(path)
        films = None if study.radiograph.source == "drr" else CaseFilms.load(films_beside(path), study.geometry)
        return cls(pseudonym, volume, integrals, facts, provenance, films)


def _damaged(path: Path) -> Refusal:
    mend = "remove it and build the cohort again"
    return Refusal(ExitCode.IMAGE_INVALID, "case file missing, damaged or of another study", where=str(path), mend=mend)
