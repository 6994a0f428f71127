"""What a run leaves in its folder: whole, the same again, and nothing of the patient."""

import csv
import errno
import json
import os
import subprocess
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
from a_comparison import a_comparison, a_volume

from diffoseg.comparison.measures import disagreement
from diffoseg.errors import InputError
from diffoseg.output import files
from diffoseg.output.files import prepare_folder, write_results
from diffoseg.reading.seg_nrrd import read_seg_nrrd

NAMES = {
    "segmentation.seg.nrrd", "probability_consensus.nrrd", "probability_expert-1.nrrd",
    "probability_expert-2.nrrd", "probability_expert-3.nrrd", "probability_expert-4.nrrd",
    "disagreement.nrrd", "volumes.csv", "comparison.png", "report.html", "result.json",
    "timings.json",
}  # fmt: skip


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(scope="module")
def result(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("written") / "case"
    write_results(a_comparison(), a_volume(), folder)
    return folder


def test_a_result_has_exactly_these_files(result):
    assert set(contents(result)) == NAMES
    assert set(json.loads((result / "result.json").read_text())["files"]) == NAMES


def test_a_probability_lies_on_the_inputs_grid_and_is_0_outside_the_region(result):
    comparison = a_comparison()
    image = sitk.ReadImage(str(result / "probability_expert-2.nrrd"))
    assert image.GetSize() == comparison.geometry.size
    assert image.GetPixelID() == sitk.sitkFloat32
    np.testing.assert_allclose(image.GetSpacing(), comparison.geometry.spacing)
    np.testing.assert_allclose(image.GetOrigin(), comparison.geometry.origin)
    np.testing.assert_allclose(image.GetDirection(), comparison.geometry.direction)
    array = sitk.GetArrayFromImage(image)
    inside = array[3:13, 10:52, 8:56]
    np.testing.assert_array_equal(inside, comparison.results["Expert 2"].probability)
    assert array.sum(dtype=float) == pytest.approx(inside.sum(dtype=float))


@pytest.mark.parametrize(
    ("asked", "words", "meant"),
    [
        ({"kind": "paper", "preset": "standard", "presence": None}, "", "share of samples"),
        ({"kind": "fast", "preset": "careful", "presence": None}, "", "probability"),
        ({"kind": "paper", "preset": "preview"}, "in preview quality", "share of samples"),
        (
            {"kind": "fast", "preset": "preview", "presence": 1.0},
            "given that something is marked, in preview quality",
            "probability, as given",
        ),
        (
            {"kind": "fast", "preset": None, "presence": 0.25},
            "given a chance of 25 % that something is marked",
            "probability, as given",
        ),
    ],
)
def test_every_file_with_words_says_under_which_conditions_it_holds(tmp_path, asked, words, meant):
    comparison = a_comparison()
    comparison = replace(comparison, provenance={**comparison.provenance, **asked})

    write_results(comparison, a_volume(), tmp_path)

    told = json.loads((tmp_path / "result.json").read_text())
    assert (told["conditions"], told["presence_is"]) == (words, meant)
    assert told["title"].endswith(words or "their consensus")
    assert f"<h1>{told['title']}</h1>" in (tmp_path / "report.html").read_text()
    with (tmp_path / "volumes.csv").open() as file:
        assert {line["presence_is"] for line in csv.DictReader(file)} == {meant}
    header = (tmp_path / "segmentation.seg.nrrd").read_bytes().split(b"\n\n")[0].decode()
    assert ("DiffOSeg.Preset:preview|" in header) == ("preview" in words)
    assert ("DiffOSeg.PresenceGiven:1.0|" in header) == ("given that" in words)


def test_disagreement_is_the_experts(result):
    array = sitk.GetArrayFromImage(sitk.ReadImage(str(result / "disagreement.nrrd")))
    np.testing.assert_array_equal(array[3:13, 10:52, 8:56], disagreement(a_comparison()))


def test_segments_are_the_masks_and_say_that_a_machine_drew_them(result):
    masks, geometry = read_seg_nrrd(result / "segmentation.seg.nrrd")
    assert list(masks) == ["Consensus", "Expert 1", "Expert 2", "Expert 3", "Expert 4"]
    assert geometry.size == a_comparison().geometry.size
    np.testing.assert_array_equal(
        masks["Expert 3"][3:13, 10:52, 8:56], a_comparison().results["Expert 3"].mask
    )
    header = (result / "segmentation.seg.nrrd").read_bytes().split(b"\n\n")[0].decode()
    assert header.count("DICOM.SegmentAlgorithmType:AUTOMATIC|") == 5
    assert "DICOM.SegmentAlgorithmName:DiffOSeg 0.1.0 Expert 2|" in header
    assert "SCT^4147007^Mass" in header


def test_the_table_is_read_back_as_it_was_computed(tmp_path):
    rows = write_results(a_comparison(), a_volume(), tmp_path / "a")
    with (tmp_path / "a" / "volumes.csv").open(encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))
    assert [line["expert"] for line in lines] == [row.name for row in rows]
    for line, row in zip(lines, rows, strict=True):
        assert float(line["volume_ml"]) == pytest.approx(row.volume_ml, rel=1e-5)
        assert float(line["volume_high_ml"]) == pytest.approx(row.interval.high, rel=1e-5)
        assert line["low_to_high_is"] == "range of 8 samples"
    assert lines[0]["dice_with_consensus"] == ""


