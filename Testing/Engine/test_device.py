"""Devices are named in words that a person understands."""

import pytest
import torch

from diffoseg import device
from diffoseg.device import chosen_device, line_about, why
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
