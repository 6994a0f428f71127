"""An expert's file: what it holds, who it fits, and what is refused."""

from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from test_fast import a_fast_model, a_network

from diffoseg.errors import WeightsError
from diffoseg.experts import Expert
from diffoseg.local_expert import (
    SUFFIX,
    LocalExpert,
    load_expert,
    save_expert,
)
from diffoseg.model import Model
from diffoseg.weights import content_hash

CODE = np.array([0.5, -1.0, 0.25, 2.0], np.float32)
TRAINING = {"cases": 4, "validation": {"verdict": "use", "dice": 0.86, "consensus": 0.79}}


def a_local_expert(name: str = "Cleo", model: Model | None = None, **changes) -> LocalExpert:
    """An expert taught to ``a_fast_model``, whose codes have four numbers."""
    base = content_hash(model or a_fast_model())
    about = Expert(name, "from the clinic next door", (0.1, 0.2, 0.3))
    values = {"code": CODE, "presence_bias": 0.75, "training": TRAINING}
    return LocalExpert(about, base, "random", "fast", **values | changes)


def a_file(folder: Path, expert: LocalExpert | None = None) -> Path:
    path = folder / f"cleo{SUFFIX}"
    save_expert(expert or a_local_expert(), path)
    return path


def test_an_expert_comes_back_from_its_file_as_it_was(tmp_path):
    expert = a_local_expert()
    loaded = load_expert(a_file(tmp_path, expert))

    for name in ("expert", "base_hash", "base_title", "kind", "presence_bias", "training", "hash"):
        assert getattr(loaded, name) == getattr(expert, name)
    np.testing.assert_array_equal(loaded.code, CODE)
    assert loaded.parameter_count == 5
    assert [file.name for file in tmp_path.iterdir()] == [f"cleo{SUFFIX}"]


def test_the_file_is_one_that_safetensors_reads(tmp_path):
    tensors = safetensors.numpy.load_file(a_file(tmp_path))

    assert tensors.keys() == {"code", "presence_bias"}
    np.testing.assert_array_equal(tensors["code"], CODE)
    np.testing.assert_array_equal(tensors["presence_bias"], np.float32([0.75]))


def test_a_model_draws_like_its_own_experts_first_and_then_the_local_ones():
    model = a_fast_model()
    taught = model.with_experts([a_local_expert(), a_local_expert("Dora", code=-CODE)])

    assert taught.experts == ("Ann", "Bob", "Cleo", "Dora")
    assert (taught.known, model.known) == (2, 2)
    np.testing.assert_array_equal(taught.codes.detach().numpy()[2:], [CODE, -CODE])
    assert taught.fast is model.fast
    assert taught.with_experts(()).experts == model.experts


def test_an_expert_of_other_weights_is_refused():
    other = a_fast_model(a_network(seed=1))
    with pytest.raises(WeightsError, match="other weights"):
        a_fast_model().with_experts([a_local_expert(model=other)])
