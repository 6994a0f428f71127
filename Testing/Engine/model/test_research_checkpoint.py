import io
import json
import os
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from diffoseg.errors import DependencyError, InputError, WeightsError
from diffoseg.model.model import load_model
from diffoseg.model.research_checkpoint import UnsafeCheckpointError, import_research_checkpoint
from diffoseg.model.restore import WeightsNamesError, WeightsShapeError
from diffoseg.model.stored import save_model
from diffoseg.networks.config import UNetConfig
from diffoseg.networks.unet import UNet

SHAPES = Path(__file__).parents[2] / "Data" / "parity" / "state_dict_shapes.json"
TINY = UNetConfig(image_channels=1, multipliers=(1, 2), blocks=1, attention_factors=(2,))
TINY_EXPERTS = UNetConfig(
    image_channels=1,
    multipliers=(1, 2),
    blocks=1,
    attention_factors=(2,),
    experts=3,
    prompt_size=(4, 4),
    prompt_width=16,
)


class LrPolicy:
    """The published scheduler's callable: its __dict__, numpy arrays included, is what is saved."""

    def __init__(self):
        self.factors = np.linspace(1, 0.01, 8)
        self.steps = np.arange(8, dtype=np.int64)
        self.last = self.steps[-1]

    def __call__(self, step):
        return float(self.factors[min(step, 7)])


def random_state(shapes, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return {
        name: torch.zeros((), dtype=torch.int64)
        if name.endswith("num_batches_tracked")
        else torch.rand(shape, generator=generator) * 0.2
        for name, shape in shapes.items()
    }


def tiny_state(config=TINY, seed=0):
    return random_state({n: t.shape for n, t in UNet(config).state_dict().items()}, seed)


def published_state(stage):
    return random_state({n: tuple(s) for n, s in json.loads(SHAPES.read_text())[stage].items()})


def five_keys(state, average):
    parameter = torch.nn.Parameter(torch.zeros(3))
    optimizer = torch.optim.Adam([parameter])
    parameter.grad = torch.ones(3)
    optimizer.step()
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, LrPolicy())
    return {
        "model": state,
        "average_model": average,
        "optimizer": optimizer.state_dict(),
        "scheduler": scheduler.state_dict(),
        "engine": {"epoch_length": 10, "max_epochs": 2000, "iteration": 30000},
    }


def written_by_numpy_1(path):
    """Rewrite a torch zip so that its pickle names numpy.core, as numpy < 2 wrote it."""
    old = zipfile.ZipFile(io.BytesIO(path.read_bytes()))
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as new:
        for entry in old.infolist():
            data = old.read(entry)
            if entry.filename.endswith("data.pkl"):
                assert b"numpy._core" in data
                data = data.replace(b"numpy._core", b"numpy.core")
            new.writestr(entry.filename, data)


def ask(model, expert=None):
    generator = torch.Generator().manual_seed(7)
    x_t = torch.randint(0, 2, (2, 8, 8), generator=generator)
    image = 2 * torch.rand(2, 1, 8, 8, generator=generator)
    return model.predict_x0(x_t, torch.tensor([3, 200]), image, expert)


def ask_network(config, state, expert=None):
    network = UNet(config)
    network.load_state_dict(state)
    network.eval()
    generator = torch.Generator().manual_seed(7)
    x_t = torch.randint(0, 2, (2, 8, 8), generator=generator)
    image = 2 * torch.rand(2, 1, 8, 8, generator=generator)
    one_hot = torch.nn.functional.one_hot(x_t, 2).movedim(-1, 1).float()
    with torch.no_grad():
        return network(one_hot, torch.tensor([3, 200]), image, expert)


@pytest.fixture
def a_checkpoint(tmp_path):
    path = tmp_path / "model_checkpoint_30000.pt"
    torch.save(five_keys(tiny_state(seed=1), tiny_state(seed=2)), path)
    return path


