import json
import os
import struct
from dataclasses import replace

import pytest
import torch
from a_tiny_network import TINY
from a_weights_file import opened, rewrite
from safetensors.torch import save_file

import diffoseg
from diffoseg.diffusion import CategoricalSchedule
from diffoseg.errors import InputError, WeightsError
from diffoseg.experts.panel import Expert, ExpertPanel
from diffoseg.model import cards, stored
from diffoseg.model.cards import available_models
from diffoseg.model.metadata import ModelMetadata
from diffoseg.model.model import Model, load_model
from diffoseg.model.restore import WeightsNamesError, WeightsShapeError
from diffoseg.model.stored import content_hash, save_model
from diffoseg.networks.unet import UNet
from diffoseg.space.intensity import IntensityMapping


def random_network(config, seed):
    generator = torch.Generator().manual_seed(seed)
    network = UNet(config)
    state = {
        name: torch.rand(value.shape, generator=generator) - (0.25 if value.ndim > 1 else 0)
        if value.is_floating_point()
        else value + 7
        for name, value in network.state_dict().items()
    }
    network.load_state_dict(state)
    return network


@pytest.fixture
def a_model():
    return Model(
        random_network(TINY, 1),
        random_network(replace(TINY, experts=2), 2),
        CategoricalSchedule.linear(40),
        ExpertPanel([Expert("Änn", "likes halos"), Expert("Bo")]),
        ModelMetadata(
            title="Test",
            intensity=IntensityMapping("window", -1000, 400),
            spacing_mm=0.7,
            patch=16,
            mask_distance=79.5,
            training={"cases": 3, "dice": 0.1 + 0.2},
        ),
    )


@pytest.fixture
def a_file(a_model, tmp_path):
    path = tmp_path / "patient-folder" / "model.safetensors"
    path.parent.mkdir()
    save_model(a_model, path)
    return path


def state_of(model):
    parts = {"consensus": model.consensus, "personal": model.personal}
    return {
        f"{part}.{name}": value
        for part, network in parts.items()
        if network is not None
        for name, value in network.state_dict().items()
    }


def ask(model, expert=None):
    x_t = torch.arange(64).view(1, 8, 8) % 2
    return model.predict_x0(
        x_t, torch.tensor([9]), torch.linspace(-1, 1, 64).view(1, 1, 8, 8), expert
    )


def rewrite_with_fitting_hash(path, change_tensors=None, change_header=None):
    """As an attacker would: change the file and write the hashes that belong to it."""
    rewrite(path, change_tensors, change_header)
    tensors, header = opened(path)
    description = {part: json.loads(header[part]) for part in ("metadata", "networks", "schedule")}
    identity = stored._hash(tensors, description)
    header["content_hash"] = identity
    header["checksum"] = stored._checksum(identity, json.loads(header["experts"]))
    save_file(tensors, path, metadata=header)


def change_json(part, **values):
    def change(header):
        header[part] = json.dumps({**json.loads(header[part]), **values})

    return change


def change_config(**values):
    def change(header):
        networks = json.loads(header["networks"])
        networks["consensus"].update(values)
        header["networks"] = json.dumps(networks)

    return change


# Round trips


def test_a_model_comes_back_bit_for_bit(a_model, a_file):
    loaded = load_model(a_file)

    before, after = state_of(a_model), state_of(loaded)
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert loaded.metadata == a_model.metadata
    assert loaded.schedule == a_model.schedule
    assert list(loaded.panel) == list(a_model.panel)
    assert torch.equal(ask(loaded), ask(a_model))
    assert torch.equal(ask(loaded, torch.tensor([1])), ask(a_model, torch.tensor([1])))


def test_a_loaded_model_is_float32_on_the_cpu_in_eval_mode(a_model, tmp_path):
    save_model(a_model, tmp_path / "half.safetensors", dtype=torch.float16)

    loaded = load_model(tmp_path / "half.safetensors")

    for network in (loaded.consensus, loaded.personal):
        assert not network.training
        assert {p.dtype for p in network.parameters()} == {torch.float32}
        assert {p.device.type for p in network.parameters()} == {"cpu"}


@pytest.mark.parametrize("absent", ["consensus", "personal"])
def test_a_model_of_one_stage_comes_back_as_that(a_model, tmp_path, absent):
    panel = ExpertPanel([]) if absent == "personal" else a_model.panel
    save_model(replace(a_model, **{absent: None}, panel=panel), tmp_path / "one.safetensors")

    loaded = load_model(tmp_path / "one.safetensors")

    assert getattr(loaded, absent) is None
    assert len(loaded.panel) == len(panel)


