"""DICOM series as they really come: values as pydicom has them, and nothing lost in silence."""

from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.pixels import apply_modality_lut
from pydicom.sequence import Sequence
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    EnhancedCTImageStorage,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    RLELossless,
    generate_uid,
)

from diffoseg.cohorts.dicom_series import write_dicom_series
from diffoseg.errors import InputError
from diffoseg.reading import read_volume
from diffoseg.space.geometry import Geometry
from diffoseg.space.volume import Volume

VOXELS = np.random.default_rng(0).integers(-900, 400, (8, 6, 5)).astype(np.float32)


def a_series(folder, slices=8):
    """Return the paths of a series from feet to head."""
    array = VOXELS[:slices]
    grid = Geometry(array.shape[::-1], (0.7, 0.8, 2.5), (-10, 20, 30))
    write_dicom_series(Volume(array, grid), folder)
    return sorted(folder.iterdir(), key=lambda path: pydicom.dcmread(path).ImagePositionPatient[2])


def change(path, **tags):
    dataset = pydicom.dcmread(path)
    for name, value in tags.items():
        setattr(dataset, name, value)
    dataset.save_as(path)


def by_pydicom(paths):
    datasets = [pydicom.dcmread(path) for path in paths]
    return np.stack([apply_modality_lut(each.pixel_array, each) for each in datasets])


@pytest.mark.parametrize(
    "syntax",
    [ExplicitVRBigEndian, ImplicitVRLittleEndian, RLELossless, DeflatedExplicitVRLittleEndian],
)
def test_every_native_encoding_is_its_values(tmp_path, syntax):
    for path in a_series(tmp_path / "a"):
        dataset = pydicom.dcmread(path)
        if syntax == RLELossless:
            dataset.compress(RLELossless)
        elif syntax == ExplicitVRBigEndian:
            dataset.PixelData = dataset.pixel_array.astype(">i2").tobytes()
        dataset.file_meta.TransferSyntaxUID = syntax
        little = syntax != ExplicitVRBigEndian
        implicit = syntax == ImplicitVRLittleEndian
        pydicom.dcmwrite(
            path, dataset, implicit_vr=implicit, little_endian=little, enforce_file_format=True
        )
    np.testing.assert_array_equal(read_volume(tmp_path / "a").array, VOXELS)


@pytest.mark.parametrize("scale", [("2", "-1024"), ("-1", "0"), ("0.125", "3.5"), ("1,5", "-10,5")])
def test_each_slice_is_scaled_by_what_it_states(tmp_path, scale):
    paths = a_series(tmp_path / "a")
    data = [path.read_bytes() for path in paths]
    for path in paths[::2]:
        change(path, RescaleSlope="1.12345", RescaleIntercept="7.12345")
        raw = path.read_bytes().replace(b"1.12345 ", scale[0].ljust(8).encode())
        path.write_bytes(raw.replace(b"7.12345 ", scale[1].ljust(8).encode()))
    slope, intercept = (float(word.replace(",", ".")) for word in scale)
    expected = VOXELS.copy()
    expected[::2] = VOXELS[::2] * slope + intercept
    assert data[0] != paths[0].read_bytes()
    np.testing.assert_array_equal(read_volume(tmp_path / "a").array, expected)


def test_a_table_in_place_of_a_scale_is_looked_up(tmp_path):
    paths = a_series(tmp_path / "a")
    table = Dataset()
    table.LUTDescriptor = [2000, 0, 16]
    table.ModalityLUTType = "HU"
    table.LUTData = ((7 * np.arange(2000)) % 3000).astype("<u2").tobytes()
    table["LUTData"].VR = "OW"
    for path in paths:
        dataset = pydicom.dcmread(path)
        dataset.PixelRepresentation = 0
        dataset.PixelData = (dataset.pixel_array + 1000).astype("<u2").tobytes()
        dataset.ModalityLUTSequence = Sequence([table])
        del dataset.RescaleSlope, dataset.RescaleIntercept
        dataset.save_as(path)
    np.testing.assert_array_equal(read_volume(tmp_path / "a").array, by_pydicom(paths))


