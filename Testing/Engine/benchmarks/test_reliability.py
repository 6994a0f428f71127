"""The reliability diagram shows what the calibration sums hold."""

import json

import numpy as np
from reliability import PANELS, draw_reliability, main, points

from diffoseg.evaluation.evaluate import Evaluation
from diffoseg.evaluation.metrics import calibration_sums


def an_evaluation(bend: float) -> Evaluation:
    """A method that says p where p ** bend is true, on two slices."""
    said = np.random.default_rng(0).random((2, 40, 40))
    sums = np.stack([calibration_sums(one, one**bend) for one in said])
    return Evaluation(("P1", "P2"), {}, dict.fromkeys(PANELS, sums), 2)


def test_a_method_that_is_right_lies_on_the_diagonal_and_no_pixel_is_lost():
    said, true, share = points(an_evaluation(1.0).calibration["consensus_ece"].sum(0))
    np.testing.assert_allclose(said, true)
    assert len(said) == 20
    assert abs(share.sum() - 1) < 1e-12


def test_bins_that_no_pixel_fell_into_are_left_out():
    sums = calibration_sums(np.full((3, 3), 0.42), np.full((3, 3), 0.4))
    said, true, share = points(sums)
    assert (said.round(6), true.round(6), share) == (0.42, 0.4, 1.0)


def test_it_draws_every_evaluation_that_it_is_given(tmp_path, monkeypatch):
    evaluations = {"before": an_evaluation(2.0), "after": an_evaluation(1.0)}
    for name, evaluation in evaluations.items():
        (tmp_path / name).write_text(json.dumps(evaluation.to_dict() | {"estimates": {}}))
    arguments = [f"{name}={tmp_path / name}" for name in evaluations]
    monkeypatch.setattr("sys.argv", ["reliability.py", str(tmp_path / "read.png"), *arguments])

    draw_reliability(tmp_path / "given.png", evaluations)

    assert main() == 0
    assert (tmp_path / "read.png").read_bytes()[:4] == b"\x89PNG"
    assert (tmp_path / "read.png").stat().st_size == (tmp_path / "given.png").stat().st_size
