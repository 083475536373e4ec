"""What a card says in sentences: what a network is for, what it was tested for, and what limits it."""

from __future__ import annotations

from common.study import Study, WireDtype
from server.report import RESEARCH_ONLY, Evaluation, RecordedRun, ReportDocument, limits_of_results


def intended_use(study: Study) -> tuple[str, ...]:
    """What the network is for."""
    return (
        "Research on computing a cranial CT volume from a frontal and a lateral radiograph of one head, "
        f"{beam_of(study)}.",
        RESEARCH_ONLY,
    )


def selection_of(recorded: RecordedRun, number: int) -> str:
    """How the round was chosen, from the record alone."""
    planned = recorded.study.federation.rounds
    last = max(record.round for record in recorded.rounds if record.aggregated)
    if number == last:
        return f"Round {number}, the last averaged on record, of {planned} planned; chosen by its number."
    return f"Round {number} of {planned} planned, named by the coordinator; rounds up to {last} are on record."


def tested_for(document: ReportDocument, number: int, *, tested: bool) -> tuple[str, ...]:
    """What was measured of these weights, and what was not; ``tested`` says whether held-out centres reported any."""
    said = {paragraph.heading: paragraph.text for paragraph in document.summary}
    figures = (said["Results"], said["Between centres"]) if tested else ()
    untested = () if tested else (f"No held-out centre reported figures of the weights of round {number}.",)
    return (
        said["Separation"],
        *untested,
        *figures,
        "Tested with radiographs computed from CT alone. Not tested: acquired radiographs, other distances, detectors, "
        "views or spectra, patients of other archives, and any clinical question.",
    )


def limits_of(study: Study, held_out: Evaluation | None, *, is_average: bool, has_limit: bool) -> tuple[str, ...]:
    """What whoever uses the network must know first."""
    return tuple(
        line
        for line in (
            f"The network knows one way of taking radiographs: {beam_of(study)}. It gives a volume for any other pair "
            "too, and does not say that it is wrong.",
            ""
            if has_limit
            else "No limit of the re-projection error is stated: a volume that does not project onto its radiographs "
            "is not held back.",
            *(limits_of_results(held_out) if held_out else ()),
            _rounding(study) if is_average else "",
            "Trained weights can hold traces of what they were trained on.",
            "What soft tissue looks like was learned from the sites' patients: the weights hold their mean brain."
            if study.networks.generator.anatomy == "learned"
            else "",
        )
        if line
    )


def beam_of(study: Study) -> str:
    """The radiographs a network was trained for, in a clause."""
    geometry, radiograph = study.geometry, study.radiograph
    rows, columns = geometry.detector_shape
    if radiograph.spectrum is None:
        photons = f"at {radiograph.energy_kev:g} keV"
    else:
        beam = radiograph.spectrum
        copper = f" and {beam.copper_mm:g} mm of copper" if beam.copper_mm else ""
        photons = f"at {beam.kvp:g} kVp behind {beam.aluminium_mm:g} mm of aluminium{copper}"
    return (
        f"{geometry.frontal.value} and {geometry.lateral.value} views, source {geometry.source_patient_mm:g} mm from "
        f"the isocentre and {geometry.source_detector_mm:g} mm from a detector of {rows} × {columns} pixels of "
        f"{geometry.pixel_mm:g} mm, {photons}"
    )


def _rounding(study: Study) -> str:
    if study.federation.wire_dtype is WireDtype.FLOAT32:
        return ""
    return (
        "Held-out centres evaluated these weights as the wire carries them, rounded to "
        f"{study.federation.wire_dtype.value}; here they are as the coordinator keeps them, in float32."
    )
