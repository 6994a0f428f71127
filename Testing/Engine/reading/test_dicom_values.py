"""Values of DICOM pixels are pydicom's, value for value, or there is a sentence why not."""

from pathlib import Path

import numpy as np
import pydicom
import pytest
from a_dicom_series import a_group, a_series, change, with_text
from pydicom.pixels import apply_modality_lut
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    HTJ2KLossless,
    ImplicitVRLittleEndian,
    JPEGLSLossless,
    RLELossless,
)

from diffoseg.errors import InputError
from diffoseg.reading import read_volume
from diffoseg.reading.dicom_header import read_frames
from diffoseg.reading.dicom_voxels import read_plane

REAL = Path(pydicom.__file__).parent / "data" / "test_files"


def by_pydicom(path):
    dataset = pydicom.dcmread(path, force=True)
    if "TransferSyntaxUID" not in dataset.file_meta:
        dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    return apply_modality_lut(dataset.pixel_array, dataset).astype(np.float32)


@pytest.mark.parametrize(
    "name",
    [
        "CT_small.dcm",
        "MR_small.dcm",
        "MR_small_bigendian.dcm",
        "MR_small_expb.dcm",
        "MR_small_implicit.dcm",
        "MR_small_RLE.dcm",
        "MR_small_jpeg_ls_lossless.dcm",
        "MR_small_padded.dcm",
        "no_meta.dcm",
        "meta_missing_tsyntax.dcm",
        "JPEGLSNearLossless_16.dcm",
        "J2K_pixelrep_mismatch.dcm",
        "693_J2KI.dcm",
        "JPEG2000.dcm",
    ],
)
def test_a_real_file_has_the_values_that_pydicom_finds(name):
    path = REAL / name
    try:
        truth = by_pydicom(path)
    except Exception:
        pytest.skip("pydicom has no decoder here")
    header = read_frames(path)[0]
    np.testing.assert_array_equal(read_plane(header), truth)


def changed(folder, **tags):
    """Change the last of some slices; returns what is read of it and pydicom's truth."""
    paths = a_series(folder)
    change(paths[-1], **tags)
    return read_volume(folder).array[-1], by_pydicom(paths[-1])


@pytest.mark.parametrize(
    "tags",
    [
        {"RescaleSlope": "-2", "RescaleIntercept": "7"},
        {"RescaleSlope": "0.25", "RescaleIntercept": "-1024"},
        {"PhotometricInterpretation": "MONOCHROME1"},
        {"PixelRepresentation": 0},
        {"BitsStored": 12, "HighBit": 11},
        {"BitsStored": 12, "HighBit": 11, "PixelRepresentation": 0},
    ],
)
def test_what_the_header_says_of_one_slice_is_done_to_that_slice(tmp_path, tags):
    read, truth = changed(tmp_path, **tags)
    np.testing.assert_array_equal(read, truth)


def test_padding_is_a_value_like_any_other(tmp_path):
    paths = a_series(tmp_path)
    plain = read_volume(tmp_path).array
    dataset = pydicom.dcmread(paths[2])
    dataset.add_new("PixelPaddingValue", "SS", int(plain[2, 1, 1]))
    dataset.save_as(paths[2])
    np.testing.assert_array_equal(read_volume(tmp_path).array, plain)


def test_bits_beyond_those_stored_are_no_part_of_a_value(tmp_path):
    paths = a_series(tmp_path)
    dataset = pydicom.dcmread(paths[0])
    stored = np.arange(30, dtype="<u2").reshape(5, 6)
    dataset.PixelData = (stored | 0xF000).tobytes()
    dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 12, 11, 0
    dataset.save_as(paths[0])
    np.testing.assert_array_equal(read_volume(tmp_path).array[0], stored)


def test_a_lookup_table_says_what_stored_values_mean(tmp_path):
    paths = a_series(tmp_path)
    dataset = pydicom.dcmread(paths[3])
    dataset.PixelData = (np.arange(30) % 4).astype("<u2").tobytes()
    dataset.PixelRepresentation = 0
    del dataset.RescaleSlope, dataset.RescaleIntercept, dataset.RescaleType
    table = a_group(LUTDescriptor=[4, 0, 16], ModalityLUTType="HU", LUTData=[5, 50, 500, 5000])
    table["LUTDescriptor"].VR = "US"
    table["LUTData"].VR = "US"
    dataset.ModalityLUTSequence = [table]
    dataset.save_as(paths[3])
    expected = np.array([5, 50, 500, 5000])[np.arange(30) % 4].reshape(5, 6)
    np.testing.assert_array_equal(read_volume(tmp_path).array[3], expected)


