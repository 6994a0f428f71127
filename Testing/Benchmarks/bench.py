"""How fast, and in how much memory, the networks draw: ``make bench``.

Each setting runs in a process of its own, so that a peak of memory is that setting's alone. A step
is what a chain does between two noise levels: network, law, draw. The values of the weights are
random, which changes neither speed nor memory. What is computed from a measurement says so.
"""

import argparse
import datetime
import json
import math
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
SIZE = 128
BATCHES = (1, 4, 16)
STEPS = 11
SAMPLES = 16
EXPERTS = 4
PAPER_STEPS = 250

Record = dict[str, Any]


def main() -> None:
    """Measure every setting, print the tables, and append one record to the results."""
    arguments = _arguments()
    if arguments.one is not None:
        print(json.dumps(measure(**json.loads(arguments.one))))
        return
    started = time.perf_counter()
    record: Record = {"host": host(arguments.device), "measured": measure_all(arguments.device)}
    record["host"]["bench_seconds"] = round(time.perf_counter() - started)
    record["answers"] = answers(record["measured"])
    _print_tables(record)
    print(f"\nAppended to {append(record)}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure speed and memory of the networks.")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda", "mps"))
    parser.add_argument("--one", metavar="JSON", help=argparse.SUPPRESS)
    return parser.parse_args()


# --- every setting, one process after the other ---------------------------------------------------


def settings(device: str) -> Iterator[Record]:
    """Yield what is measured, in the order of the table."""
    for network in ("published", "compact"):
        for stage in ("stage1", "stage2"):
            for batch in BATCHES if network == "published" else (16,):
                steps = {"what": "steps", "stage": stage, "batch": batch}
                yield {**steps, "network": network, "device": device}
        yield {"what": "answer", "network": network, "device": device}
    yield {"what": "chain", "network": "published", "stage": "stage2", "device": device}


def measure_all(device: str) -> list[Record]:
    """Return one record per setting, each measured in a fresh process."""
    every = list(settings(device))
    records = []
    for number, setting in enumerate(every, 1):
        print(f"[{number}/{len(every)}] {_spoken(setting)}", file=sys.stderr, flush=True)
        command = [sys.executable, __file__, "--one", json.dumps(setting)]
        child = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        records.append({**setting, **json.loads(child.stdout)})
    return records


def _spoken(setting: Record) -> str:
    words = {
        "steps": "{network} {stage}, batch {batch}: {STEPS} single steps",
        "answer": "{network}: {SAMPLES} samples x (consensus + {EXPERTS} experts), default steps",
        "chain": "{network} {stage}, batch 1: one whole chain of {PAPER_STEPS} steps",
    }[setting["what"]]
    return words.format(**setting, **globals())


# --- one setting ----------------------------------------------------------------------------------


def measure(what: str, network: str, device: str, **details: Any) -> Record:
    """Measure one setting in this process."""
    model = _model(network, device)
    before = _peak_memory_mib()
    measurement = {"steps": _steps, "answer": _answer, "chain": _chain}[what]
    return {
        **measurement(model, **details),
        "peak_memory_mib": _peak_memory_mib(),
        "memory_before_mib": before,
        **_card_memory(device),
    }


def _model(network: str, device: str) -> Any:
    from diffoseg.diffusion import CategoricalSchedule
    from diffoseg.experts import ExpertPanel
    from diffoseg.intensity import IntensityMapping
    from diffoseg.model import Model, ModelMetadata
    from diffoseg.networks.config import compact_config, published_config
    from diffoseg.networks.unet import UNet

    config: Callable[..., Any] = {"published": published_config, "compact": compact_config}[network]
    model = Model(
        consensus=UNet(config("stage1", image_channels=1)),
        personal=UNet(config("stage2", image_channels=1, experts=EXPERTS)),
        schedule=CategoricalSchedule.cosine(PAPER_STEPS),
        panel=ExpertPanel.of(*(f"Expert {number}" for number in range(1, EXPERTS + 1))),
        metadata=ModelMetadata(
            title="random weights",
            intensity=IntensityMapping("window", -1000, 400),
            spacing_mm=1.0,
            patch=SIZE,
            mask_distance=100.0,
        ),
    )
    return model.to(device)


