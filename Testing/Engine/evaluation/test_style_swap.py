"""Style swap of methods whose laws are known."""

import numpy as np
import pytest
from a_known_law import EXPERTS, LAWS, Sampler, truth_slices

from diffoseg.errors import InputError
from diffoseg.evaluation.evaluate import Evaluation, evaluate
from diffoseg.evaluation.style_swap import nearest, style_swap

SWAPPED = {"Ada": LAWS["Ben"], "Ben": LAWS["Ada"]}


@pytest.fixture(scope="module")
def slices():
    return truth_slices(120, patients=30)


def test_who_draws_like_each_expert_wins_every_column(slices):
    found = style_swap(evaluate(Sampler(LAWS), slices, samples=4))

    apart = ((LAWS["Ada"] - LAWS["Ben"]) ** 2).sum()  # of laws over masks that never touch
    np.testing.assert_allclose(found.table, [[0, apart], [apart, 0]], atol=0.06)
    assert found.columns_won.value == found.columns_won.low == 1
    assert 0.8 < found.patients_won.value <= 1


def test_who_takes_each_expert_for_the_other_wins_none(slices):
    found = style_swap(evaluate(Sampler(SWAPPED), slices, samples=4))

    assert found.columns_won.value == found.columns_won.high == 0
    assert found.patients_won.value < 0.2


def test_one_answer_for_all_wins_nothing_by_a_tie(slices):
    alike = evaluate(Sampler(dict.fromkeys(EXPERTS, LAWS["Ada"])), slices, samples=4)

    assert style_swap(alike, "swap_dice").columns_won.value == 0


def test_a_patient_counts_once_however_many_slices():
    """Two slices of one patient outweigh each other; the other patient has one."""
    right, wrong = np.array([[0.0, 1], [1, 0]]), np.array([[1.0, 0], [0, 1]])
    tables = np.stack([3 * right, wrong, wrong])
    found = style_swap(Evaluation(("a", "a", "b"), {}, {}, 2, {"swap_ged": tables}))

    assert found.patients_won.value == 0.5
    np.testing.assert_allclose(found.table, [[2 / 3, 1], [1, 2 / 3]])


def test_strangers_are_asked_about_by_the_nearest_that_the_method_knows(slices):
    found = evaluate(Sampler(SWAPPED), slices, samples=4, strangers=("Ben", "Ada", "Ben"))

    rows, distances = nearest(found)
    assert rows[0] == 0
    assert rows[1] == 1
    assert abs(distances).max() < 0.06
    assert "expert_ged" not in found.measures
    assert abs(found.value("mixture_ged")) < 0.1
    with pytest.raises(InputError, match="knows"):
        style_swap(found)
