"""NRRD and MetaImage files hold what their headers say, or are refused with the reason."""

import bz2
import gzip
import zlib

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813

from diffoseg.errors import InputError
from diffoseg.reading import read_region, read_volume
from diffoseg.reading.seg_nrrd import read_seg_nrrd
from diffoseg.space.volume import geometry_of

VOXELS = (np.arange(16 * 15 * 5).reshape(5, 15, 16) * 3 - 900).astype("<i2")
RAW = VOXELS.tobytes()
PACKED = zlib.compress(RAW)
NRRD = {
    "type": "short",
    "dimension": "3",
    "space": "left-posterior-superior",
    "sizes": "16 15 5",
    "space directions": "(0.7,0,0) (0,0.8,0) (0,0,2.5)",
    "kinds": "domain domain domain",
    "endian": "little",
    "encoding": "raw",
    "space origin": "(10,20,30)",
}
META = {
    "ObjectType": "Image",
    "NDims": "3",
    "BinaryData": "True",
    "BinaryDataByteOrderMSB": "False",
    "CompressedData": "False",
    "TransformMatrix": "1 0 0 0 1 0 0 0 1",
    "Offset": "10 20 30",
    "ElementSpacing": "0.7 0.8 2.5",
    "DimSize": "16 15 5",
    "ElementType": "MET_SHORT",
}


def nrrd(path, data=RAW, end="\n", **fields):
    """Write a NRRD; a field of None is left out, "_" in a name is a space."""
    facts = NRRD | {name.replace("_", " "): value for name, value in fields.items()}
    lines = ["NRRD0005", *(f"{key}: {value}" for key, value in facts.items() if value is not None)]
    path.write_bytes((end.join(lines) + end * 2).encode() + data)
    return path


def meta(path, data=RAW, file="LOCAL", **fields):
    facts = META | fields
    lines = [f"{key} = {value}" for key, value in facts.items() if value is not None]
    path.write_bytes("\n".join([*lines, f"ElementDataFile = {file}\n"]).encode() + data)
    return path


def must_be_the_volume(path, values=VOXELS, origin=(10, 20, 30)):
    volume = read_volume(path)
    np.testing.assert_array_equal(volume.array, values)
    np.testing.assert_allclose(volume.geometry.spacing, (0.7, 0.8, 2.5))
    np.testing.assert_allclose(volume.geometry.origin, origin)
    return volume


@pytest.mark.parametrize(
    ("data", "fields"),
    [
        (RAW, {}),
        (VOXELS.astype(">i2").tobytes(), {"endian": "big"}),
        (gzip.compress(RAW), {"encoding": "gzip"}),
        (" ".join(map(str, VOXELS.ravel())).encode(), {"encoding": "ascii"}),
        (RAW.hex().encode(), {"encoding": "hex"}),
        (b"1234" + RAW, {"byte_skip": "4"}),
        (b"1234" + RAW, {"byte_skip": "-1"}),
        (b"a\nbc\n" + RAW, {"line_skip": "2"}),
        (VOXELS.astype("<f8").tobytes(), {"type": "double"}),
        (VOXELS.astype("<i8").tobytes(), {"type": "int64"}),
        (RAW, {"space_units": '"mm" "mm" "mm"'}),
    ],
)
def test_a_nrrd_in_every_encoding_is_its_voxels(tmp_path, data, fields):
    assert must_be_the_volume(nrrd(tmp_path / "a.nrrd", data, **fields)).notes == ()


@pytest.mark.parametrize("space", ["right-anterior-superior", "RAS", "left-anterior-superior"])
def test_a_nrrd_of_other_axes_is_placed_by_them(tmp_path, space):
    x = -10 if space[0] in "rR" else 10
    must_be_the_volume(nrrd(tmp_path / "a.nrrd", space=space), origin=(x, -20, 30))


