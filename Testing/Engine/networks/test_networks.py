"""The paper's network: its names, its numbers, and how stage II is made of stage I."""

import json
from dataclasses import replace

import numpy as np
import parity_recipe
import pytest
import torch
from a_tiny_network import TINY
from torch.nn import functional

from diffoseg.errors import InputError, WeightsError
from diffoseg.networks import UNet, UNetConfig, compact_config, published_config, widen
from diffoseg.networks.layers import Attention, InputConv, ResBlock, time_embedding
from diffoseg.networks.prompt_block import FusionLayer, PromptBlock

TOLERANCE = 2e-5  # absolute, of a probability; the published code ran on another machine
SEED = {"stage1": 1, "stage2": 2}


def one_hot(labels, classes=2):
    return functional.one_hot(labels, classes).movedim(-1, 1).float()


def tiny(experts=0, **changes):
    prompts = replace(TINY, prompt_size=(8, 8), prompt_width=12, prompt_count=3)
    return replace(prompts, experts=experts, **changes)


def awake(network, seed=0):
    """Draw all weights, those that start at 0 too, so that every part of the network matters."""
    return parity_recipe.fill(network, seed)


def question(batch=3, height=16, width=16, seed=0, classes=2, channels=1):
    draw = torch.Generator().manual_seed(seed)
    x_t = one_hot(torch.randint(classes, (batch, height, width), generator=draw), classes)
    t = torch.randint(1, 251, (batch,), generator=draw)
    return x_t, t, torch.rand(batch, channels, height, width, generator=draw)


@pytest.fixture(scope="module", params=["stage1", "stage2"])
def published(request):
    network = UNet(published_config(request.param, image_channels=1, size=128, experts=4))
    return request.param, awake(network, SEED[request.param])


def test_names_and_shapes_are_the_published_ones(published):
    stage, network = published
    shapes = json.loads((parity_recipe.PARITY / "state_dict_shapes.json").read_text())[stage]

    assert {name: list(entry.shape) for name, entry in network.state_dict().items()} == shapes


@pytest.mark.parametrize(
    ("stage", "channels", "size", "count"),
    [
        ("stage1", 1, 128, 5_699_138),
        ("stage1", 3, 128, 5_699_714),
        ("stage2", 3, 128, 13_134_860),
        ("stage2", 1, 256, 14_976_492),
    ],
)
def test_parameter_counts_are_the_published_ones(stage, channels, size, count):
    with torch.device("meta"):
        network = UNet(published_config(stage, channels, size))

    assert sum(values.numel() for values in network.parameters()) == count


@pytest.mark.parametrize("t", [1, 2, 100, 250])
def test_predictions_are_those_of_the_published_network(published, t):
    stage, network = published
    golden = np.load(parity_recipe.PARITY / f"golden_{stage}.npz")
    image = parity_recipe.image(SEED[stage], 2, 1, 128, 128)
    x_t = one_hot(parity_recipe.noisy_mask(SEED[stage], 2, 128, 128))
    experts = [None] if stage == "stage1" else [torch.tensor([e, e]) for e in range(4)]

    for expert in experts:
        name = f"x0_t{t}" if expert is None else f"x0_t{t}_expert{expert[0]}"
        with torch.inference_mode():
            answer = network(x_t, torch.tensor([t, t]), image, expert)
        np.testing.assert_allclose(
            answer[:, 1, ::4, ::4].numpy(), golden[name], rtol=0, atol=TOLERANCE, err_msg=name
        )


def test_the_experts_answer_differently_in_the_golden_numbers():
    golden = np.load(parity_recipe.PARITY / "golden_stage2.npz")

    assert abs(golden["x0_t100_expert0"] - golden["x0_t100_expert3"]).max() > 100 * TOLERANCE


@pytest.mark.parametrize("shape", [(16, 16), (5, 31), (1, 2), (17, 3)])
def test_any_image_size_is_answered_at_its_own_size(shape):
    network = awake(UNet(tiny(experts=2, multipliers=(1, 2, 2))))
    expert = torch.tensor([0, 1, 1])

    answer = network(*question(height=shape[0], width=shape[1]), expert)

    assert answer.shape == (3, 2, *shape)
    torch.testing.assert_close(answer.sum(1), torch.ones(3, *shape))


def test_an_odd_image_is_answered_as_the_image_with_its_edge_repeated():
    network = awake(UNet(tiny()))
    x_t, t, image = question(height=7, width=9)
    grown = [functional.pad(part, (0, 1, 0, 1), mode="replicate") for part in (x_t, image)]

    torch.testing.assert_close(
        network(x_t, t, image), network(grown[0], t, grown[1])[:, :, :7, :9], rtol=0, atol=1e-6
    )


def test_three_classes_three_channels_and_five_experts_fit():
    network = awake(UNet(tiny(experts=5, classes=3, image_channels=3)))

    answer = network(*question(5, classes=3, channels=3), torch.arange(5))

    assert answer.shape == (5, 3, 16, 16)
    torch.testing.assert_close(answer.sum(1), torch.ones(5, 16, 16))