def test_both_empty_is_said_in_the_table_too(tmp_path):
    write_results(a_comparison(empty=True), a_volume(), tmp_path)
    with (tmp_path / "volumes.csv").open(encoding="utf-8", newline="") as file:
        assert [line["dice_with_consensus"] for line in csv.DictReader(file)][1:] == [
            "both empty"
        ] * 4


def test_the_description_maps_slugs_and_holds_no_times_and_no_paths(result, tmp_path):
    text = (result / "result.json").read_text(encoding="utf-8")
    content = json.loads(text)
    assert content["experts"][2]["slug"] == "expert-2"
    assert content["experts"][2]["probability"] in NAMES
    assert content["region"]["start"] == [8, 10, 3]
    assert content["provenance"]["weights_hash"] == "4f1c" * 16
    for part in (str(tmp_path.parent), "seconds", 'timings":'):
        assert part not in text
    assert json.loads((result / "timings.json").read_text()) == {"total": 1.25}


def test_the_same_comparison_gives_the_same_bytes(result, tmp_path):
    write_results(a_comparison(), a_volume(), tmp_path / "elsewhere")
    assert contents(tmp_path / "elsewhere") == contents(result)


def test_one_expert_alone_has_no_disagreement(tmp_path):
    write_results(a_comparison(("Solo",), 1, consensus=False), a_volume(), tmp_path)
    assert set(contents(tmp_path)) == {
        "segmentation.seg.nrrd", "probability_solo.nrrd", "volumes.csv", "comparison.png",
        "report.html", "result.json", "timings.json",
    }  # fmt: skip


def test_a_former_result_is_replaced_and_other_files_stay(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    write_results(a_comparison(), a_volume(), tmp_path)
    write_results(a_comparison(("Solo",), 2), a_volume(), tmp_path)
    left = set(contents(tmp_path))
    assert left == {*json.loads((tmp_path / "result.json").read_text())["files"], "notes.txt"}
    assert "probability_expert-1.nrrd" not in left


@pytest.mark.parametrize("hostile", ['["../precious.txt"]', '"precious"', "[1]", "{"])
def test_a_tampered_former_result_removes_nothing_outside_the_folder(tmp_path, hostile):
    precious = tmp_path / "precious.txt"
    precious.write_text("keep")
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "result.json").write_text(f'{{"format": "diffoseg-result", "files": {hostile}}}')
    with suppress(InputError):  # a result.json that says nothing is taken for somebody else's
        write_results(a_comparison(("Solo",), 1), a_volume(), folder)
    assert precious.read_text() == "keep"


