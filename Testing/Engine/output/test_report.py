"""The report: one page that asks the network for nothing, read by a real browser."""

import os
import re
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from a_comparison import a_comparison, a_volume
from PIL import Image

from diffoseg.comparison.measures import table
from diffoseg.comparison.result import Comparison
from diffoseg.output.picture import draw_comparison
from diffoseg.output.report import write_report
from diffoseg.output.slice_reader import _choose_slices

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
HOSTILE = "<script>document.title='owned'</script>"


class Page(HTMLParser):
    """All that a page refers to, its tables as rows of text, and its tags."""

    def __init__(self, text: str):
        super().__init__()
        self.addresses: list[str] = []
        self.rows: list[list[str]] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self._in_cell = False
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.addresses += [v for k, v in attrs if k in ("src", "href", "srcset", "data", "action")]
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
            self._in_cell = True

    def handle_endtag(self, tag):
        if tag in ("td", "th"):
            self._in_cell = False

    def handle_data(self, data):
        if self._in_cell:
            self.rows[-1][-1] += data


def a_report(folder: Path, comparison: Comparison) -> Path:
    volume = a_volume()
    rows = table(comparison, volume)
    draw_comparison(comparison, volume, rows, folder / "comparison.png")
    write_report(comparison, volume, rows, folder / "comparison.png", folder / "report.html")
    return folder / "report.html"


@pytest.fixture(scope="module")
def path(tmp_path_factory) -> Path:
    comparison = replace(a_comparison(), warnings=("The slices are 2.5 mm apart.",))
    return a_report(tmp_path_factory.mktemp("report"), comparison)


@pytest.fixture(scope="module")
def page(path) -> Page:
    return Page(path.read_text(encoding="utf-8"))


def test_only_the_paper_is_linked_and_everything_else_is_inside(page):
    outside = [address for address in page.addresses if not address.startswith("data:image/png;")]
    assert outside == ["https://arxiv.org/abs/2507.13087"]


def test_a_policy_forbids_every_request(path):
    text = path.read_text(encoding="utf-8")
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', text)[1]
    assert policy.startswith("default-src 'none'; img-src data:;")
    assert "url(" not in text
    assert "@import" not in text


def test_the_table_holds_a_row_per_result_with_units_and_the_intervals_name(page):
    head = next(row for row in page.rows if "Volume, ml" in row)
    assert "Range of 8 samples, ml" in head
    assert "Mean intensity, HU" in head
    volumes = {row[0]: row for row in page.rows if len(row) == len(head)}
    row = table(a_comparison(), a_volume())[2]
    assert volumes["Expert 2"][head.index("Volume, ml")] == f"{row.volume_ml:.3f}"
    assert volumes["Expert 2"][head.index("Dice with consensus")] == f"{row.dice:.2f}"
    assert volumes["Consensus"][head.index("Dice with consensus")] == "–"


def test_the_overlap_of_every_pair_is_there_and_symmetric(page):
    start = page.rows.index(["", "Expert 1", "Expert 2", "Expert 3", "Expert 4"])
    matrix = [row[1:] for row in page.rows[start + 1 : start + 5]]
    assert matrix == [list(column) for column in zip(*matrix, strict=True)]
    assert [matrix[n][n] for n in range(4)] == ["–"] * 4


def test_it_says_what_it_is_and_is_not(path):
    text = path.read_text(encoding="utf-8")
    assert "<h1>Predicted in the style of Expert 1, Expert 2, Expert 3 and Expert 4" in text
    assert "no person’s opinion" in text
    assert "not for clinical use" in text
    assert "The slices are 2.5 mm apart." in text
    assert "Expert 2 says" not in text


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ({"kind": "paper"}, "Presence is the share of the samples in which anything at all is"),
        ({"kind": "fast"}, "the probability that anything at all is marked, as predicted."),
        ({"kind": "fast", "presence": 1.0}, "is marked, which was given and not predicted."),
    ],
)
def test_it_says_what_presence_is_and_whether_it_was_given(tmp_path, asked, sentence):
    comparison = a_comparison(samples=2)
    comparison = replace(comparison, provenance={**comparison.provenance, **asked})
    text = a_report(tmp_path, comparison).read_text(encoding="utf-8")
    assert sentence in text
    assert ("”, given that something is marked. What it draws" in text) == ("presence" in asked)


