"""No slice of a folder vanishes without a word, and nothing that is no slice spoils a series."""

import re
from pathlib import Path

import highdicom
import numpy as np
import pydicom
import pytest
from a_dicom_series import a_series, an_enhanced_file, change
from pydicom.data import get_testdata_file
from pydicom.uid import (
    CTImageStorage,
    MRImageStorage,
    PositronEmissionTomographyImageStorage,
    generate_uid,
)

from diffoseg.errors import InputError
from diffoseg.reading import read_volume

FAR_AWAY = "1.2.3.4"


@pytest.mark.parametrize("name", ["slice_0008.dcm", "slice_0001.dcm"])
def test_a_slice_cut_anywhere_at_the_end_of_a_stack_is_named(tmp_path, name):
    a_series(tmp_path)
    whole = (tmp_path / name).read_bytes()
    assert read_volume(tmp_path).geometry.size == (6, 5, 8)
    for length in range(0, len(whole) - 1, 13):
        (tmp_path / name).write_bytes(whole[:length])
        with pytest.raises(InputError, match=rf"{name} (\(|is damaged)") as refusal:
            read_volume(tmp_path)
        assert str(tmp_path) not in str(refusal.value)


@pytest.mark.parametrize("names", ["IM{:04d}", "1.2.840.{}", "{:08x}", "Scan {}"])
@pytest.mark.parametrize("content", [b"", bytes(4000), b"not found: 404"])
def test_a_lost_slice_without_a_suffix_is_known_by_its_neighbours(tmp_path, names, content):
    for index, path in enumerate(a_series(tmp_path)):
        path.rename(tmp_path / names.format(index + 10))
    (tmp_path / names.format(17)).write_bytes(content)
    with pytest.raises(InputError, match="1 file that may be slices cannot be read"):
        read_volume(tmp_path)


@pytest.mark.parametrize("cut_class", [b"1.2.840.1", b"1.2.84\xff10008.5", b"2.2.840.10008.5.1"])
def test_a_slice_whose_kind_is_garbled_is_no_report(tmp_path, cut_class):
    path = a_series(tmp_path)[-1]
    whole = path.read_bytes()
    at = whole.rfind(b"1.2.840.10008.5.1.4.1.1.2\0")
    path.write_bytes(whole[:at] + cut_class)
    with pytest.raises(InputError, match=r"slice_0008.dcm \(ends before its pixels\)"):
        read_volume(tmp_path)


@pytest.mark.parametrize("name", ["rtplan.dcm", "reportsi.dcm", "test-SR.dcm", "rtstruct.dcm"])
def test_objects_without_pixels_are_no_matter(tmp_path, name):
    a_series(tmp_path)
    path = get_testdata_file(name, download=False)
    (tmp_path / "slice_0009.dcm").write_bytes(Path(path).read_bytes())
    volume = read_volume(tmp_path)
    assert volume.geometry.size == (6, 5, 8)
    assert volume.notes == ()


def test_many_lost_slices_are_counted_and_the_first_named(tmp_path):
    for path in a_series(tmp_path)[3:]:
        path.write_bytes(b"")
    with pytest.raises(InputError) as refusal:
        read_volume(tmp_path)
    assert str(refusal.value) == (
        "5 files that may be slices cannot be read: slice_0004.dcm (is empty), slice_0005.dcm"
        " (is empty), slice_0006.dcm (is empty), slice_0007.dcm (is empty) and 1 more."
        " Copy or export them again, or take them out of the folder."
    )


def test_a_link_to_nowhere_among_the_slices_is_named(tmp_path):
    a_series(tmp_path)
    (tmp_path / "slice_0009.dcm").symlink_to(tmp_path / "gone.dcm")
    with pytest.raises(InputError, match=r"slice_0009.dcm \(cannot be opened"):
        read_volume(tmp_path)


def test_a_damaged_slice_of_another_series_is_noted_there_and_refused_here(tmp_path):
    a_series(tmp_path / "a", number=1)
    other = a_series(tmp_path / "b", number=2, seed=1)
    other[-1].write_bytes(other[-1].read_bytes()[:-80])  # the series is known, the pixels are gone
    volume = read_volume(tmp_path, series=1)
    assert volume.geometry.size == (6, 5, 8)
    words = "1 file that may be slices cannot be read: slice_0008.dcm (ends before its pixels)"
    assert volume.notes == (f"Of other series, {words}.",)
    with pytest.raises(InputError, match=re.escape(words)):
        read_volume(tmp_path, series=2)


