"""Enhanced CT: one header for each frame, from the functional groups that frames share or have of their own.

DICOM PS3.3 C.7.6.16 and C.8.15.3. Frames are taken as slices: what a classic object says of itself, a frame says here.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from client.header.contrast_words import names_agent
from client.header.data_set_values import integer, number, positive, said, text, time_of_day_s, vector, words
from client.header.derivation import is_computed
from client.header.header import ENHANCED_CT_STORAGE, ImageHeader, energies_kev
from client.header.hounsfield import holds_hu

if TYPE_CHECKING:
    from pydicom import Dataset

MOST_FRAMES = 4096
FRAME_GROUP_TAGS = (
    "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
    "ContrastBolusAgentSequence",
)
_DATE_CHARACTERS = 8
# Legacy Converted objects keep here what their classic objects said and no functional group holds.
_CONVERTED = ("UnassignedPerFrameConvertedAttributesSequence", "UnassignedSharedConvertedAttributesSequence")


def may_be_expanded(header: ImageHeader) -> bool:
    """Whether this is the header of an Enhanced CT of a size that is told apart by frame."""
    return header.sop_class in ENHANCED_CT_STORAGE and 1 <= header.frames <= MOST_FRAMES


def frame_headers(dataset: Dataset, whole: ImageHeader) -> tuple[ImageHeader, ...]:
    """One header a frame; the object's own if its functional groups are not one for each frame.

    Args:
        dataset: with ``FRAME_GROUP_TAGS``.
        whole: header of the object.
    """
    groups = dataset.get("PerFrameFunctionalGroupsSequence") or ()
    shared = (dataset.get("SharedFunctionalGroupsSequence") or [None])[0]
    if len(groups) != whole.frames:
        return (whole,)
    agents = bool(dataset.get("ContrastBolusAgentSequence"))
    return tuple(_frame_header(whole, _Groups(own, shared), index, agents) for index, own in enumerate(groups))


class _Groups:
    """The functional groups of one frame: its own before the shared ones."""

    def __init__(self, own: Dataset, shared: Dataset | None) -> None:
        self._sources = [source for source in (own, shared) if source is not None]

    def with_element(self, sequence: str, keyword: str) -> Dataset | None:
        """The first item of a functional group that has an element."""
        for source in self._sources:
            items = source.get(sequence)
            if items and items[0].get(keyword) is not None:
                item: Dataset = items[0]
                return item
        return None

    def energies_kev(self) -> list[float]:
        return [energy for source in self._sources for energy in energies_kev(source)]

    def said(self, sequence: str, keyword: str) -> str:
        item = self.with_element(sequence, keyword)
        return "" if item is None else said(item, keyword)

    def integer(self, sequence: str, keyword: str) -> int | None:
        item = self.with_element(sequence, keyword)
        return None if item is None else integer(item, keyword)

    def vector(self, sequence: str, keyword: str) -> tuple[float, ...]:
        item = self.with_element(sequence, keyword)
        return () if item is None else vector(item, keyword)

    def number(self, sequence: str, keyword: str) -> float | None:
        item = self.with_element(sequence, keyword)
        return None if item is None else number(item, keyword)

    def positive(self, sequence: str, keyword: str) -> float | None:
        item = self.with_element(sequence, keyword)
        return None if item is None else positive(item, keyword)

    def text(self, sequence: str, keyword: str) -> str:
        item = self.with_element(sequence, keyword)
        return "" if item is None else text(item, keyword)


def _frame_header(whole: ImageHeader, groups: _Groups, index: int, agents: bool) -> ImageHeader:
    frame_type = groups.with_element("CTImageFrameTypeSequence", "FrameType")
    image_type = whole.image_type if frame_type is None else words(frame_type, "FrameType")
    rescale_type = groups.said("PixelValueTransformationSequence", "RescaleType")
    acquisition = groups.integer("FrameContentSequence", "FrameAcquisitionNumber")
    acquired_s = time_of_day_s(groups.said("FrameContentSequence", "FrameAcquisitionDateTime")[_DATE_CHARACTERS:])
    converted = [groups.positive(sequence, "KVP") for sequence in _CONVERTED]
    return replace(
        whole,
        image_type=image_type,
        frames=1,
        orientation=groups.vector("PlaneOrientationSequence", "ImageOrientationPatient"),
        position=groups.vector("PlanePositionSequence", "ImagePositionPatient"),
        pixel_spacing_mm=groups.vector("PixelMeasuresSequence", "PixelSpacing"),
        thickness_mm=groups.positive("PixelMeasuresSequence", "SliceThickness"),
        slope=groups.number("PixelValueTransformationSequence", "RescaleSlope") or None,
        intercept=groups.number("PixelValueTransformationSequence", "RescaleIntercept"),
        tilt_deg=groups.number("CTAcquisitionDetailsSequence", "GantryDetectorTilt"),
        kvp=groups.positive("CTXRayDetailsSequence", "KVP") or next((kvp for kvp in converted if kvp), whole.kvp),
        contrast=whole.contrast or _contrast(groups, agents),
        computed=whole.computed if frame_type is None else is_computed(image_type),
        hounsfield=whole.hounsfield and holds_hu(rescale_type, image_type, groups.energies_kev()),
        number=index + 1,
        acquisition=whole.acquisition if acquisition is None else acquisition,
        acquired_s=whole.acquired_s if acquired_s is None else acquired_s,
        frame=index,
    )


def _contrast(groups: _Groups, agents: bool) -> bool:
    """Whether a frame was taken with an agent: as it says itself, else whether the object names one."""
    administered = groups.text("ContrastBolusUsageSequence", "ContrastBolusAgentAdministered").upper()
    if administered:
        return administered == "YES"
    named = (groups.text(sequence, "ContrastBolusAgent") for sequence in _CONVERTED)
    return agents or any(names_agent(name) for name in named)
