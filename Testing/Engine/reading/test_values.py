"""Values and places as the file states them, whatever reads it, or a sentence."""

import locale
import shutil
import subprocess
from contextlib import suppress
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk  # noqa: N813

from diffoseg.cohorts.dicom_series import write_dicom_series
from diffoseg.errors import InputError
from diffoseg.reading import read_volume
from diffoseg.space.geometry import Geometry
from diffoseg.space.volume import Volume, image_of, write_image

VOXELS = np.arange(1200, dtype=np.float32).reshape(40, 5, 6) - 500


def a_series(folder: Path, slices: int = 40) -> list[Path]:
    array = VOXELS[:slices]
    write_dicom_series(Volume(array, Geometry(array.shape[::-1], (0.7, 0.8, 2.0))), folder)
    paths = sorted(folder.iterdir())
    return sorted(paths, key=lambda path: float(pydicom.dcmread(path).ImagePositionPatient[2]))


def change(path: Path, **tags) -> None:
    dataset = pydicom.dcmread(path)
    for name, value in tags.items():
        setattr(dataset, name, value)
    dataset.save_as(path)


@pytest.mark.parametrize(("slope", "intercept"), [(1, 0), (1, -1024), (0.5, 10)])
def test_a_negative_has_the_values_that_pydicom_finds(tmp_path, slope, intercept):
    paths = a_series(tmp_path / "series", 4)
    for path in paths:
        photometric = {"PhotometricInterpretation": "MONOCHROME1"}
        change(path, RescaleSlope=slope, RescaleIntercept=intercept, **photometric)
    found = read_volume(tmp_path / "series").array
    for plane, path in zip(found, paths, strict=True):
        stored = pydicom.dcmread(path).pixel_array
        np.testing.assert_allclose(plane, stored * slope + intercept)


def test_a_negative_among_others_is_read_as_they_are(tmp_path):
    paths = a_series(tmp_path / "series", 4)
    change(paths[2], PhotometricInterpretation="MONOCHROME1")
    np.testing.assert_array_equal(read_volume(tmp_path / "series").array, VOXELS[:4])


@pytest.mark.parametrize(
    "steps",
    [
        [2.0] * 20 + [2.19] * 19,  # drifts in the middle
        [1.9] * 39,  # is even, and fine
        [2.0, 2.19] * 19 + [2.0],  # wavers, and stays near
        list(np.linspace(1.85, 2.15, 39)),  # grows slowly
    ],
)
def test_a_slice_lies_where_its_header_says_or_the_series_is_refused(tmp_path, steps):
    paths = a_series(tmp_path / "series")
    places = 30 + np.concatenate([[0], np.cumsum(steps)])
    for path, place in zip(paths, places, strict=True):
        change(path, ImagePositionPatient=[-10, 20, round(float(place), 3)])
    even = np.linspace(places[0], places[-1], len(places))
    near = np.abs(places - even).max() <= 0.1 * np.median(steps)
    if not near:
        with pytest.raises(InputError, match="from an even grid"):
            read_volume(tmp_path / "series")
        return
    geometry = read_volume(tmp_path / "series").geometry
    found = [geometry.index_to_point((0, 0, k))[2] for k in range(40)]
    np.testing.assert_allclose(found, places, atol=0.1 * np.median(steps))


@pytest.fixture
def commas(tmp_path_factory, monkeypatch):
    """A process whose numbers have commas; where there is no such locale, one is made."""
    before = locale.setlocale(locale.LC_NUMERIC)
    for name in ("de_DE.UTF-8", "German", "made"):
        if name == "made" and shutil.which("localedef"):
            name, folder = "de_DE.UTF-8", tmp_path_factory.mktemp("locales")
            subprocess.run(["localedef", "-i", "de_DE", "-f", "UTF-8", folder / name], check=False)
            monkeypatch.setenv("LOCPATH", str(folder))
        with suppress(locale.Error):
            locale.setlocale(locale.LC_NUMERIC, name)
            break
    else:
        pytest.skip("There is no locale with a comma here, and none can be made.")
    yield
    locale.setlocale(locale.LC_NUMERIC, before)


@pytest.mark.parametrize("name", ["scan.nrrd", "scan.mha", "scan.nii.gz", "scan.nhdr"])
@pytest.mark.usefixtures("commas")
def test_numbers_have_a_point_where_the_locale_has_a_comma(tmp_path, name):
    geometry = Geometry((6, 5, 4), (1.5, 0.75, 2.5), (-10.5, 20.25, 30.5))
    write_image(image_of(VOXELS[:4], geometry), tmp_path / name)
    volume = read_volume(tmp_path / name)
    assert locale.localeconv()["decimal_point"] == ","
    np.testing.assert_allclose(volume.geometry.spacing, geometry.spacing)
    np.testing.assert_allclose(volume.geometry.origin, geometry.origin)


@pytest.mark.usefixtures("commas")
def test_what_is_written_under_commas_has_points_too(tmp_path):
    geometry = Geometry((6, 5, 4), (1.5, 0.75, 2.5), (-10.5, 20.25, 30.5))
    write_image(image_of(VOXELS[:4], geometry), tmp_path / "scan.nrrd")
    locale.setlocale(locale.LC_NUMERIC, "C")
    found = sitk.ReadImage(str(tmp_path / "scan.nrrd"))
    np.testing.assert_allclose(found.GetSpacing(), geometry.spacing)
    np.testing.assert_allclose(found.GetOrigin(), geometry.origin)
