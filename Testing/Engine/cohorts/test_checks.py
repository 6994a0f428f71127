"""What is wrong with a case is found, in words, and what is right is not complained of."""

from dataclasses import replace

import numpy as np
import pytest
from a_cohort import METADATA, SIZE, STRAIGHT, a_mask, an_image

from diffoseg.cohorts.checks import duplicates, findings
from diffoseg.space.geometry import Box, Geometry
from diffoseg.space.intensity import IntensityMapping

MASK = a_mask(np.s_[10:14, 20:28, 30:36])
EMPTY = a_mask()
REGION = Box((14, 10, 15), (30, 25, 35))


def found(*, geometry=STRAIGHT, image=None, mask=MASK, drawn=None, region=None, metadata=METADATA):
    image = an_image(size=geometry.size) if image is None else image
    return findings(geometry, image, mask, drawn or geometry, region, metadata)


def only(kind, **case):
    (finding,) = found(**case)
    assert finding.kind == kind
    assert not finding.sentence[0].islower()
    assert finding.sentence.endswith(".")
    return finding.sentence


def test_nothing_is_said_of_a_good_case():
    assert found() == ()
    assert found(region=REGION) == ()
    assert found(mask=EMPTY, region=REGION) == ()
    assert findings(STRAIGHT, None, MASK, STRAIGHT, None, METADATA) == ()
    assert found(drawn=STRAIGHT.crop((-3, 2, 1), (90, 9, 9))) == ()


def test_a_segment_on_other_voxels():
    drawn = Geometry((30, 28, 24), (1.4, 1.4, 2.0))
    words = only("error", drawn=drawn)
    assert "30 x 28 x 24 of 1.4 x 1.4 x 2 mm" in words
    assert "60 x 56 x 24 of 0.7 x 0.7 x 2 mm" in words


def test_an_empty_segment_and_one_elsewhere():
    assert "is empty" in only("error", mask=EMPTY)
    elsewhere = Geometry(SIZE, STRAIGHT.spacing, (0, 0, 200))
    assert "outside the volume" in only("error", mask=EMPTY, drawn=elsewhere)


def test_a_region_elsewhere():
    assert "inside x -0 to 42" in only("error", region=Box((90, 0, 0), (99, 9, 9)))
    away = Box((2, 2, 2), (9, 9, 9))
    assert "nothing to mark" in only("warning", region=away)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_voxels_that_are_no_numbers_count_where_the_network_looks(value):
    image = an_image()
    image[0, 0, 0] = value
    assert found(image=image) == ()
    image[12, 30, 33] = value
    assert "no numbers" in only("error", image=image)


def test_intensities_that_the_model_does_not_tell_apart():
    assert "-1000 to 200" in only("error", image=an_image() + 2000)
    assert "-1000 to 200" in only("error", image=(an_image() - 2000).astype(np.int16))
    image = an_image()
    image[:, ::4] += 3000
    assert found(image=image) == ()
    image[:, 1::2] += 3000
    assert "% of what is around the segment" in only("warning", image=image)
    assert "have the value 7" in only("error", image=np.full_like(image, 7))


def test_percentiles_are_those_of_the_volume_and_nothing_lies_far_outside():
    metadata = replace(METADATA, intensity=IntensityMapping("percentiles", 1, 99))
    assert found(image=an_image() * 50, metadata=metadata) == ()


def test_a_lesion_far_larger_than_the_field_of_view_but_not_several_small_ones():
    large = a_mask(np.s_[10:12, 0:56, 0:60])
    assert findings(STRAIGHT, None, large, STRAIGHT, None, METADATA) == ()
    small = replace(METADATA, patch=16)
    assert "42 mm wide" in only("warning", mask=large, metadata=small)
    several = a_mask(np.s_[10:12, 0:9, 0:9], np.s_[10:12, 40:56, 45:60])
    assert found(mask=several, metadata=small) == ()
    whole = STRAIGHT.bounding_box()
    assert "The region is 42 mm" in only("warning", region=whole, metadata=small)


def test_a_segment_smaller_than_a_pixel():
    fine = Geometry((200, 200, 8), (0.1, 0.1, 2.0))
    image = an_image(size=fine.size)
    mask = a_mask(np.s_[3, 50:52, 60:62], size=fine.size)
    assert "smaller than the model's pixels of 0.7" in only(
        "error", geometry=fine, image=image, mask=mask
    )


def test_with_a_region_only_what_is_marked_in_it_counts():
    fine = Geometry((200, 200, 8), (0.1, 0.1, 2.0))
    speck, lesion = np.s_[3, 50:52, 60:62], np.s_[2:5, 120:160, 120:160]
    about_speck, about_lesion = (
        fine.crop(start, (60, 60, 4)).bounding_box() for start in ((30, 30, 2), (110, 110, 2))
    )
    between = fine.crop((70, 70, 2), (40, 40, 4)).bounding_box()
    case = {
        "geometry": fine,
        "image": an_image(size=fine.size),
        "mask": a_mask(speck, lesion, size=fine.size),
    }

    assert found(**case, region=about_lesion) == ()
    assert "smaller than the model's pixels" in only("error", **case, region=about_speck)
    assert "Nothing of the segment lies in the region" in only("warning", **case, region=between)


def test_coarse_pixels():
    coarse = Geometry(SIZE, (1.6, 1.6, 2.0))
    assert "1.6 mm wide" in only("warning", geometry=coarse)


def test_duplicates_are_told_by_the_number_of_the_first():
    assert duplicates(["a", "b", "c"]) == {}
    found = duplicates([("v", "x"), ("v", "y"), ("v", "x"), ("v", "x")])
    assert set(found) == {2, 3}
    assert "case 1 once more" in found[3].sentence