@pytest.mark.parametrize(
    "fields",
    [
        {
            "dimension": "4",
            "sizes": "1 16 15 5",
            "kinds": "list domain domain domain",
            "space_directions": "none (0.7,0,0) (0,0.8,0) (0,0,2.5)",
        },
        {
            "dimension": "4",
            "sizes": "16 15 5 1",
            "kinds": "domain domain domain list",
            "space_directions": "(0.7,0,0) (0,0.8,0) (0,0,2.5) none",
        },
        {
            "dimension": "4",
            "sizes": "1 16 15 5",
            "kinds": "vector domain domain domain",
            "space_directions": "none (0.7,0,0) (0,0.8,0) (0,0,2.5)",
        },
    ],
)
def test_a_fourth_axis_of_one_is_no_axis(tmp_path, fields):
    must_be_the_volume(nrrd(tmp_path / "a.nrrd", **fields))


@pytest.mark.parametrize("name", ["scanner-xyz", "3D-right-handed", None])
def test_a_nrrd_that_is_not_placed_in_the_patient_says_so(tmp_path, name):
    path = nrrd(tmp_path / "a.nrrd", space=name) if name else tmp_path / "a.nrrd"
    if not name:
        nrrd(path, space=None, space_directions=None, space_origin=None, spacings="0.7 0.8 2.5")
    assert "does not say where it lies" in read_volume(path).notes[0]


@pytest.mark.parametrize(
    ("data", "fields", "said"),
    [
        (bz2.compress(RAW), {"encoding": "bzip2"}, "packed as bzip2"),
        (PACKED, {"encoding": "zrl"}, "packed as zrl"),
        (RAW, {"space_units": '"cm" "cm" "cm"'}, "measures in cm"),
        (RAW, {"space_units": '"um" "um" "um"'}, "measures in um"),
        (RAW, {"space_directions": "(0.7,0,0) (0,0.8,0) none"}, "does not place three axes"),
        (RAW, {"type": "char"}, "cannot be read here"),
        (RAW[:-9], {}, "cut short"),
        (gzip.compress(RAW)[:-20], {"encoding": "gzip"}, "cut short"),
    ],
)
def test_a_nrrd_that_would_be_read_otherwise_is_refused(tmp_path, data, fields, said):
    with pytest.raises(InputError, match=said):
        read_volume(nrrd(tmp_path / "a.nrrd", data, **fields))


def test_numbers_with_commas_are_said(tmp_path):
    unplaced = {"space": None, "space_directions": None, "space_origin": None}
    for path in (
        nrrd(tmp_path / "a.nrrd", spacings="0,7 0,8 2,5", **unplaced),
        meta(tmp_path / "a.mha", ElementSpacing="0,7 0,8 2,5"),
        meta(tmp_path / "b.mha", Offset="10,5 20,5 30,5"),
    ):
        with pytest.raises(InputError, match="with commas"):
            read_volume(path)


def test_lines_may_end_as_on_windows(tmp_path):
    must_be_the_volume(nrrd(tmp_path / "a.nrrd", end="\r\n"))


@pytest.mark.parametrize(
    ("data", "fields"),
    [
        (RAW, {}),
        (VOXELS.astype(">i2").tobytes(), {"BinaryDataByteOrderMSB": "True"}),
        (PACKED, {"CompressedData": "True", "CompressedDataSize": str(len(PACKED))}),
        (b"1234" + RAW, {"HeaderSize": "-1"}),
        (VOXELS.astype("<f4").tobytes(), {"ElementType": "MET_FLOAT"}),
        (VOXELS.astype("<i4").tobytes(), {"ElementType": "MET_LONG"}),
        (VOXELS.astype("<i8").tobytes(), {"ElementType": "MET_LONG_LONG"}),
        (RAW, {"DistanceUnits": "mm"}),
        (RAW, {"Comment": ""}),
        (RAW, {"ElementNumberOfChannels": "1"}),
    ],
)
def test_a_meta_image_in_every_encoding_is_its_voxels(tmp_path, data, fields):
    must_be_the_volume(meta(tmp_path / "a.mha", data, **fields))


def test_voxels_in_a_file_of_their_own_are_read(tmp_path):
    (tmp_path / "a.raw").write_bytes(RAW)
    (tmp_path / "b.raw").write_bytes(b"1234" + RAW)
    (tmp_path / "a.zraw").write_bytes(PACKED)
    must_be_the_volume(meta(tmp_path / "a.mhd", b"", "a.raw"))
    must_be_the_volume(meta(tmp_path / "b.mhd", b"", "b.raw", HeaderSize="4"))
    must_be_the_volume(meta(tmp_path / "c.mhd", b"", "a.zraw", CompressedData="True"))
    must_be_the_volume(nrrd(tmp_path / "a.nhdr", b"", data_file="a.raw"))


