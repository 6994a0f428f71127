"""How fast, and in how much memory, the product answers beside the paper's network: make bench.

python Testing/Benchmarks/bench.py [--weights FILE] [--device cuda] [--quick]

Both sides run here, one after the other, on the same machine. Each setting has a process of its
own, so that a peak of memory is that setting's alone. The paper's network takes 250 steps a sample:
their time is the median step x 250, said so, with one whole chain as its check. Everything of the
fast kind is run in full. What comes out is appended to results/, and written into
Docs/benchmarks.md.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from diffoseg.device.waiting import wait_without_spinning

RESULTS = Path(__file__).parent / "results"
FORMAT = 2
_LONG_S = 25.0  # seconds; what takes longer in ten runs is run fewer times, and says how often
_CARD_BATCH = 64  # of the paper's network, where a graphics card has room for it

Record = dict[str, Any]
Size = tuple[int, int, int]


@dataclass(frozen=True)
class Scale:
    """How large everything is.

    Attributes:
        edge: side of the slice of the paper's published network, pixels.
        small: side of the smaller region.
        slices: of the regions.
        samples: of each answer on one slice, and in a region.
        volume: voxels of the large volume, and of the region in it.
        batches: of the paper's network; the best of each stage counts.
        paper_steps: of a chain of the paper.
        timed_steps: of which so many are timed.
        curve: numbers of steps to time besides the presets.
        runs: of everything of the fast kind.
        least: how many runs are made however long they take, of a region one.
    """

    edge: int = 128
    small: int = 64
    slices: int = 32
    samples: tuple[int, int] = (16, 8)
    volume: tuple[Size, Size] = ((512, 512, 300), (128, 128, 32))
    batches: tuple[int, ...] = (1, 4, 16)
    paper_steps: int = 250
    timed_steps: int = 11
    curve: tuple[int, ...] = (1, 2, 4, 8, 16)
    runs: int = 10
    least: int = 3


FULL = Scale()
QUICK = Scale(
    edge=32,
    small=16,
    slices=2,
    samples=(2, 1),
    volume=((48, 48, 6), (32, 32, 2)),
    batches=(1,),
    paper_steps=3,
    timed_steps=1,
    curve=(1,),
    runs=1,
    least=1,
)


def main() -> int:
    """Measure every setting, print the tables, append the record and renew the page."""
    arguments = _arguments()
    wait_without_spinning()  # as in the product
    if arguments.one is not None:
        print(json.dumps(measure(**json.loads(arguments.one))))
        return 0
    if arguments.quick:
        record = run(QUICK, arguments.weights, arguments.device, ask=lambda one: measure(**one))
    else:
        record = run(FULL, arguments.weights, arguments.device, ask=in_its_own_process)
    import bench_tables

    print("\n".join(bench_tables.tables(record)))
    if arguments.quick:
        print("\nA smoke run: in one process, at toy sizes, and nothing is kept.")
        return 0
    print(f"\nAppended to {append(record, RESULTS)}")
    bench_tables.renew_page(RESULTS)
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", help="of the fast kind; the default weights if not given")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda", "mps"))
    parser.add_argument("--quick", action="store_true", help="everything once at toy sizes")
    parser.add_argument("--one", metavar="JSON", help=argparse.SUPPRESS)
    return parser.parse_args()


def run(scale: Scale, weights: str | None, device: str, ask: Callable[[Record], Record]) -> Record:
    """Return one record: the machine, the weights, and every setting measured by ``ask``."""
    started = time.perf_counter()
    before = ask({"what": "load"})["load"]
    about_machine = ask({"what": "machine", "device": device})
    about_weights = ask({"what": "weights", "weights": weights})
    if about_weights["kind"] != "fast":
        sys.exit("These weights are of the paper's kind. Give some of the fast kind: --weights.")
    every = list(settings(scale, weights, device))
    measured = []
    for number, setting in enumerate(every, 1):
        print(f"[{number}/{len(every)}] {_spoken(setting)}", file=sys.stderr, flush=True)
        clock = {"began": time.time()} if setting["what"] == "first" else {}
        measured.append({**setting, **ask({**setting, **clock})})
    return {
        "format": FORMAT,
        "machine": about_machine,
        "load_before": before,
        "weights": about_weights,
        "scale": asdict(scale),
        "measured": measured,
        "bench_seconds": round(time.perf_counter() - started),
    }


# --- every setting, one process after the other ---------------------------------------------------


def settings(scale: Scale, weights: str | None, device: str) -> Iterator[Record]:
    """Yield what is measured, in order. ``case`` names it in the tables."""
    yield from _paper_settings(scale, device)
    for setting in _fast_settings(scale):
        yield {"weights": weights, "device": device, **setting}


def _paper_settings(scale: Scale, device: str) -> Iterator[Record]:
    paper = {"edge": scale.edge, "steps": scale.paper_steps, "device": device}
    for batch in (*scale.batches, *((_CARD_BATCH,) if device == "cuda" else ())):
        for stage in ("stage1", "stage2"):
            steps = {"what": "paper-steps", "stage": stage, "batch": batch, **paper}
            yield {**steps, "runs": scale.timed_steps}
    middle = scale.batches[len(scale.batches) // 2]
    steps = {"what": "paper-steps", "stage": "stage2", "batch": middle, **paper}
    yield {**steps, "runs": scale.timed_steps, "half": True}
    yield {"what": "paper-chain", "stage": "stage2", "batch": 1, **paper}


def _fast_settings(scale: Scale) -> Iterator[Record]:
    on_slice, in_region = scale.samples
    often = {"runs": scale.runs, "least": scale.least, "limit_s": _LONG_S}
    always, seldom = {**often, "least": scale.runs}, {**often, "least": 1}
    one = {"what": "answers", "size": (scale.edge, scale.edge, 1), "samples": on_slice}
    whole = {"patch": scale.edge}
    for preset in ("preview", "standard", "careful"):
        yield {"case": preset, **one, **whole, **always, "preset": preset}
    yield {"case": "without bfloat16", **one, **whole, **always, "half": False}
    yield {"case": "in tiles", **one, **often}
    for steps in scale.curve:
        yield {"case": "curve", **one, **whole, **often, "steps": steps}
    for edge in (scale.small, scale.edge):
        single = {"what": "answers", "size": (edge, edge, 1), "samples": in_region}
        yield {"case": "one expert", **single, "patch": edge, **always, "alone": True}
    for edge in (scale.small, scale.edge):
        region = {"what": "answers", "size": (edge, edge, scale.slices), "samples": in_region}
        for half in (True, False):
            yield {"case": "region", **region, "patch": edge, **seldom, "half": half}
    region = {"what": "answers", "size": (scale.small, scale.small, scale.slices)}
    yield {"case": "phantom", **region, "samples": in_region, **seldom, "as_it_comes": True}
    size, box = scale.volume
    # The memory is that of any number of steps.
    yield {"what": "volume", "size": size, "region": box, "samples": in_region, "steps": 2}
    for slices in (1, scale.slices):
        size = (scale.small, scale.small, slices)
        yield {"what": "first", "size": size, "samples": in_region, "as_it_comes": True}


def in_its_own_process(setting: Record) -> Record:
    """Return what ``measure`` says of a setting, in a process whose memory is its own.

    This process stays small, since a child begins with its parent's peak.
    """
    command = [sys.executable, __file__, "--one", json.dumps(setting)]
    child = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    measured: Record = json.loads(child.stdout)
    return measured


def _spoken(setting: Record) -> str:
    silent = {"what", "device", "weights", "runs", "least", "limit_s"}
    said = (f"{name} {value}" for name, value in setting.items() if name not in silent)
    return f"{setting['what']}: {', '.join(said)}"


def measure(what: str, **details: Any) -> Record:
    """Measure one setting in this process."""
    import bench_machine

    if what == "load":
        return {"load": bench_machine.load()}
    if what == "machine":
        return bench_machine.machine(**details)
    import bench_fast
    import bench_paper

    from diffoseg.device.allocator import keep_freed_memory

    if what == "weights":
        return bench_fast.about(**details)
    keep_freed_memory()
    details.pop("case", None)
    before = bench_machine.peak_memory_mib()
    measured = {
        "paper-steps": bench_paper.steps,
        "paper-chain": bench_paper.whole_chain,
        "answers": bench_fast.answers,
        "volume": bench_fast.volume,
        "first": bench_fast.first,
    }[what](**details)
    return {
        **measured,
        "peak_memory_mib": bench_machine.peak_memory_mib(),
        "memory_before_mib": before,
        **bench_machine.card_memory(details["device"]),
    }


def append(record: Record, results: Path) -> Path:
    """Add a record to the file of this day and kind of machine; the file is a list of records."""
    about = record["machine"]
    kind = f"{about['system']}-{about['cores']}cores"
    if about["device"].split(",")[0] not in ("cpu", "mps"):
        kind += "-" + about["device"].lower().replace(" ", "-")
    path = results / f"{about['date'][:10]}-{kind}.json"
    records = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
    whole = path.with_suffix(".part")
    whole.write_text(json.dumps([*records, record], indent=1) + "\n", encoding="utf-8")
    whole.replace(path)
    return path


if __name__ == "__main__":
    sys.exit(main())
