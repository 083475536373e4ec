"""One series to one case: decoded, freed of the table, aligned, resampled once, judged by its content, projected."""

from client.case.acceptance import LARGEST_CUT_SHARE, judge_alignment, judge_scale
from client.case.alignment import align
from client.case.body import Body, find_body
from client.case.case import FORMAT, Case, CaseFacts
from client.case.case_films import CaseFilms, FilmFacts, films_beside
from client.case.case_limits import Limit, limits_of
from client.case.construction import Recipe, construct_case
from client.case.decoding import AIR_HU, SliceStack, UnreadablePixels, averaged, decode_stack, stack_of_hu
from client.case.drr import add_noise, drr_pair
from client.case.placement import FAR_OFF_RESIDUAL_HU
from client.case.provenance import Provenance, Step
from client.case.stack_geometry import SUSPICIOUS_STEP_MM
from client.case.template import template_sha256
from client.case.volume import Pose, resample

__all__ = [
    "AIR_HU",
    "FAR_OFF_RESIDUAL_HU",
    "FORMAT",
    "LARGEST_CUT_SHARE",
    "SUSPICIOUS_STEP_MM",
    "Body",
    "Case",
    "CaseFacts",
    "CaseFilms",
    "FilmFacts",
    "Limit",
    "Pose",
    "Provenance",
    "Recipe",
    "SliceStack",
    "Step",
    "UnreadablePixels",
    "add_noise",
    "align",
    "averaged",
    "construct_case",
    "decode_stack",
    "drr_pair",
    "films_beside",
    "find_body",
    "judge_alignment",
    "judge_scale",
    "limits_of",
    "resample",
    "stack_of_hu",
    "template_sha256",
]