@pytest.mark.parametrize(("stored", "signed"), [(12, 0), (12, 1), (10, 0), (16, 0)])
def test_bits_that_are_not_stored_count_as_pydicom_counts_them(tmp_path, stored, signed):
    paths = a_series(tmp_path / "a")
    random = np.random.default_rng(1)
    for path in paths:
        half = 2 ** (stored - 1)
        low, high = (-half, half) if signed else (0, 2 * half)
        pixels = random.integers(low, high, (6, 5)).astype("<i2" if signed else "<u2")
        change(
            path,
            BitsStored=stored,
            HighBit=stored - 1,
            PixelRepresentation=signed,
            PixelData=pixels.tobytes(),
        )
    np.testing.assert_array_equal(read_volume(tmp_path / "a").array, by_pydicom(paths))


def test_a_scale_of_zero_is_refused(tmp_path):
    paths = a_series(tmp_path / "a")
    change(paths[-1], RescaleSlope="0")
    with pytest.raises(InputError, match=paths[-1].name):
        read_volume(tmp_path / "a")


def emptied(path):
    path.write_bytes(b"")


def cut_in_its_header(path):
    path.write_bytes(path.read_bytes()[:300])


def cut_before_its_header(path):
    path.write_bytes(path.read_bytes()[:60])


def zeros(path):
    path.write_bytes(bytes(len(path.read_bytes())))


def without_a_number(path):
    change(path, ImagePositionPatient=["1", "2", "3.75"])
    path.write_bytes(path.read_bytes().replace(b"1\\2\\3.75", b"1\\2\\a.bc"))


@pytest.mark.parametrize(
    "damage", [emptied, cut_in_its_header, cut_before_its_header, zeros, without_a_number]
)
@pytest.mark.parametrize("suffix", [".dcm", ""])
def test_no_slice_vanishes_without_a_word(tmp_path, damage, suffix):
    paths = a_series(tmp_path / "a")
    paths = [path.rename(path.with_suffix(suffix)) for path in paths]
    for path in paths[-2:]:
        damage(path)
    said = said_of(tmp_path / "a")
    assert said.startswith("2 files")
    assert paths[-1].name in said


@pytest.mark.parametrize("length", range(0, 1300, 53))
def test_a_slice_that_is_cut_anywhere_is_missed(tmp_path, length):
    last = a_series(tmp_path / "a", 4)[-1]
    last.write_bytes(last.read_bytes()[:length])
    assert last.name in said_of(tmp_path / "a")


def said_of(folder):
    """Return the refusal of a folder, or its notes."""
    try:
        return " ".join(read_volume(folder).notes)
    except InputError as error:
        return str(error)


def test_a_folder_of_nothing_but_damage_says_so(tmp_path):
    for path in a_series(tmp_path / "a"):
        cut_in_its_header(path)
    with pytest.raises(InputError, match="8 files that may be slices cannot be read"):
        read_volume(tmp_path / "a")


def test_a_thickness_with_a_comma_is_a_number(tmp_path):
    for path in a_series(tmp_path / "a"):
        data = path.read_bytes()
        at = data.index(b"2.5 ")
        path.write_bytes(data[:at] + b"2,5 " + data[at + 4 :])
    volume = read_volume(tmp_path / "a")
    assert volume.geometry.size[2] == 8
    assert volume.notes == ()


def test_spacings_with_commas_are_numbers(tmp_path):
    for path in a_series(tmp_path / "a"):
        path.write_bytes(path.read_bytes().replace(b"0.8\\0.7", b"0,8\\0,7"))
    np.testing.assert_allclose(read_volume(tmp_path / "a").geometry.spacing, (0.7, 0.8, 2.5))


