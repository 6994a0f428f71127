"""How well a new expert is learnt from a few cases: make bench-expert.

    python Testing/Benchmarks/bench_expert.py [WEIGHTS] [--draws D] [--experts E] [--minutes M]

Unseen experts draw phantoms that no network has seen. From k of them, chosen at random D times,
each expert is learnt as in the product, and what the model then answers is compared with fresh
drawings by the same expert on other phantoms. Every measurement is kept in --work as soon as it is
made, so that a run that was stopped goes on; several processes can share one run by --part, each
with its own experts, and --report brings them together. In the end
RESULTS/expert-<date>-<hash>.json is written, and its part of Docs/benchmarks.md.

The seconds of a fit are measured apart, by --timing, while the machine does nothing else.
"""

import argparse
import datetime
import hashlib
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import bench_machine
from bench_expert_rows import Key, Record, Rows

from diffoseg.device.waiting import wait_without_spinning

RESULTS = Path(__file__).parent / "results"
FORMAT = 1


def main() -> int:
    """Measure what is still to be measured and write the report."""
    arguments = _arguments()
    wait_without_spinning()  # as in the product
    import torch
    from bench_expert_cohort import Cohort
    from bench_expert_tasks import Bench

    from diffoseg.device.allocator import keep_freed_memory
    from diffoseg.model.cards import PHANTOMS, find_model
    from diffoseg.model.model import load_model
    from diffoseg.model.stored import content_hash

    load = bench_machine.load()
    keep_freed_memory()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    base = load_model(find_model(arguments.weights or PHANTOMS)).to(arguments.device)
    if base.fast is None:
        sys.exit("These weights are of the paper's kind. Give some of the fast kind.")
    rows = Rows(arguments.work, identity(content_hash(base), base), arguments.part)
    cohort = Cohort(base.metadata, arguments.experts)
    if not arguments.report:
        measure(Bench(base, cohort), rows, wanted(arguments), arguments.minutes)
    if arguments.part != "1-of-1":
        return 0
    record = {
        "format": FORMAT,
        "measured": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "machine": bench_machine.machine(arguments.device),
        "load_before": load,
        "weights": {"title": base.metadata.title, "hash": content_hash(base)},
        "tests": len(cohort.tests),
        **reported(base, cohort, rows.read()),
    }
    print(f"Written to {write(record, arguments.out)}")
    import bench_expert_tables

    bench_expert_tables.renew_page(arguments.out)
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("weights", nargs="?", help="default: the default weights")
    parser.add_argument("--experts", type=int, default=50)
    parser.add_argument("--draws", type=int, default=20, help="of cases, for each expert and k")
    parser.add_argument("--threads", type=int, help="of torch; default: its own number")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="begin nothing after")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda", "mps"))
    parser.add_argument("--part", default="1-of-1", help="such as 2-of-4: every fourth expert")
    parser.add_argument("--timing", action="store_true", help="only the fits whose time counts")
    parser.add_argument("--report", action="store_true", help="measure nothing, write the report")
    parser.add_argument("--out", type=Path, default=RESULTS, metavar="RESULTS")
    work = Path(tempfile.gettempdir()) / "diffoseg-expert"
    parser.add_argument("--work", type=Path, default=work, help="where measurements are kept")
    return parser.parse_args()


def identity(weights: str, base) -> Record:
    """Return what every measurement depends on besides its key."""
    import bench_expert_cohort as cohort

    from diffoseg.training.expert.settings import ExpertSettings

    of = {
        "seeds": (cohort.EXPERTS_SEED, cohort.TEST_SEED, cohort.LESSONS_SEED),
        "counts": (cohort.TEST_CASES, cohort.LESSON_CASES, cohort.FRESH, cohort.MAP),
        "calibration": base.calibration.to_values(),
        "settings": asdict(ExpertSettings()),
    }
    digest = hashlib.sha256(json.dumps(of, sort_keys=True).encode()).hexdigest()
    return {"format": FORMAT, "weights": weights, "of": digest}


def wanted(arguments: argparse.Namespace) -> Iterator[Key]:
    """Yield what this process is to measure, in order."""
    from bench_expert_tasks import tasks, timed

    number, parts = (int(text) for text in arguments.part.split("-of-"))
    experts = arguments.experts
    every = timed(experts) if arguments.timing else tasks(experts, arguments.draws)
    return (key for key in every if key.expert % parts == number - 1)


def measure(bench, rows: Rows, keys: Iterator[Key], minutes: float) -> None:
    """Measure what is not among the rows yet, until it is done or time is up."""
    ends = time.monotonic() + 60 * minutes
    done = rows.read()
    left = [key for key in keys if key not in done]
    for number, key in enumerate(left, 1):
        if time.monotonic() >= ends:
            print(f"Time is up; {len(left) - number + 1} measurements are left.", file=sys.stderr)
            return
        row = bench.measure(key)
        rows.add(key, row)
        said = f" Dice {row['best']:.3f}" if "best" in row else ""
        spent = f" in {row['seconds']:.1f} s" if "seconds" in row else ""
        where = f"expert {key.expert + 1}, {key.k} cases, draw {key.draw + 1}"
        print(f"[{number}/{len(left)}] {key.method}, {where}:{said}{spent}", file=sys.stderr)


def reported(base, cohort, rows: dict[Key, Record]) -> Record:
    """Return all figures of the experts asked for."""
    from bench_expert_summary import summary
    from bench_expert_swap import swaps

    mine = {key: row for key, row in rows.items() if key.expert < len(cohort.styles)}
    return {**summary(mine), "swap": swaps(base, cohort, mine)}


def write(record: Record, results: Path) -> Path:
    """Write a report whole; one of the same day and weights is replaced."""
    path = results / f"expert-{record['measured'][:10]}-{record['weights']['hash'][:8]}.json"
    whole = path.with_suffix(".part")
    whole.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    whole.replace(path)
    return path


if __name__ == "__main__":
    sys.exit(main())