@pytest.mark.parametrize(
    ("stage", "experts", "image_channels"), [("stage1", 0, 1), ("stage2", 4, 1)]
)
def test_sizes_of_the_published_networks_are_read_off_their_shapes(
    tmp_path, stage, experts, image_channels
):
    torch.save(published_state(stage), tmp_path / "raw.pt")

    model = import_research_checkpoint(tmp_path / "raw.pt", image_channels=image_channels)

    network = model.personal if experts else model.consensus
    config = network.config
    assert (model.consensus is None) == bool(experts)
    assert (model.personal is None) == (not experts)
    assert (config.base, config.multipliers, config.blocks) == (32, (1, 1, 2, 3, 4), 2)
    assert {f for f in config.attention_factors if f <= 16} == {8, 16}
    assert (config.classes, config.experts, config.image_channels) == (2, experts, 1)
    assert model.experts == tuple(f"Expert {i}" for i in range(1, experts + 1))
    assert model.metadata.patch == 128
    assert (model.schedule.T, model.schedule.variant) == (250, "published")


def test_a_raw_state_dict_answers_as_its_network(tmp_path):
    state = tiny_state()
    torch.save(state, tmp_path / "raw.pt")

    model = import_research_checkpoint(tmp_path / "raw.pt", image_channels=1)

    assert torch.equal(ask(model), ask_network(TINY, state))


def test_a_stage_2_file_answers_as_its_network_for_each_expert(tmp_path):
    state = tiny_state(TINY_EXPERTS)
    torch.save(state, tmp_path / "raw.pt")

    model = import_research_checkpoint(
        tmp_path / "raw.pt", image_channels=1, expert_names=["Ann", "Bo", "Cy"]
    )

    assert model.experts == ("Ann", "Bo", "Cy")
    expert = torch.tensor([2, 0])
    assert torch.equal(ask(model, expert), ask_network(TINY_EXPERTS, state, expert))
    assert not torch.equal(ask(model, expert), ask(model, torch.tensor([1, 0])))


def prefixed(word):
    return lambda state: {word + name: tensor for name, tensor in state.items()}


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: {"state_dict": state, "epoch": 3},
        lambda state: {"model_state_dict": state, "loss": 0.1, "args": {"lr": 1e-4}},
        lambda state: {"model": tiny_state(seed=9), "ema": state},
        lambda state: {"state_dict": {"model": state}},
        prefixed("module."),
        prefixed("_orig_mod."),
        prefixed("model._orig_mod.module."),
        lambda state: {"state_dict": prefixed("model.")(state), "pytorch-lightning_version": "2"},
        lambda state: {"n_averaged": torch.tensor(5), **prefixed("module.")(state)},
    ],
)
def test_what_other_programs_wrap_around_a_network_is_taken_off(tmp_path, wrap):
    state = tiny_state()
    torch.save(wrap(state), tmp_path / "wrapped.pt")
    model = import_research_checkpoint(tmp_path / "wrapped.pt", image_channels=1)
    assert torch.equal(ask(model), ask_network(TINY, state))


def test_a_safetensors_file_is_read_as_one(tmp_path):
    state = tiny_state()
    save_file(prefixed("module.")(state), tmp_path / "ck.safetensors")
    os.replace(tmp_path / "ck.safetensors", tmp_path / "ck.pt")  # noqa: PTH105
    model = import_research_checkpoint(tmp_path / "ck.pt", image_channels=1)
    assert torch.equal(ask(model), ask_network(TINY, state))
    (tmp_path / "cut.pt").write_bytes((tmp_path / "ck.pt").read_bytes()[:-9])
    with pytest.raises(WeightsError, match="cut short"):
        import_research_checkpoint(tmp_path / "cut.pt", image_channels=1)


@pytest.mark.parametrize(
    "start", [b"<!DOCTYPE html>", b"\x89PNG", bytes(128) + b"DICM", b"\x80\x04x"]
)
def test_what_torch_never_wrote_is_not_said_to_run_code(tmp_path, start):
    (tmp_path / "ck.pt").write_bytes(start + bytes(range(256)) * 9)
    with pytest.raises(WeightsError, match="is no torch checkpoint"):
        import_research_checkpoint(tmp_path / "ck.pt", image_channels=1)


