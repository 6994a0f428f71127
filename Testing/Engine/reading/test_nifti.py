"""NIfTI files hold what nibabel finds in them, value for value and corner for corner."""

import bz2
import gzip
import itertools

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813

from diffoseg.errors import InputError
from diffoseg.output.seg_nrrd import write_seg_nrrd
from diffoseg.reading import read_region, read_volume
from diffoseg.reading.image_file import read_image

VOXELS = np.random.default_rng(0).integers(-900, 400, (6, 5, 4)).astype(np.int16)  # (I, J, K)
LPS = np.diag([-1.0, -1, 1, 1])
TURN = np.array([[0.8, -0.6, 0, 0], [0.6, 0.8, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])
PLACED = TURN @ np.diag([-0.7, -0.8, 2.5, 1]) + [
    [0, 0, 0, 90],
    [0, 0, 0, 40],
    [0, 0, 0, -120],
    [0] * 4,
]


def an_image(array=VOXELS, affine=PLACED, kind=nibabel.Nifti1Image, **header):
    image = kind(array, affine)
    for name, value in header.items():
        image.header[name] = value
    return image


def corners(geometry):
    places = np.array(list(itertools.product(*((0, n - 1) for n in geometry.size))))
    return places, geometry.index_to_point(places)


def must_be_as_nibabel_has_it(path):
    """Compare what is read with nibabel's values and nibabel's corners."""
    volume, other = read_volume(path), nibabel.load(path)
    np.testing.assert_array_equal(volume.array, other.get_fdata().astype(np.float32).T)
    places, found = corners(volume.geometry)
    np.testing.assert_allclose(
        found, nibabel.affines.apply_affine(LPS @ other.affine, places), atol=1e-4
    )
    return volume


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("kind", [nibabel.Nifti1Image, nibabel.Nifti2Image])
@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8"])
def test_every_number_type_in_every_order_and_version(tmp_path, dtype, kind, order, suffix):
    array = (VOXELS % 100).astype(order + dtype)
    header = kind.header_class(endianness=order)
    header.set_data_dtype(dtype)
    nibabel.save(kind(array, PLACED, header), tmp_path / f"scan{suffix}")
    volume = must_be_as_nibabel_has_it(tmp_path / f"scan{suffix}")
    assert volume.notes == ()


@pytest.mark.parametrize(
    "scale", [(2, -7), (0.25, 0), (1, -1024), (0, -1024), (np.nan, 5), (-1, 0)]
)
def test_numbers_are_scaled_as_the_header_says(tmp_path, scale):
    path = tmp_path / "scan.nii"
    image = an_image()
    nibabel.save(image, path)
    data = bytearray(path.read_bytes())
    data[112:120] = np.array(
        scale, "<f4"
    ).tobytes()  # scl_slope and scl_inter, as nifti1.h has them
    path.write_bytes(data)
    must_be_as_nibabel_has_it(path)


@pytest.mark.parametrize("code", [(1, 0), (0, 1), (2, 4), (0, 0), (0, 3), (4, 0)])
def test_the_place_is_that_of_the_code(tmp_path, code):
    image = an_image()
    image.set_qform(PLACED, code[0])
    image.set_sform(PLACED, code[1])
    nibabel.save(image, tmp_path / "scan.nii")
    volume = must_be_as_nibabel_has_it(tmp_path / "scan.nii")
    assert any("does not say where" in note for note in volume.notes) == (code == (0, 0))


@pytest.mark.parametrize("sign", [1, -1])
def test_a_left_handed_quaternion_turns_the_third_axis(tmp_path, sign):
    affine = PLACED @ np.diag([1, 1, sign, 1])
    image = an_image(affine=affine)
    image.set_qform(affine, 1)
    image.set_sform(None, 0)
    nibabel.save(image, tmp_path / "scan.nii")
    volume = must_be_as_nibabel_has_it(tmp_path / "scan.nii")
    itk = sitk.ReadImage(str(tmp_path / "scan.nii"))
    np.testing.assert_allclose(volume.geometry.direction, itk.GetDirection(), atol=1e-6)
    np.testing.assert_allclose(volume.geometry.origin, itk.GetOrigin(), atol=1e-4)


@pytest.mark.parametrize(
    ("move", "said"),
    [
        (np.eye(4), ""),
        ([[1, 0, 0, 7], [0, 1, 0, -7], [0, 0, 1, 4], [0, 0, 0, 1]], "up to 10.7 mm apart"),
        (np.diag([-1, -1, 1, 1]), "two places"),
        ([[1, 0, 0, 0.01], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]], ""),
    ],
)
def test_two_places_in_one_file_are_said_with_their_distance(tmp_path, move, said):
    image = an_image()
    image.set_qform(PLACED, 1)
    image.set_sform(np.array(move) @ PLACED, 2)
    nibabel.save(image, tmp_path / "scan.nii.gz")
    volume = must_be_as_nibabel_has_it(tmp_path / "scan.nii.gz")
    assert len(volume.notes) == bool(said)
    assert said in "".join(volume.notes)