@pytest.mark.parametrize("name", ["FloatPixelData", "DoubleFloatPixelData"])
def test_pixels_that_are_fractions_are_read_as_they_are(tmp_path, name):
    paths = a_series(tmp_path)
    values = np.linspace(0, 1, 30).reshape(5, 6)
    for path in paths:
        dataset = pydicom.dcmread(path)
        del dataset.PixelData, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation
        single = name == "FloatPixelData"
        dataset.BitsAllocated = 32 if single else 64
        setattr(dataset, name, values.astype("<f4" if single else "<f8").tobytes())
        dataset.save_as(path)
    np.testing.assert_array_equal(read_volume(tmp_path).array[2], values.astype(np.float32))


@pytest.mark.parametrize(
    "syntax",
    [
        ImplicitVRLittleEndian,
        ExplicitVRBigEndian,
        DeflatedExplicitVRLittleEndian,
        RLELossless,
        JPEGLSLossless,
    ],
)
def test_a_packed_slice_has_the_values_of_the_plain_one(tmp_path, syntax):
    paths = a_series(tmp_path)
    change(paths[2], RescaleSlope="-3", RescaleIntercept="11")
    change(paths[3], PhotometricInterpretation="MONOCHROME1")
    plain = read_volume(tmp_path).array
    for path in paths[2:4]:
        dataset = pydicom.dcmread(path)
        if syntax.is_encapsulated:
            dataset.compress(syntax)
            dataset.save_as(path)
            continue
        if syntax == ExplicitVRBigEndian:
            dataset.PixelData = np.frombuffer(dataset.PixelData, "<i2").astype(">i2").tobytes()
        dataset.file_meta.TransferSyntaxUID = syntax
        little = syntax != ExplicitVRBigEndian
        implicit = syntax == ImplicitVRLittleEndian
        pydicom.dcmwrite(path, dataset, implicit_vr=implicit, little_endian=little)
    np.testing.assert_array_equal(read_volume(tmp_path).array, plain)


def test_a_packing_that_nobody_here_knows_is_named(tmp_path):
    paths = a_series(tmp_path)
    dataset = pydicom.dcmread(paths[0])
    dataset.compress(RLELossless)
    dataset.file_meta.TransferSyntaxUID = HTJ2KLossless
    dataset.save_as(paths[0])
    with pytest.raises(
        InputError, match=r"slice_0001.dcm is compressed as High-Throughput JPEG 2000"
    ):
        read_volume(tmp_path)


@pytest.mark.parametrize("text", ["0,5", "+0,50"])
def test_a_decimal_comma_is_a_point(tmp_path, text):
    paths = a_series(tmp_path)
    plain = read_volume(tmp_path).array
    with_text(paths[4], "RescaleSlope", text)
    with_text(paths[5], "SliceThickness", "2,5")
    with_text(paths[6], "PixelSpacing", "0,8\\0,7")
    with_text(paths[7], "ImagePositionPatient", "-10\\20,0\\47,5")
    expected = plain.copy()
    expected[4] /= 2
    np.testing.assert_array_equal(read_volume(tmp_path).array, expected)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("PixelSpacing", "0.8\\wide"),
        ("PixelSpacing", "1,250\\1,250"),
        ("ImagePositionPatient", "-10\\20\\nan"),
        ("ImageOrientationPatient", "1\\0\\0\\0\\1\\inf"),
        ("ImagePositionPatient", "-10,0,20,0,30,0"),
    ],
)
def test_what_is_no_clear_number_is_named_with_its_tag(tmp_path, name, text):
    paths = a_series(tmp_path)
    with_text(paths[-1], name, text)
    with pytest.raises(InputError, match=rf"slice_0008.dcm \(.*{name} as a clear number"):
        read_volume(tmp_path)
    with pytest.raises(InputError, match=f"slice_0008.dcm does not state {name}"):
        read_volume(paths[-1])


@pytest.mark.parametrize("text", ["0", "1,234", "twice"])
def test_a_slope_that_means_nothing_is_refused(tmp_path, text):
    paths = a_series(tmp_path)
    with_text(paths[1], "RescaleSlope", text)
    with pytest.raises(InputError, match=r"slice_0002.dcm does not say clearly how its values"):
        read_volume(tmp_path)


@pytest.mark.parametrize(
    "syntax",
    [ExplicitVRBigEndian, ImplicitVRLittleEndian, RLELossless, DeflatedExplicitVRLittleEndian],
)
def test_every_native_encoding_is_its_values(tmp_path, syntax):
    paths = a_series(tmp_path / "a")
    plain = read_volume(tmp_path / "a").array
    for path in paths:
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
    np.testing.assert_array_equal(read_volume(tmp_path / "a").array, plain)
