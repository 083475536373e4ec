"""A case's own films: on the study's detector, calibrated, with their mask and what is known of each."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Self, final

import numpy as np
import safetensors
import safetensors.numpy
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from common.files import write_atomic
from common.geometry import Geometry

FILMS_FORMAT: Final = "tomoray-films-1"
SUFFIX: Final = ".films.safetensors"

Finite = Annotated[float, Field(allow_inf_nan=False, ge=-1e6, le=1e6)]
Word = Annotated[str, Field(pattern=r"^[a-z][a-z_]{0,39}$")]


@final
class FilmFacts(BaseModel):
    """What is known of one film of a case. No field can hold text from a DICOM header.

    Attributes:
        pixel_mm: edge of the film's own pixels.
        spacing_origin, magnification_origin: whether stated, calibrated or assumed.
        source_patient_mm, source_detector_mm: None where not stated.
        magnification: of the isocentre on the detector.
        kvp: tube voltage, None if not stated.
        metal_share: share of the head behind metal.
        rotation_deg, translation_mm: the patient's pose in the film: pitch, roll, yaw; left, posterior, superior.
        depth_is_known: whether the shift along the beam is a finding.
        likeness: mean local correlation of the film with a DRR in its pose.
        pose: the verdict on the pose.
        residual: root mean square difference to the case's DRR inside the mask, in line integrals.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    pixel_mm: Finite
    spacing_origin: Word
    magnification_origin: Word
    source_patient_mm: Finite | None
    source_detector_mm: Finite | None
    magnification: Finite
    kvp: Finite | None
    metal_share: Finite
    rotation_deg: tuple[Finite, Finite, Finite]
    translation_mm: tuple[Finite, Finite, Finite]
    depth_is_known: bool
    likeness: Finite
    pose: Word
    residual: Finite


_PAIR: Final[TypeAdapter[tuple[FilmFacts, FilmFacts]]] = TypeAdapter(tuple[FilmFacts, FilmFacts])


@final
@dataclass(frozen=True)
class CaseFilms:
    """A case's film pair, frontal then lateral.

    Attributes:
        integrals: (2, rows, columns) float32, calibrated; outside the mask each is that of the nearest exposed pixel.
        exposed: (2, rows, columns), the mask.
        facts: of each film.
    """

    integrals: NDArray[np.float32]
    exposed: NDArray[np.bool_]
    facts: tuple[FilmFacts, FilmFacts]

    def save(self, path: Path) -> None:
        """Write the films atomically, readable by their owner alone.

        Raises:
            Refusal: ``DISK_FULL`` or ``DISK_UNWRITABLE``.
        """
        metadata = {"format": FILMS_FORMAT, "facts": _PAIR.dump_json(self.facts).decode()}
        tensors: dict[str, NDArray[Any]] = {"integrals": self.integrals, "exposed": self.exposed}
        write_atomic(path, safetensors.numpy.save(tensors, metadata), mode=0o600)

    @classmethod
    def load(cls, path: Path, geometry: Geometry) -> Self | None:
        """The films of a study's geometry, or None if the file is missing, damaged or of another: it is made anew."""
        try:
            with safetensors.safe_open(path, framework="pt") as stored:
                metadata = stored.metadata() or {}
                integrals, exposed = (stored.get_tensor(name).numpy() for name in ("integrals", "exposed"))
            facts = _PAIR.validate_json(metadata["facts"])
        except (OSError, safetensors.SafetensorError, KeyError, ValidationError):
            return None
        wanted = (2, *geometry.detector_shape)
        if metadata["format"] != FILMS_FORMAT or (integrals.shape, exposed.shape) != (wanted, wanted):
            return None
        return cls(integrals, exposed, facts)


def films_beside(case: Path) -> Path:
    """The file of a case's films."""
    return case.with_name(case.name.removesuffix(".safetensors") + SUFFIX)
