"""Where to compute: the devices that torch finds here, what they are called, and do best."""

import platform
import shutil

import torch

from ..errors import InputError

_GIB = 1024**3


def best_device() -> torch.device:
    """Return a CUDA card if there is one, else the CPU; MPS only when asked for by name."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def chosen_device(choice: str) -> torch.device:
    """Return the device asked for, "auto" being the best; raises InputError where there is none."""
    if choice == "auto":
        return best_device()
    there = {
        "cpu": True,
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
    }
    if choice not in there:
        raise InputError(
            f"There is no device {choice!r:.40}. Choose from auto, {', '.join(there)}."
        )
    if not there[choice]:
        raise InputError(f"torch finds no {choice} device on this computer. Choose cpu or auto.")
    return torch.device(choice)


def line_about(device: torch.device) -> str:
    """Return a device in a few words, such as "NVIDIA H200, 139 GB (12 GB free)"."""
    if device.type == "cuda":
        free, total = torch.cuda.mem_get_info(device)
        name = torch.cuda.get_device_name(device)
        return f"{name}, {total / _GIB:.0f} GB ({free / _GIB:.0f} GB free)"
    if device.type == "mps":
        return f"Apple graphics of this {platform.machine()} computer"
    threads = torch.get_num_threads()
    return f"CPU, {threads} thread{'s' if threads > 1 else ''}"


def why(choice: str, device: torch.device) -> str:
    """Return why this device is used, in a few words."""
    build = f"CUDA {torch.version.cuda}" if torch.version.cuda else "CPU"
    if torch.version.hip:
        build = f"ROCm {torch.version.hip}"
    torch_is = f"PyTorch {torch.__version__.partition('+')[0]} for {build}"
    if choice != "auto":
        return f"it was chosen ({torch_is})"
    if device.type == "cuda":
        return f"a graphics card was found ({torch_is})"
    if shutil.which("nvidia-smi") is None:
        return f"no NVIDIA card was found ({torch_is})"
    if torch.version.cuda:
        return f"the NVIDIA card cannot be used, perhaps for an old driver ({torch_is})"
    return f"this PyTorch cannot use the NVIDIA card ({torch_is})"


def gains_from_bfloat16(device: torch.device) -> bool:
    """Say whether mixed precision is faster here: any CUDA card with it, a CPU with AVX512-BF16."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported()
    return device.type == "cpu" and torch.cpu._is_avx512_bf16_supported()


def mixed_precision(device: torch.device) -> torch.autocast:
    """Return the context in which a network multiplies in bfloat16, where that is faster."""
    return torch.autocast(device.type, torch.bfloat16, enabled=gains_from_bfloat16(device))


def that_fit(device: torch.device, bytes_each: int) -> int | None:
    """Return how many things of a size fit into half of a card's free memory; None elsewhere."""
    if device.type != "cuda":
        return None
    free, _ = torch.cuda.mem_get_info(device)
    return free // 2 // bytes_each