def test_what_it_was_made_with_is_there(page):
    facts = dict(row for row in page.rows if len(row) == 2)
    assert facts["Weights"] == "Phantom lung nodules"
    assert facts["Hash of the weights"] == "4f1c" * 16
    assert facts["Seed"] == "0"
    assert facts["Samples per expert"] == "8"


def test_every_picture_has_words_for_those_who_cannot_see_it(page):
    for tag, attributes in page.tags:
        if tag == "img":
            assert attributes["alt"]
        if tag == "svg":
            assert attributes.get("aria-label") or attributes.get("aria-hidden") == "true"
        if tag == "th":
            assert attributes["scope"] in ("row", "col")


def test_every_outline_can_be_hidden(path, page):
    text = path.read_text(encoding="utf-8")
    classes = {a.get("class") for tag, a in page.tags if tag == "path"}
    for layer in range(5):
        assert f'id="show-{layer}"' in text
        assert f".layer-{layer}{{display:none}}" in text
        assert any(str(name).split()[0] == f"layer-{layer}" for name in classes)


def test_names_are_text_and_never_markup(tmp_path):
    text = a_report(tmp_path, a_comparison((HOSTILE, '"><img src=x>'))).read_text("utf-8")
    page = Page(text)
    assert sum(tag == "script" for tag, _ in page.tags) == 1
    assert "x" not in page.addresses
    assert any(row and row[0] == HOSTILE for row in page.rows)


def test_both_empty_is_said(tmp_path):
    page = Page(a_report(tmp_path, a_comparison(("A", "B"), empty=True)).read_text("utf-8"))
    cells = [cell for row in page.rows for cell in row]
    assert cells.count("both empty") == 2 + 2
    assert cells.count("nothing marked") == 3
    assert "nan" not in " ".join(cells).lower()


def test_columns_that_say_nothing_are_left_out(tmp_path):
    page = Page(a_report(tmp_path, a_comparison((), 1)).read_text("utf-8"))
    head = next(row for row in page.rows if "Volume, ml" in row)
    assert not any(word in " ".join(head) for word in ("Dice", "interval", "Range", "Difference"))


def test_the_same_comparison_gives_the_same_page(tmp_path, path):
    comparison = replace(a_comparison(), warnings=("The slices are 2.5 mm apart.",))
    assert a_report(tmp_path, comparison).read_bytes() == path.read_bytes()


@pytest.mark.parametrize("count", [1, 5, 16, 17, 300])
def test_at_most_16_slices_are_shown_the_fullest_among_them(count):
    worth = np.zeros(count + 6)
    worth[3 : 3 + count] = 1 + np.arange(count) % 7
    indices, current = _choose_slices(worth)
    assert len(indices) <= 16
    assert indices == sorted(set(indices))
    assert worth[indices[current]] == worth.max()
    assert indices[0] <= 3
    assert indices[-1] >= 2 + count


def browse(path: Path, profile: Path, *options: str) -> str:
    command = [
        CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
        "--disable-background-networking", "--disable-component-update", "--disable-sync",
        f"--user-data-dir={profile}", *options, path.as_uri(),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=os.environ)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: apt-get install chromium")
def test_chromium_shows_the_report(path, tmp_path):
    dom = browse(path, tmp_path / "profile", "--dump-dom")
    page = Page(dom)
    assert [row[0] for row in page.rows if len(row) > 8][1:] == [
        "Consensus", "Expert 1", "Expert 2", "Expert 3", "Expert 4",
    ]  # fmt: skip
    shown = [a for tag, a in page.tags if tag == "figure" and a.get("class") == "now"]
    assert len(shown) == 1  # the script ran: one slice at a time
    assert 'id="reader" class="one"' in dom

    shot = tmp_path / "report.png"
    browse(path, tmp_path / "profile", f"--screenshot={shot}", "--window-size=1200,2600")
    pixels = np.asarray(Image.open(shot).convert("RGB")).astype(int)
    assert pixels.shape[:2] == (2600, 1200)
    for part in np.array_split(pixels[:2400], 4):
        assert part.std() > 10  # no part of the page is blank
    yellow = np.abs(pixels - [255, 214, 0]).max(axis=2) < 12
    assert yellow.sum() > 500  # the consensus' outline


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: apt-get install chromium")
def test_a_hostile_name_runs_nothing_in_chromium(tmp_path):
    path = a_report(tmp_path, a_comparison((HOSTILE,), 1))
    dom = browse(path, tmp_path / "profile", "--dump-dom")
    assert "<title>owned" not in dom
    assert "<title>DiffOSeg: " in dom
