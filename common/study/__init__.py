"""The study: the immutable description of what is trained and how; a section a file."""

from common.study.cohort_limits import CohortSettings
from common.study.federation import Federation, WireDtype
from common.study.film_ranges import FilmRanges
from common.study.networks import SOFT_TISSUE_HU, DiscriminatorSettings, GeneratorSettings, Networks
from common.study.optimisation import Optimisation
from common.study.privacy import Privacy
from common.study.radiograph import RadiographSettings
from common.study.section import Sha256
from common.study.study import Study
from common.study.widening import Widening
from common.study.window import Window

__all__ = [
    "SOFT_TISSUE_HU",
    "CohortSettings",
    "DiscriminatorSettings",
    "Federation",
    "FilmRanges",
    "GeneratorSettings",
    "Networks",
    "Optimisation",
    "Privacy",
    "RadiographSettings",
    "Sha256",
    "Study",
    "Widening",
    "Window",
    "WireDtype",
]
