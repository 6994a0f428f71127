"""What a radiologist sees: the right way round, the right size, nothing cut off."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from a_comparison import WHOLE, a_comparison, a_volume
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.path import Path as Polygon
from matplotlib.text import Text
from PIL import Image

from diffoseg.comparison.measures import table
from diffoseg.comparison.result import Comparison
from diffoseg.output.display import Display, display_window, field_of_view, interest, outlines
from diffoseg.output.picture import comparison_figure, draw_comparison
from diffoseg.space.geometry import Geometry
from diffoseg.space.volume import Volume

HARD_NAMES = (
    "Dr. $x^{ <b>", "Ärztin Müller-Lüdenscheidt, Klinikum rechts der Isar", "D" * 70, "E", "F",
    "G", "H", "I",
)  # fmt: skip


def a_figure(comparison: Comparison, volume: Volume | None = None) -> Figure:
    """Return the drawn picture."""
    volume = volume or a_volume(comparison.geometry)
    figure = comparison_figure(comparison, volume, table(comparison, volume))
    FigureCanvasAgg(figure).draw()
    return figure


def texts_of(figure: Figure) -> list[Text]:
    return [t for t in figure.findobj(Text) if t.get_text() and t.get_visible()]


def words_of(figure: Figure) -> str:
    return "\n".join(text.get_text() for text in texts_of(figure))


def stored_otherwise(
    comparison: Comparison, volume: Volume, axis: int
) -> tuple[Comparison, Volume]:
    """Return the same patient with index axis ``axis`` stored the other way round."""
    whole, region = comparison.geometry, comparison.region_geometry

    def turned(geometry: Geometry) -> Geometry:
        last = np.zeros(3)
        last[axis] = geometry.size[axis] - 1
        direction = geometry.matrix
        direction[:, axis] *= -1
        origin = geometry.index_to_point(last)
        return Geometry(geometry.size, geometry.spacing, tuple(origin), tuple(direction.flat))

    def flipped(array: np.ndarray) -> np.ndarray:
        return np.flip(array, array.ndim - 1 - axis).copy()

    start = list(comparison.region_start)
    start[axis] = whole.size[axis] - start[axis] - region.size[axis]
    results = {
        name: replace(
            result,
            probability=flipped(result.probability),
            mask=flipped(result.mask),
            samples=flipped(result.samples),
        )
        for name, result in comparison.results.items()
    }
    return (
        replace(
            comparison,
            results=results,
            geometry=turned(whole),
            region_geometry=turned(region),
            region_start=tuple(start),
        ),
        replace(volume, array=flipped(volume.array), geometry=turned(whole)),
    )


def test_axial_slices_show_the_patients_right_on_the_left_and_front_on_top():
    display = Display.of(a_comparison())
    k, j, i = np.indices(WHOLE.size[::-1])
    x, y, z = np.moveaxis(WHOLE.index_to_point(np.stack([i, j, k], -1)), -1, 0)
    assert np.all(np.diff(display.slices(x), axis=2) > 0)  # towards the patient's left
    assert np.all(np.diff(display.slices(y), axis=1) > 0)  # towards the back
    assert np.all(np.diff(display.slices(z), axis=0) > 0)  # towards the head
    assert display.letters == ("R", "L", "A", "P")
    assert display.plane == "axial"
    assert display.pixel_mm == (0.8, 0.8)


@pytest.mark.parametrize(
    ("spacing", "plane", "letters"),
    [((3.0, 1.0, 1.0), "sagittal", "APSI"), ((1.0, 3.0, 1.0), "coronal", "RLSI")],
)
def test_other_planes_have_the_head_on_top(spacing, plane, letters):
    display = Display.of(a_comparison(geometry=Geometry(WHOLE.size, spacing)))
    assert display.plane == plane
    assert display.letters == tuple(letters)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_the_picture_does_not_depend_on_how_the_file_stores_its_voxels(tmp_path, axis):
    comparison, volume = a_comparison(), a_volume()
    straight, turned = tmp_path / "a.png", tmp_path / "b.png"
    draw_comparison(comparison, volume, table(comparison, volume), straight)
    comparison, volume = stored_otherwise(comparison, volume, axis)
    draw_comparison(comparison, volume, table(comparison, volume), turned)
    assert straight.read_bytes() == turned.read_bytes()


def test_a_slice_is_named_by_its_number_in_the_volume_and_its_place():
    display = Display.of(a_comparison())
    assert display.label(0) == "axial slice 4 of 14, S 17.5 mm"
    turned, _ = stored_otherwise(a_comparison(), a_volume(), 2)
    assert Display.of(turned).label(0) == "axial slice 4 of 14, S 17.5 mm"


def test_the_slice_with_most_to_see_is_in_the_middle_of_the_ball():
    comparison = a_comparison()
    assert int(interest(comparison, Display.of(comparison)).argmax()) == 7 - 3


def test_where_nobody_marks_anything_there_is_no_interest():
    comparison = a_comparison(empty=True)
    assert not interest(comparison, Display.of(comparison)).any()
    assert field_of_view(comparison, Display.of(comparison)) == (slice(0, 42), slice(0, 48))


def test_the_field_holds_everything_marked_and_is_square_in_mm():
    comparison = a_comparison(("A",), consensus=False)
    display = Display.of(comparison)
    rows, columns = field_of_view(comparison, display)
    seen = display.slices(comparison.results["A"].mask)
    assert seen[:, rows, columns].sum() == seen.sum()
    height, width = ((s.stop - s.start) * 0.8 for s in (rows, columns))
    assert height == pytest.approx(width)
    assert height + 0.4 >= 32


def test_an_outline_parts_what_is_above_its_level_from_what_is_not():
    rng = np.random.default_rng(3)
    probability = np.kron(rng.random((5, 6)), np.ones((3, 3))).astype(np.float32)
    rows, columns = np.indices(probability.shape)
    points = np.column_stack([columns.ravel(), rows.ravel()])
    inside = np.zeros(len(points), bool)
    for line in outlines(probability, 0.3):
        np.testing.assert_allclose(line[0], line[-1])  # closed, at the edge too
        inside ^= Polygon(line).contains_points(points)
    np.testing.assert_array_equal(inside.reshape(probability.shape), probability > 0.3)


def test_a_constant_scan_still_has_a_window():
    low, high = display_window(np.full((4, 4), 7.0))
    assert high > low


def test_the_picture_says_what_it_is():
    words = words_of(a_figure(a_comparison()))
    assert "Predicted in the style of Expert 1, Expert 2, Expert 3 and Expert 4" in words
    assert "8 samples each · weights: Phantom lung nodules" in words
    assert "not for clinical use" in words
    assert "range of 8 samples" in words
    assert "Disagreement between the experts" in words
    assert "Spread of 8 samples: Consensus" in words
    assert " HU" in words


def test_an_empty_answer_says_nothing_marked_in_every_panel():
    words = words_of(a_figure(a_comparison(empty=True)))
    assert words.count("nothing marked") == 1 + 5


def test_a_single_result_is_not_compared():
    words = words_of(a_figure(a_comparison((), 1)))
    assert "All outlines" not in words
    assert "Disagreement" not in words
    assert "Spread" not in words


@pytest.mark.parametrize(
    "comparison",
    [
        a_comparison(),
        a_comparison(HARD_NAMES, 20),
        a_comparison(("A", "B")),
        a_comparison(("A",), 1, consensus=False),
        a_comparison(empty=True),
        a_comparison(geometry=Geometry(WHOLE.size, (0.5, 1.4, 4.0), WHOLE.origin)),
        a_comparison(geometry=Geometry(WHOLE.size, (3.0, 1.0, 0.8), WHOLE.origin)),
    ],
    ids=["four", "eight", "two", "one", "empty", "oblong", "sagittal"],
)
def test_no_text_is_cut_off_or_written_over_another(comparison):
    figure = a_figure(comparison)
    texts = texts_of(figure)
    boxes = [text.get_window_extent() for text in texts]
    page = figure.bbox
    for text, box in zip(texts, boxes, strict=True):
        assert page.contains(box.x0, box.y0), text.get_text()
        assert page.contains(box.x1, box.y1), text.get_text()
    for index, (text, box) in enumerate(zip(texts, boxes, strict=True)):
        for other, second in zip(texts[:index], boxes[:index], strict=True):
            assert not box.overlaps(second.padded(-1)), (text.get_text(), other.get_text())


def test_every_experts_colour_is_in_the_picture(tmp_path):
    comparison, volume = a_comparison(), a_volume()
    draw_comparison(comparison, volume, table(comparison, volume), tmp_path / "a.png")
    pixels = np.asarray(Image.open(tmp_path / "a.png").convert("RGB")).reshape(-1, 3) / 255
    for name, color in comparison.colors.items():
        near = np.abs(pixels - to_rgb(color)).max(axis=1) < 0.02
        assert near.sum() > 200, name


def test_the_png_holds_no_date_and_no_software(tmp_path: Path):
    comparison, volume = a_comparison(("A",), 1), a_volume()
    draw_comparison(comparison, volume, table(comparison, volume), tmp_path / "a.png")
    assert set(Image.open(tmp_path / "a.png").info) <= {"dpi"}