def test_float16_halves_the_file_and_rounds_the_values(a_model, a_file, tmp_path):
    half = tmp_path / "half.safetensors"
    save_model(a_model, half, dtype=torch.float16)

    loaded = state_of(load_model(half))

    assert half.stat().st_size < 0.6 * a_file.stat().st_size
    for name, value in state_of(a_model).items():
        expected = value.half().float() if value.is_floating_point() else value
        assert torch.equal(loaded[name], expected)


def test_loading_leaves_the_global_random_numbers_alone(a_file):
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    load_model(a_file)
    assert torch.equal(torch.rand(1), expected)


def test_the_public_names_save_and_load(a_model, tmp_path):
    a_model.save(tmp_path / "m.safetensors")
    assert Model.load(tmp_path / "m.safetensors").metadata == a_model.metadata
    assert diffoseg.load_model(tmp_path / "m.safetensors").experts == ("Änn", "Bo")


# Identity


def test_a_model_and_every_file_of_it_have_one_hash(a_model, a_file, tmp_path):
    half = tmp_path / "half.safetensors"
    save_model(a_model, half, dtype=torch.float16)

    assert content_hash(a_model) == content_hash(a_file) == content_hash(load_model(a_file))
    assert content_hash(half) == content_hash(load_model(half)) != content_hash(a_model)
    assert opened(a_file)[1]["content_hash"] == content_hash(a_model)


def test_the_hash_knows_weights_and_metadata_but_not_the_experts_names(a_model):
    expected = content_hash(a_model)
    renamed = replace(a_model, panel=ExpertPanel.of("Cy", "Di"))
    retitled = replace(a_model, metadata=replace(a_model.metadata, spacing_mm=0.8))
    slower = replace(a_model, schedule=CategoricalSchedule.linear(41))

    assert content_hash(renamed) == expected
    assert len({expected, content_hash(retitled), content_hash(slower)}) == 3
    with torch.no_grad():
        a_model.consensus.out[2].bias[0] += 1e-6
    assert content_hash(a_model) != expected


# Damage


