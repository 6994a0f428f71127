"""From single measurements to what can be said of them, with 95 % intervals over experts.

The gap closed, by any measure of which more is better, is (value - that of the consensus) / (that
of the expert's exact map - that of the consensus).
As a ratio of means over experts it is not upset by experts who draw like the consensus, whose own
ratio is of two small numbers; the median of the experts' own ratios stands beside it.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from bench_expert_rows import Key, Record
from bench_expert_tasks import ENERGY_K, KS, MANY, RIVAL_KS, RIVALS

from diffoseg.evaluation.intervals import Estimate, interval, patient_weights

Rows = Mapping[Key, Record]
Fits = Mapping[int, Sequence[Record]]
"""The measurements of one method from k cases, by expert; one for each draw of cases."""

MEASURES = ("best", "half", "map")
"""Dice of the best outline and of the map above one half, and the maps' distance below zero."""

WANTED = 0.7
"""Share of the gap that three cases should close."""

MUCH = 0.005
"""Dice below the consensus that counts as much."""

_Z = 1.96  # standard deviations from a mean to its limits of agreement


def summary(rows: Rows) -> Record:
    """Return all figures of the report; the parts that are not measured yet are left out."""
    bounds = {key.expert: row for key, row in rows.items() if key.method == "bounds"}
    curve = {0: _fits(rows, "mean", 0), **{k: _fits(rows, "code", k) for k in (*KS, MANY)}}
    rivals = {(rival, k): _fits(rows, rival, k) for rival in RIVALS for k in RIVAL_KS}
    return {
        "experts": len(bounds),
        "bounds": _of_bounds(list(bounds.values())),
        "curve": {str(k): learnt(fits, bounds) for k, fits in curve.items() if enough(fits)},
        "rivals": [
            {"rival": rival, "k": k, **learnt(fits, bounds), "code": _same(rows, fits, k, bounds)}
            for (rival, k), fits in rivals.items()
            if enough(fits)
        ],
        "timed": {str(k): _times(fits) for k in KS if (fits := _fits(rows, "timed", k))},
        "energy": _energy(_fits(rows, "energy", ENERGY_K)),
    }


def _fits(rows: Rows, method: str, k: int) -> dict[int, list[Record]]:
    """Return the measurements of one method from k cases, by expert."""
    found: dict[int, list[Record]] = {}
    for key, row in sorted(rows.items()):
        if (key.method, key.k) == (method, k):
            found.setdefault(key.expert, []).append(row)
    return found


def enough(fits: Mapping[int, Any]) -> bool:
    """Return whether there are experts enough for an interval."""
    return len(fits) >= 2


def _same(rows: Rows, fits: Mapping[int, Any], k: int, bounds: Mapping[int, Record]) -> Record:
    """Return what the product's fit reached on the same experts and cases as a rival."""
    ours = {expert: Key("code", expert, k, 0) for expert in fits}
    shared = {expert: [rows[key]] for expert, key in ours.items() if key in rows}
    return learnt(shared, bounds) if enough(shared) else {}


# --- one method at one number of cases ------------------------------------------------------------


def learnt(fits: Fits, bounds: Mapping[int, Record]) -> Record:
    """Return what one method has learnt from k cases.

    Args:
        fits: by expert, one measurement for each random draw of cases.
        bounds: by expert, what no fit changes.
    """
    every = [row for rows in fits.values() for row in rows]
    return {
        "experts": len(fits),
        "fits": len(every),
        **{measure: _learnt(fits, bounds, measure) for measure in MEASURES},
        "nsd": _mean(_by_expert(fits, lambda row, _: row["nsd"], bounds)),
        "volume": agreement([row["volume"] for row in every]),
        **_verdicts(every),
    }


def _learnt(fits: Fits, bounds: Mapping[int, Record], measure: str) -> Record:
    """Return one measure of a method: its value, the gap closed, how often nothing is gained."""
    values = _by_expert(fits, lambda row, _: row[measure], bounds)
    low, high = (_bound(fits, bounds, name, measure) for name in ("consensus", "ceiling"))
    below = _by_expert(fits, lambda row, b: row[measure] < b["consensus"][measure], bounds)
    much = _by_expert(fits, lambda row, b: row[measure] < b["consensus"][measure] - MUCH, bounds)
    own = _own_gaps(values, low, high)
    found = {
        "value": _mean(values),
        "gap": ratio(values - low, high - low),
        "gap_median": float(np.median(own)),
        "experts_closed": float((own >= WANTED).mean()),
        "below": _mean(below),
        "below_much": _mean(much),
    }
    if not all("nearest" in row for rows in fits.values() for row in rows):
        return found
    chosen = _by_expert(fits, lambda row, b: b["known"][row["nearest"]][measure], bounds)
    nearest = {"value": _mean(chosen), "gap": ratio(chosen - low, high - low)}
    return {**found, "nearest": nearest}