def test_a_mask_with_two_places_is_a_region_where_it_is_on_the_scans_voxels(tmp_path):
    image = an_image()
    image.set_qform(PLACED, 1)
    image.set_sform(TURN @ PLACED, 2)
    nibabel.save(image, tmp_path / "scan.nii")
    mask = np.zeros(VOXELS.shape, np.uint8)
    mask[1:4, 2:4, 1:3] = 1
    nibabel.save(nibabel.Nifti1Image(mask, None, image.header), tmp_path / "mask.nii")
    box = read_region(tmp_path / "mask.nii", read_volume(tmp_path / "scan.nii"))
    marked = LPS @ TURN @ PLACED @ [*np.argwhere(mask).mean(0), 1]
    np.testing.assert_allclose(np.add(box.lower, box.upper) / 2, marked[:3], atol=1e-4)
    nibabel.save(an_image(), tmp_path / "another.nii")
    with pytest.raises(InputError, match=r"mask\.nii states two places"):
        read_region(tmp_path / "mask.nii", read_volume(tmp_path / "another.nii"))


@pytest.mark.parametrize(("unit", "factor"), [("meter", 1000), ("micron", 0.001), ("mm", 1)])
def test_metres_and_microns_are_millimetres_here(tmp_path, unit, factor):
    image = an_image(affine=np.diag([1 / factor, 1 / factor, 2 / factor, 1]))
    image.header.set_xyzt_units(unit)
    nibabel.save(image, tmp_path / "scan.nii")
    np.testing.assert_allclose(read_volume(tmp_path / "scan.nii").geometry.spacing, (1, 1, 2))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_voxels_that_are_no_numbers_are_not_made_numbers(tmp_path, value):
    array = VOXELS.astype(np.float32)
    array[2, 2, 2] = value
    nibabel.save(an_image(array), tmp_path / "scan.nii.gz")
    with pytest.raises(InputError, match="no numbers"):
        read_volume(tmp_path / "scan.nii.gz")


@pytest.mark.parametrize("shear", [1e-4, 9.9e-4])
def test_a_little_shear_is_kept_and_much_is_refused(tmp_path, shear):
    for name, amount in (("little.nii", shear), ("much.nii", 0.05)):
        affine = PLACED.copy()
        affine[:3, 2] += amount * 2.5 * TURN[:3, 0]
        image = an_image(affine=affine)
        image.set_qform(None, 0)
        nibabel.save(image, tmp_path / name)
    must_be_as_nibabel_has_it(tmp_path / "little.nii")
    with pytest.raises(InputError, match="not perpendicular"):
        read_volume(tmp_path / "much.nii")


def test_what_is_packed_is_known_by_its_content_and_not_by_its_name(tmp_path):
    nibabel.save(an_image(), tmp_path / "plain.nii")
    plain = (tmp_path / "plain.nii").read_bytes()
    for name, data in (
        ("packed.nii", gzip.compress(plain)),
        ("not.nii.gz", plain),
        ("a.nrrd", plain),
    ):
        (tmp_path / name).write_bytes(data)
        np.testing.assert_array_equal(read_volume(tmp_path / name).array, VOXELS.T)


@pytest.mark.parametrize("dtype", ["c8", "c16", [("R", "u1"), ("G", "u1"), ("B", "u1")]])
def test_colours_and_complex_numbers_are_refused_by_what_they_are(tmp_path, dtype):
    nibabel.save(nibabel.Nifti1Image(np.ones((4, 4, 4), dtype), np.eye(4)), tmp_path / "scan.nii")
    with pytest.raises(InputError, match=r"colour images|complex numbers"):
        read_volume(tmp_path / "scan.nii")


@pytest.mark.parametrize("cut", [1, 100, 200, 340])
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_a_file_that_is_cut_anywhere_is_refused(tmp_path, cut, suffix):
    path = tmp_path / f"scan{suffix}"
    nibabel.save(an_image(), path)
    path.write_bytes(path.read_bytes()[:-cut])
    with pytest.raises(InputError, match=r"damaged|shorter"):
        read_volume(path)


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("a.nii.gz", b"<!DOCTYPE html><html>404</html>", "is a web page"),
        ("a.nii", bz2.compress(b"0" * 999), "packed with bzip2"),
        ("a.nrrd", b"version https://git-lfs.github.com/spec/v1\noid", "git-lfs"),
        ("a.mha", b"PK\x03\x04" + bytes(99), "a ZIP archive"),
        ("a.nii", bytes(128) + b"DICM" + bytes(99), "is a DICOM file"),
        ("a.nii", b"", "is empty"),
        ("a.nii", bytes(600), "damaged or not an image"),
    ],
)
def test_what_another_file_is_is_said(tmp_path, name, data, said):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(InputError, match=said):
        read_volume(tmp_path / name)


def test_a_label_keeps_its_own_numbers(tmp_path):
    nibabel.save(an_image((VOXELS > 0).astype(np.uint8) * 7), tmp_path / "label.nii.gz")
    array = read_image(tmp_path / "label.nii.gz").array
    assert array.dtype == np.uint8
    assert np.array_equal(array, (VOXELS.T > 0) * 7)


def test_a_region_of_a_segmentation_keeps_to_its_segments(tmp_path):
    volume = read_volume_of(tmp_path)
    mask = np.zeros(volume.array.shape, bool)
    mask[1:3, 1:4, 2:5] = True
    path = tmp_path / "a.seg.nrrd"
    write_seg_nrrd(path, {"Lesion": mask}, volume.geometry, colors={"Lesion": (1, 0, 0)})
    path.write_bytes(path.read_bytes().replace(b"Binary labelmap", b"Fractional labelmap"))
    with pytest.raises(InputError, match="holds fractions of voxels"):
        read_region(path, volume)


def read_volume_of(folder):
    nibabel.save(an_image(), folder / "scan.nii")
    return read_volume(folder / "scan.nii")