def _steps(model: Any, stage: str, batch: int) -> Record:
    """Time single steps of the paper's 250-step chain; the first one warms up."""
    every = _timed_chain(model, stage, batch, "ancestral", PAPER_STEPS)
    seconds = [took for _, took in zip(range(STEPS + 1), every, strict=False)][1:]
    median = statistics.median(seconds)
    return {
        "step_seconds_median": median,
        "step_seconds_min": min(seconds),
        "steps_measured": len(seconds),
        "steps_per_second": 1 / median,
    }


def _chain(model: Any, stage: str) -> Record:
    """Time one whole chain of the paper's 250 steps, one sample."""
    seconds = sum(_timed_chain(model, stage, 1, "ancestral", PAPER_STEPS))
    return {"seconds": seconds, "batch": 1, "steps": PAPER_STEPS}


def _answer(model: Any) -> Record:
    """Time all samples of the consensus and of every expert, at the default steps, in full."""
    metadata = model.metadata
    started = time.perf_counter()
    for stage in ("stage1", *["stage2"] * EXPERTS):
        for _ in _timed_chain(model, stage, SAMPLES, metadata.sampler, metadata.steps):
            pass
    seconds = time.perf_counter() - started
    return {"seconds": seconds, "sampler": metadata.sampler, "steps": metadata.steps}


def _timed_chain(model: Any, stage: str, batch: int, sampler: str, steps: int) -> Iterator[float]:
    """Run a chain on one slice and yield the seconds of each of its steps."""
    import torch

    from diffoseg.sampling import SamplerSettings, chain, plan

    device = model.device
    draws = torch.Generator(device).manual_seed(0)
    image = torch.randn(1, 1, SIZE, SIZE, generator=draws, device=device)
    images = image.expand(batch, -1, -1, -1)
    expert = None if stage == "stage1" else torch.zeros(batch, dtype=torch.long, device=device)

    def denoiser(x_t: torch.Tensor, t: int) -> torch.Tensor:
        return model.predict_x0(x_t, torch.full((batch,), t, device=device), images, expert)

    def noise(draw: int) -> torch.Tensor:
        return torch.rand(batch, SIZE, SIZE, generator=draws, device=device)

    times, kernel = plan(
        SamplerSettings(sampler, steps), model.schedule, model.metadata.mask_distance
    )
    shape = (batch, 2, SIZE, SIZE)
    with torch.inference_mode():
        before = time.perf_counter()
        for state in chain(denoiser, shape, model.schedule, times, kernel, noise):
            float(state.x[0, 0, 0])  # waits for a graphics card to finish the step
            now = time.perf_counter()
            yield now - before
            before = now


def _peak_memory_mib() -> int | None:
    """Return the largest resident size so far of this process; None on Windows."""
    try:
        import resource
    except ImportError:
        return None
    unit = 1 if sys.platform == "darwin" else 1024
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20)


def _card_memory(device: str) -> Record:
    import torch

    if device != "cuda":
        return {}
    return {"card_peak_memory_mib": round(torch.cuda.max_memory_allocated() / 2**20)}


# --- what it adds up to ---------------------------------------------------------------------------


