"""The page is well-formed, accessible, complete in itself, and safe whatever a record says."""

import re
from collections import Counter
from collections.abc import Callable
from html.parser import HTMLParser
from typing import Any

import pytest

from server.report.document import ReportDocument
from server.report.page import render
from server.report.recorded_run import read_run

Make = Callable[..., Any]
VOID = {"meta", "br", "link", "img", "input", "hr"}


class Outline(HTMLParser):
    """Elements in order with their attributes; fails on an end tag that closes nothing."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def attributes(self, tag: str) -> list[dict[str, str | None]]:
        return [found for name, found in self.elements if name == tag]


def outline(page: str) -> Outline:
    parser = Outline()
    parser.feed(page)
    parser.close()
    assert parser.open == []
    return parser


def page_of(written: Any) -> str:
    return render(ReportDocument.of(read_run(written.directory)))


@pytest.fixture(scope="module")
def page(demo: Any) -> str:
    return page_of(demo)


def test_the_page_has_no_image_no_script_and_no_address(page: str) -> None:
    assert not re.search(r"<img|<image|data:|<script|<link|<iframe|@import|url\((?!#)", page)
    assert not re.search(r"https?:|//[a-z]", page)


def test_the_page_forbids_what_it_does_not_need(page: str) -> None:
    policies = [m for m in outline(page).attributes("meta") if m.get("http-equiv") == "Content-Security-Policy"]
    assert policies[0]["content"] == "default-src 'none'; style-src 'unsafe-inline'"


def test_elements_nest_ids_are_unique_and_references_resolve(page: str) -> None:
    found = outline(page)
    ids = [a["id"] for _, a in found.elements if a.get("id")]
    assert [name for name, count in Counter(ids).items() if count > 1] == []
    labels = [a["aria-labelledby"] for _, a in found.elements if a.get("aria-labelledby")]
    anchors = [a["href"].removeprefix("#") for a in found.attributes("a") if a.get("href")]  # type: ignore[union-attr]
    assert set(labels) | set(anchors) <= set(ids)


def test_every_table_has_a_caption_and_every_header_a_scope(page: str) -> None:
    found = outline(page)
    assert len(found.attributes("table")) == len(found.attributes("caption")) >= 10
    assert all(a.get("scope") in {"row", "col", "rowgroup", "colgroup"} for a in found.attributes("th"))


def test_rows_of_a_table_are_equally_long(page: str) -> None:
    for table in re.findall(r"<table.*?</table>", page, flags=re.DOTALL):
        body = table[table.index("<tbody") :]
        widths = {sum(_span(cell) for cell in re.findall(r"<t[hd]\b[^>]*>", row)) for row in body.split("<tr")[1:]}
        assert len(widths) == 1


def _span(tag: str) -> int:
    found = re.search(r'colspan="(\d+)"', tag)
    return int(found.group(1)) if found else 1


def test_figures_have_captions_and_words_for_those_who_cannot_see_them(page: str) -> None:
    found = outline(page)
    assert len(found.attributes("figure")) == len(found.attributes("figcaption")) == 5
    assert page.count("In words:") == 5


def test_the_page_says_what_the_document_says(page: str, demo: Any) -> None:
    words = re.sub(r"[ \n]+", " ", "".join(outline(page).text))
    document = ReportDocument.of(read_run(demo.directory))
    for paragraph in document.summary:
        assert paragraph.text in words
    for line in document.limitations:
        assert line in words
    for identity in (
        document.provenance.generator_sha256,
        document.provenance.study_sha256,
        document.provenance.bundle_sha256,
    ):
        assert identity in words
    assert "Research only." in words


def test_the_same_records_give_the_same_page(page: str, demo: Any) -> None:
    assert page_of(demo) == page


HOSTILE = "<script>alert('x')</script>\"><img src=x onerror=alert(1)>"


def test_a_hostile_site_name_and_reason_stay_text(make_run: Make) -> None:
    written = make_run(rounds=5)
    text = "".join(record.model_dump_json() + "\n" for record in written.rounds)
    quoted = HOSTILE.replace('"', '\\"')
    (written.directory / "rounds.jsonl").write_text(
        text.replace('"harbour"', f'"{quoted}"').replace("no reply within 3600 s", quoted), encoding="utf-8"
    )
    run = written.run.model_dump_json().replace('"harbour"', f'"{quoted}"').replace("CPU, 8 cores", quoted)
    (written.directory / "run.json").write_text(run, encoding="utf-8")
    page = page_of(written)
    found = outline(page)
    assert not found.attributes("script")
    assert not found.attributes("img")
    assert not any(name.startswith("on") for _, a in found.elements for name in a)
    assert HOSTILE in "".join(found.text)


def test_a_run_that_has_just_begun_has_a_page(make_run: Make) -> None:
    written = make_run(rounds=2)
    written.rounds.clear()
    written.write()
    words = "".join(outline(page_of(written)).text)
    assert "No held-out centre has reported statistics yet." in words
    assert "no round averaged yet" in words


def test_a_broken_separation_takes_back_the_claim_over_the_results(make_run: Make) -> None:
    written = make_run(rounds=2)
    sites = list(written.run.sites)
    sites[3] = sites[3].model_copy(update={"key_sha256": sites[0].key_sha256})
    written.run = written.run.model_copy(update={"sites": tuple(sites)})
    written.write()
    page = page_of(written)
    assert "took no part in training" not in page
    assert "verdict broken" in page


def test_long_runs_are_shown_in_tables_of_twenty_rounds(make_run: Make) -> None:
    written = make_run(rounds=41, train={"alder": 12, "birch": 12}, held={"harbour": 12})
    page = page_of(written)
    assert [text in page for text in ("rounds 1 to 20", "rounds 21 to 40", "rounds 41 to 41")] == [True] * 3
