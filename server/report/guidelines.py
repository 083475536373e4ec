"""Where this report answers items of TRIPOD-Cluster (BMJ 380:e071018, 2023) and CLAIM (2024 update).

Only items that the records can answer, fully or in part, are listed; the rest is the authors' to write.
"""

from __future__ import annotations

from typing import Literal, final

from pydantic import BaseModel, ConfigDict

Guideline = Literal["TRIPOD-Cluster", "CLAIM"]
Extent = Literal["full", "part"]
Rows = tuple[tuple[str, str, str, Extent], ...]


@final
class GuidelineItem(BaseModel):
    """One item.

    Attributes:
        guideline: name of the checklist.
        item: number in it.
        topic: what it asks for, in a few words.
        section: id of the page's section that answers it.
        extent: whether the section answers all of it that concerns the run, or a part.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    guideline: Guideline
    item: str
    topic: str
    section: str
    extent: Extent


_TRIPOD: Rows = (
    ("2", "Summary of design, sample size, analysis and results", "summary", "part"),
    ("4a", "Eligibility criteria for participants and datasets", "methods", "part"),
    ("6a", "Outcome predicted", "definitions", "full"),
    ("6b", "Predictors: the radiograph pair", "methods", "full"),
    ("7a", "Preparation, harmonisation and quality checks of the data", "methods", "part"),
    ("8b", "Type of model, model building, method of validation", "methods", "part"),
    ("8e", "Performance measures", "definitions", "full"),
    ("8f", "How heterogeneity of performance was quantified", "methods", "full"),
    ("10a", "Clusters and participants from identified to analysed", "centres", "full"),
    ("10b", "Characteristics of each setting", "centres", "part"),
    ("13a", "Performance with intervals, overall and per cluster", "results", "full"),
    ("13b", "Heterogeneity of performance across clusters", "results", "full"),
    ("16c", "Limitations", "limitations", "part"),
    ("18", "Supplementary resources", "provenance", "part"),
)

_CLAIM: Rows = (
    ("2", "Structured summary", "summary", "part"),
    ("8", "Inclusion and exclusion criteria", "methods", "part"),
    ("9", "Preprocessing", "methods", "part"),
    ("11", "De-identification: what left the sites", "methods", "part"),
    ("14", "Reference standard: the CT volume", "definitions", "full"),
    ("19", "Assignment of data to partitions", "participation", "full"),
    ("20", "Level at which partitions are disjoint: the centre", "participation", "full"),
    ("22", "Description of the model", "methods", "part"),
    ("23", "Software libraries and versions", "provenance", "full"),
    ("24", "Initialisation of the parameters", "methods", "part"),
    ("25", "Training approach and hyperparameters", "methods", "full"),
    ("28", "Metrics of performance", "definitions", "full"),
    ("29", "Measures of uncertainty", "methods", "full"),
    ("32", "Evaluation on internal data", "internal", "part"),
    ("33", "Testing on external data", "results", "full"),
    ("35", "Numbers included and excluded", "centres", "full"),
    ("37", "Performance with uncertainty", "results", "full"),
    ("40", "Limitations", "limitations", "part"),
    ("43", "Availability of software and model", "provenance", "part"),
)

_LISTS: tuple[tuple[Guideline, Rows], ...] = (("TRIPOD-Cluster", _TRIPOD), ("CLAIM", _CLAIM))

GUIDELINE_ITEMS: tuple[GuidelineItem, ...] = tuple(
    GuidelineItem(guideline=guideline, item=item, topic=topic, section=section, extent=extent)
    for guideline, rows in _LISTS
    for item, topic, section, extent in rows
)
