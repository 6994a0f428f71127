"""Real scans that libraries ship go through the command and come back on their own grid."""

import json
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
from a_model import a_model
from pydicom.data import get_testdata_file

from diffoseg.commands.command_line import main
from diffoseg.model.stored import save_model

CT_SLICE = Path(str(get_testdata_file("CT_small.dcm", download=False)))
CT_SERIES = CT_SLICE.parent / "dicomdirtests" / "98892001"  # a scout folder and an axial one
MR_BRAIN = Path(nibabel.__file__).parent / "tests" / "data" / "anatomical.nii"


@pytest.fixture
def segment(tmp_path):
    weights = tmp_path / "model.safetensors"
    save_model(a_model(), weights)

    def run(scan: Path, *options: str) -> Path:
        out = tmp_path / "result"
        quick = ["--weights", str(weights), "--samples", "1", "--steps", "2", "--device", "cpu"]
        assert main(["segment", str(scan), *quick, *options, "--out", str(out)]) == 0
        return out

    return run


def grid_of(image: sitk.Image) -> tuple:
    numbers = (*image.GetSize(), *image.GetSpacing(), *image.GetOrigin(), *image.GetDirection())
    return tuple(np.round(numbers, 4))


def assert_on_the_grid(result: Path, scan: sitk.Image) -> None:
    maps = sorted(result.glob("*.nrrd"))
    assert len(maps) == 5  # the segments, three probabilities and the disagreement
    for path in maps:
        assert grid_of(sitk.ReadImage(str(path))) == grid_of(scan), path.name


def warnings_in(result: Path) -> str:
    return " ".join(json.loads((result / "result.json").read_text("utf-8"))["warnings"])


def test_a_ct_slice(segment):
    result = segment(CT_SLICE)

    assert_on_the_grid(result, sitk.ReadImage(str(CT_SLICE)))
    assert "No region" in warnings_in(result)


def test_a_ct_series_whose_scouts_are_left_out(segment, tmp_path):
    axial = sorted(
        (CT_SERIES / "CT5N").iterdir(), key=lambda path: sitk.ReadImage(path).GetOrigin()[2]
    )
    scan = sitk.ReadImage(axial)

    result = segment(CT_SERIES)

    assert_on_the_grid(result, scan)
    assert "scout" in warnings_in(result)


def test_a_brain_mr_is_out_of_the_models_domain_said_so_and_answered(segment, capsys):
    result = segment(MR_BRAIN)

    assert_on_the_grid(result, sitk.ReadImage(str(MR_BRAIN)))
    assert "does not say what kind of scan" in warnings_in(result)
    assert "mm wide" in warnings_in(result)
    assert "does not say what kind of scan" in "".join(capsys.readouterr())
