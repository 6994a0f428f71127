"""The benchmark of truth as a whole, on a tiny random model and few phantoms."""

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import truth
from a_tiny_network import TINY_FAST
from truth_report import Target

from diffoseg.diffusion import CategoricalSchedule
from diffoseg.evaluation.intervals import Estimate
from diffoseg.experts.panel import ExpertPanel
from diffoseg.model.metadata import ModelMetadata
from diffoseg.model.model import Model, load_model
from diffoseg.model.stored import content_hash, save_model
from diffoseg.networks.fast import FastNetwork
from diffoseg.space.intensity import IntensityMapping

FEW = ["--samples", "2", "--draws", "42"] + [
    word for name in ("", "curve-", "own-", "volume-", "shift-") for word in (f"--{name}cases", "2")
]


def weights(path, dtype=torch.float32):
    torch.manual_seed(0)
    network = FastNetwork(replace(TINY_FAST, experts=4))
    metadata = ModelMetadata(
        title="random",
        kind="fast",
        intensity=IntensityMapping("window", -1000.0, 400.0),
        spacing_mm=0.7,
        patch=64,
        steps=2,
        mask_distance=50.0,
    )
    panel = ExpertPanel.of(*(f"Expert {number}" for number in range(1, 5)))
    model = Model(None, None, CategoricalSchedule.cosine(250, "exact"), panel, metadata, network)
    save_model(model, path, dtype)
    return path


def measure(monkeypatch, tmp_path, *options):
    words = ["truth", *map(str, options), *FEW]
    words += ["--out", str(tmp_path / "out"), "--work", str(tmp_path / "work")]
    monkeypatch.setattr("sys.argv", words)
    assert truth.main() == 0
    (found,) = (tmp_path / "out").glob("truth-*.json")
    return json.loads(found.read_text())


@pytest.mark.slow
def test_every_section_is_measured_and_reported(monkeypatch, tmp_path):
    file = weights(tmp_path / "w.safetensors")
    sections = ["main", "volumes", "shifts"]
    found = measure(monkeypatch, tmp_path, file, "--only", *sections)

    assert list(found["sections"]) == [
        "main",
        "volumes",
        "shifts, noise",
        "shifts, nodule",
        "shifts, experts",
    ]
    assert found["hash"] == content_hash(load_model(file))
    main = found["sections"]["main"]
    assert main["DiffOSeg"]["patients"] == 2
    assert np.shape(main["DiffOSeg"]["by_expert"]["swap_ged"]) == (4, 4)
    strangers = found["sections"]["shifts, experts"]["DiffOSeg"]["estimates"]
    assert "mixture_ged" in strangers
    assert "expert_ged" not in strangers
    (text,) = (tmp_path / "out").glob("truth-*.md")
    assert all(target["says"] in text.read_text() for target in found["targets"])


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_the_curve_is_stored_with_the_weights_and_nothing_else_changes(
    monkeypatch, tmp_path, dtype
):
    monkeypatch.setattr(truth, "CURVE", (1, 3))
    file = weights(tmp_path / "w.safetensors", dtype)
    before, size = load_model(file), file.stat().st_size
    found = measure(monkeypatch, tmp_path, file, "--only", "curve", "--store")
    after = load_model(file)

    curve = after.metadata.steps_curve
    measured = found["sections"]["curve"]
    assert (curve["steps"], curve["slices"], curve["samples"]) == ([1, 3], 2, 2)
    for place, steps in enumerate((1, 3)):
        estimates = measured[f"{steps} steps"]["estimates"]
        assert curve["mixture_ged"][place] == pytest.approx(
            estimates["mixture_ged"]["value"], abs=1e-5
        )
    assert after.metadata.steps in (1, 3)
    assert replace(after.metadata, steps=2, steps_curve={}) == before.metadata
    assert file.stat().st_size == pytest.approx(size, abs=2000)
    for name, tensor in before.fast.state_dict().items():
        assert torch.equal(tensor, after.fast.state_dict()[name])


@pytest.mark.parametrize(
    ("low", "value", "high", "verdict"),
    [
        (0.1, 0.2, 0.3, "met"),
        (0.1, 0.2, 0.6, "met, unsure"),
        (0.3, 0.6, 0.7, "missed, unsure"),
        (0.55, 0.6, 0.7, "missed"),
    ],
)
def test_a_target_is_met_for_sure_only_where_the_whole_interval_is(low, value, high, verdict):
    assert Target("x", Estimate(value, low, high), (-np.inf, 0.5)).verdict == verdict


def test_the_pooled_consensus_takes_the_experts_in_turns():
    class Drawing:
        model = SimpleNamespace(experts=("a", "b"))

        def samples(self, image, expert, n, seed):
            return np.full((n, 1, 1), expert == "b") & (np.arange(n) >= 0)[:, None, None]

        def probability(self, image, expert):
            return np.full((1, 1), 0.2 if expert == "a" else 0.6)

    pooling = truth.Pooling(Drawing())
    for _ in range(2):  # of two slices, one after the other
        for expert in "ab":
            pooling.samples(None, expert, 4, 0)
        assert pooling.samples(None, "consensus", 4, 0).ravel().tolist() == [0, 1, 0, 1]
    assert pooling.probability(None, "consensus").item() == pytest.approx(0.4)
