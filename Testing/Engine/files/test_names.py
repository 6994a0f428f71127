"""Names in any bytes: what a library cannot take is read and written under another name."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
import torch

from diffoseg.cohorts.datalist import read_datalist
from diffoseg.cohorts.dicom_series import write_dicom_series
from diffoseg.files.names import readable_name, writable_name
from diffoseg.model.model import load_model
from diffoseg.output.seg_nrrd import write_seg_nrrd
from diffoseg.reading import read_region, read_volume
from diffoseg.space.geometry import Geometry
from diffoseg.space.volume import Volume, image_of, write_image
from diffoseg.training.checkpoint import read_checkpoint, write_checkpoint

VOXELS = np.random.default_rng(0).integers(-900, 400, (6, 12, 12)).astype(np.float32)
GRID = Geometry((12, 12, 6), (0.7, 0.7, 2.5))
NAMES = [b"M\xfcller", b"\xff\xfe", "Müller 東京".encode(), "Mu\u0308ller".encode(), b"a\x80b c"]

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Names are bytes on Linux alone.")


@pytest.fixture(params=NAMES, ids=repr)
def folder(tmp_path, request):
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + request.param))
    path.mkdir()
    return path


@pytest.mark.parametrize("suffix", [".nrrd", ".nii.gz", ".mha"])
def test_a_scan_of_any_name_is_written_and_read(folder, suffix):
    path = folder / f"{folder.name}{suffix}"
    write_image(image_of(VOXELS, GRID), path)
    np.testing.assert_array_equal(read_volume(path).array, VOXELS)


def test_a_header_finds_its_voxels_in_a_folder_of_any_name(folder, tmp_path):
    (tmp_path / "plain").mkdir()
    write_image(image_of(VOXELS, GRID), tmp_path / "plain" / "scan.nhdr")
    for path in (tmp_path / "plain").iterdir():
        path.rename(folder / path.name)
    np.testing.assert_array_equal(read_volume(folder / "scan.nhdr").array, VOXELS)


def test_a_series_of_any_name_is_read(folder):
    for number, path in enumerate(write_dicom_series(Volume(VOXELS, GRID), folder / "series")):
        path.rename(folder / f"{folder.name}{number}.dcm")
    (folder / "series").rmdir()
    np.testing.assert_array_equal(read_volume(folder).array, VOXELS)


def test_compressed_slices_of_any_name_are_read(folder):
    import pydicom

    data = Path(pydicom.__file__).parent / "data" / "test_files"
    shutil.copy(data / "MR_small_jp2klossless.dcm", folder / "a.dcm")
    plain = read_volume(data / "MR_small.dcm").array
    np.testing.assert_array_equal(read_volume(folder / "a.dcm").array, plain)


def test_masks_and_lists_of_any_name_are_read(folder):
    mask = VOXELS > 200
    write_image(image_of(VOXELS, GRID), folder / "ct.nrrd")
    write_seg_nrrd(folder / "m.seg.nrrd", {"A": mask}, GRID, colors={"A": (1, 0, 0)})
    text = '{"training": [{"image": "ct.nrrd", "label": "m.seg.nrrd", "expert": "E"}]}'
    (folder / "list.json").write_text(text)
    (case,) = read_datalist(folder / "list.json").cohort("E")
    assert np.array_equal(case.masks["E"], mask)
    assert read_region(folder / "m.seg.nrrd", read_volume(folder / "ct.nrrd"))


def test_models_of_any_name_are_read(folder):
    built_in = Path(__file__).parents[3] / "Resources" / "Models" / "diffoseg-phantom.safetensors"
    shutil.copy(built_in, folder / "model.safetensors")
    assert load_model(folder / "model.safetensors").experts
    write_checkpoint(folder / "a.safetensors", {"g": {"t": torch.ones(3)}}, {"i": 1})
    assert read_checkpoint(folder / "a.safetensors")[1] == {"i": 1}


def test_plain_names_stay_as_they_are(tmp_path):
    for make in (readable_name, writable_name):
        with make(tmp_path / "Müller.nrrd") as name:
            assert name == str(tmp_path / "Müller.nrrd")


def test_a_name_is_written_whole_or_not_at_all(tmp_path):
    odd = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xfc.nrrd"))

    def fail():
        with writable_name(odd) as name:
            Path(name).write_bytes(b"half")
            raise RuntimeError("no disk")

    with pytest.raises(RuntimeError, match="no disk"):
        fail()
    assert not odd.exists()


@pytest.mark.parametrize("mask", [0o022, 0o027, 0o077])
def test_a_checkpoint_is_as_open_as_its_neighbours(tmp_path, mask):
    before = os.umask(mask)
    try:
        write_checkpoint(tmp_path / "a.safetensors", {"g": {"t": torch.ones(3)}}, {})
        (tmp_path / "neighbour").write_text("")
    finally:
        os.umask(before)
    modes = {path.stat().st_mode for path in tmp_path.iterdir()}
    assert len(modes) == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        {"PYTHONIOENCODING": "ascii"},
    ],
)
def test_the_command_takes_and_prints_such_names(tmp_path, environment):
    folder = os.fsencode(tmp_path) + b"/M\xfcller"
    os.mkdir(folder)  # noqa: PTH102
    sitk.WriteImage(sitk.GetImageFromArray(VOXELS), str(tmp_path / "a.nrrd"))
    os.replace(tmp_path / "a.nrrd", folder + b"/a.nrrd")  # noqa: PTH105
    command = [sys.executable, "-m", "diffoseg", "segment", folder + b"/a.nrrd"]
    options = ["--samples", "1", "--preset", "preview", "--experts", "consensus"]
    done = subprocess.run(
        [*command, *options, "--out", folder + b"/out\xff"],
        capture_output=True,
        env=os.environ | environment | {"PYTHONPATH": os.pathsep.join(sys.path)},
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"report.html" in done.stdout
    assert b"segmentation.seg.nrrd" in os.listdir(folder + b"/out\xff")  # noqa: PTH208
