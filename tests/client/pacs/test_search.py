"""Whatever a search is answered with, nothing but UIDs and counts is taken from it."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from client.pacs import PacsSettings
from client.pacs.patience import Patience
from client.pacs.search import FoundSeries, search_series, series_instances

PACS = PacsSettings(url="https://pacs.example/dicom-web", body_part=("HEAD", "SKULL"), descriptions=("*", "A?"))
SAFE = re.compile(r"[0-9]+(\.[0-9]+)+")

uids = st.from_regex(r"[0-9]{1,5}(\.[0-9]{1,6}){1,4}", fullmatch=True)
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | uids,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
elements = st.fixed_dictionaries({"vr": st.just("UI"), "Value": st.lists(uids | anything, max_size=2)}) | anything
keys = ("0020000D", "0020000E", "00080018", "00201209")
entries = st.fixed_dictionaries({}, optional=dict.fromkeys(keys, elements)) | anything
pages = st.lists(st.lists(entries, max_size=4), max_size=3)


class Answers:
    """Stands in for a connection."""

    def __init__(self, given: list[list[Any]]) -> None:
        self._given = given
        self._left: Iterator[list[Any]] = iter(())

    def find_series(self, filters: dict[str, str], limit: int, offset: int) -> list[Any]:
        return self._page(offset)

    def find_instances(self, study: str, series: str, limit: int, offset: int) -> list[Any]:
        return self._page(offset)

    def _page(self, offset: int) -> list[Any]:
        if offset == 0:
            self._left = iter(self._given)
        return next(self._left, [])


@settings(max_examples=150, deadline=None)
@given(given_pages=pages)
def test_only_uids_and_counts_are_believed(given_pages: list[list[Any]]) -> None:
    patience = Patience(0, threading.Event(), PACS.url)
    for found in search_series(PACS, Answers(given_pages), patience):
        assert SAFE.fullmatch(found.study) and SAFE.fullmatch(found.series)
        assert found.instances is None or 0 < found.instances <= 20_000
        assert found.study not in repr(found) and found.series not in repr(found)
    uids = series_instances(FoundSeries("1.2", "1.3", None), Answers(given_pages), patience, PACS.url)
    assert len(set(uids)) == len(uids)
    assert all(SAFE.fullmatch(uid) and len(uid) <= 64 for uid in uids)


def test_each_body_part_and_description_is_asked_for() -> None:
    asked: list[dict[str, str]] = []

    class Listening(Answers):
        def find_series(self, filters: dict[str, str], limit: int, offset: int) -> list[Any]:
            asked.append(filters)
            return []

    dated = PACS.model_copy(update={"study_dates": ("20180101", "20191231")})
    search_series(dated, Listening([]), Patience(0, threading.Event(), PACS.url))
    common = {"Modality": "CT", "StudyDate": "20180101-20191231"}
    assert asked == [
        common | {"BodyPartExamined": part, "SeriesDescription": description}
        for part in ("HEAD", "SKULL")
        for description in ("*", "A?")
    ]
