"""Which view a film is and which way it hangs: as its attributes say, held against what it shows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from client.header import FilmHeader
from client.radiographs.film_verdicts import FilmRefused, FilmVerdict
from client.radiographs.head_likeness import Likeness
from common.geometry import FrontalView, LateralView

# Real heads reach 0.68 to 0.85 within ten degrees of either view, a hand 0.4.
LEAST_SCORE: Final = 0.65
# By so much the other view has to be more alike before a stated one is denied: partial scans resemble both.
LEAST_VIEW_MARGIN: Final = 0.02
# Which way a face looks is seen less surely than the view: a real lateral may resemble its mirror image as much.
LEAST_TURN_MARGIN: Final = 0.04
# What is stated of it is given up for more only: partial scans reach 0.07 the wrong way round.
LEAST_MARGIN_AGAINST_STATED: Final = 0.08
# SNOMED CT and its older codes of PS3.16 CID 4010.
_FRONTAL: Final = frozenset({"399348003", "272479007", "399033003", "R-10206", "R-10214"})
_LATERAL: Final = frozenset({"399198007", "399173006", "399067008", "399260004", "399352003", "R-10232", "R-10236"})
_POSITIONS: Final = {
    **dict.fromkeys(("AP", "PA", "FRONTAL"), False),
    **dict.fromkeys(("LL", "RL", "LLD", "RLD", "LAT", "LATERAL"), True),
}
_DIRECTIONS: Final[dict[str, FrontalView | LateralView]] = {
    **dict.fromkeys(("AP", "399348003", "R-10206"), FrontalView.AP),
    **dict.fromkeys(("PA", "272479007", "R-10214"), FrontalView.PA),
    **dict.fromkeys(("LL", "LLD", "399173006", "R-10236"), LateralView.LEFT),
    **dict.fromkeys(("RL", "RLD", "399198007", "R-10232"), LateralView.RIGHT),
}
# Where a positioner's detector stands at these primary angles: 0 is in front of the patient, 90 at the left side.
_DIRECTIONS_DEG: Final[dict[int, FrontalView | LateralView]] = {
    0: FrontalView.PA,
    90: LateralView.LEFT,
    180: FrontalView.AP,
    270: LateralView.RIGHT,
}
_OBLIQUE: Final = frozenset({"RLO", "LLO", "RAO", "LAO", "RPO", "LPO"})
_UNSUITABLE_WORDS: Final = (
    *("OBLIQUE", "TOWNE", "WATERS", "SUBMENTO", "VERTICOSUBMENT", "AXIAL", "PARIETO", "ACANTHIO", "OCCLUSAL"),
    *("TANGENTIAL", "STENVERS", "SCHULLER", "SCHUELLER", "HIRTZ", "OCCIPITOMENTAL"),
)
_UNSUITABLE: Final = frozenset(
    {"399312000", "399061009", "399196006", "399162004", "399160007", "399132005", "260427002", "399135007"}
    | {"399184004", "399006002", "399004004", "399225005", "399288005", "399182000", "260499007", "399351005"}
    | {"399316002", "399272005", "399059000", "399356000", "399236003", "399038007", "399325008", "399255003"}
    | {"399110001", "399360002", "399242004"}
)
_MOST_OFF_DEG: Final = 15.0
_OPPOSITE: Final = {"L": "R", "R": "L", "A": "P", "P": "A", "F": "H", "H": "F"}


def stated_view(header: FilmHeader, frame: int = 0) -> bool | None:
    """Whether a film is said to be lateral; None if nothing is said.

    Raises:
        FilmRefused: ``VIEW_UNSUITABLE``, or ``VIEW_CONTRADICTS`` if its attributes disagree.
    """
    said = (*header.view_meanings, header.view_position)
    if (
        not _UNSUITABLE.isdisjoint(header.view_codes)
        or header.view_position in _OBLIQUE
        or any(word in text for word in _UNSUITABLE_WORDS for text in said)
    ):
        raise FilmRefused(FilmVerdict.VIEW_UNSUITABLE)
    found = {code in _LATERAL for code in header.view_codes if code in _FRONTAL | _LATERAL}
    if header.view_position in _POSITIONS:
        found.add(_POSITIONS[header.view_position])
    angle = frame_view(header, frame)
    if angle is not None and header.modality == "XA":
        found.add(angle)
    if len(found) > 1:
        raise FilmRefused(FilmVerdict.VIEW_CONTRADICTS)
    return next(iter(found), None)


def stated_direction(
    header: FilmHeader, frame: int = 0, *, is_lateral: bool
) -> tuple[FrontalView | LateralView | None, tuple[str, ...]]:
    """Which way the beam went through the patient, and what should be noted; None if not stated, or in two ways."""
    found = {_DIRECTIONS[word] for word in (header.view_position, *header.view_codes) if word in _DIRECTIONS}
    if header.modality == "XA" and header.primary_deg is not None:
        quarter = round(_frame_deg(header, frame) / 90.0) % 4
        found.add(_DIRECTIONS_DEG[90 * quarter])
    kind = LateralView if is_lateral else FrontalView
    fitting = {one for one in found if isinstance(one, kind)}
    return (fitting.pop(), ()) if len(fitting) == 1 else (None, ("direction_not_stated",))


def frame_with_a_view(header: FilmHeader) -> int:
    """The first frame whose positioner stood frontal or lateral; the first of all where angles are not stated.

    Raises:
        FilmRefused: ``VIEW_UNSUITABLE`` if they are stated and none does.
    """
    if header.primary_deg is None:
        return 0
    frames = range(min(header.frames, max(1, len(header.primary_steps_deg))))
    for frame in frames:
        if frame_view(header, frame) is not None:
            return frame
    raise FilmRefused(FilmVerdict.VIEW_UNSUITABLE)


def frame_view(header: FilmHeader, frame: int) -> bool | None:
    """Whether a frame's positioner stood lateral, frontal, or neither."""
    if header.primary_deg is None or abs(header.secondary_deg or 0.0) > _MOST_OFF_DEG:
        return None
    angle = _frame_deg(header, frame) % 180.0
    if min(angle, 180.0 - angle) <= _MOST_OFF_DEG:
        return False
    return True if abs(angle - 90.0) <= _MOST_OFF_DEG else None


