"""One series to one case: decoded, freed of the table, aligned, resampled once, judged by its content, projected."""

from client.case.acceptance import LARGEST_CUT_SHARE
from client.case.body import find_body
from client.case.case import FORMAT, Case, CaseFacts
from client.case.construction import Recipe, construct_case
from client.case.decoding import AIR_HU, SliceStack, UnreadablePixels, decode_stack
from client.case.drr import add_noise, drr_pair
from client.case.provenance import Provenance, Step
from client.case.template import template_sha256
from client.case.volume import Pose, resample

__all__ = [
    "AIR_HU",
    "FORMAT",
    "LARGEST_CUT_SHARE",
    "Case",
    "CaseFacts",
    "Pose",
    "Provenance",
    "Recipe",
    "SliceStack",
    "Step",
    "UnreadablePixels",
    "add_noise",
    "construct_case",
    "decode_stack",
    "drr_pair",
    "find_body",
    "resample",
    "template_sha256",
]
