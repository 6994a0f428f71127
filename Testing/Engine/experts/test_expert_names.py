"""Names with any characters, in files too, and colours that are told apart."""

import json
import math
import re

import pytest
import SimpleITK as sitk  # noqa: N813
from a_fast_model import a_fast_model
from a_local_expert import a_file, a_local_expert
from a_model import REGION, a_volume

from diffoseg.drawing.segmenter import Segmenter
from diffoseg.errors import InputError
from diffoseg.experts.local_expert import load_expert
from diffoseg.experts.panel import ExpertPanel, slug_of, unused_color
from diffoseg.model.cards import read_expert_card
from diffoseg.output.files import write_results

ODD_NAMES = (
    "Dr. \u00c4rztin \u00d8",
    "\u0417\u0430\u0440\u0430",
    "\u7530\u4e2d\u5148\u751f",
    "\u0639\u0644\u06cc\u200c\u0631\u0636\u0627",  # joined by a sign that shows nothing
    "\U0001f469\u200d\u2695\ufe0f",  # a woman, joined to a staff of Aesculapius
    "../../etc/passwd",
    "C:\\x<y>|?*\"'&amp;",
    "CON",
    "com1",
    "lpt9",
    "consensus!",
    "-",
    "=1+1",
    "%s {0} `id`",
    "$\\frac{$ ^_",
    "x" * 200,
)
NO_NAMES = (
    "",
    "   ",
    "two\nlines",
    "tab\t",
    "nul\0",
    "\u200d",
    "\u202egnihtemos",
    "\ud800",
    "x" * 201,
    "Consensus",
    " CONSENSUS ",
)


@pytest.mark.parametrize("name", ODD_NAMES)
def test_an_expert_may_have_any_name_that_can_be_read(tmp_path, name):
    path = a_file(tmp_path, a_local_expert(name))

    assert load_expert(path).name == read_expert_card(path).name == name
    assert re.fullmatch("[a-z0-9-]{1,47}", slug_of(name))
    assert slug_of(name) not in ("con", "prn", "aux", "nul", "com1", "lpt9")


@pytest.mark.filterwarnings("ignore:Glyph")  # no font has them all
def test_odd_names_go_all_the_way_into_the_files_of_a_result(tmp_path):
    experts = [a_local_expert(name) for name in ODD_NAMES]
    taught = a_fast_model().with_experts(experts)

    comparison = Segmenter(taught, "cpu").segment(a_volume(), REGION, ODD_NAMES, samples=1)
    write_results(comparison, a_volume(), tmp_path / "out")

    names = {file.name for file in (tmp_path / "out").iterdir()}
    segments = sitk.ImageFileReader()
    segments.SetFileName(str(tmp_path / "out" / "segmentation.seg.nrrd"))
    segments.ReadImageInformation()
    keys = [key for key in segments.GetMetaDataKeys() if key.endswith("_Name")]
    assert {segments.GetMetaData(key) for key in keys} == set(ODD_NAMES)
    assert {f"probability_{slug}.nrrd" for slug in comparison.slugs.values()} <= names
    assert len(set(comparison.slugs.values())) == len(ODD_NAMES)
    table = (tmp_path / "out" / "volumes.csv").read_text(encoding="utf-8")
    assert "\n'=1+1," in table  # a spreadsheet would compute it
    told = json.loads((tmp_path / "out" / "result.json").read_text(encoding="utf-8"))
    assert set(told["provenance"]["local_experts"]) == set(ODD_NAMES)


@pytest.mark.parametrize("name", NO_NAMES)
def test_what_cannot_be_read_or_told_apart_is_no_name(name):
    with pytest.raises(InputError, match="cannot be an expert's name") as caught:
        a_local_expert(name)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("name", ["Ann", "ann", " ANN ", "\uff21nn"])
def test_a_name_that_people_would_take_for_anothers_is_refused(name):
    with pytest.raises(InputError, match="'Ann'"):
        a_fast_model().with_experts([a_local_expert(name)])
    with pytest.raises(InputError, match="taken"):
        a_fast_model().with_experts([a_local_expert("Cleo"), a_local_expert("cleo")])


def test_a_new_expert_gets_a_colour_that_nobody_has_as_long_as_there_are_any():
    taken = [ExpertPanel.of(*"abcd").color_of(name) for name in "abcd"]
    for _ in range(8):
        new = unused_color(taken)
        assert new not in taken
        taken.append(tuple(round(part * 255) / 255 for part in new))  # as a segment keeps it
    assert unused_color(taken) == ExpertPanel.of("a").color_of("a")
    apart = [math.dist(a, b) for i, a in enumerate(taken) for b in taken[:i]]
    assert min(apart) > 0.15
