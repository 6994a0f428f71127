"""A job is read back as it was written, and its few voxels answer as the whole volume does."""

import json
from dataclasses import replace
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
import torch
from a_model import REGION, a_model, a_pixelwise_model, a_volume
from hypothesis import given, settings
from hypothesis import strategies as st

from diffoseg.drawing.applicability import warnings_for
from diffoseg.drawing.canvas import Canvas
from diffoseg.drawing.segmenter import Segmenter
from diffoseg.drawing.workload import tile_evaluations
from diffoseg.errors import InputError
from diffoseg.model.metadata import ModelMetadata
from diffoseg.space.geometry import Box, Geometry
from diffoseg.space.intensity import IntensityMapping
from diffoseg.space.model_grid import ModelGrid
from diffoseg.space.volume import Volume
from diffoseg.worker.job import IMAGE, JOB, SegmentationJob, carried_voxels, npy_header

METADATA = ModelMetadata(
    title="test",
    intensity=IntensityMapping("window", -500.0, 500.0),
    spacing_mm=1.0,
    patch=8,
    mask_distance=10.0,
)


def a_job(volume: Volume, region: Box | None, metadata: ModelMetadata) -> SegmentationJob:
    start, size = carried_voxels(volume.geometry, region, metadata)
    return SegmentationJob(
        volume.geometry, start, size, region, ("consensus", "Ann"), 2, None, 7, modality="CT"
    )


def written(folder: Path, job: SegmentationJob, array: np.ndarray) -> SegmentationJob:
    """Write a job as Slicer does, slab by slab, and read it back."""
    job.write(folder)
    (i, j, k), (ni, nj, nk) = job.start, job.size
    with (folder / IMAGE).open("wb") as file:
        file.write(npy_header(array.dtype, (nk, nj, ni)))
        for slab in array[k : k + nk, j : j + nj, i : i + ni]:
            file.write(np.ascontiguousarray(slab).tobytes())
    return SegmentationJob.read(folder)


@st.composite
def volumes_and_regions(draw):
    """Return any grid, oblique or not, with voxels that include NaN, and a region that meets it."""
    size = draw(st.tuples(*[st.integers(1, 30)] * 3))
    spacing = draw(st.tuples(*[st.floats(0.3, 4.0)] * 3))
    angle = draw(st.sampled_from([0.0, 0.0, np.pi / 4, 0.3, 2.9]))
    turn = np.array(
        [[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]]
    )
    order = draw(st.sampled_from(list(permutations(range(3)))))
    signs = draw(st.tuples(*[st.sampled_from([-1, 1])] * 3))
    matrix = (np.roll(np.roll(turn, 1, 0), 1, 1)[:, order] * signs).ravel()
    geometry = Geometry(size, spacing, (3.0, -5.0, 40.0), tuple(matrix))
    random = np.random.default_rng(draw(st.integers(0, 9)))
    array = random.normal(0, 500, size[::-1]).astype(np.float32)
    array[random.random(array.shape) < 0.02] = random.choice([np.nan, np.inf, -np.inf])
    center = geometry.index_to_point([draw(st.floats(-0.4, n - 0.6)) for n in size])
    edges = np.array(draw(st.tuples(*[st.floats(0.5, 25.0)] * 3)))
    return Volume(array, geometry, "CT"), Box(center - edges / 2, center + edges / 2)


def looked_at(volume: Volume, region: Box) -> tuple[bytes, tuple[str, ...]]:
    grid = ModelGrid.fit(volume.geometry, METADATA.spacing_mm)
    canvas = Canvas.of(volume, grid, grid.window_of(region), METADATA, torch.device("cpu"))
    return canvas.images.numpy().tobytes(), warnings_for(volume, grid, canvas, METADATA, "")


@settings(max_examples=300)
@given(volumes_and_regions())
def test_the_network_sees_in_a_jobs_voxels_what_it_sees_in_the_whole_volume(tmp_path_factory, case):
    volume, region = case
    folder = tmp_path_factory.mktemp("job")

    job = written(folder, a_job(volume, region, METADATA), volume.array)

    assert looked_at(job.volume(folder), region) == looked_at(volume, region)