@pytest.mark.parametrize("suffix", [".dcm", "", ".ima"])
def test_files_without_a_preamble_are_read(tmp_path, suffix):
    for path in a_series(tmp_path / "a"):
        path.with_suffix(suffix).write_bytes(path.read_bytes()[132:])
        if suffix != ".dcm":
            path.unlink()
    np.testing.assert_array_equal(read_volume(tmp_path / "a").array, VOXELS)


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2.4.201", "1.2.840.10008.1.2.4.100"])
def test_a_compression_that_cannot_be_read_is_named(tmp_path, syntax):
    for path in a_series(tmp_path / "a"):
        dataset = pydicom.dcmread(path)
        dataset.compress(RLELossless)
        dataset.file_meta.TransferSyntaxUID = UID(syntax)
        dataset.save_as(path)
    with pytest.raises(InputError, match=r"is compressed as .*cannot be read here") as refusal:
        read_volume(tmp_path / "a")
    assert UID(syntax).name in str(refusal.value)


def test_links_to_folders_are_followed_and_circles_end(tmp_path):
    a_series(tmp_path / "real" / "sub")
    (tmp_path / "linked").mkdir()
    for link, target in (
        ("linked/sub", "../real/sub"),
        ("linked/again", "."),
        ("real/sub/self", "."),
    ):
        (tmp_path / link).symlink_to(target)
    volume = read_volume(tmp_path / "linked")
    np.testing.assert_array_equal(volume.array, VOXELS)
    assert volume.notes == ()


@pytest.mark.parametrize("twice", [1, 2, 8])
def test_a_file_that_is_there_twice_counts_once(tmp_path, twice):
    for path in a_series(tmp_path / "a")[:twice]:
        (tmp_path / "a" / f"copy of {path.name}").write_bytes(path.read_bytes())
    volume = read_volume(tmp_path / "a")
    np.testing.assert_array_equal(volume.array, VOXELS)
    (note,) = volume.notes
    assert note.startswith(f"{twice} cop")


def test_another_image_at_the_same_place_is_no_copy(tmp_path):
    path = a_series(tmp_path / "a")[3]
    (tmp_path / "a" / "other.dcm").write_bytes(path.read_bytes())
    pixels = np.arange(30, dtype="<i2").tobytes()
    change(tmp_path / "a" / "other.dcm", PixelData=pixels)
    with pytest.raises(InputError, match="several images at one place"):
        read_volume(tmp_path / "a")


@pytest.mark.parametrize(
    "tags",
    [
        {"ImageOrientationPatient": [0, 1, 0, 0, 0, -1]},
        {"PixelSpacing": [0.3, 0.3]},
        {"Rows": 5, "Columns": 6},
    ],
)
def test_an_odd_image_in_a_series_is_left_out_and_said(tmp_path, tags):
    path = a_series(tmp_path / "a")[3]
    (tmp_path / "a" / "odd.dcm").write_bytes(path.read_bytes())
    change(tmp_path / "a" / "odd.dcm", SOPInstanceUID=generate_uid(), **tags)
    volume = read_volume(tmp_path / "a")
    np.testing.assert_array_equal(volume.array, VOXELS)
    assert volume.notes[0].startswith("1 image of another size or orientation")


def test_two_kinds_in_like_numbers_are_no_stack(tmp_path):
    for path in a_series(tmp_path / "a")[::2]:
        change(path, ImageOrientationPatient=[0, 1, 0, 0, 0, -1])
    with pytest.raises(InputError, match="different orientation or size"):
        read_volume(tmp_path / "a")


