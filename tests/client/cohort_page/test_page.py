"""The cohort page shows every accepted case rightly hung, outliers first, and nothing of it can leave by itself."""

from __future__ import annotations

import base64
import io
import re
import stat
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image

from client.archive import VerdictCode
from client.cohort import MENDS, REASONS, figure_table
from client.cohort_page import write_cohort_page
from client.cohort_page.close_calls import MOST_SHOWN
from client.cohort_page.page import CASES_IN_A_GROUP, figure
from client.cohort_page.thumbnails import LARGEST_PIXELS, thumbnails
from common.geometry import Geometry
from common.hanging import hung


@pytest.fixture
def page(tmp_path, findings):
    def write(cases, *excluded):
        path = tmp_path / "state" / "cohort.html"
        found = findings(cases, *excluded)
        write_cohort_page(path, found, cases, figure_table(found, cases))
        return path.read_text(encoding="utf-8")

    return write


def pixels(thumbnail):
    data = base64.b64decode(thumbnail.data.removeprefix("data:image/jpeg;base64,"))
    return np.asarray(Image.open(io.BytesIO(data)))


def test_the_page_warns_requests_nothing_and_is_the_owners_alone(page, case, tmp_path):
    text = page([case(1), case(2)], VerdictCode.NOT_CT)
    assert "Contains patient images: stays at this site" in text
    assert "default-src 'none'; img-src data:; style-src 'unsafe-inline'" in text
    assert not re.search(r"https?:|<script|<link|url\(|<form|<a ", text)
    assert stat.S_IMODE((tmp_path / "state" / "cohort.html").stat().st_mode) == 0o600