@settings(max_examples=25)
@given(volumes_and_regions())
def test_a_jobs_voxels_give_the_masks_of_the_whole_volume(tmp_path_factory, case):
    volume, region = case
    model = replace(a_pixelwise_model(), metadata=METADATA)
    folder = tmp_path_factory.mktemp("job")
    job = written(folder, a_job(volume, region, METADATA), volume.array)
    segmenter = Segmenter(model, "cpu")

    part, whole = (
        segmenter.segment(source, region, samples=2, steps=2)
        for source in (job.volume(folder), volume)
    )

    assert part.warnings == whole.warnings
    assert part.region_geometry == whole.region_geometry
    for name, result in whole.results.items():
        np.testing.assert_array_equal(part.results[name].probability, result.probability)
        np.testing.assert_array_equal(part.results[name].samples, result.samples)


def test_a_region_needs_few_voxels_and_no_region_or_percentiles_all(a_large_grid):
    _, size = carried_voxels(a_large_grid, Box((40, 40, 40), (80, 80, 80)), METADATA)
    assert np.all(np.array(size) <= 40 + 2 * 8 + 2)

    everything = (0, 0, 0), a_large_grid.size
    assert carried_voxels(a_large_grid, None, METADATA) == everything
    by_share = replace(METADATA, intensity=IntensityMapping("percentiles", 1.0, 99.0))
    assert carried_voxels(a_large_grid, REGION, by_share) == everything


def test_voxels_that_are_not_carried_take_no_memory(tmp_path):
    resource = pytest.importorskip("resource")
    geometry = Geometry((1024, 1024, 1024))  # 4 GB as float32
    job = SegmentationJob(geometry, (500, 500, 500), (4, 3, 2), None, ("Ann",), 1, None, 0)
    values = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    np.save(tmp_path / IMAGE, values)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    array = job.volume(tmp_path).array

    np.testing.assert_array_equal(array[500:502, 500:503, 500:504], values)
    assert array[0, 0, 0] == 0
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000


@pytest.mark.parametrize("dtype", ["i2", ">i2", "u1", "f4", "f8", "i8"])
def test_the_header_is_numpys_own_and_voxels_of_any_scalar_type_come_back(tmp_path, dtype):
    array = np.arange(24).reshape(2, 3, 4).astype(np.dtype(dtype).newbyteorder("<"))
    (tmp_path / IMAGE).write_bytes(npy_header(np.dtype(dtype), (2, 3, 4)) + array.tobytes())
    job = SegmentationJob(Geometry((4, 3, 2)), (0, 0, 0), (4, 3, 2), None, (), 1, None, 0)

    np.testing.assert_array_equal(np.load(tmp_path / IMAGE), array)
    assert job.volume(tmp_path).array.dtype == np.float32
    np.testing.assert_array_equal(job.volume(tmp_path).array, array)


@pytest.mark.parametrize("region", [None, REGION])
def test_a_job_comes_back_as_it_was_written(tmp_path, region):
    oblique = replace(a_volume().geometry, origin=(0.1 + 0.2, -1e-17, 1e17))
    job = SegmentationJob(
        oblique, (1, 2, 3), (4, 5, 2), region, ("consensus", "Änn"), 3, 4, -5, "m", "cpu", "MR", "x"
    )
    job.write(tmp_path)

    job = replace(job, preset="preview", presence=0.5, expert_files=("Änne", "Bo"))
    job.write(tmp_path)

    assert SegmentationJob.read(tmp_path) == job
    assert [path.name for path in tmp_path.iterdir()] == [JOB]


@pytest.mark.parametrize(
    "change",
    [
        {"format": "another"},
        {"format_version": 2},
        {"geometry": None},
        {"geometry": {"size": [1e999, 1, 1]}},
        {"geometry": {"size": ["a", 1, 1]}},
        {"start": [0, 0, -1]},
        {"start": [0, 0]},
        {"size": [41, 1, 1]},
        {"size": [1.5, 1, 1]},
        {"region": [1, 2]},
        {"region": {"lower": [0, 0, 0], "upper": [0, 0, 0]}},
        {"experts": "Ann"},
        {"experts": [1]},
        {"samples": "8"},
        {"samples": True},
        {"seed": None},
        {"device": "abacus"},
        {"model": None},
        {"preset": None},
        {"preset": 1},
        {"expert_files": "Bo"},
        {"expert_files": [3]},
        {"expert_files": None},
        {"presence": "1"},
        {"presence": True},
        {"presence": [1]},
    ],
)
def test_a_damaged_job_is_an_input_error_without_its_folder(tmp_path, change):
    a_job(a_volume(), REGION, a_model().metadata).write(tmp_path)
    values = json.loads((tmp_path / JOB).read_text()) | change
    (tmp_path / JOB).write_text(json.dumps(values))

    with pytest.raises(InputError) as caught:
        SegmentationJob.read(tmp_path)
    assert str(tmp_path) not in str(caught.value)


