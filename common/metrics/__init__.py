"""Image metrics with pinned definitions: how each is calculated, and what it means in words."""

from common.metrics.calculation import CaseMetrics, case_metrics, mae_hu, psnr_db, reprojection_error
from common.metrics.definitions import (
    GENERATOR,
    METHOD_NAMES,
    PRINCIPAL,
    MethodDefinition,
    MetricDefinition,
    method_named,
    method_order,
    metric_definitions,
    metric_named,
    window_text,
)
from common.metrics.regions import (
    BODY_HU,
    BONE_HU,
    BRAIN_HU,
    SOFT_HU,
    body_mask,
    enclosed_by_bone,
    enclosed_within,
    soft_tissue_within,
    within_skull,
)

__all__ = [
    "BODY_HU",
    "BONE_HU",
    "BRAIN_HU",
    "GENERATOR",
    "METHOD_NAMES",
    "PRINCIPAL",
    "SOFT_HU",
    "CaseMetrics",
    "MethodDefinition",
    "MetricDefinition",
    "body_mask",
    "case_metrics",
    "enclosed_by_bone",
    "enclosed_within",
    "mae_hu",
    "method_named",
    "method_order",
    "metric_definitions",
    "metric_named",
    "psnr_db",
    "reprojection_error",
    "soft_tissue_within",
    "window_text",
    "within_skull",
]