def test_a_flipped_bit_anywhere_is_found(a_file):
    whole = bytearray(a_file.read_bytes())
    header = 8 + struct.unpack("<Q", whole[:8])[0]
    for place in [0, 1, 7, *range(8, header, 1999), header, (header + len(whole)) // 2, -1]:
        damaged = bytearray(whole)
        damaged[place] ^= 1
        a_file.write_bytes(damaged)
        with pytest.raises(WeightsError):
            load_model(a_file)


@pytest.mark.parametrize("length", [0, 1, 7, 8, 9, 500, 20_000, -1])
def test_a_file_cut_short_is_said_to_be(a_file, length):
    a_file.write_bytes(a_file.read_bytes()[:length])
    with pytest.raises(WeightsError, match="cut short"):
        load_model(a_file)


@pytest.mark.parametrize(
    "change",
    [
        change_json("metadata", title="Better"),
        change_json("metadata", spacing_mm=1.4),
        change_json("schedule", T=41),
        lambda header: header.update(experts=header["experts"].replace("Bo", "Cy")),
        lambda header: header.update(content_hash="0" * 64),
        lambda header: header.pop("content_hash"),
        lambda header: header.pop("checksum"),
        lambda header: header.pop("metadata"),
        lambda header: header.update(metadata="{"),
        lambda header: header.update(metadata="[" * 100_000),
        lambda header: header.update(metadata='{"patch": NaN}'),
        lambda header: header.update(networks="{}"),
        lambda header: header.update(networks="[]"),
    ],
)
def test_a_changed_description_is_found(a_file, change):
    rewrite(a_file, change_header=change)
    with pytest.raises(WeightsError, match="damaged or changed"):
        load_model(a_file)


def test_a_changed_value_is_found(a_file):
    rewrite(a_file, lambda tensors: tensors["personal.out.2.bias"].add_(1e-6))
    with pytest.raises(WeightsError, match="damaged or changed"):
        load_model(a_file)


# Files of another kind


def test_a_newer_format_asks_for_an_update(a_file):
    rewrite(a_file, change_header=lambda header: header.update(format_version="2"))
    with pytest.raises(
        WeightsError, match=r"made by a newer DiffOSeg \(format 2, this one reads 1\)"
    ):
        load_model(a_file)


@pytest.mark.parametrize("version", ["", "-1", "two", "²", "9" * 5000])
def test_a_format_that_is_no_number_is_damage(a_file, version):
    rewrite(a_file, change_header=lambda header: header.update(format_version=version))
    with pytest.raises(WeightsError, match="not a DiffOSeg"):
        load_model(a_file)


def test_a_safetensors_file_of_another_program_is_refused(tmp_path):
    path = tmp_path / "other.safetensors"
    save_file({"a": torch.zeros(2)}, path)
    with pytest.raises(WeightsError, match="not a DiffOSeg model"):
        load_model(path)


def test_a_pickle_a_folder_and_a_missing_file_are_refused(tmp_path):
    torch.save({"a": torch.zeros(2)}, tmp_path / "pickle.pt")
    for name in ("pickle.pt", ".", "missing.safetensors"):
        with pytest.raises(WeightsError) as caught:
            load_model(tmp_path / name)
        assert str(tmp_path.parent) not in str(caught.value)


def test_a_network_of_an_unknown_kind_is_refused(a_file):
    rewrite_with_fitting_hash(a_file, change_header=change_json("metadata", kind="fast"))
    with pytest.raises(WeightsError, match="'fast'"):
        load_model(a_file)


# Malice: whoever writes a file can write a fitting hash


def test_a_removed_an_added_and_a_renamed_tensor_are_named(a_file):
    whole = a_file.read_bytes()
    cases = [
        (lambda t: t.pop("consensus.out.2.bias"), {"consensus.out.2.bias"}, set()),
        (lambda t: t.update({"consensus.x": torch.zeros(1)}), set(), {"consensus.x"}),
        (lambda t: t.update({"third.x": torch.zeros(1)}), set(), {"third.x"}),
        (
            lambda t: t.update({"personal.b": t.pop("personal.out.2.bias")}),
            {"personal.out.2.bias"},
            {"personal.b"},
        ),
    ]
    for change, missing, unexpected in cases:
        a_file.write_bytes(whole)
        rewrite_with_fitting_hash(a_file, change)
        with pytest.raises(WeightsNamesError, match=r"model\.safetensors") as caught:
            load_model(a_file)
        assert (caught.value.missing, caught.value.unexpected) == (missing, unexpected)


def test_a_wrong_shape_is_told_with_both_shapes(a_file):
    rewrite_with_fitting_hash(
        a_file, lambda tensors: tensors.update({"consensus.out.2.bias": torch.zeros(5)})
    )
    with pytest.raises(WeightsShapeError, match=r"shape \(5,\), the model needs \(2,\)") as caught:
        load_model(a_file)
    assert caught.value.tensor == "consensus.out.2.bias"


@pytest.mark.parametrize("dtype", [torch.float64, torch.int32, torch.bool])
def test_a_tensor_of_a_strange_type_is_refused(a_file, dtype):
    rewrite_with_fitting_hash(
        a_file, lambda t: t.update({"consensus.out.2.bias": torch.zeros(2, dtype=dtype)})
    )
    with pytest.raises(WeightsError, match=r"consensus\.out\.2\.bias"):
        load_model(a_file)


def test_values_that_are_not_numbers_are_refused_on_the_way_in_too(a_file):
    rewrite_with_fitting_hash(a_file, lambda t: t["consensus.out.2.bias"].fill_(torch.nan))
    with pytest.raises(WeightsError, match=r"consensus\.out\.2\.bias.*not finite"):
        load_model(a_file)


@pytest.mark.parametrize(
    "change",
    [
        {"base": 10**9},
        {"base": 4096, "norm_groups": 1, "head_channels": 1},
        {"base": 0},
        {"base": -32},
        {"base": "32"},
        {"base": True},
        {"norm_groups": 0},
        {"head_channels": 0},
        {"blocks": 10**6},
        {"multipliers": [1] * 1000},
        {"multipliers": [1, 4096]},
        {"multipliers": []},
        {"multipliers": "12"},
        {"classes": 10**12},
        {"experts": 4096},
        {"prompt_size": [4096, 4096], "prompt_count": 4096, "prompt_width": 4096, "experts": 1},
        {"prompt_size": [], "experts": 1},
        {"image_channels": 1.5},
        {"prompt_dropout": 1e308},
    ],
)
def test_an_absurd_network_is_refused_before_it_is_built(a_file, change, monkeypatch):
    rewrite_with_fitting_hash(a_file, change_header=change_config(**change))
    monkeypatch.setattr(stored, "restore_network", lambda *_: pytest.fail("was built"))

    with pytest.raises(WeightsError):
        load_model(a_file)


@pytest.mark.parametrize("change", [{"blocks": 4096}, {"multipliers": [1] * 12}])
def test_more_blocks_than_the_file_has_tensors_are_not_even_laid_out(a_file, change, monkeypatch):
    rewrite_with_fitting_hash(a_file, change_header=change_config(**change))
    monkeypatch.setattr(stored, "check_tensors", lambda *_: pytest.fail("was laid out"))

    with pytest.raises(WeightsError, match="cannot fill"):
        load_model(a_file)


@pytest.mark.parametrize(
    "change",
    [
        change_json("schedule", T=10**12),
        change_json("schedule", T=0),
        change_json("schedule", T="40"),
        change_json("schedule", kind="quadratic"),
        change_json("metadata", patch="wide"),
        change_json("metadata", spacing_mm=10**400),
        change_json("metadata", image_channels=["CT", "PET"]),
        lambda header: header.update(schedule="[]"),
        lambda header: header.update(metadata="3"),
        lambda header: header.update(experts="3"),
        lambda header: header.update(experts='[{"name": "Ann"}]'),
        lambda header: header.update(experts='[{"name": "Ann", "description": ""}]'),
        lambda header: header.update(experts='["Ann", "Bo"]'),
    ],
)
def test_a_description_that_makes_no_model_is_a_weights_error(a_file, change):
    rewrite_with_fitting_hash(a_file, change_header=change)
    with pytest.raises(WeightsError):
        load_model(a_file)


@pytest.mark.parametrize("length", [0, 2**25, 2**40, 2**63, 2**64 - 1])
def test_an_absurd_header_length_is_refused_unread(tmp_path, length, monkeypatch):
    monkeypatch.setattr(stored, "safe_open", lambda *_, **__: pytest.fail("was read"))
    path = tmp_path / "long.safetensors"
    with path.open("wb") as file:
        file.write(struct.pack("<Q", length))
        file.truncate(2**26)  # sparse: takes no room

    with pytest.raises(WeightsError, match="cut short"):
        load_model(path)


def test_a_name_from_a_file_cannot_write_on_the_terminal(a_file):
    evil = "consensus.\x1b[2J\n" + "x" * 5000
    rewrite_with_fitting_hash(a_file, lambda tensors: tensors.update({evil: torch.zeros(1)}))
    with pytest.raises(WeightsNamesError) as caught:
        load_model(a_file)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 500


# Writing


def test_a_value_beyond_float16_is_named_and_nothing_is_written(a_model, tmp_path):
    with torch.no_grad():
        a_model.personal.out[2].bias[1] = 1e5

    with pytest.raises(WeightsError, match=r"personal\.out\.2\.bias.*float16"):
        save_model(a_model, tmp_path / "m.safetensors", dtype=torch.float16)

    assert list(tmp_path.iterdir()) == []


def test_another_precision_is_refused(a_model, tmp_path):
    with pytest.raises(InputError, match="bfloat16"):
        save_model(a_model, tmp_path / "m.safetensors", dtype=torch.bfloat16)


def test_a_missing_folder_is_an_input_error_that_names_no_folder(a_model, tmp_path):
    with pytest.raises(InputError, match=r"m\.safetensors") as caught:
        save_model(a_model, tmp_path / "secret-name" / "m.safetensors")
    assert "secret-name" not in str(caught.value)


@pytest.mark.skipif(os.name == "nt", reason="needs POSIX resource limits")
def test_a_disk_that_fills_up_leaves_the_old_file_whole_and_nothing_else(a_model, a_file):
    import resource

    before = a_file.read_bytes()
    _, hard = limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with pytest.raises(InputError, match="Nothing was changed"):
            save_model(a_model, a_file)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)

    assert a_file.read_bytes() == before
    assert list(a_file.parent.iterdir()) == [a_file]