def test_a_model_of_our_own_needs_no_import(a_checkpoint, tmp_path):
    model = import_research_checkpoint(a_checkpoint, image_channels=1)
    save_model(model, tmp_path / "own.safetensors")
    with pytest.raises(WeightsError, match="needs no import"):
        import_research_checkpoint(tmp_path / "own.safetensors", image_channels=1)


def test_the_plain_weights_only_reader_fails_on_the_five_key_file(a_checkpoint):
    with pytest.raises(pickle.UnpicklingError, match="numpy"):
        torch.load(a_checkpoint, weights_only=True)


@pytest.mark.parametrize("old_numpy", [False, True])
def test_the_averaged_weights_of_the_five_key_file_are_taken(a_checkpoint, old_numpy):
    if old_numpy:
        written_by_numpy_1(a_checkpoint)

    model = import_research_checkpoint(a_checkpoint, image_channels=1)

    assert torch.equal(ask(model), ask_network(TINY, tiny_state(seed=2)))
    assert not torch.equal(ask(model), ask_network(TINY, tiny_state(seed=1)))


def test_the_legacy_torch_format_is_read(tmp_path):
    path = tmp_path / "legacy.pt"
    content = five_keys(tiny_state(seed=1), tiny_state(seed=2))
    torch.save(content, path, _use_new_zipfile_serialization=False)

    model = import_research_checkpoint(path, image_channels=1)

    assert torch.equal(ask(model), ask_network(TINY, tiny_state(seed=2)))


def test_an_imported_model_is_the_same_after_save_and_load(a_checkpoint, tmp_path):
    model = import_research_checkpoint(a_checkpoint, image_channels=1)

    save_model(model, tmp_path / "ours.safetensors")
    loaded = load_model(tmp_path / "ours.safetensors")

    assert torch.equal(ask(loaded), ask(model))
    assert loaded.metadata == model.metadata


def test_the_images_are_mapped_to_0_to_2_and_the_guess_is_said(a_checkpoint):
    metadata = import_research_checkpoint(a_checkpoint, image_channels=1).metadata

    assert (metadata.intensity.to_low, metadata.intensity.to_high) == (0.0, 2.0)
    assert any("mapping" in sentence for sentence in metadata.training["warnings"])


def test_importing_leaves_the_global_random_numbers_and_allow_list_alone(a_checkpoint):
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    with torch.serialization.safe_globals([LrPolicy]):
        allowed = set(torch.serialization.get_safe_globals())

        import_research_checkpoint(a_checkpoint, image_channels=1)

        assert set(torch.serialization.get_safe_globals()) == allowed
    assert torch.equal(torch.rand(1), expected)


# Hostile files


class Payload:
    """Creates a file when it is unpickled by an unsafe reader."""

    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return os.mkdir, (str(self.target),)


def save_zip(content, path):
    torch.save(content, path)


def save_legacy(content, path):
    torch.save(content, path, _use_new_zipfile_serialization=False)


def save_plain_0(content, path):
    path.write_bytes(pickle.dumps(content, protocol=0))


def save_plain_2(content, path):
    path.write_bytes(pickle.dumps(content, protocol=2))


def save_plain_5(content, path):
    path.write_bytes(pickle.dumps(content, protocol=5))


WRITERS = [save_zip, save_legacy, save_plain_0, save_plain_2, save_plain_5]


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("write", WRITERS)
def test_a_file_that_runs_code_is_refused_and_runs_nothing(tmp_path, write):
    target, path = tmp_path / "was-run", tmp_path / "evil.pt"
    write({"average_model": tiny_state(), "scheduler": Payload(target)}, path)

    with pytest.raises(WeightsError, match=r"evil\.pt") as caught:
        import_research_checkpoint(path, image_channels=1)

    assert not target.exists()
    assert str(tmp_path) not in str(caught.value)


@pytest.mark.parametrize("write", [save_zip, save_legacy])
def test_the_refused_name_is_told(tmp_path, write):
    path = tmp_path / "evil.pt"
    write({"average_model": tiny_state(), "scheduler": Payload(tmp_path / "x")}, path)

    with pytest.raises(UnsafeCheckpointError, match=r"posix\.mkdir|nt\.mkdir"):
        import_research_checkpoint(path, image_channels=1)