def test_a_new_network_knows_nothing():
    answer = UNet(tiny()).eval()(*question())

    torch.testing.assert_close(answer, torch.full_like(answer, 0.5))


def test_experts_in_one_batch_are_answered_as_one_by_one():
    network = awake(UNet(tiny(experts=4)))
    x_t, t, image = question(4)
    expert = torch.tensor([3, 0, 3, 1])

    together = network(x_t, t, image, expert)

    for row in range(4):
        one = slice(row, row + 1)
        alone = network(x_t[one], t[one], image[one], expert[one])
        torch.testing.assert_close(together[one], alone, rtol=0, atol=1e-5)


def test_a_network_with_one_more_expert_answers_the_others_to_the_bit():
    before, after = UNet(tiny(experts=2)), UNet(tiny(experts=3))
    weights = awake(before).state_dict()
    awake(after, seed=5)
    grown = after.state_dict()
    for name, entry in weights.items():
        if entry.shape == grown[name].shape:
            grown[name] = entry
        elif name == "input_blocks.0.0.weight":
            grown[name][:, :-1] = entry
        else:
            grown[name][:-1] = entry
    after.load_state_dict(grown)
    expert = torch.tensor([0, 1, 0])

    assert torch.equal(before(*question(), expert), after(*question(), expert))
    assert not torch.allclose(before(*question(), expert), after(*question(), expert * 0 + 2))


def test_the_asked_row_in_evaluation_is_that_of_the_whole_layer():
    layer = FusionLayer(6, 5, experts=4, dropout=0.5).eval()
    for block in layer.blocks:
        block.instnorm.running_mean.uniform_(-1, 1)
        block.instnorm.running_var.uniform_(0.5, 2)
    x, prompts = torch.randn(3, 6, 4, 4), torch.randn(2, 5, 4, 4)
    mix, expert = torch.randn(3, 2).softmax(1), torch.tensor([2, 0, 3])
    whole = torch.cat([x, torch.einsum("bn,nchw->bchw", mix, prompts)], dim=1)
    for block in layer.blocks:
        whole = block(whole)

    answer = layer(x, prompts, mix, expert)

    torch.testing.assert_close(answer, whole[torch.arange(3), expert].unsqueeze(1))


def test_training_normalises_each_experts_row_over_the_batch():
    layer = FusionLayer(6, 5, experts=4, dropout=0.0).train()
    x, prompts = torch.randn(3, 6, 4, 4), torch.randn(2, 5, 4, 4)

    layer(x, prompts, torch.full((3, 2), 0.5), torch.tensor([1, 1, 1]))

    last = layer.blocks[2].instnorm
    assert last.num_batches_tracked == 1
    assert (last.running_var != 1).all()  # of all four experts, though only one was asked


def test_planes_of_the_experts_equal_a_convolution_with_one_hot_planes():
    layer = InputConv(known=3, experts=4, out=5)
    x, expert = torch.randn(2, 3, 6, 4), torch.tensor([3, 1])
    planes = one_hot(expert[:, None, None].expand(2, 6, 4), 4)
    expected = functional.conv2d(torch.cat([x, planes], dim=1), layer.weight, layer.bias, padding=1)

    torch.testing.assert_close(layer(x, expert), expected, rtol=0, atol=1e-6)


def test_attention_equals_its_definition():
    layer = awake(Attention(16, head_channels=8, groups=4))
    x = torch.randn(2, 16, 3, 5)
    q, k, v = layer.qkv(layer.norm(x.flatten(2))).view(2, 2, 3, 8, 15).unbind(2)
    chance = torch.einsum("bhci,bhcj->bhij", q, k).div(8**0.5).softmax(3)
    mixed = torch.einsum("bhij,bhcj->bhci", chance, v).reshape(2, 16, 15)

    torch.testing.assert_close(layer(x), x + layer.proj_out(mixed).view_as(x))


def test_residual_branches_of_a_new_network_start_as_the_identity():
    x = torch.randn(2, 16, 3, 5)

    assert torch.equal(ResBlock(16, 16, 32, groups=4)(x, torch.randn(2, 32)), x)
    assert torch.equal(Attention(16, head_channels=8, groups=4)(x), x)


def test_time_is_cosines_and_then_sines():
    code = time_embedding(torch.tensor([0, 7]), 4)

    torch.testing.assert_close(code[0], torch.tensor([1.0, 1.0, 0.0, 0.0]))
    expected = [np.cos(7), np.cos(0.07), np.sin(7), np.sin(0.07)]
    np.testing.assert_allclose(code[1], expected, atol=1e-6)


def test_prompts_at_feature_size_equal_prompts_resized_to_it():
    large = PromptBlock(8, 2, (12, 12), 4, 3, 0.0).eval()
    small = PromptBlock(8, 2, (4, 4), 4, 3, 0.0).eval()
    weights = large.state_dict()
    weights["intermedia_prompt"] = functional.interpolate(
        weights["intermedia_prompt"][0], (4, 4), mode="bilinear", align_corners=False
    )[None]
    small.load_state_dict(weights)
    x, expert = torch.randn(2, 8, 4, 4), torch.tensor([0, 1])

    torch.testing.assert_close(small(x, expert), large(x, expert))