def test_slices_in_files_of_their_own_are_read_in_their_order(tmp_path):
    for number, plane in enumerate(VOXELS, 1):
        (tmp_path / f"s{number:02}.raw").write_bytes(plane.tobytes())
    names = "".join(f"s{number:02}.raw\n" for number in range(1, 6)).encode()
    must_be_the_volume(meta(tmp_path / "list.mhd", names, "LIST"))
    must_be_the_volume(meta(tmp_path / "pattern.mhd", b"", "s%02d.raw 1 5 1"))
    must_be_the_volume(meta(tmp_path / "short.mhd", b"", "s%02d.raw 1 5"))
    for name, file in (
        ("a.mhd", "s%02d.raw 1 4 1"),
        ("b.mhd", "s%n.raw 1 5 1"),
        ("c.mhd", "x.raw"),
    ):
        with pytest.raises(InputError, match=r"shorter|damaged"):
            read_volume(meta(tmp_path / name, b"", file))
    (tmp_path / "in").mkdir()
    for file in ("../s%02d.raw 1 5 1", "/etc/s%02d.raw 1 5 1"):
        with pytest.raises(InputError, match="from another folder"):
            read_volume(meta(tmp_path / "in" / "a.mhd", b"", file))


@pytest.mark.parametrize("matrix", ["1 0 0 0 1 0 0 0 1", "0 1 0 -1 0 0 0 0 1", "0 0 1 1 0 0 0 1 0"])
def test_a_meta_image_lies_where_itk_finds_it(tmp_path, matrix):
    path = meta(tmp_path / "a.mha", TransformMatrix=matrix)
    itk, found = sitk.ReadImage(str(path)), read_volume(path).geometry
    assert found == geometry_of(itk)


def test_a_size_that_is_not_said_has_a_note(tmp_path):
    assert (
        "how large its voxels are"
        in read_volume(meta(tmp_path / "a.mha", ElementSpacing=None)).notes[0]
    )
    bare = dict.fromkeys(("space", "space_directions", "space_origin"))
    assert "how large its voxels are" in read_volume(nrrd(tmp_path / "a.nrrd", **bare)).notes[0]


@pytest.mark.parametrize(("slope", "intercept"), [(2, 5), (0.5, 0), (1, -1024), (-1, 0)])
def test_a_meta_image_is_scaled_as_its_header_says(tmp_path, slope, intercept):
    fields = {
        "ElementToIntensityFunctionSlope": slope,
        "ElementToIntensityFunctionOffset": intercept,
    }
    values = (VOXELS * float(slope) + intercept).astype(np.float32)
    must_be_the_volume(meta(tmp_path / "a.mha", **fields), values)


