"""The study: the immutable description of what is trained and how. TOML in, canonical JSON, SHA-256 is its identity."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Annotated, Literal, Self, final

from pydantic import Field, model_validator

from common.documents import parse_document, read_document
from common.errors import ExitCode
from common.geometry import Geometry, Grid
from common.study.cohort_limits import CohortSettings
from common.study.endpoints import Endpoints
from common.study.federation import Federation
from common.study.film_ranges import FilmRanges
from common.study.networks import Networks
from common.study.optimisation import Optimisation
from common.study.privacy import Privacy
from common.study.radiograph import RadiographSettings
from common.study.section import Section, later
from common.study.widening import Widening
from common.study.window import Window


@final
class Study(Section):
    """The immutable description of one federated training."""

    schema_version: Literal[1] = 1
    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$")]
    title: Annotated[str, Field(max_length=200)] = ""
    grid: Grid
    window: Window = Window()
    geometry: Geometry
    radiograph: RadiographSettings = RadiographSettings()
    networks: Networks = Networks()
    optimisation: Optimisation = Optimisation()
    federation: Federation = Federation()
    cohort: CohortSettings = CohortSettings()
    widening: Widening = Widening()
    film: FilmRanges = later(FilmRanges())
    privacy: Privacy = Privacy()
    endpoints: Endpoints = Endpoints()

    @model_validator(mode="after")
    def _variance_has_its_likelihood(self) -> Self:
        if self.networks.generator.variance != (self.optimisation.likelihood_weight > 0):
            raise ValueError("networks.generator.variance and optimisation.likelihood_weight go together")
        return self

    @model_validator(mode="after")
    def _films_have_their_source(self) -> Self:
        if self.sees_films and self.networks.generator.name != "lifting":
            raise ValueError('films need networks.generator.name = "lifting", which takes their mask')
        if self.film.own is not None and self.radiograph.source == "drr":
            raise ValueError('film.own needs radiograph.source = "film" or "both"')
        if not self.sees_films and self.film != FilmRanges():
            raise ValueError('film needs a share above 0, or radiograph.source = "film" or "both"')
        return self

    @property
    def sees_films(self) -> bool:
        """Whether a network of this study may be given films: it then has a channel for their mask."""
        return self.radiograph.source != "drr" or self.film.share > 0

    @property
    def own_films(self) -> float:
        """Probability that a sample which is no simulated film is a case's own films, where the case has them."""
        if self.film.own is not None:
            return self.film.own
        return {"drr": 0.0, "both": 0.5, "film": 1.0}[self.radiograph.source]

    @classmethod
    def from_toml(cls, path: Path) -> Self:
        """Read a study.

        Raises:
            Refusal: ``STUDY_INVALID`` if the file is missing, too large, not TOML, or does not describe a study.
        """
        return read_document(cls, path, ExitCode.STUDY_INVALID)

    @classmethod
    def from_text(cls, text: str, *, where: str) -> Self:
        """Parse a study from TOML text; ``where`` names its origin in refusals.

        Raises:
            Refusal: ``STUDY_INVALID`` naming the first field that is wrong.
        """
        return parse_document(cls, text, where, ExitCode.STUDY_INVALID)

    def canonical_json(self) -> str:
        """The study as JSON with sorted keys and no spaces: equal studies give equal bytes."""
        document = self.model_dump(mode="json")
        return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)

    @property
    def sha256(self) -> str:
        """The study's identity: SHA-256 of its canonical JSON, in hex."""
        return hashlib.sha256(self.canonical_json().encode("ascii")).hexdigest()
