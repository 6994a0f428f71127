"""A benchmark that was stopped goes on where it was, and gives what an unbroken one gives."""

import pytest
from a_model import a_model
from truth_run import Task, run

from diffoseg.cohorts.kinds import CROSSING
from diffoseg.cohorts.phantom import PhantomCohort
from diffoseg.evaluation.bounds import humans

COHORT = PhantomCohort(seed=1, cases=100, kind=CROSSING)


def a_task(asked, cases, key="k", stop_at=None):
    def measure(case, index):
        if index == stop_at:
            raise KeyboardInterrupt
        asked.append(index)
        return humans(list(case.slices()))["another expert"]

    return Task("people", key, cases, measure)


def go(tmp_path, task, draws=4):
    return run([task], COHORT, a_model().metadata, draws, tmp_path)["people"].evaluation


def test_a_stopped_run_goes_on_and_ends_as_an_unbroken_one(tmp_path):
    asked = []
    with pytest.raises(KeyboardInterrupt):
        go(tmp_path / "stopped", a_task(asked, 3, stop_at=2))
    found = go(tmp_path / "stopped", a_task(asked, 3))

    assert asked == [0, 1, 2]
    assert found.to_dict() == go(tmp_path / "unbroken", a_task([], 3)).to_dict()


def test_more_phantoms_are_added_and_fewer_are_looked_up(tmp_path):
    asked = []
    two, three, again = (go(tmp_path, a_task(asked, cases)) for cases in (2, 3, 2))

    assert asked == [0, 1, 2]
    assert again.to_dict() == two.to_dict() != three.to_dict()


@pytest.mark.parametrize("other", [{"key": "another"}, {"draws": 5}])
def test_another_method_or_truth_is_measured_anew(tmp_path, other):
    asked = []
    draws = other.pop("draws", 4)
    go(tmp_path, a_task(asked, 2))
    go(tmp_path, a_task(asked, 2, **other), draws)

    assert asked == [0, 1, 0, 1]
