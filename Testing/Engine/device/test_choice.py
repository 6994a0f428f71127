"""Devices are named in words that a person understands."""

import pytest
import torch

from diffoseg.device import choice as device
from diffoseg.device.choice import chosen_device, line_about, why
from diffoseg.errors import InputError

CPU = torch.device("cpu")


def test_the_cpu_is_there_and_says_its_threads():
    assert chosen_device("cpu") == CPU
    assert line_about(CPU).startswith(f"CPU, {torch.get_num_threads()} thread")


@pytest.mark.parametrize("choice", ["mps", "abacus"])
def test_a_device_that_is_not_there_is_refused(choice, monkeypatch):
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(InputError, match=choice):
        chosen_device(choice)


@pytest.mark.parametrize(
    ("choice", "cuda", "tool", "words"),
    [
        ("cpu", None, None, "it was chosen (PyTorch 2"),
        ("auto", None, None, "no NVIDIA card was found (PyTorch 2"),
        ("auto", None, "/bin/nvidia-smi", "this PyTorch cannot use the NVIDIA card"),
        ("auto", "12.8", "/bin/nvidia-smi", "perhaps for an old driver"),
    ],
)
def test_the_reason_for_the_cpu_is_told(monkeypatch, choice, cuda, tool, words):
    monkeypatch.setattr(torch.version, "cuda", cuda)
    monkeypatch.setattr(device.shutil, "which", lambda _: tool)

    assert words in why(choice, CPU)
    assert f"for {'CUDA 12.8' if cuda else 'CPU'})" in why(choice, CPU)


def test_precision_is_mixed_only_where_that_is_faster():
    with device.mixed_precision(CPU):
        product = torch.ones(4, 4) @ torch.ones(4, 4)
    wanted = torch.bfloat16 if device.gains_from_bfloat16(CPU) else torch.float32
    assert product.dtype == wanted
    assert not device.gains_from_bfloat16(torch.device("mps"))


def test_only_a_cards_free_memory_bounds_what_fits(monkeypatch):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (1000, 4000))
    assert device.that_fit(torch.device("cuda"), 50) == 10
    assert device.that_fit(CPU, 50) is None
