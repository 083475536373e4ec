"""Films read from files through the limited process, judged, and brought to line integrals."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from client.archive import Pseudonyms
from client.dicom import Fault, Frame, Reader, ReadFilm, shared_reader
from client.header import FilmHeader
from client.radiographs.detector_image import expect_detector_image
from client.radiographs.exposed_field import (
    coarse,
    fine,
    framed_field,
    nearest_exposed,
    ring_excess,
    shown_field,
    stated_field,
)
from client.radiographs.film import Film, FilmSettings
from client.radiographs.film_geometry import FilmGeometry, film_geometry
from client.radiographs.film_verdicts import FilmRefused, FilmVerdict
from client.radiographs.film_view import (
    LEAST_SCORE,
    frame_with_a_view,
    shown_turn,
    shown_view,
    stated_direction,
    stated_view,
)
from client.radiographs.head_likeness import Likeness, likenesses
from client.radiographs.head_outline import MOST_CLIPPED_SHARE, outline
from client.radiographs.intensity import (
    Response,
    expect_rescale,
    log_exposure,
    modality_values,
    scale_ends,
    stated_response,
)

Image = NDArray[np.float32]
Mask = NDArray[np.bool_]

_CELLS: Final = 200
_OPEN_PERCENTILE: Final = 97.0
_OPEN_WITHIN: Final = 0.25
# Of the way from the darkest to the open field, where half of the rest lies: below 0.06 if linear, from 0.09 if not.
_MOST_LINEAR, _LEAST_LOGARITHMIC = 0.07, 0.14
_OTHERWISE_BRIGHT: Final = 0.3
_LEAST_RISE: Final = 0.003
_OPEN_SHARE: Final = 0.85
_LEAST_INNER: Final = 0.02
_DEEPEST: Final = 12.0
_MOST_CUT_SHARE: Final = 0.1
_SQUARE_WITHIN: Final = 1e-3


@final
@dataclass(frozen=True, slots=True)
class _Said:
    """What a header says of the film: response, geometry, view (None if not said), frame to be read, and notes."""

    response: Response
    geometry: FilmGeometry
    is_lateral: bool | None
    frame: int
    notes: tuple[str, ...]


def read_films(
    paths: Iterable[Path], pseudonyms: Pseudonyms, settings: FilmSettings | None = None, reader: Reader | None = None
) -> Iterator[Film | FilmVerdict]:
    """For each path, in order, the film, or why it is not used.

    Raises:
        Refusal: ``CHILD_FAILED`` if the reading process cannot be started.
    """
    reader = reader or shared_reader()
    for path in paths:
        try:
            yield _film(path, pseudonyms, settings or FilmSettings(), reader)
        except FilmRefused as refused:
            yield refused.verdict


def acquisition_day(path: Path, reader: Reader | None = None) -> int | None:
    """The day an image object was acquired, film or slice, counted as a film's is; None if it is not stated.

    Raises:
        Refusal: ``CHILD_FAILED`` if the reading process cannot be started.
    """
    with closing((reader or shared_reader()).films([path])) as answers:
        (answer,) = answers
    return answer.film.day if isinstance(answer, ReadFilm) else None


def _film(path: Path, pseudonyms: Pseudonyms, settings: FilmSettings, reader: Reader) -> Film:
    with closing(reader.films([path])) as answers:
        (answer,) = answers
    if not isinstance(answer, ReadFilm):
        raise _unread(answer)
    header = answer.film
    expect_detector_image(header)
    expect_rescale(header)
    response = stated_response(header)
    geometry, notes = film_geometry(header)
    frame = frame_with_a_view(header)
    stated = stated_view(header, frame)
    wanted = Frame(path, header.rows, header.columns, frame, answer.size_bytes)
    with closing(reader.frames([wanted])) as frames:
        (stored,) = frames
    if isinstance(stored, Fault):
        raise _unread(stored)
    said = _Said(response, geometry, stated, frame, (*response.notes, *notes))
    return _judged(header, stored, said, pseudonyms, settings)


def _unread(fault: Fault | None) -> FilmRefused:
    """A film of which header or pixels could not be read, or which is no image object."""
    return FilmRefused(FilmVerdict.TOO_LARGE if fault is Fault.TOO_LARGE else FilmVerdict.UNREADABLE)


def _judged(
    header: FilmHeader,
    stored: NDArray[Any],
    said: _Said,
    pseudonyms: Pseudonyms,
    settings: FilmSettings,
) -> Film:
    response, geometry, stated, notes = said.response, said.geometry, said.is_lateral, said.notes
    pixel_mm = min(geometry.spacing_mm)
    exposed = _squared(stated_field(header) & ~_padding(header, stored), geometry.spacing_mm, order=0)
    values = _squared(modality_values(header, stored), geometry.spacing_mm, order=1)
    block = max(1, round(max(values.shape) / _CELLS))
    low, high = scale_ends(header)
    position = np.asarray((values - low) / (high - low), dtype=np.float32)
    cell_mm = block * pixel_mm * min(geometry.patient_mm) / min(geometry.spacing_mm)

    def likely_if(supposed: Response) -> tuple[Image, Mask, Sequence[Likeness]]:
        whole, within = _attenuation(header, values, supposed, exposed, block)
        seen, field = coarse(whole, block), coarse(within.astype(np.float32), block) > 0.99
        full = coarse((position >= 1.0 if supposed.sign > 0 else position <= 0.0).astype(np.float32), block) > 0.5
        return whole, within, likenesses(np.where(field, seen, 0.0).astype(np.float32), field, full, cell_mm)

    wrong = _unlike(coarse(nearest_exposed(position, exposed), block), response)
    if wrong is not None:
        verdict, otherwise = wrong
        # Attributes are wrong only if without their fault the film would be one of a head.
        try:
            likely = likely_if(otherwise)[2]
        except FilmRefused as refused:
            raise FilmRefused(FilmVerdict.NOT_A_HEAD) from refused
        raise FilmRefused(verdict if likely[0].score >= LEAST_SCORE else FilmVerdict.NOT_A_HEAD)
    attenuation, inside, likely = likely_if(response)
    seen, seen_inside = coarse(attenuation, block), coarse(inside.astype(np.float32), block) > 0.99
    is_lateral, more = shown_view(stated, likely)
    in_view = [one for one in likely if one.is_lateral is is_lateral]
    _expect_whole_head(in_view[0], settings)
    covers = outline(seen, seen_inside, coarse(position, block))
    inside &= ~fine(covers.beside | covers.covering, block, inside.shape)
    direction, unsaid = stated_direction(header, said.frame, is_lateral=is_lateral)
    shown, mirrored, turned = shown_turn(header, in_view)
    integrals, kept = (
        _hung(image, shown.quarter_turns, mirrored=mirrored) for image in (nearest_exposed(attenuation, inside), inside)
    )
    named = header.study or header.series
    study = pseudonyms.of("study", named)
    patient = pseudonyms.of("patient", header.patient_id, header.issuer) if header.patient_id else study
    return Film(
        integrals=integrals,
        exposed=kept,
        is_lateral=is_lateral,
        direction=direction,
        pixel_mm=pixel_mm,
        geometry=geometry,
        patient=patient,
        study=study,
        instance=pseudonyms.of("instance", header.sop_instance),
        day=header.day,
        time_s=header.time_s,
        metal_share=covers.metal_share,
        size=shown.size,
        kvp=header.kvp,
        notes=(*notes, *more, *unsaid, *turned, *(("metal",) if covers.metal_share > 0 else ())),
    )


def _attenuation(
    header: FilmHeader, values: NDArray[np.float64], response: Response, exposed: Mask, block: int
) -> tuple[Image, Mask]:
    """Line integrals against the brightest exposed region, (row, column), and where the film is exposed.

    Raises:
        FilmRefused: ``MULTIPLE_EXPOSURES``, or ``NOT_A_HEAD`` if nothing is exposed.
    """
    log = log_exposure(header, values, response)
    seen = coarse(nearest_exposed(log, exposed), block)
    inside = exposed & fine(shown_field(seen).mask(seen.shape), block, log.shape)
    whole = coarse(inside.astype(np.float32), block) > 0.5
    if not whole.any():
        raise FilmRefused(FilmVerdict.NOT_A_HEAD)
    bright = float(np.percentile(coarse(log, block)[whole], _OPEN_PERCENTILE))
    near = log[inside & (np.abs(log - bright) < _OPEN_WITHIN)]
    open_field = float(np.median(near)) if near.size else bright
    return np.clip(open_field - log, -1.0, _DEEPEST).astype(np.float32), inside


def _unlike(position: Image, response: Response) -> tuple[FilmVerdict, Response] | None:
    """Whether the image has another polarity or kind of scale than its header states, and which it would have.

    Args:
        position: values as a share of their scale, coarse, without what is stated to be unexposed.
        response: as stated.

    Raises:
        FilmRefused: ``NOT_A_HEAD`` if nothing lies in the beam.
    """
    risen, fallen = (position, 1.0 - position) if response.sign > 0 else (1.0 - position, position)
    # Of a logarithmic film this is no attenuation, but orders values alike, and its collimation is an edge still.
    stated, otherwise = (np.log(np.clip(share, 0.0, 1.0) + _LEAST_RISE) for share in (risen, fallen))
    if ring_excess(stated) < 0 and ring_excess(otherwise) > _OTHERWISE_BRIGHT:
        return FilmVerdict.POLARITY_CONTRADICTS, Response(response.is_log, -response.sign)
    field = framed_field(stated)
    within = risen[field.top : field.bottom, field.left : field.right]
    brightest = float(np.percentile(within, _OPEN_PERCENTILE))
    inner = within[within < _OPEN_SHARE * brightest]
    if inner.size < _LEAST_INNER * within.size:
        raise FilmRefused(FilmVerdict.NOT_A_HEAD)
    darkest = float(np.percentile(inner, 2))
    share = (float(np.median(inner)) - darkest) / max(brightest - darkest, 1e-9)
    if share < _MOST_LINEAR if response.is_log else share > _LEAST_LOGARITHMIC:
        return FilmVerdict.INTENSITY_CONTRADICTS, Response(not response.is_log, response.sign)
    return None


def _expect_whole_head(shown: Likeness, settings: FilmSettings) -> None:
    if not settings.least_size <= shown.size <= settings.greatest_size:
        raise FilmRefused(FilmVerdict.SIZE_IMPLAUSIBLE)
    if shown.cut_share > _MOST_CUT_SHARE:
        raise FilmRefused(FilmVerdict.HEAD_CUT)
    if shown.saturated_share > MOST_CLIPPED_SHARE:
        raise FilmRefused(FilmVerdict.EXPOSURE_CLIPPED)


def _padding(header: FilmHeader, stored: NDArray[Any]) -> Mask:
    """Pixels that the header calls padding."""
    if header.padding is None:
        return np.zeros(stored.shape, dtype=bool)
    ends = header.padding, header.padding if header.padding_limit is None else header.padding_limit
    return np.asarray((stored >= min(ends)) & (stored <= max(ends)))


def _squared(image: NDArray[Any], spacing_mm: tuple[float, float], *, order: Literal[0, 1]) -> NDArray[Any]:
    """The image in square pixels of the smaller spacing."""
    if abs(spacing_mm[0] / spacing_mm[1] - 1) < _SQUARE_WITHIN:
        return image
    factors = tuple(edge / min(spacing_mm) for edge in spacing_mm)
    if image.dtype == np.bool_:
        return np.asarray(
            ndimage.zoom(image.astype(np.float32), factors, order=0, grid_mode=True, mode="nearest") > 0.5
        )
    return np.asarray(ndimage.zoom(image, factors, order=order, grid_mode=True, mode="nearest"))


def _hung(image: NDArray[Any], turns: int, *, mirrored: bool) -> NDArray[Any]:
    turned = np.rot90(image, turns)
    return np.ascontiguousarray(turned[:, ::-1] if mirrored else turned)