def flipped(data):
    return data[: len(data) // 2] + bytes([data[len(data) // 2] ^ 255]) + data[len(data) // 2 + 1 :]


@pytest.mark.parametrize(
    ("data", "size"),
    [
        (PACKED[:-100], len(PACKED)),
        (PACKED[:-100], len(PACKED) - 100),
        (flipped(PACKED), len(PACKED)),
        (PACKED, len(PACKED) - 8),
        (zlib.compress(RAW[:-2]), len(zlib.compress(RAW[:-2]))),
        (zlib.compress(RAW + b"12"), len(zlib.compress(RAW + b"12"))),
        (PACKED, None),
    ],
)
def test_a_packed_meta_image_that_is_not_whole_is_refused(tmp_path, data, size):
    path = meta(tmp_path / "a.mha", data, CompressedData="True", CompressedDataSize=size)
    with pytest.raises(InputError, match=r"damaged|cut short"):
        read_volume(path)


@pytest.mark.parametrize(
    ("data", "fields", "said"),
    [
        (b"1234" + RAW, {"HeaderSize": "4"}, "bytes between header and voxels"),
        (RAW, {"DistanceUnits": "um"}, "measures in um"),
        (RAW, {"DistanceUnits": "cm"}, "measures in cm"),
        (b"1 2 3", {"BinaryData": "False"}, "as text"),
        (RAW, {"ElementToIntensityFunctionSlope": "0"}, "scales its numbers"),
        (RAW, {"ElementToIntensityFunctionSlope": "x"}, "scales its numbers"),
        (RAW[:-9], {}, "cut short"),
        (RAW, {"ElementSpacing": "0.7 0.8"}, "damaged"),
        (RAW, {"ElementSpacing": "0.7 0.8 2_5"}, "damaged"),
        (RAW, {"NDims": "1e30"}, "damaged"),  # ends the process in MetaIO
        (RAW, {"DimSize": "16 15 -5"}, "damaged"),
        (RAW, {"ElementSpacing ": "0.7 0.8 2.5"}, "damaged"),  # a name twice
        (RAW, {"CompressedData": "1,5"}, "damaged"),
        (RAW, {"ElementType": "MET_STRING"}, "damaged"),
        (RAW, {"ElementSpacing": "0.7 0.8 -2.5"}, "spacing is not positive"),
        (RAW, {"TransformMatrix": "1 0 0 0.3 1 0 0 0 1"}, "not perpendicular"),
    ],
)
def test_a_meta_image_that_would_be_read_otherwise_is_refused(tmp_path, data, fields, said):
    with pytest.raises(InputError, match=said):
        read_volume(meta(tmp_path / "a.mha", data, **fields))


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("write", [nrrd, meta])
def test_voxels_that_are_no_numbers_are_said(tmp_path, write, value):
    values = VOXELS.astype("<f4")
    values[2, 3, 4] = value
    number = {"type": "float"} if write is nrrd else {"ElementType": "MET_FLOAT"}
    path = write(tmp_path / ("a.nrrd" if write is nrrd else "a.mha"), values.tobytes(), **number)
    with pytest.raises(InputError, match="no numbers"):
        read_volume(path)


def a_segmentation(path, layer, value=1, kind="Binary labelmap"):
    facts = {"Segment0_ID": "S", "Segment0_Name": "Lesion", "Segment0_LabelValue": str(value)}
    facts |= {"Segment0_Layer": "0", "Segmentation_MasterRepresentation": kind}
    lines = "".join(f"{key}:={text}\n" for key, text in facts.items())
    number = {"u1": "uint8", "f4": "float"}[layer.dtype.str[1:]]
    nrrd(path, b"", type=number)
    header = path.read_bytes().rstrip(b"\n") + b"\n" + lines.encode() + b"\n"
    path.write_bytes(header + layer.tobytes())
    return path


LESION = np.zeros(VOXELS.shape, bool)
LESION[1:3, 4:8, 5:9] = True


def test_values_that_are_no_segments_are_left_out_and_said(tmp_path):
    layer = np.where(LESION, 2, 0).astype("u1")
    layer[4, 0, 0:3] = 7, 9, 9
    masks, _ = read_seg_nrrd(a_segmentation(tmp_path / "a.seg.nrrd", layer, value=2))
    assert np.array_equal(masks["Lesion"], LESION)
    assert masks.notes == ("a.seg.nrrd holds the values 7, 9 of no segment; they were left out.",)
    box = read_region(tmp_path / "a.seg.nrrd", read_volume(nrrd(tmp_path / "scan.nrrd")))
    np.testing.assert_allclose(box.upper, np.add((10, 20, 30), (8.5 * 0.7, 7.5 * 0.8, 2.5 * 2.5)))


@pytest.mark.parametrize(
    ("layer", "kind"),
    [
        (np.where(LESION, 0.9, 0.02).astype("<f4"), "Binary labelmap"),
        (np.where(LESION, 0.9, 0.0).astype("<f4"), "Fractional labelmap"),
        (np.where(LESION, 1, 0).astype("u1"), "Fractional labelmap"),
        (np.where(LESION, np.nan, 0).astype("<f4"), "Binary labelmap"),
    ],
)
def test_a_segmentation_of_fractions_is_refused(tmp_path, layer, kind):
    with pytest.raises(InputError, match="fractions of voxels"):
        read_seg_nrrd(a_segmentation(tmp_path / "a.seg.nrrd", layer, kind=kind))
