"""HTML pages from templates: one environment, in which every value is escaped and no name may be missing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined


def page_templates(*folders: Path, **filters: Callable[..., object]) -> Environment:
    """The templates of one folder, or of several.

    Args:
        folders: where they lie, named ``*.html.j2``; of two of one name the first folder's is taken.
        filters: what a template may do to a value, by name.
    """
    environment = Environment(
        loader=FileSystemLoader(folders),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(filters)
    return environment