@pytest.mark.parametrize("size", [(16, 16), (24, 8)])
def test_a_widened_network_answers_as_stage_one_for_every_expert(size):
    stage1 = awake(UNet(tiny()))
    stage2 = widen(stage1, experts=3).eval()
    asked = question(height=size[0], width=size[1])

    for expert in range(3):
        answer = stage2(*asked, torch.full((3,), expert))
        torch.testing.assert_close(answer, stage1(*asked), rtol=0, atol=1e-6)


def test_a_widened_compact_network_answers_as_stage_one():
    stage1 = awake(UNet(compact_config("stage1", 1)))
    stage2 = widen(stage1, experts=4).eval()
    asked = question(2, 64, 64)

    torch.testing.assert_close(
        stage2(*asked, torch.tensor([0, 3])), stage1(*asked), rtol=0, atol=1e-6
    )


def test_a_widened_network_does_not_share_its_values_with_stage_one():
    stage1 = awake(UNet(tiny()))
    stage2 = widen(stage1, experts=2)
    with torch.no_grad():
        for values in stage2.parameters():
            values.add_(1.0)
    before = awake(UNet(tiny())).state_dict()

    assert all(torch.equal(entry, before[name]) for name, entry in stage1.state_dict().items())


def test_every_new_value_of_a_widened_network_moves_within_four_steps():
    torch.manual_seed(3)
    network = widen(awake(UNet(tiny())), experts=3)
    start = {name: values.clone() for name, values in network.named_parameters()}
    optimiser = torch.optim.SGD(network.parameters(), lr=0.5)  # Adam would move on a rounding error
    for step in range(4):
        target = torch.randint(2, (6, 16, 16))
        answer = network.logits(*question(6, seed=step), torch.arange(6) % 3)
        optimiser.zero_grad()
        functional.cross_entropy(answer, target).backward()
        optimiser.step()

    moved = {name: (values != start[name]) for name, values in network.named_parameters()}
    planes = moved["input_blocks.0.0.weight"][:, 3:]
    assert planes.flatten(2).any(2).any(0).all()  # the plane of each expert
    rows = moved["prompt_block.fusion_layer.blocks.2.conv.weight"]
    assert rows.flatten(1).any(1).all()  # the row of each expert
    assert network.prompt_block.intermedia_prompt.grad.ne(0).float().mean() > 0.99
    assert moved["prompt_block.ca.3.weight"][:, -1].all()
    bias = "fusion_layer.blocks.{}.conv.bias"  # the batch norm behind takes a bias out again
    idle = {f"prompt_block.{bias.format(block)}" for block in range(3)}
    assert [name for name in moved if not moved[name].any() and name not in idle] == []


def test_widening_needs_stage_one_and_an_expert():
    with pytest.raises(InputError, match="at least one expert"):
        widen(UNet(tiny()), experts=0)
    with pytest.raises(InputError, match="stage I network"):
        widen(UNet(tiny(experts=2)), experts=2)


def test_a_network_is_asked_for_what_it_knows():
    with pytest.raises(InputError, match="takes no expert"):
        UNet(tiny())(*question(), torch.tensor([0, 0, 0]))
    with pytest.raises(InputError, match="needs one"):
        UNet(tiny(experts=2))(*question())


@pytest.mark.parametrize("stage", ["stage1", "stage2"])
def test_a_config_survives_json(stage):
    config = published_config(stage, image_channels=3, size=256, experts=7)

    assert UNetConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_a_config_of_a_later_version_is_read_and_a_damaged_one_is_not():
    values = tiny().to_dict()

    assert UNetConfig.from_dict({**values, "invented_later": 3}) == tiny()
    for damage in ({"base": "wide"}, {"norm_groups": 5}, {"multipliers": 3}, {"norm_groups": 0}):
        with pytest.raises(WeightsError, match="damaged"):
            UNetConfig.from_dict({**values, **damage})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"norm_groups": 16}, "norm_groups = 16 does not divide the width 8 of level 0"),
        ({"head_channels": 32}, "head_channels = 32 does not divide the width 16 of level 1"),
        ({"classes": 1}, "2 classes"),
        ({"multipliers": (1,)}, "2 levels"),
    ],
)
def test_impossible_sizes_are_refused_by_name(change, message):
    with pytest.raises(InputError, match=message):
        tiny(**change)


def test_no_network_was_published_for_512_pixels():
    with pytest.raises(InputError, match="64, 128 or 256"):
        published_config("stage1", 1, size=512)


def test_both_compact_networks_fit_eight_megabytes_in_half_precision():
    values = [
        entry.numel()
        for stage in ("stage1", "stage2")
        for entry in UNet(compact_config(stage, 1)).state_dict().values()
    ]

    assert 2 * sum(values) < 8e6