@pytest.mark.parametrize(
    "failing", ["_write_table", "draw_comparison", "write_report", "_write_json", "_write_map"]
)
@pytest.mark.parametrize("before", ["nothing", "an empty folder", "a former result"])
def test_a_full_disk_leaves_everything_as_it_was(tmp_path, monkeypatch, failing, before):
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    folder = tmp_path / "deep" / "out"
    if before != "nothing":
        folder.mkdir(parents=True)
    if before == "a former result":
        (folder / "result.json").write_text('{"format": "diffoseg-result", "files": ["x"]}')
        (folder / "x").write_text("former")
    was = {path: path.is_file() and path.read_bytes() for path in tmp_path.rglob("*")}
    monkeypatch.setattr(files, failing, full)

    with pytest.raises(InputError, match="disk is full"):
        write_results(a_comparison(("Solo", "Duo"), 1), a_volume(), folder)

    assert {path: path.is_file() and path.read_bytes() for path in tmp_path.rglob("*")} == was


def test_a_failure_of_itk_is_told_plainly_and_without_the_folder(tmp_path, monkeypatch):
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError(f"ITK ERROR: could not write {tmp_path}")

    monkeypatch.setattr(sitk, "WriteImage", fail)
    with pytest.raises(InputError) as caught:
        write_results(a_comparison(("Solo",), 1), a_volume(), tmp_path / "Mrs Example")
    assert str(tmp_path) not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_a_move_that_fails_half_way_puts_the_former_result_back(tmp_path, monkeypatch):
    write_results(a_comparison(("Solo",), 1), a_volume(), tmp_path)
    before = contents(tmp_path)
    replace = Path.replace

    def stubborn(self: Path, target: Path) -> Path:
        if self.parent.name == "result" and self.name == "report.html":
            raise PermissionError(errno.EACCES, "open in a viewer")
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", stubborn)
    with pytest.raises(InputError, match="cannot be written"):
        write_results(a_comparison(("Duo",), 2), a_volume(), tmp_path)
    assert contents(tmp_path) == before


def test_a_disk_that_is_really_full_is_told_plainly(tmp_path):
    mounted = tmp_path / "disk"
    mounted.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(mounted)]
    if os.name != "posix" or os.geteuid() != 0 or subprocess.run(mount).returncode != 0:
        pytest.skip("only root may mount a small disk")
    try:
        with pytest.raises(InputError, match="disk is full"):
            prepare_folder(mounted / "out")
        with pytest.raises(InputError, match=r"full|free space"):
            write_results(a_comparison(), a_volume(), mounted / "out")
        assert not list(mounted.iterdir())
    finally:
        subprocess.run(["umount", str(mounted)], check=True)


def test_preparing_leaves_nothing_behind(tmp_path):
    prepare_folder(tmp_path / "new" / "deeper")
    assert not list(tmp_path.iterdir())
    prepare_folder(tmp_path)


def test_a_folder_that_is_a_file_is_refused_by_its_own_name(tmp_path):
    (tmp_path / "scan.nrrd").write_bytes(b"")
    for folder in (tmp_path / "scan.nrrd", tmp_path / "scan.nrrd" / "out"):
        with pytest.raises(InputError) as caught:
            prepare_folder(folder)
        assert "in a file" in str(caught.value)
        assert str(tmp_path) not in str(caught.value)


def test_a_folder_without_permission_is_refused(tmp_path, monkeypatch):
    def denied(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(files.tempfile, "TemporaryFile", denied)
    with pytest.raises(InputError, match="'out' cannot be written"):
        prepare_folder(tmp_path / "out")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "name",
    ["segmentation.seg.nrrd", "Segmentation.seg.nrrd", "report.html", "REPORT.HTML",
     "probability_mine.nrrd", "volumes.csv", "result.json"],
)  # fmt: skip
def test_a_file_of_somebody_else_is_never_replaced(tmp_path, name):
    (tmp_path / name).write_bytes(b"mine")
    with pytest.raises(InputError, match="of no earlier result"):
        prepare_folder(tmp_path)
    with pytest.raises(InputError, match=name):
        write_results(a_comparison(), a_volume(), tmp_path)
    assert contents(tmp_path) == {name: b"mine"}


def test_a_former_result_is_replaced_and_what_else_is_there_stays(tmp_path):
    (tmp_path / "scan.nrrd").write_bytes(b"mine")
    write_results(a_comparison(), a_volume(), tmp_path)
    prepare_folder(tmp_path)
    write_results(a_comparison(), a_volume(), tmp_path)
    assert (tmp_path / "scan.nrrd").read_bytes() == b"mine"