def test_a_job_from_before_there_were_presets_and_local_experts_is_read(tmp_path):
    job = a_job(a_volume(), REGION, a_model().metadata)
    job.write(tmp_path)
    values = json.loads((tmp_path / JOB).read_text())
    del values["preset"], values["presence"], values["expert_files"]
    (tmp_path / JOB).write_text(json.dumps(values))

    assert SegmentationJob.read(tmp_path) == job
    assert (job.preset, job.presence, job.expert_files) == ("standard", None, ())


@pytest.mark.parametrize("text", ["", "{", "[]", "3", "[" * 100_000, "{}", "\x00"])
def test_a_job_that_is_no_table_is_an_input_error(tmp_path, text):
    (tmp_path / JOB).write_text(text)
    with pytest.raises(InputError, match=r"job\.json is damaged"):
        SegmentationJob.read(tmp_path)


def test_a_missing_job_a_missing_image_and_a_missing_folder_are_input_errors(tmp_path):
    job = a_job(a_volume(), REGION, a_model().metadata)
    for call in (
        lambda: SegmentationJob.read(tmp_path),
        lambda: job.volume(tmp_path),
        lambda: job.write(tmp_path / "nowhere"),
    ):
        with pytest.raises(InputError) as caught:
            call()
        assert str(tmp_path) not in str(caught.value)


def damage(content: bytes, how: str) -> bytes:
    match how:
        case "empty":
            return b""
        case "cut short":
            return content[:-1]
        case "a pickle":
            return b"\x80\x04N."
        case "objects":
            return content.replace(b"'<f4'", b"'|O' ", 1)
        case "complex":
            return content.replace(b"'<f4'", b"'<c8'", 1) + content
        case "another shape":
            return npy_header(np.dtype("f4"), (1, 1, 1)) + bytes(4)
        case "hostile header":
            return content[:10] + b"[" * 100 + content[110:]
    return b"rubbish" * 99


@pytest.mark.parametrize(
    "how",
    ["empty", "cut short", "a pickle", "objects", "complex", "another shape", "hostile header", ""],
)
def test_a_damaged_image_is_an_input_error_and_runs_no_code(tmp_path, how):
    volume = a_volume()
    job = written(tmp_path, a_job(volume, REGION, a_model().metadata), volume.array)
    path = tmp_path / IMAGE
    path.write_bytes(damage(path.read_bytes(), how))

    with pytest.raises(InputError, match=r"image\.npy"):
        job.volume(tmp_path)


@pytest.fixture
def a_large_grid() -> Geometry:
    return Geometry((200, 210, 220))


def test_the_work_is_slices_times_tiles_times_what_is_asked(a_large_grid):
    metadata = replace(METADATA, patch=32, steps=16)
    one_tile = Box((39.6, 39.6, 39.6), (49.4, 49.4, 49.4))

    assert tile_evaluations(a_large_grid, one_tile, metadata, 5, 8, None) == 10 * 5 * 8 * 16
    assert tile_evaluations(a_large_grid, one_tile, metadata, 5, 8, 4) == 10 * 5 * 8 * 4
    larger = Box((39.6, 39.6, 39.6), (79.4, 49.4, 49.4))  # 40 + 16 of margin: two tiles of 32
    assert tile_evaluations(a_large_grid, larger, metadata, 1, 1, 1) == 10 * 2
    assert tile_evaluations(a_large_grid, None, metadata, 5, 8, 4) % 220 == 0


@pytest.mark.parametrize("edges", [(16, 16, 6), (26, 16, 6)])
def test_the_work_foreseen_is_the_work_done(edges):
    volume, told = a_volume(size=(90, 80, 8)), []
    region = Box((6, 6, 3), np.add(edges, (6, 6, 3)))
    Segmenter(a_pixelwise_model(), "cpu").segment(
        volume, region, ("Ann", "Bob"), 3, 2, progress=lambda *step: told.append(step)
    )

    foreseen = tile_evaluations(volume.geometry, region, a_model().metadata, 2, 3, 2)
    assert told[-1][:2] == (foreseen, foreseen)
