"""From DICOM files to canonical cases, measured beside pydicom and a plain MONAI pipeline."""