def an_enhanced_ct(path, order=range(8), **changes):
    """Write the series as one enhanced multi-frame CT, its frames in any order."""
    paths = a_series(path.parent / "single")
    dataset = pydicom.dcmread(paths[0])
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = EnhancedCTImageStorage
    stored = np.stack([pydicom.dcmread(paths[k]).pixel_array for k in order])
    for name in (
        "ImagePositionPatient",
        "ImageOrientationPatient",
        "PixelSpacing",
        "SliceThickness",
        "RescaleSlope",
        "RescaleIntercept",
    ):
        delattr(dataset, name)
    dataset.NumberOfFrames = len(stored)
    dataset.PixelData = stored.tobytes()
    shared = Dataset()
    shared.PixelMeasuresSequence = [item(PixelSpacing=[0.8, 0.7], SliceThickness=2.5)]
    shared.PlaneOrientationSequence = [item(ImageOrientationPatient=[1, 0, 0, 0, 1, 0])]
    dataset.SharedFunctionalGroupsSequence = [shared]
    frames = []
    for number, k in enumerate(order):
        frame = Dataset()
        frame.PlanePositionSequence = [item(ImagePositionPatient=[-10, 20, 30 + 2.5 * k])]
        frame.PixelValueTransformationSequence = [
            item(RescaleSlope=1 + number % 2, RescaleIntercept=-k)
        ]
        frames.append(frame)
    dataset.PerFrameFunctionalGroupsSequence = frames
    for name, value in changes.items():
        setattr(dataset, name, value)
    dataset.save_as(path)
    for single in paths:
        single.unlink()
    (path.parent / "single").rmdir()
    scale = {k: (1 + number % 2, -k) for number, k in enumerate(order)}
    return np.stack([VOXELS[k] * scale[k][0] + scale[k][1] for k in range(len(stored))])


def item(**tags):
    dataset = Dataset()
    for name, value in tags.items():
        setattr(dataset, name, value)
    return dataset


@pytest.mark.parametrize("order", [range(8), range(7, -1, -1), [3, 0, 7, 1, 6, 2, 5, 4]])
@pytest.mark.parametrize("as_folder", [False, True])
def test_an_enhanced_ct_is_its_frames_by_their_places(tmp_path, order, as_folder):
    expected = an_enhanced_ct(tmp_path / "ct.dcm", order)
    volume = read_volume(tmp_path if as_folder else tmp_path / "ct.dcm")
    np.testing.assert_array_equal(volume.array, expected)
    assert volume.geometry == Geometry((5, 6, 8), (0.7, 0.8, 2.5), (-10, 20, 30))
    assert volume.modality == "CT"


def test_an_enhanced_image_of_two_times_is_refused(tmp_path):
    an_enhanced_ct(tmp_path / "ct.dcm")
    dataset = pydicom.dcmread(tmp_path / "ct.dcm")
    frames = dataset.PerFrameFunctionalGroupsSequence
    frames[1].PlanePositionSequence = frames[0].PlanePositionSequence
    dataset.save_as(tmp_path / "ct.dcm")
    with pytest.raises(InputError, match="several images at one place"):
        read_volume(tmp_path / "ct.dcm")


def test_frames_that_are_not_all_there_are_refused(tmp_path):
    an_enhanced_ct(tmp_path / "ct.dcm")
    path = tmp_path / "ct.dcm"
    path.write_bytes(path.read_bytes()[:-60])
    with pytest.raises(InputError, match=r"ct\.dcm is damaged"):
        read_volume(path)


def test_series_of_one_description_are_told_apart(tmp_path):
    a_series(tmp_path / "a")
    for path in a_series(tmp_path / "b"):
        change(path, SeriesInstanceUID="1.2.3.4")
    with pytest.raises(InputError) as refusal:
        read_volume(tmp_path)
    listed = str(refusal.value).split(": ")[1].split("; ")
    assert len(set(listed)) == 2
    assert "1.2.3.4" in str(refusal.value)


PLAIN = Path(get_testdata_file("MR_small.dcm", download=False))


@pytest.mark.parametrize(
    "name", ["bigendian", "expb", "implicit", "jpeg_ls_lossless", "RLE", "jp2klossless"]
)
def test_real_slices_in_other_encodings_are_the_plain_one(name):
    path = PLAIN.with_name(f"MR_small_{name}.dcm")
    truth = apply_modality_lut(pydicom.dcmread(PLAIN).pixel_array, pydicom.dcmread(PLAIN))
    np.testing.assert_array_equal(read_volume(path).array[0], truth)