def test_each_picture_is_hung_with_its_letters_and_window(case, study):
    marked = np.full(study.grid.shape, 40, np.int16)
    marked[6, :8, 10:] = 1500  # left front in the middle axial slice
    marked[6:, 8, 10:] = 1500  # left top in the middle coronal slice
    shown = {item.title: item for item in thumbnails(case(volume_hu=marked), study)}
    assert list(shown)[3::4] == ["frontal DRR", "lateral DRR"]
    for plane, axis, letters in (("axial", 0, "RLAP"), ("coronal", 1, "RLSI"), ("sagittal", 2, "APSI")):
        item = shown[f"{plane}, bone"]
        edges = item.edges
        assert edges.left + edges.right + edges.top + edges.bottom == letters
        expected = np.clip((hung(marked, axis, study.grid.shape[axis] // 2) + 500) / 2000, 0, 1) * 255
        assert np.abs(pixels(item).astype(float) - expected).mean() < 6
        assert item.aspect == pytest.approx(expected.shape[1] / expected.shape[0])
        assert item.width == pytest.approx(expected.shape[1] * 4.0 / 80.0)
    assert pixels(shown["axial, brain"])[-1, 0] == pytest.approx(127, abs=5)
    assert "".join((shown["lateral DRR"].edges.left, shown["frontal DRR"].edges.left)) == "AR"


def test_radiographs_of_a_wide_detector_are_shrunk_and_keep_their_aspect(case, study):
    wide = study.model_copy(update={"geometry": Geometry(detector_shape=(256, 512), pixel_mm=1.0)})
    made = case()
    picture = thumbnails(
        type(made)(made.pseudonym, made.volume_hu, np.ones((2, 256, 512), np.float32), made.facts), wide
    )[3]
    assert pixels(picture).shape == (LARGEST_PIXELS // 2, LARGEST_PIXELS)
    assert picture.aspect == 2


def test_outliers_come_first_and_say_why(page, case):
    cases = [case(number, residual_hu=90.0 + number) for number in range(8)]
    odd = case(99, brain_median_hu=5.0)
    text = page([*cases, odd])
    articles = re.findall(r"<article.*?</article>", text, flags=re.DOTALL)
    assert len(articles) == 9
    assert odd.pseudonym in articles[0]
    assert "brain, median 5 HU, expected at least 15" in articles[0]
    assert sum('class="case odd"' in article for article in articles) == 1
    assert "1 of 9 marked" in text


def narrow_part(text):
    (part,) = re.findall(r'<section aria-labelledby="narrow">.*?</section>', text, flags=re.DOTALL)
    assert text.index('id="narrow"') < text.index('id="cases"')
    return part


def test_what_passed_narrowly_stands_before_all_cases_worst_first(page, case):
    cases = [case(number) for number in range(8)]
    leaning, cut = case(20, shear_deg=-5.7), case(21, cut_share=0.14)
    both = case(22, shear_deg=4.8, cut_share=0.18)
    part = narrow_part(page([*cases, leaning, cut, both]))
    assert re.findall(r"<h3>(.*?)</h3>", part) == [
        "Shear of the slices to the back: 2 cases",
        "Share of slices cut by the field: 2 cases",
    ]
    shown = [
        re.sub(r"<[^>]+>|\s+", " ", item) for item in re.findall(r'<li class="near">.*?</li>', part, flags=re.DOTALL)
    ]
    shown = [" ".join(item.split()) for item in shown]
    assert "−5.7° at least −6° 90 % of the way to positions_contradict : slices are shifted" in shown[0]
    assert "4.8° at most 6° 60 % of the way to" in shown[1]
    assert "0.18 at most 0.2 87 % of the way to field_of_view_cut" in shown[2]
    assert "0.14 at most 0.2 60 % of the way" in shown[3]
    assert "3 of 11 cases" in part
    assert part.count("What to look for: ") == 2
    assert len(re.findall(r'alt="Case \d+: sagittal, bone"', part)) == 2
    assert len(re.findall(r'alt="Case \d+: axial, bone"', part)) == 2


def test_a_case_that_passed_narrowly_has_the_number_it_has_among_all(page, case):
    text = page([case(1), case(2, cut_share=0.18), case(3, brain_median_hu=2.0)])
    among_all = dict(re.findall(r"<h3>Case (\d+) <code>(\w+)</code></h3>", text))
    narrow = dict(re.findall(r"<h4>Case (\d+) <code>(\w+)</code></h4>", text))
    assert len(narrow) == 2
    assert narrow.items() <= among_all.items()


def test_of_many_narrow_cases_the_worst_are_shown_and_the_others_counted(page, case):
    part = narrow_part(page([case(number, cut_share=0.13 + number / 1000) for number in range(20)]))
    assert part.count('<li class="near">') == MOST_SHOWN
    assert f"{20 - MOST_SHOWN} more are marked among all cases below" in part
    assert "<b>0.149</b>" in part
    assert "<b>0.13</b>" not in part


def test_the_page_says_when_nothing_passed_narrowly_and_what_came_nearest(page, case):
    part = narrow_part(page([case(1), case(2, shear_deg=3.6)]))
    assert "Nothing passed narrowly: no figure of any case lies 50 % or more of the way" in part
    assert (
        "The nearest is case 1 with shear of the slices to the back 3.6°, 20 % of the way; at most 6° is accepted"
        in part
    )
    assert "Every figure that is judged is as expected of a head" in narrow_part(page([case(1)]))
    assert "Passed narrowly" not in page([], VerdictCode.NOT_CT)


def test_headings_never_skip_a_level_and_every_picture_has_a_text(page, case):
    text = page([case(1), case(2, cut_share=0.18)], VerdictCode.NOT_CT)
    levels = [int(level) for level in re.findall(r"<h([1-6])", text)]
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    assert text.count("<img ") == len(re.findall(r'<img [^>]*alt="[^"]+"', text))
    ids = re.findall(r' id="([^"]+)"', text)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'aria-labelledby="([^"]+)"', text)) <= set(ids)


def test_every_exclusion_stands_with_its_reason_and_mend(page, case):
    text = page([case()], *(code for code in VerdictCode if code is not VerdictCode.ACCEPTED))
    plain = text.replace("&#39;", "'")
    for code in set(VerdictCode) - {VerdictCode.ACCEPTED}:
        assert f"<code>{code.value}</code>" in text
        assert REASONS[code] in plain
        assert MENDS.get(code, "") in plain


def test_every_series_has_its_verdict_by_pseudonym(page, case, findings):
    cases = [case(1)]
    text = page(cases, VerdictCode.NOT_CT, VerdictCode.NOT_A_HEAD)
    for item in findings(cases, VerdictCode.NOT_CT, VerdictCode.NOT_A_HEAD).verdicts:
        assert re.search(f"<code>{item.series}</code>.*{item.code.value}", text)


def test_provenance_is_shown(page, case):
    text = page([case()])
    assert "<li>decoded</li>" in text
    assert "e" * 32 in text


def test_five_hundred_cases_make_a_page_of_a_few_megabytes_that_opens_at_once(page, case, study):
    rng = np.random.default_rng(0)
    volume = rng.integers(-1000, 1500, study.grid.shape).astype(np.int16)
    text = page([case(number, volume_hu=volume) for number in range(500)])
    assert len(text) < 20_000_000
    assert text.count('<details class="group" open>') == 1
    assert text.count('<details class="group"') == -(-500 // CASES_IN_A_GROUP)
    assert text.count("<img ") == text.count('loading="lazy"') == 4000


def test_an_archive_without_a_usable_series_still_has_a_page(page):
    text = page([], VerdictCode.NOT_CT)
    assert "No series was accepted." in text
    assert "No series was excluded." not in text


def test_figures_are_short_and_have_a_true_minus(study):
    assert [figure(value) for value in (-3.14159, 0.0, -0.00001 * 0, 1005.44, 4.0)] == ["−3.142", "0", "0", "1005", "4"]
    assert figure(-0.0) == "0"