def test_the_payload_would_run_in_an_unsafe_reader(tmp_path):
    target, path = tmp_path / "was-run", tmp_path / "evil.pt"
    save_zip(Payload(target), path)

    torch.load(path, weights_only=False)

    assert target.exists()


def test_names_that_others_allowed_are_not_allowed_here(tmp_path):
    path = tmp_path / "policy.pt"
    torch.save({"average_model": tiny_state(), "scheduler": LrPolicy()}, path)
    with (
        torch.serialization.safe_globals([LrPolicy]),
        pytest.raises(UnsafeCheckpointError, match="LrPolicy"),
    ):
        import_research_checkpoint(path, image_channels=1)


def test_a_numpy_array_that_holds_objects_runs_nothing(tmp_path):
    target, path = tmp_path / "was-run", tmp_path / "evil.pt"
    hidden = np.array([Payload(target)], dtype=object)
    save_zip({"average_model": tiny_state(), "scheduler": hidden}, path)

    with pytest.raises(UnsafeCheckpointError):
        import_research_checkpoint(path, image_channels=1)

    assert not target.exists()


def test_a_zip_that_unpacks_to_more_than_its_size_is_refused_unread(tmp_path):
    path = tmp_path / "bomb.pt"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(50_000_000))

    with pytest.raises(WeightsError, match="unpacks to 50,000,000"):
        import_research_checkpoint(path, image_channels=1)


def test_a_file_beyond_the_limit_is_refused_unread(tmp_path):
    path = tmp_path / "huge.pt"
    with path.open("wb") as file:
        file.truncate(3 * 1024**3)  # sparse: takes no room

    with pytest.raises(WeightsError, match="refused"):
        import_research_checkpoint(path, image_channels=1)


def test_a_tensor_that_repeats_one_stored_number_is_refused(tmp_path):
    path = tmp_path / "view.pt"
    state = tiny_state()
    state["out.2.bias"] = torch.zeros(1).expand(10**12)
    torch.save(state, path)

    with pytest.raises(WeightsError, match=r"out\.2\.bias.*not a tensor"):
        import_research_checkpoint(path, image_channels=1)


def test_a_stored_tensor_shorter_than_it_claims_is_refused(a_checkpoint):
    old = zipfile.ZipFile(io.BytesIO(a_checkpoint.read_bytes()))
    with zipfile.ZipFile(a_checkpoint, "w", zipfile.ZIP_STORED) as new:
        for entry in old.infolist():
            data = old.read(entry)
            new.writestr(entry.filename, data[:8] if "/data/" in entry.filename else data)

    with pytest.raises(WeightsError):
        import_research_checkpoint(a_checkpoint, image_channels=1)


def test_a_sparse_or_complex_tensor_is_refused(tmp_path):
    path = tmp_path / "odd.pt"
    for odd in (torch.eye(2).to_sparse(), torch.zeros(2, dtype=torch.complex64)):
        torch.save({**tiny_state(), "out.2.bias": odd}, path)
        with pytest.raises(WeightsError, match=r"out\.2\.bias.*not a tensor"):
            import_research_checkpoint(path, image_channels=1)


def test_an_old_torch_whose_reader_is_unsafe_is_not_used(a_checkpoint, monkeypatch):
    monkeypatch.setattr(torch, "__version__", "2.9.1+cpu")

    with pytest.raises(DependencyError, match=r"2\.10"):
        import_research_checkpoint(a_checkpoint, image_channels=1)


# Wrong files and wrong requests


@pytest.mark.parametrize("size", [0, 1, 100, 5000, -1])
def test_a_truncated_checkpoint_is_said_to_be_damaged(a_checkpoint, size):
    a_checkpoint.write_bytes(a_checkpoint.read_bytes()[:size])

    with pytest.raises(WeightsError, match=r"model_checkpoint_30000\.pt"):
        import_research_checkpoint(a_checkpoint, image_channels=1)