def test_a_file_is_replaced_and_nothing_is_left_beside_it(a_model, a_file):
    save_model(replace(a_model, metadata=replace(a_model.metadata, title="New")), a_file)
    assert load_model(a_file).metadata.title == "New"
    assert list(a_file.parent.iterdir()) == [a_file]


# Models that come with the program


@pytest.fixture
def two_folders(tmp_path, monkeypatch):
    folders = (tmp_path / "_models", tmp_path / "Models")
    for folder in folders:
        folder.mkdir()
    monkeypatch.setattr(cards, "_FOLDERS", folders)
    return folders


def titled(model, title):
    return replace(model, metadata=replace(model.metadata, title=title))


def test_the_packaged_model_is_found_before_the_checkouts(a_model, two_folders):
    packaged, checkout = two_folders
    save_model(titled(a_model, "checkout"), checkout / "diffoseg-lidc.safetensors")
    save_model(titled(a_model, "other"), checkout / "other.safetensors")
    assert load_model().metadata.title == "checkout"

    save_model(titled(a_model, "packaged"), packaged / "diffoseg-lidc.safetensors")

    assert load_model().metadata.title == "packaged"
    assert load_model("other").metadata.title == "other"
    assert available_models().keys() == {"diffoseg-lidc", "other"}


def test_an_absent_default_says_which_models_there_are(a_model, two_folders):
    with pytest.raises(WeightsError, match=r"diffoseg-lidc.*\(none\)"):
        load_model()
    save_model(a_model, two_folders[1] / "other.safetensors")
    with pytest.raises(WeightsError, match=r"diffoseg-lidc.*\(other\)"):
        load_model()


def test_a_missing_folder_of_models_is_no_error(tmp_path, monkeypatch):
    monkeypatch.setattr(cards, "_FOLDERS", (tmp_path / "nowhere",))
    assert available_models() == {}
