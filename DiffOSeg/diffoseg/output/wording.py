"""How names, numbers and the result as a whole are worded wherever a person reads them."""

from collections.abc import Mapping
from typing import Any

from ..comparison.measures import Dice, Interval, experts_of
from ..comparison.result import Comparison
from ..experts.panel import CONSENSUS
from ..model.presets import PREVIEW
from ..space.volume import Volume

MISSING = "–"
NOTHING_MARKED = "nothing marked"

_COUNTED, _PREDICTED, _GIVEN = "share of samples", "probability", "probability, as given"

_PROVENANCE_LABELS = {
    "weights_title": "Weights",
    "weights_hash": "Hash of the weights",
    "local_experts": "Taught experts and their hashes",
    "kind": "Kind of network",
    "code_version": "DiffOSeg version",
    "preset": "Quality",
    "sampler": "Sampler",
    "steps": "Steps",
    "renewal": "Noise drawn anew at each step",
    "presence": "Presence given",
    "samples": "Samples per expert",
    "seed": "Seed",
    "device": "Device",
    "region_lps_mm": "Region, LPS mm",
}


def shortened(text: str, length: int = 24) -> str:
    """Return a text of at most ``length`` characters, its end replaced by an ellipsis."""
    return text if len(text) <= length else text[: length - 1].rstrip() + "…"


def millilitres(volume: float) -> str:
    """Return a volume with as many decimals as its size deserves, without the unit."""
    if volume == 0:
        return "0"
    decimals = 3 if abs(volume) < 1 else 2 if abs(volume) < 100 else 0
    return _minus(f"{volume:.{decimals}f}")


def interval_ends(interval: Interval | None) -> str:
    """Return "1.20–1.55", ml, without the unit, or a dash."""
    if interval is None:
        return MISSING
    return f"{millilitres(interval.low)}–{millilitres(interval.high)}"


def number(value: float | None, decimals: int, signed: bool = False) -> str:
    """Return a number with a true minus sign, or a dash where there is none."""
    if value is None:
        return MISSING
    if signed and round(value, decimals) == 0:
        return "0"
    return _minus(f"{value:{'+' if signed else ''}.{decimals}f}")


def dice_text(value: Dice | None) -> str:
    """Return an overlap with two decimals, or in words where both masks are empty."""
    return value if isinstance(value, str) else number(value, 2)


def intensity_unit(volume: Volume) -> str:
    """Return " HU" for CT; other scanners' numbers have no unit."""
    return " HU" if volume.modality == "CT" else ""


def samples_text(comparison: Comparison) -> str:
    """Say how many samples the results stand on."""
    count = max(len(result.samples) for result in comparison.results.values())
    each = " each" if len(comparison.results) > 1 else ""
    return f"{count} sample{'s' * (count != 1)}{each}"


def conditions(provenance: Mapping[str, Any]) -> str:
    """Return under which conditions a result holds, to stand after a title; "" for none."""
    words, given = [], provenance.get("presence")
    if given == 1:
        words.append("given that something is marked")
    elif given is not None:
        words.append(f"given a chance of {100 * given:.0f} % that something is marked")
    if provenance.get("preset") == PREVIEW:
        words.append("in preview quality")
    return ", ".join(words)


def presence_is(comparison: Comparison) -> str:
    """Return what an answer's presence is: a probability, given or predicted, or a share."""
    provenance = comparison.provenance
    if provenance.get("presence") is not None:
        return _GIVEN
    return _PREDICTED if provenance.get("kind") == "fast" else _COUNTED


def presence_note(comparison: Comparison) -> str:
    """Say what an answer's presence is, in a sentence."""
    probable = "Presence is the probability that anything at all is marked"
    return {
        _COUNTED: "Presence is the share of the samples in which anything at all is marked.",
        _PREDICTED: f"{probable}, as predicted.",
        _GIVEN: f"{probable}, which was given and not predicted.",
    }[presence_is(comparison)]


def title(comparison: Comparison) -> str:
    """Say whose style was predicted, and under which conditions."""
    given = conditions(comparison.provenance)
    return headline(comparison) + (f", {given}" if given else "")


def headline(comparison: Comparison) -> str:
    """Say whose style was predicted; never that an expert said so."""
    experts = [expert.name for expert in experts_of(comparison)]
    if not experts:
        return "Predicted consensus of the experts"
    who = " and ".join(part for part in (", ".join(experts[:-1]), experts[-1]) if part)
    if len(who) > 60:
        who = f"{len(experts)} experts"
    also = ", and their consensus" if CONSENSUS in comparison.results else ""
    return f"Predicted in the style of {who}{also}"


def provenance_rows(provenance: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return what a result was made with as label and value, the known things first."""
    known = [key for key in _PROVENANCE_LABELS if key in provenance]
    others = [key for key in provenance if key not in _PROVENANCE_LABELS and key != "notice"]
    rows = [(_PROVENANCE_LABELS.get(key, _label(key)), provenance[key]) for key in known + others]
    return [(label, _value(value)) for label, value in rows]


def _label(key: str) -> str:
    return key.replace("_", " ").capitalize()


def _value(value: Any) -> str:
    if value is None or value == {}:
        return MISSING
    if isinstance(value, Mapping):
        return "; ".join(f"{key}: {_value(entry)}" for key, entry in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(_value(entry) for entry in value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def _minus(text: str) -> str:
    return text.replace("-", "−")