def answers(measured: list[Record]) -> Record:
    """Return the seconds for a whole answer at 250 steps and at the default steps, and ratios."""

    def step(network: str, stage: str, batch: int) -> float:
        wanted = {"what": "steps", "network": network, "stage": stage, "batch": batch}
        return next(r["step_seconds_median"] for r in measured if wanted.items() <= r.items())

    def seconds(what: str, network: str) -> float:
        wanted = {"what": what, "network": network}
        return next(r["seconds"] for r in measured if wanted.items() <= r.items())

    paper = PAPER_STEPS * (
        step("published", "stage1", SAMPLES) + EXPERTS * step("published", "stage2", SAMPLES)
    )
    published, compact = seconds("answer", "published"), seconds("answer", "compact")
    return {
        "published_250_steps_s_computed": paper,
        "published_default_steps_s": published,
        "compact_default_steps_s": compact,
        "ratio_published": paper / published,
        "ratio_compact": paper / compact,
        "check_chain_s": seconds("chain", "published"),
        "check_chain_s_computed": PAPER_STEPS * step("published", "stage2", 1),
    }


def host(device: str) -> Record:
    """Return what the numbers were measured on."""
    import torch

    from diffoseg import __version__

    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "device": torch.cuda.get_device_name() if device == "cuda" else f"{device}, {_processor()}",
        "system": f"{platform.system().lower()}-{platform.machine().lower()}",
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "diffoseg": __version__,
        "commit": _commit(),
    }


def _processor() -> str:
    facts = Path("/proc/cpuinfo")
    lines = facts.read_text().splitlines() if facts.exists() else []
    names = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())


def _commit() -> str:
    command = ["git", "rev-parse", "--short", "HEAD"]
    try:
        here = Path(__file__).parent
        return subprocess.check_output(command, cwd=here, text=True, stderr=subprocess.DEVNULL)[:-1]
    except (OSError, subprocess.CalledProcessError):
        return ""


def append(record: Record) -> Path:
    """Add a record to the file of this day and kind of machine; the file is a list of records."""
    about = record["host"]
    kind = f"{about['system']}-{about['cores']}cores"
    if about["device"].split(",")[0] not in ("cpu", "mps"):
        kind += "-" + about["device"].lower().replace(" ", "-")
    path = RESULTS / f"{about['date'][:10]}-{kind}.json"
    records = json.loads(path.read_text()) if path.exists() else []
    path.write_text(json.dumps([*records, record], indent=1) + "\n", encoding="utf-8")
    return path


def _print_tables(record: Record) -> None:
    about, total = record["host"], record["answers"]
    print(f"{about['device']}; {about['threads']} threads; torch {about['torch']}\n")
    print(f"Single steps at {SIZE} x {SIZE}, median of {STEPS}")
    print(f"{'network':<20}{'batch':>6}{'steps/s':>10}{'samples x steps/s':>19}{'peak MiB':>10}")
    for row in record["measured"]:
        if row["what"] == "steps":
            name, rate = f"{row['network']} {row['stage']}", row["steps_per_second"]
            peak = row.get("card_peak_memory_mib") or row["peak_memory_mib"] or math.nan
            many = row["batch"] * rate
            print(f"{name:<20}{row['batch']:>6}{rate:>10.2f}{many:>19.1f}{peak:>10}")
    steps = next(row["steps"] for row in record["measured"] if row["what"] == "answer")
    print(f"\nOne slice, {SAMPLES} samples x (consensus + {EXPERTS} experts)")
    for label, seconds in (
        (
            f"published, {PAPER_STEPS} steps (computed: median step x 250)",
            "published_250_steps_s_computed",
        ),
        (f"published, {steps} steps (run in full)", "published_default_steps_s"),
        (f"compact, {steps} steps (run in full)", "compact_default_steps_s"),
    ):
        print(f"{label:<55}{total[seconds]:>9.1f} s")
    ratios = f"{total['ratio_published']:.1f} (published), {total['ratio_compact']:.1f} (compact)"
    print(f"{'times faster than 250 steps':<55}{ratios}")
    print(
        f"\nCheck: one whole chain of {PAPER_STEPS} steps took {total['check_chain_s']:.1f} s;"
        f" its median step x 250 is {total['check_chain_s_computed']:.1f} s"
    )


if __name__ == "__main__":
    main()
