"""Real films brought to a study: calibrated to its DRRs' line integrals, and posed against the patient's CT.

``scatter_estimate`` and ``film_calibration`` say what a film's values are worth. ``rooms`` says where source and
detector stood, ``film_levels`` makes a film as coarse as a coarse head's DRR (``posed_drr``), ``unscanned`` what the CT
does not show; ``local_likeness`` compares them, ``view_fit`` searches one view's pose, ``pair_pose`` both, and
``pose_verdicts`` judges what was found; ``without_ct`` poses films by the average head alone. ``study_frame`` brings a
film onto the study's detector.
"""

from client.pose.film_calibration import (
    CalibrationOrigin,
    FilmCalibration,
    film_spectrum,
    paired_calibration,
    spectrum_calibration,
    voltage_calibration,
)
from client.pose.pair_pose import ViewPose, estimate_poses, film_drr
from client.pose.pose_verdicts import MENDS, REASONS, PoseVerdict
from client.pose.scatter_estimate import without_scatter
from client.pose.study_frame import in_study_frame
from client.pose.view_fit import Room
from client.pose.without_ct import poses_without_ct

__all__ = [
    "MENDS",
    "REASONS",
    "CalibrationOrigin",
    "FilmCalibration",
    "PoseVerdict",
    "Room",
    "ViewPose",
    "estimate_poses",
    "film_drr",
    "film_spectrum",
    "in_study_frame",
    "paired_calibration",
    "poses_without_ct",
    "spectrum_calibration",
    "voltage_calibration",
    "without_scatter",
]
