"""The local page hangs slices as radiologists do, shows HU at fixed windows, and stays readable by its owner alone."""

import base64
import io
import re
import stat
from pathlib import Path

import numpy as np
import pytest
from matplotlib import image

from client.evaluation.gallery import GalleryEntry, write_gallery
from common.errors import ExitCode, Refusal
from common.geometry import Geometry, Grid
from common.hanging import hung
from common.study import Study

SHAPE = (12, 16, 20)


def study(shape: tuple[int, int, int] = SHAPE) -> Study:
    return Study(
        name="local-test",
        grid=Grid(shape=shape, voxel_mm=4.0),
        geometry=Geometry(detector_shape=(24, 32), pixel_mm=8.0),
    )


def entry(
    truth: np.ndarray | None = None,
    synthetic: np.ndarray | None = None,
    label: str = "case 1",
    shape: tuple[int, ...] = SHAPE,
) -> GalleryEntry:
    air = np.full(shape, -1000, dtype=np.int16)
    pair = np.zeros((2, 24, 32), dtype=np.float32)
    return GalleryEntry(
        label, air if truth is None else truth, air if synthetic is None else synthetic, pair, 23.456, 0.789
    )


def written(tmp_path: Path, *entries: GalleryEntry) -> str:
    write_gallery(tmp_path / "gallery.html", study(), entries)
    return (tmp_path / "gallery.html").read_text(encoding="utf-8")


def pictures(page: str) -> dict[str, list[np.ndarray]]:
    """Pixels in 0..1 by alternative text, in the order of the page."""
    found: dict[str, list[np.ndarray]] = {}
    for data, alt in re.findall(r'<img src="data:image/png;base64,([^"]+)" alt="([^"]+)">', page):
        found.setdefault(alt, []).append(image.imread(io.BytesIO(base64.b64decode(data)), format="png"))
    return found


def marked(z: int, y: int, x: int) -> np.ndarray:
    volume = np.full(SHAPE, -1000, dtype=np.int16)
    volume[z, y, x] = 1500
    return volume


@pytest.mark.parametrize(
    ("axis", "voxel", "pixel"),
    [
        (0, (6, 2, 17), (2, 17)),  # anterior left: near the top, at the image's right
        (1, (10, 8, 17), (1, 17)),  # superior left: near the top, at the image's right
        (2, (10, 2, 10), (1, 2)),  # superior anterior: near the top, at the image's left
    ],
)
def test_left_anterior_and_superior_land_where_radiologists_expect(
    axis: int, voxel: tuple[int, int, int], pixel: tuple[int, int]
) -> None:
    cut = hung(marked(*voxel), axis, voxel[axis])
    assert np.argwhere(cut == 1500).tolist() == [list(pixel)]


def test_the_page_draws_the_hung_slices_beside_each_other(tmp_path: Path) -> None:
    truth, synthetic = marked(6, 2, 17), marked(6, 12, 3)
    found = pictures(written(tmp_path, entry(truth, synthetic)))
    for name, pixel in (("axial CT", (2, 17)), ("axial synthetic CT", (12, 3))):
        for drawn in found[name]:
            assert np.argwhere(drawn[..., 0] > 0.5).tolist() == [list(pixel)]
    bone = found["axial absolute difference"][0][..., :3].sum(axis=-1)
    assert sorted(map(tuple, np.argwhere(bone > 0.5).tolist())) == [(2, 17), (12, 3)]


def test_grey_follows_the_display_window_and_not_the_image(tmp_path: Path) -> None:
    tissue = np.full(SHAPE, 40, dtype=np.int16)
    bone, brain = pictures(written(tmp_path, entry(tissue, tissue)))["coronal CT"]
    assert bone[..., 0] == pytest.approx((40 + 500) / 2000, abs=0.01)
    assert brain[..., 0] == pytest.approx(0.5, abs=0.01)


def test_differences_are_those_of_the_study_window(tmp_path: Path) -> None:
    truth, synthetic = np.full(SHAPE, 3000, dtype=np.int16), np.full(SHAPE, 1500, dtype=np.int16)
    shown = pictures(written(tmp_path, entry(truth, synthetic)))["sagittal absolute difference"]
    none = pictures(written(tmp_path, entry(truth, truth)))["sagittal absolute difference"]
    assert all(np.array_equal(a, b) for a, b in zip(shown, none, strict=True))


def test_a_difference_of_32768_does_not_wrap_around(tmp_path: Path) -> None:
    truth, synthetic = np.full(SHAPE, -32768, dtype=np.int16), np.full(SHAPE, 1500, dtype=np.int16)
    shown = pictures(written(tmp_path, entry(truth, synthetic)))["axial absolute difference"]
    assert shown[0][..., 0].min() > 0.9


def test_letters_name_the_sides_of_each_plane(tmp_path: Path) -> None:
    page = written(tmp_path, entry())
    letters = {
        alt: re.findall(r'class="edge \w+"[^>]*>(\w)<', block)
        for alt, block in re.findall(r'alt="([^"]+)">(.*?)</div></div>', page, flags=re.DOTALL)
    }
    assert letters["axial CT"] == ["R", "L", "A", "P"]
    assert letters["coronal synthetic CT"] == ["R", "L", "S", "I"]
    assert letters["sagittal absolute difference"] == ["A", "P", "S", "I"]
    assert letters["frontal radiograph"] == ["R", "L", "S", "I"]
    assert letters["lateral radiograph"] == ["A", "P", "S", "I"]


def test_slices_keep_their_proportions_in_mm(tmp_path: Path) -> None:
    page = written(tmp_path, entry())
    styles = re.findall(
        r'width: ([\d.]+)%; aspect-ratio: ([\d.]+)">\s*<img [^>]*alt="(axial|coronal|sagittal) CT"', page
    )
    assert {(plane, float(width), float(aspect)) for width, aspect, plane in styles} == {
        ("axial", 100.0, 20 / 16),
        ("coronal", 100.0, round(20 / 12, 5)),
        ("sagittal", 80.0, round(16 / 12, 5)),
    }


def test_the_page_warns_requests_nothing_and_is_the_owners_alone(tmp_path: Path) -> None:
    page = written(tmp_path, entry())
    assert "Contains patient images: stays at this site" in page
    assert "default-src 'none'; img-src data:; style-src 'unsafe-inline'" in page
    assert not re.search(r"https?:|<script|<link|url\(", page)
    assert stat.S_IMODE((tmp_path / "gallery.html").stat().st_mode) == 0o600


def test_a_hostile_label_stays_text(tmp_path: Path) -> None:
    page = written(tmp_path, entry(label="<script>alert(1)</script>"))
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page


def test_an_empty_gallery_says_so(tmp_path: Path) -> None:
    assert "No case to show." in written(tmp_path)


def test_images_off_the_studys_grid_are_refused_and_nothing_is_written(tmp_path: Path) -> None:
    for wrong in (
        entry(shape=(12, 16, 19)),
        GalleryEntry("case 2", entry().truth_hu, entry().truth_hu, np.zeros((2, 24, 24), np.float32), 20.0, 0.5),
    ):
        with pytest.raises(Refusal) as caught:
            written(tmp_path, entry(), wrong)
        assert caught.value.code is ExitCode.IMAGE_INVALID
    assert not list(tmp_path.iterdir())