@pytest.mark.parametrize(
    "name", ["README.txt", "Thumbs.db", "._slice_0009.dcm", ".DS_Store", "VERSION", "LOCKFILE"]
)
def test_other_files_beside_the_slices_are_no_matter(tmp_path, name):
    a_series(tmp_path)
    (tmp_path / name).write_bytes(b"\0\5\x16\7 something else")
    volume = read_volume(tmp_path)
    assert volume.geometry.size == (6, 5, 8)
    assert volume.notes == ()


def test_slices_that_do_not_say_where_they_lie_are_missed(tmp_path):
    for path in a_series(tmp_path)[-2:]:
        dataset = pydicom.dcmread(path)
        del dataset.ImagePositionPatient
        dataset.save_as(path)
    with pytest.raises(InputError, match="2 images of the series do not say where"):
        read_volume(tmp_path)


@pytest.mark.parametrize("suffix", ["", ".dcm", ".img"])
def test_slices_without_a_preamble_are_read(tmp_path, suffix):
    paths = a_series(tmp_path)
    plain = read_volume(tmp_path).array
    for path in paths:
        dataset = pydicom.dcmread(path)
        dataset.file_meta, dataset.preamble = pydicom.dataset.FileMetaDataset(), None
        path.unlink()
        with path.with_suffix(suffix).open("wb") as file:
            pydicom.dcmwrite(file, dataset, implicit_vr=True, little_endian=True)
    np.testing.assert_array_equal(read_volume(tmp_path).array, plain)
    alone = read_volume(paths[0].with_suffix(suffix))
    np.testing.assert_array_equal(alone.array, plain[:1])


def test_linked_folders_are_followed_and_a_circle_ends(tmp_path):
    a_series(tmp_path / "elsewhere")
    (tmp_path / "study").mkdir()
    for name in ("one", "two"):
        (tmp_path / "study" / name).symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "up").symlink_to(tmp_path / "study")
    assert read_volume(tmp_path / "study").geometry.size == (6, 5, 8)


@pytest.mark.parametrize("copies", [1, 3])
@pytest.mark.parametrize("renamed", [False, True])
def test_a_slice_that_is_there_twice_is_read_once_and_noted(tmp_path, copies, renamed):
    paths = a_series(tmp_path)
    plain = read_volume(tmp_path).array
    for path in paths[:copies]:
        copy = tmp_path / f"copy_{path.name}"
        copy.write_bytes(path.read_bytes())
        if renamed:
            change(copy, SOPInstanceUID=pydicom.uid.generate_uid())
    volume = read_volume(tmp_path)
    np.testing.assert_array_equal(volume.array, plain)
    left = "1 copy of a slice" if copies == 1 else "3 copies of slices"
    assert volume.notes == (f"{left} left out.",)


def test_a_file_of_frames_that_is_there_twice_is_read_once(tmp_path):
    pixels, _ = an_enhanced_file(tmp_path / "enhanced.dcm")
    (tmp_path / "copy.dcm").write_bytes((tmp_path / "enhanced.dcm").read_bytes())
    volume = read_volume(tmp_path)
    np.testing.assert_array_equal(volume.array, pixels - 1000.0)
    assert volume.notes == ("4 copies of slices left out.",)


def test_another_image_at_the_same_place_is_no_copy(tmp_path):
    path = a_series(tmp_path)[0]
    (tmp_path / "again.dcm").write_bytes(path.read_bytes())
    change(tmp_path / "again.dcm", RescaleIntercept="5")
    with pytest.raises(InputError, match="several images at one place"):
        read_volume(tmp_path)


@pytest.mark.parametrize(
    "tags",
    [
        {"ImageOrientationPatient": [1, 0, 0, 0, 0, -1]},
        {"PixelSpacing": ["2", "2"]},
        {"Rows": 3, "Columns": 10},
        {"ImagePositionPatient": [0, 0, 500], "ImageOrientationPatient": [0, 1, 0, 0, 0, -1]},
    ],
)
def test_a_stranger_in_the_series_is_left_out_and_noted(tmp_path, tags):
    a_series(tmp_path)
    plain = read_volume(tmp_path).array
    stranger = tmp_path / "slice_0000.dcm"
    stranger.write_bytes((tmp_path / "slice_0003.dcm").read_bytes())
    change(stranger, SOPInstanceUID=FAR_AWAY, **tags)
    volume = read_volume(tmp_path)
    np.testing.assert_array_equal(volume.array, plain)
    assert volume.notes == ("1 image of another size or orientation left out.",)


def test_two_stacks_in_one_series_are_refused(tmp_path):
    for path in a_series(tmp_path)[:3]:
        change(path, ImageOrientationPatient=[1, 0, 0, 0, 0, -1])
    with pytest.raises(InputError, match="different orientation or size"):
        read_volume(tmp_path)