def _bound(fits: Fits, bounds: Mapping[int, Record], name: str, measure: str) -> np.ndarray:
    return np.array([bounds[expert][name][measure] for expert in fits])


def _verdicts(every: Sequence[Record]) -> Record:
    said = [row["verdict"] for row in every if row.get("verdict")]
    return {"verdicts": {name: said.count(name) / len(said) for name in sorted(set(said))}}


def _by_expert(
    fits: Fits, value: Callable[[Record, Record], float], bounds: Mapping[int, Record]
) -> np.ndarray:
    """Return the mean over draws of a value of each measurement, by expert."""
    return np.array(
        [np.mean([value(row, bounds[expert]) for row in rows]) for expert, rows in fits.items()]
    )


def _own_gaps(values: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Return the gap that each expert's fits closed, of the experts who leave one to close."""
    there = high - low > MUCH
    return (values - low)[there] / (high - low)[there]


def agreement(volumes: Sequence[Sequence[float]]) -> list[float]:
    """Return the bias of volumes and its limits of agreement (Bland & Altman 1986).

    Args:
        volumes: of each measurement, the mean of the differences and that of their squares.
    """
    bias, square = np.mean(volumes, axis=0)
    spread = _Z * np.sqrt(max(square - bias**2, 0.0))
    return [float(bias), float(bias - spread), float(bias + spread)]


# --- what no fit changes, time, samples -----------------------------------------------------------


def _of_bounds(of: Sequence[Record]) -> Record:
    """Return the answers that are there before any case is, and the experts' own."""
    if len(of) < 2:
        return {}
    found = {measure: _measured_bounds(of, measure) for measure in MEASURES}
    return {**found, **{f"{name}_apart": _apart([b[name] for b in of]) for name in _ENDS}}


_ENDS = ("consensus", "ceiling")
_DRAWN = ("another", "reread")
"""Single drawings, which overlap less than an outline that is made to; they have no gap."""


def _measured_bounds(of: Sequence[Record], measure: str) -> Record:
    column = {name: np.array([b[name][measure] for b in of]) for name in _ENDS}
    column["nearest"] = np.array([max(known[measure] for known in b["known"]) for b in of])
    low, high = (column[name] for name in _ENDS)
    found = {
        name: {"value": _mean(values), "gap": ratio(values - low, high - low)}
        for name, values in column.items()
    }
    if measure == "map":
        return found
    drawn = {name: {"value": _mean(np.array([b[name] for b in of]))} for name in _DRAWN}
    return {**found, **drawn}


def _apart(of: Sequence[Record]) -> Record:
    return {
        "nsd": _mean(np.array([row["nsd"] for row in of])),
        "volume": agreement([row["volume"] for row in of]),
    }


def _times(fits: Fits) -> Record:
    seconds = [row["seconds"] for rows in fits.values() for row in rows]
    loading = [row["loading"] for rows in fits.values() for row in rows]
    return {
        "fits": len(seconds),
        "seconds": float(np.median(seconds)),
        "most": max(seconds),
        "loading": float(np.median(loading)),
    }


def _energy(fits: Fits) -> Record:
    if not enough(fits):
        return {}
    names = ("ged", "ged_consensus", "ged_same")
    values = {name: np.array([rows[0][name] for rows in fits.values()]) for name in names}
    return {"experts": len(fits), **{name: _mean(of) for name, of in values.items()}}


# --- intervals ------------------------------------------------------------------------------------


def _mean(values: np.ndarray) -> list[float]:
    return ratio(values, np.ones(len(values)))


def ratio(above: np.ndarray, below: np.ndarray) -> list[float]:
    """Return sum(above) / sum(below) and its 95 % interval over experts: value, low, high."""
    weights = _weights(len(above))
    values = (weights @ above) / (weights @ below)
    return _listed(interval(above.sum() / below.sum(), values, len(above)))


def of_pairs(won: np.ndarray) -> list[float]:
    """Return the share of ordered pairs of different experts that are won, as ``ratio`` does.

    Args:
        won: (E, E) bool; the diagonal does not count.
    """
    experts = len(won)
    pairs = 1.0 - np.eye(experts)
    weights = _weights(experts)
    shares = [((weights @ of) * weights).sum(1) for of in (won * pairs, pairs)]
    value = (won * pairs).sum() / pairs.sum()
    return _listed(interval(float(value), shares[0] / np.maximum(shares[1], 1), experts))


def _weights(experts: int) -> np.ndarray:
    return patient_weights([f"{number:06d}" for number in range(experts)])


def _listed(found: Estimate) -> list[float]:
    return [float(found.value), float(found.low), float(found.high)]
