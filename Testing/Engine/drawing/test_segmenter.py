"""The Segmenter: same bytes whatever the batch, answers in place, and plain refusals."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from a_model import EVERYONE, REGION, BrightPixels, a_model, a_pixelwise_model, a_volume
from a_request import a_request

from diffoseg.comparison.outline import outline_level
from diffoseg.comparison.result import Comparison
from diffoseg.drawing.segmenter import Segmenter
from diffoseg.drawing.watch import Watch
from diffoseg.errors import CancelledError, InputError, OutOfMemoryError
from diffoseg.networks.unet import UNet
from diffoseg.space.geometry import Box
from diffoseg.space.volume import Volume


def as_bytes(comparison: Comparison) -> dict[str, tuple[bytes, bytes]]:
    return {
        name: (result.probability.tobytes(), result.samples.tobytes())
        for name, result in comparison.results.items()
    }


def answer(batch_size: int = 16, region: Box | None = REGION, **options) -> Comparison:
    segmenter = Segmenter(a_model(), "cpu", batch_size=batch_size)
    return segmenter.segment(a_volume(), region, **{"samples": 3, **options})


@pytest.fixture(params=[1, 3])
def threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("threads")
def test_the_same_seed_gives_the_same_bytes_for_batches_of_1_3_and_16():
    one, three, sixteen = (as_bytes(answer(batch_size, steps=2)) for batch_size in (1, 3, 16))

    assert one == three == sixteen


def test_another_seed_gives_other_samples():
    assert as_bytes(answer(seed=1)) != as_bytes(answer(seed=0))


def test_asking_fewer_experts_or_samples_changes_no_answer_that_is_asked():
    whole = answer()
    part = answer(experts=("Bob",), samples=2)

    assert list(part.results) == ["Bob"]
    np.testing.assert_array_equal(part.results["Bob"].samples, whole.results["Bob"].samples[:2])


def test_results_come_consensus_first_then_in_the_panels_order():
    assert tuple(answer(experts=("Bob", "consensus", "Ann")).results) == EVERYONE


def test_a_known_answer_lands_on_the_voxels_it_belongs_to():
    volume = a_volume(size=(50, 44, 8), spacing=(0.5, 0.6, 2.0))

    comparison = Segmenter(a_pixelwise_model(), "cpu").segment(volume, REGION, samples=2)

    (i, j, k), size = comparison.region_start, comparison.region_geometry.size
    inside = volume.array[k : k + size[2], j : j + size[1], i : i + size[0]]
    found = comparison.results["consensus"].mask
    assert np.mean(found != (inside > -400)) < 0.01
    assert comparison.region_geometry == volume.geometry.crop((i, j, k), size)
    corners = comparison.region_geometry.bounding_box()
    assert np.all(np.subtract(corners.lower, REGION.lower) > -1.5)
    assert np.all(np.subtract(REGION.upper, corners.upper) > -1.5)


def test_a_mask_is_the_outline_of_the_mean_over_the_samples():
    result = answer().results["Ann"]

    np.testing.assert_array_equal(result.mask, result.probability > result.level)
    assert result.level == outline_level(result.probability, result.presence)
    assert result.presence == np.mean([sample.any() for sample in result.samples])


@pytest.mark.parametrize("flips", [(0,), (1,), (2,), (0, 1, 2)])
def test_a_flipped_volume_gives_the_same_physical_answer(flips: tuple[int, ...]):
    volume = a_volume()
    direction, origin = np.eye(3), np.zeros(3)
    for axis in flips:  # array axis 0 is k
        patient = 2 - axis
        origin[patient] = (volume.geometry.size[patient] - 1) * volume.geometry.spacing[patient]
        direction[patient, patient] = -1
    flipped = Volume(
        np.ascontiguousarray(np.flip(volume.array, flips)),
        replace(volume.geometry, origin=tuple(origin), direction=tuple(direction.ravel())),
        "CT",
    )
    segmenter = Segmenter(a_model(), "cpu")

    straight = segmenter.segment(volume, REGION, ("Ann",), samples=2).results["Ann"]
    turned = segmenter.segment(flipped, REGION, ("Ann",), samples=2).results["Ann"]

    np.testing.assert_array_equal(np.flip(turned.mask, flips), straight.mask)


def test_a_region_larger_than_the_network_sees_is_answered_in_one_piece():
    volume = a_volume(size=(90, 80, 3))

    whole = Segmenter(a_pixelwise_model(), "cpu").segment(
        volume, Box((0, 0, 0), (62, 55, 4)), ("consensus",), samples=1
    )

    found = whole.results["consensus"].mask
    assert found.shape == volume.array.shape
    assert np.mean(found != (volume.array > -400)) < 0.01


def test_a_whole_volume_is_searched_and_answered_around_what_was_found():
    volume = a_volume(size=(150, 140, 3))

    comparison = Segmenter(a_pixelwise_model(), "cpu").segment(volume, samples=1)

    assert comparison.results["consensus"].mask.any()
    assert any("No region" in sentence for sentence in comparison.warnings)


def test_the_intensities_of_a_whole_volume_are_judged_on_all_of_it():
    volume = a_volume(size=(200, 60, 3))
    volume.array[:] = -3000
    volume.array[:, :, :60] = -900
    volume.array[1, 25:35, 20:30] = 0
    segmenter = Segmenter(a_pixelwise_model(), "cpu")

    whole = segmenter.segment(volume, samples=1)
    part = segmenter.segment(volume, whole.region_geometry.bounding_box(), samples=1)

    assert any("of what was looked at" in sentence for sentence in whole.warnings)
    assert part.warnings == ()


def test_of_a_whole_volume_only_what_the_search_found_is_sampled(monkeypatch):
    volume = a_volume(size=(200, 60, 3))
    volume.array[:] = -1000
    volume.array[1, 25:35, 10:20] = 0
    volume.array[1, 25:35, 180:190] = 0
    asked: list[torch.Tensor] = []
    predict = BrightPixels.predict_x0

    def counted(self, x_t, t, image, expert=None):
        if expert is not None:
            asked.extend(image.amax((1, 2, 3)))
        return predict(self, x_t, t, image, expert)

    monkeypatch.setattr(BrightPixels, "predict_x0", counted)
    comparison = Segmenter(a_pixelwise_model(), "cpu").segment(volume, samples=1)

    found = comparison.results["Ann"].mask
    assert found.any((0, 1)).sum() == 20
    whole = Segmenter(a_pixelwise_model(), "cpu")
    sampled = len(asked)
    asked.clear()
    whole.segment(volume, comparison.region_geometry.bounding_box(), samples=1)
    assert sampled <= 0.6 * len(asked)


@pytest.mark.parametrize("consensus", [a_model().consensus, None])
def test_what_only_the_second_expert_marks_is_found_whoever_is_asked(monkeypatch, consensus):
    volume = a_volume(size=(200, 60, 3))
    volume.array[:] = -1000
    volume.array[1, 25:35, 10:20] = -500
    volume.array[1, 25:35, 180:190] = 0

    def predict(self, x_t, t, image, expert=None):
        """Ann marks what is grey, Bob what is white, the consensus both."""
        bright, grey = image[:, 0] > 0.5, (image[:, 0] > -0.5) & (image[:, 0] < 0.5)
        only = (bright | grey) if expert is None else torch.where(expert[0] == 1, bright, grey)
        return torch.stack([(~only).float(), only.float()], 1)

    monkeypatch.setattr(BrightPixels, "predict_x0", predict)
    segmenter = Segmenter(replace(a_pixelwise_model(), consensus=consensus), "cpu")
    both = segmenter.segment(volume, experts=("Ann", "Bob"), samples=1)
    alone = segmenter.segment(volume, experts=("Bob",), samples=1)

    assert both.results["Bob"].mask.sum() == 100
    assert alone.region_geometry == both.region_geometry


def test_a_volume_in_which_nothing_is_found_is_still_answered():
    volume = a_volume()
    empty = replace(volume, array=np.full_like(volume.array, -1000) + 0.01)

    comparison = Segmenter(a_pixelwise_model(), "cpu").segment(empty, samples=1)

    assert not comparison.results["consensus"].mask.any()
    assert comparison.results["consensus"].presence == 0


def test_one_slice_alone_is_answered():
    comparison = Segmenter(a_model(), "cpu").segment(a_volume(size=(40, 36, 1)), samples=1)

    assert comparison.results["Ann"].mask.shape[0] == 1


def test_progress_counts_up_to_its_total_and_names_who_is_drawn():
    told: list[tuple[int, int, str]] = []
    answer(progress=lambda *step: told.append(step))

    done, totals = [step[0] for step in told], {step[1] for step in told}
    assert done == sorted(set(done))
    assert totals == {done[-1]}
    assert {what for *_, what in told} == {"the consensus", "Ann", "Bob"}


def test_cancel_stops_at_the_next_step():
    asked = iter(range(1000))
    with pytest.raises(CancelledError):
        answer(cancel=lambda: next(asked) >= 2)
    assert next(asked) == 3


def events(cancel_at: int | None = None) -> list:
    """Return what a stream yields; the cancel comes before network call ``cancel_at``."""
    calls = iter(range(10**6))
    cancel = None if cancel_at is None else lambda: next(calls) >= cancel_at
    segmenter = Segmenter(a_model(), "cpu", batch_size=4)
    return list(segmenter.stream(a_request(a_volume(), REGION, samples=3), Watch(cancel=cancel)))


def test_a_stream_begins_with_the_region_and_brings_each_result_before_the_whole():
    started, *results, comparison = events()

    assert started.names == EVERYONE == tuple(result.name for result in results)
    assert started.region_start == comparison.region_start
    assert started.region_size == comparison.region_geometry.size
    assert [comparison.results[name] for name in EVERYONE] == results
    assert not comparison.stopped
    assert as_bytes(comparison) == as_bytes(answer())


def calls_of_one_expert() -> int:
    asked = iter(range(10**6))
    Segmenter(a_model(), "cpu", batch_size=4).segment(
        a_volume(), REGION, ("Ann",), samples=3, cancel=lambda: next(asked) < 0
    )
    return next(asked)


def test_a_cancel_keeps_the_experts_and_the_samples_that_were_complete():
    calls = calls_of_one_expert()
    whole = answer()

    *_, kept = events(cancel_at=calls + 2 * calls // 3)

    assert kept.stopped
    assert list(kept.results) == ["consensus", "Ann"]
    assert as_bytes(kept)["consensus"] == as_bytes(whole)["consensus"]
    ann = kept.results["Ann"].samples
    assert 1 <= len(ann) < 3
    np.testing.assert_array_equal(ann, whole.results["Ann"].samples[: len(ann)])
    assert kept.provenance["samples"] == 3


def test_a_cancel_while_samples_are_mapped_back_keeps_those_that_are():
    calls, whole = calls_of_one_expert(), answer()

    *_, kept = events(cancel_at=calls - 1)  # asked before its third sample is mapped

    assert (list(kept.results), kept.stopped) == (["consensus"], True)
    samples = kept.results["consensus"].samples
    np.testing.assert_array_equal(samples, whole.results["consensus"].samples[:2])


def test_a_cancel_before_anything_is_complete_ends_with_nothing_and_one_while_searching_raises():
    started, comparison = events(cancel_at=1)
    assert (started.names, comparison.results, comparison.stopped) == (EVERYONE, {}, True)

    searching = Segmenter(a_model(), "cpu").stream(
        a_request(a_volume()), Watch(cancel=lambda: True)
    )
    with pytest.raises(CancelledError):
        next(searching)


@pytest.mark.parametrize(
    "error", [MemoryError, RuntimeError("DefaultCPUAllocator: can't allocate memory")]
)
def test_too_little_memory_halves_the_networks_batch_and_goes_on(monkeypatch, error):
    predict, refused = BrightPixels.predict_x0, []

    def short(self, x_t, *others):
        if len(x_t) > 2:
            refused.append(len(x_t))
            raise error
        return predict(self, x_t, *others)

    segmenter = Segmenter(a_pixelwise_model(), "cpu")
    plenty = segmenter.segment(a_volume(), REGION, samples=2)
    monkeypatch.setattr(BrightPixels, "predict_x0", short)
    said: list[str] = []
    *_, scarce = segmenter.stream(a_request(a_volume(), REGION, samples=2), Watch(note=said.append))

    assert refused == [8, 4]
    assert as_bytes(scarce) == as_bytes(plenty)
    assert (plenty.provenance["micro_batch"], scarce.provenance["micro_batch"]) == (8, 2)
    assert [sentence.partition("looks at ")[2][:14] for sentence in said] == [
        "4 instead of 8",
        "2 instead of 4",
    ]


def test_any_other_error_of_the_network_is_raised_as_it_is(monkeypatch):
    def broken(*_: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(BrightPixels, "predict_x0", broken)
    with pytest.raises(RuntimeError, match="a bug"):
        Segmenter(a_pixelwise_model(), "cpu").segment(a_volume(), REGION)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"samples": 0}, "0 samples"),
        ({"samples": 10**6}, "from 1 to"),
        ({"steps": 0}, "0 steps"),
        ({"steps": 51}, "1..50"),
        ({"experts": ("Zoe",)}, "It knows: consensus, Ann, Bob"),
        ({"experts": ()}, "at least one"),
        ({"region": Box((900, 900, 900), (950, 950, 950))}, "outside"),
    ],
)
def test_impossible_requests_are_refused_in_a_sentence(options: dict, words: str):
    with pytest.raises(InputError, match=words):
        answer(**options)


def test_a_model_without_a_consensus_says_so():
    alone = replace(a_model(), consensus=None)
    with pytest.raises(InputError, match="no consensus"):
        Segmenter(alone, "cpu").segment(a_volume(), REGION, ("consensus",))


def test_more_than_two_classes_are_refused_until_asked_for():
    config = replace(a_model().consensus.config, classes=3)
    metadata = replace(a_model().metadata, classes=("background", "core", "halo"))
    model = replace(a_model(), consensus=UNet(config), personal=None, metadata=metadata)
    with pytest.raises(InputError, match="two classes"):
        Segmenter(model, "cpu").segment(a_volume(), REGION)


def test_too_little_memory_is_said_in_a_sentence(monkeypatch):
    segmenter = Segmenter(a_pixelwise_model(), "cpu")

    def exhausted(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(BrightPixels, "predict_x0", exhausted)
    with pytest.raises(OutOfMemoryError, match="smaller region"):
        segmenter.segment(a_volume(), REGION)


def test_what_lies_outside_the_training_is_said_and_still_answered():
    magnetic = replace(a_volume(), modality="MR")

    comparison = Segmenter(a_model(), "cpu").segment(magnetic, REGION, samples=1)

    assert any("MR" in sentence for sentence in comparison.warnings)
    assert set(comparison.results) == set(EVERYONE)


def test_an_ordinary_volume_with_a_region_raises_no_warning():
    assert answer().warnings == ()
