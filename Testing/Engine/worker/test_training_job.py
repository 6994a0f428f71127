"""A training as a folder: what is written comes back, and carries all that a training looks at."""

import json
import re
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from a_cohort import ANYTHING, GRIDS, METADATA, STRAIGHT, a_case, places_in, refusal, with_other
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from diffoseg.errors import InputError
from diffoseg.experts.panel import Expert
from diffoseg.space.geometry import Box, Geometry
from diffoseg.space.intensity import IntensityMapping
from diffoseg.space.marked import marked_box
from diffoseg.training.expert.slices import expert_slices
from diffoseg.worker.training_job import (
    TrainingCase,
    TrainingJob,
    carried_for_training,
    image_file,
    mask_file,
)


def written(folder, *cases, expert="Ann", metadata=METADATA):
    """Write cases as Slicer does; returns the job."""
    carried = []
    for index, case in enumerate(cases):
        mask, geometry = case.masks["Ann"], case.volume.geometry
        box = carried_for_training(geometry, marked_box(geometry, mask), case.region, metadata)
        entry = TrainingCase(case.name, case.patient, geometry, *box, case.region, "CT")
        np.save(folder / image_file(index), case.volume.array[entry.place])
        np.save(folder / mask_file(index), mask[entry.place])
        carried.append(entry)
    job = TrainingJob(Expert(expert, "careful", (0.1, 0.2, 0.3)), "Expert 2", tuple(carried), "m")
    job.write(folder)
    return job


def test_a_job_comes_back_as_it_was_written(tmp_path):
    region = Box((10, 10, 10), (30, 30, 30))
    job = written(tmp_path, a_case('Ärztin 1/2 "x"'), a_case("b", region=region), expert="Ä\\/:")

    assert TrainingJob.read(tmp_path) == job


def test_training_on_the_folder_sees_the_same_bytes_as_on_the_cases(tmp_path):
    cases = [
        a_case("one"),
        a_case("two", np.s_[0:3, 0:3, 50:60], np.s_[20:24, 40:56, 0:9], seed=5),
        a_case("region", region=Box((5, 5, 10), (20, 20, 30)), seed=9),
    ]
    job = written(tmp_path, *cases)
    assert np.prod(job.cases[0].size) < np.prod(STRAIGHT.size)

    found = expert_slices(TrainingJob.read(tmp_path).cohort(tmp_path), "Ann", METADATA)

    truth = expert_slices(cases, "Ann", METADATA)
    assert found.fingerprint() == truth.fingerprint()
    assert found.cases == truth.cases


@st.composite
def boxes(draw, geometry: Geometry):
    """Draw a box of voxels, (k, j, i), of at least 3 each way so that pixels do not miss it."""
    sides = []
    for count in geometry.size[::-1]:
        least = min(3, count)
        first = draw(st.integers(0, count - least))
        sides.append(slice(first, draw(st.integers(first + least, count))))
    return tuple(sides)


@pytest.mark.parametrize("grid", GRIDS)
@given(data=st.data())
@settings(max_examples=12)
def test_wherever_lesions_or_regions_lie_the_folder_carries_what_is_looked_at(grid, data):
    geometry = GRIDS[grid]
    lesions = data.draw(st.lists(boxes(geometry), min_size=1, max_size=3))
    region = None
    if data.draw(st.booleans()):
        k, j, i = data.draw(boxes(geometry))
        start, end = (i.start, j.start, k.start), (i.stop, j.stop, k.stop)
        region = geometry.crop(start, np.subtract(end, start)).bounding_box()
    case = a_case("one", *lesions, geometry=geometry, region=region)
    metadata = replace(METADATA, patch=16)

    with TemporaryDirectory() as folder:
        job = written(Path(folder), case, metadata=metadata)
        found = expert_slices(job.cohort(Path(folder)), "Ann", metadata)

    truth = expert_slices([case], "Ann", metadata)
    assert found.fingerprint() == truth.fingerprint()
    np.testing.assert_array_equal(found.positions, truth.positions)


def test_where_a_volume_s_percentiles_count_all_of_it_is_carried(tmp_path):
    metadata = replace(METADATA, intensity=IntensityMapping("percentiles", 1, 99))
    case = a_case()
    job = written(tmp_path, case, metadata=metadata)

    found = expert_slices(job.cohort(tmp_path), "Ann", metadata)

    assert found.fingerprint() == expert_slices([case], "Ann", metadata).fingerprint()


def test_neither_a_mark_nor_a_region_is_refused_and_a_region_elsewhere_too():
    with pytest.raises(InputError, match="The segment is empty"):
        carried_for_training(STRAIGHT, None, None, METADATA)
    with pytest.raises(InputError, match="region lies outside"):
        carried_for_training(STRAIGHT, None, Box((90, 90, 90), (99, 99, 99)), METADATA)


@pytest.mark.parametrize(
    "change",
    [
        lambda job: job.update(format="x"),
        lambda job: job.pop("cases"),
        lambda job: job["cases"][0].update(start=[0, 0]),
        lambda job: job["cases"][0].update(size=[1.5, 1, 1]),
        lambda job: job["cases"][0].update(name=3),
        lambda job: job.update(seed="1"),
        lambda job: job.update(seed=-1),
        lambda job: job.update(seed=2**64),
        lambda job: job.update(device="abacus"),
        lambda job: job.update(expert=[]),
        lambda job: job["expert"].update(color=["red", 0, 0]),
        lambda job: job.update(cases=[[[[]]]]),
        lambda job: job["cases"][0]["geometry"].update(size=[2**40] * 3),
        lambda job: job["cases"][0].update(region={"lower": [0, 0, 0], "upper": ["x", 1, 1]}),
        lambda job: job.update(expert={"name": "consensus", "description": "", "color": None}),
    ],
)
def test_a_damaged_job_is_refused_in_words(tmp_path, change):
    written(tmp_path, a_case())
    values = json.loads((tmp_path / "training.json").read_text())
    change(values)
    (tmp_path / "training.json").write_text(json.dumps(values))

    with pytest.raises(InputError, match=r"anew\.$|Choose another one"):
        TrainingJob.read(tmp_path)


@pytest.mark.parametrize("name", ["image-0001.npy", "mask-0001.npy"])
@pytest.mark.parametrize("damage", ["gone", "short", "shape", "objects"])
def test_damaged_voxels_are_refused_in_words(tmp_path, name, damage):
    job = written(tmp_path, a_case())
    path = tmp_path / name
    if damage == "gone":
        path.unlink()
    elif damage == "short":
        path.write_bytes(path.read_bytes()[:200])
    elif damage == "shape":
        np.save(path, np.zeros((2, 2, 2)))
    else:
        np.save(path, np.array([{}]), allow_pickle=True)

    with pytest.raises(InputError, match=r"case one.*anew\.$"):
        job.cohort(tmp_path)[0]


@given(st.data(), ANYTHING)
@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_a_job_holds_it_is_read_or_refused_in_words(tmp_path, data, other):
    case = TrainingCase("a", "p", STRAIGHT, (0, 0, 0), (4, 4, 4), Box((1, 1, 1), (9, 9, 9)), "CT")
    job = TrainingJob(Expert("Ann", "careful", (0.1, 0.2, 0.3)), "Bob", (case,))
    job.write(tmp_path)
    values = json.loads((tmp_path / "training.json").read_text())
    place = data.draw(st.sampled_from(list(places_in(values))))
    (tmp_path / "training.json").write_text(json.dumps(with_other(values, place, other)))

    assert re.fullmatch(r"|\S.*\.", refusal(lambda: TrainingJob.read(tmp_path).write(tmp_path)))
