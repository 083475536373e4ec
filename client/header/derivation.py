"""Whether an image was computed from others, or is an original that was only compressed again.

Sources: DICOM PS3.3 C.7.6.1.1.2 (Image Type: compression with loss alone makes an image derived), C.7.6.1.1.5 (lossy
compression), PS3.16 CID 7203 (derivation).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final

from client.header.word_list import word_list

MOST_LOSSY_RATIO: Final = 10.0
RECOMPRESSED: Final = frozenset({"113040"})
# Written in place of what said that an image is computed, where words are not copied.
PROCESSED: Final = "PROCESSED"
_SLICES: Final = frozenset({"AXIAL", "VOLUME", "HELICAL", "HELIX"})
_COMPUTED: Final = word_list("""
    MPR MPRS CPR MIP MIPS MINIP AIP AVG AVERAGE AVERAGED MEAN MAXIMUM MINIMUM PROJECTION PROJECTED PROJ REFORMATTED
    REFORMAT REFORMATION REFORMATIONS RECONSTRUCTED RESAMPLED RESAMPLE RESAMPLING INTERPOLATED CSA VRT SSD RENDERED
    RENDERING SUBTRACTION SUBTRACTED SUBTRACT ADDITION ADDED FUSION FUSED PERFUSION CURVED PLANAR MULTIPLANAR SEGMENTED
    SEGMENTATION FILTERED SMOOTHED DENOISED REGISTERED REGISTRATION CBF CBV RCBF RCBV MTT TTP TMAX PROCESSED
""")
_WORD: Final = re.compile(r"[A-Z]+")


def names_processing(said: Iterable[str]) -> bool:
    """Whether one of these texts has a word for an image that is computed from others."""
    return any(not _COMPUTED.isdisjoint(_WORD.findall(text)) for text in said)


def may_be_recompressed(image_type: Sequence[str], description: Iterable[str]) -> bool:
    """Whether an image that calls itself derived could still be an original: for these derivation codes matter."""
    is_derived = image_type[:1] == ("DERIVED",)
    return is_derived and not names_processing(image_type) and not names_processing(description)


def is_computed(
    image_type: tuple[str, ...],
    *,
    lossy: bool = False,
    ratio: float | None = None,
    description: Iterable[str] = (),
    codes: Sequence[str] = (),
) -> bool:
    """Whether an image is computed from others: a reformat, a projection, a map.

    An original that was compressed again is none: it calls itself derived, is still an axial slice, and neither words
    nor codes say more than compression; one that is also secondary must say so by code or as lossy. Lossy compression
    beyond 10 to 1, where the ratio is said, makes it one: what it holds is no longer what was scanned.

    Args:
        image_type: Image Type (0008,0008) or Frame Type, upper case.
        lossy: Lossy Image Compression (0028,2110).
        ratio: largest Lossy Image Compression Ratio (0028,2112).
        description: Derivation Description (0008,2111), upper case.
        codes: code values of the Derivation Code Sequence (0008,9215).
    """
    if names_processing(image_type) or names_processing(description):
        return True
    is_derived, is_secondary = image_type[:1] == ("DERIVED",), image_type[1:2] == ("SECONDARY",)
    if not is_derived:
        return is_secondary and not _SLICES.intersection(image_type[2:3])
    if not RECOMPRESSED.issuperset(codes) or (ratio is not None and ratio > MOST_LOSSY_RATIO):
        return True
    is_evident = lossy or bool(codes)
    if is_secondary or len(image_type) < 3:
        return not is_evident or (len(image_type) > 2 and image_type[2] not in _SLICES)
    return image_type[2] not in _SLICES