def test_noise_a_folder_and_a_missing_file_are_weights_errors(tmp_path):
    (tmp_path / "noise.pt").write_bytes(np.random.default_rng(0).bytes(4096))
    for name in ("noise.pt", "missing.pt", "."):
        with pytest.raises(WeightsError):
            import_research_checkpoint(tmp_path / name, image_channels=1)


@pytest.mark.parametrize(
    "content",
    [
        {},
        [1, 2],
        {"model": {"state_dict": [1]}},
        {"average_model": {"out.2.weight": "text"}},
        {"average_model": 3},
        {1: torch.zeros(1)},
    ],
)
def test_a_pickle_without_a_network_is_refused(tmp_path, content):
    torch.save(content, tmp_path / "other.pt")

    with pytest.raises(WeightsError, match=r"average_model|state_dict"):
        import_research_checkpoint(tmp_path / "other.pt", image_channels=1)


def test_another_network_is_refused(tmp_path):
    torch.save({"conv.weight": torch.zeros(3, 3)}, tmp_path / "other.pt")

    with pytest.raises(WeightsError, match="not those of the paper's network"):
        import_research_checkpoint(tmp_path / "other.pt", image_channels=1)


def test_a_missing_tensor_and_a_wrong_shape_are_named(tmp_path):
    state = tiny_state()
    gone = "output_blocks.0.0.in_layers.2.bias"
    torch.save({n: t for n, t in state.items() if n != gone}, tmp_path / "a.pt")
    torch.save({**state, "time_embed.0.bias": torch.zeros(5)}, tmp_path / "b.pt")

    with pytest.raises(WeightsNamesError, match=gone):
        import_research_checkpoint(tmp_path / "a.pt", image_channels=1)
    with pytest.raises(WeightsShapeError, match=r"time_embed\.0\.bias") as caught:
        import_research_checkpoint(tmp_path / "b.pt", image_channels=1)
    assert (caught.value.found, caught.value.expected) == ((5,), (128,))


@pytest.mark.parametrize("name", ["input_blocks.0.0.weight", "out.2.weight"])
@pytest.mark.parametrize("shape", [(), (0,), (0, 0, 3, 3), (7, 3, 3, 3)])
def test_odd_shapes_where_the_sizes_are_read_are_refused(tmp_path, name, shape):
    torch.save({**tiny_state(), name: torch.zeros(shape)}, tmp_path / "odd.pt")

    with pytest.raises(WeightsError):
        import_research_checkpoint(tmp_path / "odd.pt", image_channels=1)


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("input_blocks.1.0.out_layers.3.weight", (2**40, 0)),
        ("input_blocks.0.0.weight", (2**20, 3)),
        ("prompt_block.intermedia_prompt", (1, 2**40, 0, 1, 1)),
    ],
)
def test_shapes_of_an_impossible_network_allocate_nothing(tmp_path, name, shape):
    state = {**tiny_state(TINY_EXPERTS), name: torch.empty(shape)}
    torch.save(state, tmp_path / "odd.pt")

    with pytest.raises(WeightsError):
        import_research_checkpoint(tmp_path / "odd.pt", image_channels=1)


def test_weights_that_are_not_numbers_are_refused(tmp_path):
    state = tiny_state()
    too_large = torch.tensor([0.0, 1e300], dtype=torch.float64)  # infinite in float32
    for value in (torch.tensor([0.0, torch.nan]), too_large):
        torch.save({**state, "out.2.bias": value}, tmp_path / "nan.pt")
        with pytest.raises(WeightsError, match=r"out\.2\.bias.*not finite"):
            import_research_checkpoint(tmp_path / "nan.pt", image_channels=1)


def test_wrong_image_channels_are_answered_by_the_right_number(a_checkpoint):
    with pytest.raises(InputError, match="Give 1"):
        import_research_checkpoint(a_checkpoint, image_channels=3)


def test_expert_names_must_be_as_many_as_the_experts(a_checkpoint):
    with pytest.raises(InputError, match="0 experts, but 1"):
        import_research_checkpoint(a_checkpoint, image_channels=1, expert_names=["Ann"])
