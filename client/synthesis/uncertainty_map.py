"""What the network says of its own uncertainty, as a DICOM Parametric Map over the synthetic series."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from client.synthesis.series_origin import (
    MANUFACTURER,
    MODEL,
    UNCERTAINTY_SERIES_NUMBER,
    SeriesOrigin,
    new_uid,
)
from common.trust import RELEASE

_HIGHEST_HU = 1e6


def uncertainty_map(
    sd_hu: NDArray[np.float32], slices: Sequence[Dataset], provenance: str, origin: SeriesOrigin
) -> Dataset:
    """A Parametric Map (DICOM PS3.3 A.75) of standard deviations in HU, in the frame of reference of its CT series.

    Args:
        sd_hu: (z, y, x), finite.
        slices: the CT series' objects, inferior first.
        provenance: what made it.
        origin: whose it is.
    """
    # Half a second to import, and most commands write no map.
    import highdicom as hd

    hounsfield = hd.sr.CodedConcept("[hnsf'U]", "UCUM", "Hounsfield unit")
    mapping = hd.pm.RealWorldValueMapping(
        lut_label="SD",
        lut_explanation="Standard deviation",
        unit=hounsfield,
        value_range=(0.0, _HIGHEST_HU),
        slope=1.0,
        intercept=0.0,
        quantity_definition=hd.sr.CodedConcept("386136009", "SCT", "Standard deviation"),
    )
    made: Dataset = hd.pm.ParametricMap(
        source_images=list(slices),
        pixel_array=np.ascontiguousarray(sd_hu, dtype=np.float32),
        series_instance_uid=new_uid(),
        series_number=UNCERTAINTY_SERIES_NUMBER,
        sop_instance_uid=new_uid(),
        instance_number=1,
        manufacturer=MANUFACTURER,
        manufacturer_model_name=MODEL,
        software_versions=RELEASE,
        device_serial_number="none",
        contains_recognizable_visual_features=False,
        real_world_value_mappings=[mapping],
        voi_lut_transformations=[hd.VOILUTTransformation(window_center=100.0, window_width=200.0)],
        content_label="UNCERTAINTY",
        content_description="Predicted standard deviation in HU",
    )
    origin.describe(made, provenance)
    organization = new_uid()
    for element in made.iterall():
        if element.keyword == "DimensionOrganizationUID":
            element.value = organization
    return made