def _frame_deg(header: FilmHeader, frame: int) -> float:
    """A frame's primary angle; 0 where none is stated."""
    steps = header.primary_steps_deg
    return (header.primary_deg or 0.0) + (steps[frame] if frame < len(steps) else 0.0)


def shown_view(stated: bool | None, found: Sequence[Likeness]) -> tuple[bool, tuple[str, ...]]:
    """Whether a film is lateral, and what should be noted; as stated unless the image shows otherwise for certain.

    Args:
        stated: whether the film is said to be lateral.
        found: likenesses, most alike first.

    Raises:
        FilmRefused: ``NOT_A_HEAD``, ``VIEW_CONTRADICTS``, or ``ORIENTATION_UNKNOWN``.
    """
    best = found[0]
    if best.score < LEAST_SCORE:
        raise FilmRefused(FilmVerdict.NOT_A_HEAD)
    other = max(one.score for one in found if one.is_lateral != best.is_lateral)
    is_certain = best.score - other >= LEAST_VIEW_MARGIN
    if stated is None:
        if not is_certain:
            raise FilmRefused(FilmVerdict.ORIENTATION_UNKNOWN)
        return best.is_lateral, ("view_by_content",)
    if best.is_lateral != stated and is_certain:
        raise FilmRefused(FilmVerdict.VIEW_CONTRADICTS)
    return stated, ()


def shown_turn(header: FilmHeader, found: Sequence[Likeness]) -> tuple[Likeness, bool, tuple[str, ...]]:
    """How a film hangs, whether to mirror it once it is turned, and what should be noted.

    What is stated holds unless the image shows otherwise for certain; what is left and right of a frontal film can only
    be stated.

    Args:
        header: of the film.
        found: likenesses in the film's view, most alike first.

    Raises:
        FilmRefused: ``ORIENTATION_UNKNOWN`` or ``LATERALITY_UNKNOWN``.
    """
    is_lateral = found[0].is_lateral
    stated = _stated_turn(header, is_lateral=is_lateral)
    wanted = stated if stated is None or is_lateral else (stated[0], False)
    as_stated = next((one for one in found if (one.quarter_turns, one.is_mirrored) == wanted), None)
    notes: tuple[str, ...] = ()
    if as_stated is not None and found[0].score - as_stated.score < LEAST_MARGIN_AGAINST_STATED:
        shown = as_stated
    elif found[0].score - found[1].score < LEAST_TURN_MARGIN:
        raise FilmRefused(FilmVerdict.ORIENTATION_UNKNOWN)
    else:
        shown, notes = found[0], ("orientation_by_content",)
    mirrored = shown.is_mirrored
    if not is_lateral:
        if stated is None or stated[0] != shown.quarter_turns or (stated[1] and not header.flipped):
            raise FilmRefused(FilmVerdict.LATERALITY_UNKNOWN)
        mirrored = stated[1]
    return shown, mirrored, (*notes, "turned") if shown.quarter_turns or mirrored else notes


def _stated_turn(header: FilmHeader, *, is_lateral: bool) -> tuple[int, bool] | None:
    """The turn that brings the stated Patient Orientation to that of a hung film, or None."""
    if len(header.orientation) != 2 or not all(word[:1] in _OPPOSITE for word in header.orientation):
        return None
    along, down = (word[:1] for word in header.orientation)
    hung = ("P", "F") if is_lateral else ("L", "F")
    for turns in range(4):
        for mirrored in (False, True):
            if (_OPPOSITE[along] if mirrored else along, down) == hung:
                return turns, mirrored
        along, down = down, _OPPOSITE[along]
    return None
