"""Whether experts that were learnt are told apart: each one's answers on everyone's drawings."""

from collections.abc import Mapping, Sequence

import numpy as np
from bench_expert_answers import Answers
from bench_expert_cohort import Cohort
from bench_expert_rows import Key, Record
from bench_expert_scores import dice
from bench_expert_summary import enough, of_pairs

from diffoseg.experts.local_expert import LocalExpert
from diffoseg.experts.panel import Expert
from diffoseg.model.model import Model
from diffoseg.model.stored import content_hash

KS = (3, 20)


def swaps(base: Model, cohort: Cohort, rows: Mapping[Key, Record]) -> Record:
    """Return who wins where experts are swapped, learnt from k cases of the first draw."""
    seen, found = Answers(base, cohort.tests), {}
    for k in KS:
        first = {
            key.expert: row for key, row in rows.items() if key == Key("code", key.expert, k, 0)
        }
        if enough(first):
            found[str(k)] = _swap(base, cohort, seen, first)
    return found


def _swap(base: Model, cohort: Cohort, seen: Answers, learnt: Mapping[int, Record]) -> Record:
    experts = sorted(learnt)
    model = base.with_experts([_local(base, cohort, e, learnt[e]) for e in experts])
    rows = range(base.known, base.known + len(experts))
    answers = [seen.of(model, row).outlines()["best"] for row in rows]
    perfect = [cohort.truth(expert).outlines["best"] for expert in experts]
    own, theirs = (_table(cohort, experts, of) for of in (answers, perfect))
    return {"experts": len(experts), **_won("learnt", own), **_won("perfect", theirs)}


def _local(base: Model, cohort: Cohort, expert: int, row: Record) -> LocalExpert:
    name, title, kind = cohort.styles[expert].name, base.metadata.title, base.metadata.kind
    code = np.array(row["code"], np.float32)
    return LocalExpert(Expert(name), content_hash(base), title, kind, code, row["bias"])


def _table(cohort: Cohort, experts: Sequence[int], answers: Sequence[np.ndarray]) -> np.ndarray:
    """Return the mean Dice of each answer (row) with each expert's drawings (column)."""
    drawings = [cohort.truth(expert).drawings for expert in experts]
    return np.array([[dice(bits, drawn).mean() for drawn in drawings] for bits in answers])


def _won(name: str, table: np.ndarray) -> Record:
    """Return how often the diagonal beats another entry of its column, and all of them."""
    return {name: of_pairs(beaten(table)), f"{name}_columns": float(columns_won(table).mean())}


def beaten(table: np.ndarray) -> np.ndarray:
    """Return whether an expert's own answer beats another's on the expert's drawings, (E, E)."""
    return table < np.diagonal(table)


def columns_won(table: np.ndarray) -> np.ndarray:
    """Return whose own answer beats all others on their drawings, (E,)."""
    return (beaten(table) | np.eye(len(table), dtype=bool)).all(0)