def test_series_of_one_size_are_told_apart(tmp_path):
    for number, thickness, kernel in ((1, "1", "B30f"), (2, "1", "B70f"), (3, "5", "B30f")):
        for path in a_series(tmp_path / str(number), number=number, seed=number):
            change(path, SliceThickness=thickness, ConvolutionKernel=kernel)
    with pytest.raises(InputError) as refusal:
        read_volume(tmp_path)
    alike = "CT, 8 slices of 6 x 5"
    places = "pixels of 0.7 mm, from 30 to 47.5 mm"
    assert str(refusal.value) == (
        f"The folder holds 3 series: 1 ({alike}, kernel B30f, 1 mm thick, {places});"
        f" 2 ({alike}, kernel B70f, 1 mm thick, {places});"
        f" 3 ({alike}, kernel B30f, 5 mm thick, {places}). Choose one with --series."
    )


def test_a_folder_of_nothing_but_damage_says_so(tmp_path):
    for path in a_series(tmp_path):
        path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(InputError, match="8 files that may be slices cannot be read"):
        read_volume(tmp_path)


def test_frames_that_are_not_all_there_are_refused(tmp_path):
    path = tmp_path / "enhanced.dcm"
    an_enhanced_file(path)
    path.write_bytes(path.read_bytes()[:-60])
    with pytest.raises(InputError, match=r"enhanced\.dcm is damaged"):
        read_volume(path)


@pytest.mark.parametrize("as_folder", [False, True])
@pytest.mark.parametrize("order", [[0, 1, 2, 3], [3, 2, 1, 0], [2, 0, 3, 1]])
def test_frames_of_an_enhanced_image_lie_where_they_say(tmp_path, order, as_folder):
    path = tmp_path / "enhanced.dcm"
    pixels, slopes = an_enhanced_file(path, order=order, slopes=[1, 2, 0.5, 4])
    volume = read_volume(tmp_path if as_folder else path)
    np.testing.assert_array_equal(volume.array, pixels * slopes[:, None, None] - 1000)
    assert volume.geometry.spacing == (0.7, 0.8, 2)
    assert volume.geometry.origin == (-10, 20, 30)
    assert volume.modality == "CT"


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2.5", "1.2.840.10008.1.2.4.80"])
def test_packed_frames_are_unpacked_one_by_one(tmp_path, syntax):
    path = tmp_path / "enhanced.dcm"
    pixels, _ = an_enhanced_file(path, order=[1, 0, 3, 2])
    dataset = pydicom.dcmread(path)
    dataset.compress(syntax)
    dataset.save_as(path)
    np.testing.assert_array_equal(read_volume(path).array, pixels - 1000.0)


@pytest.mark.parametrize(
    ("kind", "modality", "storage"),
    [
        ("CT", "CT", CTImageStorage),
        ("MR", "MR", MRImageStorage),
        ("PET", "PT", PositronEmissionTomographyImageStorage),
    ],
)
def test_a_legacy_converted_image_is_the_slices_that_it_was_made_of(
    tmp_path, kind, modality, storage
):
    paths = a_series(tmp_path / "slices")
    volume = read_volume(tmp_path / "slices")
    slices = [pydicom.dcmread(path) for path in paths]
    for index, tags in enumerate(slices):
        tags.Modality, tags.SOPClassUID = modality, storage
        tags.RescaleSlope, tags.RescaleIntercept = 1 + index, -index
    make = getattr(highdicom.legacy, f"LegacyConvertedEnhanced{kind}Image")
    make(slices, generate_uid(), 2, generate_uid(), 1).save_as(tmp_path / "enhanced.dcm")
    read = read_volume(tmp_path / "enhanced.dcm")
    scale = np.arange(1, 9)[:, None, None]
    np.testing.assert_array_equal(read.array, volume.array * scale - scale + 1)
    assert read.geometry == volume.geometry


def test_frames_of_two_times_are_refused(tmp_path):
    an_enhanced_file(tmp_path / "perfusion.dcm", shared_place=True)
    with pytest.raises(InputError, match="several images at one place, such as time points"):
        read_volume(tmp_path / "perfusion.dcm")


def test_an_enhanced_image_that_lacks_a_frames_place_is_refused(tmp_path):
    path = tmp_path / "enhanced.dcm"
    an_enhanced_file(path)
    change(path, NumberOfFrames=3)
    with pytest.raises(InputError, match="describes fewer or more frames than it has"):
        read_volume(path)
