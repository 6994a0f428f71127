"""One rule for what the values of a mask mean: one label, fractions at one half, else a refusal."""

import numpy as np
import pytest

from diffoseg.errors import InputError
from diffoseg.space.mask_values import marked_by

LESION = np.zeros((4, 6, 5), bool)
LESION[1:3, 2:4, 1:4] = True


@pytest.mark.parametrize("label", [1, 2, 7, 255, 4000])
@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32])
def test_one_label_is_what_is_marked_whatever_its_number(label, dtype):
    if label > np.iinfo(np.uint8).max and dtype is np.uint8:
        pytest.skip("No such number.")
    mask, note = marked_by(np.where(LESION, label, 0).astype(dtype), "m.nii")
    assert np.array_equal(mask, LESION)
    assert note == ""


@pytest.mark.parametrize(("inside", "outside"), [(1, 1e-7), (0.9, 0.02), (1, 0.5), (0.6, 0.4)])
def test_fractions_are_cut_at_one_half_and_that_is_said(inside, outside):
    mask, note = marked_by(np.where(LESION, inside, outside).astype(np.float32), "m.nii")
    assert np.array_equal(mask, LESION)
    assert "m.nii holds fractions" in note


@pytest.mark.parametrize(
    "values",
    [
        np.where(LESION, 2, 1),  # two labels
        np.where(LESION, 1, -1),  # a background of its own, or what is to be ignored
        np.where(LESION, 100.0, 0.5),  # percents
        np.arange(120).reshape(4, 6, 5),  # a scan
        -LESION.astype(int),
    ],
)
def test_what_can_mean_several_things_is_refused_with_the_values(values):
    with pytest.raises(InputError, match="holds the values"):
        marked_by(values, "m.nii")


def test_of_many_values_some_are_listed():
    with pytest.raises(InputError, match=r"0, 1, 2, 3, 4, 5 and 114 more"):
        marked_by(np.arange(120), "m.nii")


@pytest.mark.parametrize("broken", [np.nan, np.inf])
def test_what_is_no_number_is_no_mask(broken):
    with pytest.raises(InputError, match="no numbers"):
        marked_by(np.where(LESION, broken, 0), "m.nii")


def test_an_empty_mask_marks_nothing():
    mask, note = marked_by(np.zeros((2, 2, 2), np.uint8), "m.nii")
    assert not mask.any()
    assert note == ""


@pytest.mark.parametrize("label", ["1", "2", "-1"])
def test_one_of_several_labels_is_chosen_by_its_number(label):
    values = np.full((4, 6, 5), -1, np.int16)
    values[0, :5] = 1
    values[0, 0, 0] = -1
    values[LESION] = 2
    mask, note = marked_by(values, "m.nii", label)
    assert np.array_equal(mask, values == int(label))
    assert mask.sum() == (values == int(label)).sum() > 0
    assert note == ""


@pytest.mark.parametrize("label", ["3", "0", "Lesion", "1.5", "", "1e3"])
def test_a_label_that_is_not_there_is_answered_by_those_that_are(label):
    values = np.where(LESION, 2, 1)
    with pytest.raises(InputError, match="holds the values 1, 2"):
        marked_by(values, "m.nii", label)
