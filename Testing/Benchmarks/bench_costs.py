"""What the measured steps of the paper's network add up to, and which row is which."""

from typing import Any

Record = dict[str, Any]

_MEMORY = ("peak_memory_mib", "card_peak_memory_mib")


def cases(record: Record, case: str, **wanted: Any) -> list[Record]:
    """Return what was measured of a case of the fast kind, or of a ``what``."""
    return [
        row
        for row in record["measured"]
        if case in (row.get("case"), row["what"]) and wanted.items() <= row.items()
    ]


def paper(record: Record, steps: int) -> Record:
    """Return what a whole answer of the paper's network costs, computed from its median steps.

    An answer is every sample of the consensus and of each expert on one slice, each of the two
    stages at the batch that is its best.
    """
    best = {stage: _best(record, stage) for stage in ("stage1", "stage2")}
    answers = {"stage1": 1, "stage2": len(record["weights"]["experts"])}
    samples = record["scale"]["samples"][0]

    def total(of_one: str) -> float:
        return samples * steps * sum(best[stage][of_one] * many for stage, many in answers.items())

    return {
        "steps": steps,
        "seconds": total("seconds"),
        "flops": total("flops_per_sample_and_step"),
        **{name: max(row.get(name) or 0 for row in best.values()) for name in _MEMORY},
        "batches": sorted({row["batch"] for row in best.values()}),
    }


def cost(row: Record) -> Record:
    """Return what one measured answer of the fast kind costs, named as in ``paper``."""
    return {**row, "seconds": row["seconds_median"]}


def _best(record: Record, stage: str) -> Record:
    rows = [row for row in cases(record, "paper-steps", stage=stage) if not row.get("half")]
    timed = [{**row, "seconds": row["step_seconds_median"] / row["batch"]} for row in rows]
    return min(timed, key=lambda row: row["seconds"])
