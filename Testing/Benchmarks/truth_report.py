"""What truth.py measured, as JSON and as Markdown, beside the targets it is held against."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from truth_run import Measured

from diffoseg.evaluation.evaluate import Evaluation, paired_difference, paired_ratio
from diffoseg.evaluation.intervals import Estimate
from diffoseg.evaluation.style_swap import nearest, style_swap
from diffoseg.evaluation.tables import differences_table, markdown, markdown_table
from diffoseg.evaluation.volumes import binomial_interval

OURS, FIRST_BELIEF, PAPER = "DiffOSeg", "level sets of its first belief", "the paper's kind"
PERFECT, TRUE_LEVELS = "perfect sampler", "level sets of the true marginals"
MANY_STEPS = 250

DISTRIBUTION = ("mixture_ged", "consensus_ged", "expert_ged", "expert_dice", "hm_iou")
BELIEF = ("consensus_ece", "expert_ece", "sample_drift", "presence_bias", "presence_rmse")
PRESENCE = ("empty_rate", "true_empty_rate", "ged_v", "ged_v_floor")
TOGETHER = ("mixture_ged", "consensus_ged", "expert_ged", "expert_dice", "consensus_ece")
VOLUMES = ("volume_coverage", "volume_coverage_exact", "volume_first_covered", "volume_excess")

Found = Mapping[str, Mapping[str, Measured]]


@dataclass(frozen=True)
class Target:
    """One thing that the model has to show.

    Attributes:
        says: what it is.
        found: the estimate.
        wanted: the least and the most that it may be.
    """

    says: str
    found: Estimate
    wanted: tuple[float, float]

    @property
    def verdict(self) -> str:
        """Whether the estimate, and all of its interval, is as wanted."""
        low, high = self.wanted
        if not low <= self.found.value <= high:
            return "missed" if self.found.high < low or self.found.low > high else "missed, unsure"
        return "met" if low <= self.found.low and self.found.high <= high else "met, unsure"


def write_report(folder: Path, found: Found, about: Mapping[str, Any]) -> str:
    """Write truth-<date>-<hash>.json and .md, and return the latter's text."""
    folder.mkdir(parents=True, exist_ok=True)
    now = datetime.now(UTC)
    stem = f"truth-{now:%Y-%m-%d}-{about['hash'][:8]}"
    targets = [*_gate(about), *_targets(found)]
    facts = {
        "measured": now.isoformat(timespec="seconds"),
        **about,
        "targets": [
            {"says": t.says, **vars(t.found), "wanted": _ends(t.wanted), "verdict": t.verdict}
            for t in targets
        ],
        "sections": {
            section: {name: _facts(measured) for name, measured in methods.items()}
            for section, methods in found.items()
        },
    }
    (folder / f"{stem}.json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    text = "\n".join([_heading(found, about), _targets_table(targets), *_tables(found)])
    (folder / f"{stem}.md").write_text(text, encoding="utf-8")
    return text


def _facts(measured: Measured) -> dict[str, Any]:
    evaluation = measured.evaluation
    return {
        "slices": len(evaluation.patients),
        "patients": len(set(evaluation.patients)),
        "seconds": round(measured.seconds, 1),
        "estimates": {name: vars(evaluation.estimate(name)) for name in evaluation.measures},
        "by_expert": {
            name: evaluation.of_experts(name).round(5).tolist() for name in evaluation.by_expert
        },
    }


def _ends(wanted: tuple[float, float]) -> list[float | None]:
    return [end if np.isfinite(end) else None for end in wanted]


def _heading(found: Found, about: Mapping[str, Any]) -> str:
    counts = ", ".join(
        f"{section} {len(set(next(iter(methods.values())).evaluation.patients))}"
        for section, methods in found.items()
    )
    return (
        f"# Truth: {about['weights']}\n\nContent hash `{about['hash']}`; {about['sampler']},"
        f" {about['steps']} steps, {about['samples']} samples of each expert, against"
        f" {about['draws']} fresh drawings by each. Held-out phantoms of seed {about['seed']}"
        f" ({counts}). Mean [95 % interval, bootstrap over patients]. GED_U is unbiased: 0 is a"
        " perfect sampler.\n"
    )


def _targets(found: Found) -> Iterator[Target]:
    """Yield what the model has to show and what was found of it."""
    at_most: Callable[[float], tuple[float, float]] = lambda most: (-np.inf, most)  # noqa: E731
    at_least: Callable[[float], tuple[float, float]] = lambda least: (least, np.inf)  # noqa: E731
    if main := _evaluations(found, "main"):
        ours, perfect = main[OURS], main[PERFECT]
        yield Target("GED_U of the mixture", ours.estimate("mixture_ged"), at_most(0.008))
        for rival in (name for name in main if "level sets of" in name and name != TRUE_LEVELS):
            ratio = paired_ratio(ours, main[rival], "mixture_ged")
            yield Target(f"GED_U over that of: {rival}", ratio, at_most(1 / 3))
        bias = ours.estimate("presence_bias")
        yield Target("presence, stated − true", bias, (-0.02, 0.02))
        for number, estimate in enumerate(ours.expert_estimates("presence_bias"), 1):
            yield Target(f"the same of expert {number}", estimate, (-0.02, 0.02))
        dice = paired_ratio(ours, perfect, "expert_dice")
        yield Target("expert Dice over the perfect sampler's", dice, at_least(0.98))
        won = style_swap(ours).columns_won
        yield Target("experts whose own answer is the best for them", won, at_least(0.95))
        yield Target("ECE of the consensus", ours.estimate("consensus_ece"), at_most(0.01))
    if own := _evaluations(found, "own"):
        fewest, most = own.values()
        loss = paired_difference(fewest, most, "mixture_ged")
        yield Target(f"GED_U lost against {MANY_STEPS} steps", loss, at_most(0.003))
    if volumes := _evaluations(found, "volumes"):
        exact = volumes[OURS].estimate("volume_coverage_exact")
        yield Target("coverage of 90 % volume intervals, ties by chance", exact, (0.88, 0.92))
    if paper := _evaluations(found, "paper"):
        for name, evaluation in paper.items():
            if name == OURS:
                continue
            ours = paper[OURS].of_patients(evaluation.patients)
            ratio = paired_ratio(ours, evaluation, "mixture_ged")
            yield Target(f"GED_U over that of {name}", ratio, at_most(1 / 3))


def _gate(about: Mapping[str, Any]) -> Iterator[Target]:
    """Yield whether the phantoms can tell a sampler of masks from level sets of a map at all."""
    if "gate" in about:
        value, error = about["gate"]
        ends = value - 1.96 * error, value + 1.96 * error
        yield Target("level-set gate of the phantoms", Estimate(value, *ends), (0.03, np.inf))


def _evaluations(found: Found, section: str) -> dict[str, Evaluation]:
    return {name: measured.evaluation for name, measured in found.get(section, {}).items()}


def _targets_table(targets: list[Target]) -> str:
    rows = [[t.says, str(t.found), _wanted(t.wanted), t.verdict] for t in targets]
    said = (
        "\n*Unsure*: the interval reaches beyond what is wanted, so these phantoms are too few.\n"
    )
    return "## Targets\n\n" + markdown(["what", "found", "wanted", ""], rows) + said


def _wanted(wanted: tuple[float, float]) -> str:
    low, high = wanted
    if not np.isfinite(low):
        return f"≤ {high:.3g}"
    return f"≥ {low:.3g}" if not np.isfinite(high) else f"{low:.3g} to {high:.3g}"


def _tables(found: Found) -> Iterator[str]:
    for section, methods in found.items():
        evaluations = _evaluations(found, section)
        yield f"## {section}\n"
        if section == "volumes":
            yield markdown_table(evaluations, VOLUMES)
            for name, evaluation in evaluations.items():
                interval = binomial_interval(evaluation)
                yield f"* {name}: {interval} of single drawings covered (binomial interval)"
        elif section == "main":
            for measures in (DISTRIBUTION, BELIEF, PRESENCE):
                yield markdown_table(evaluations, measures)
            yield differences_table(OURS, evaluations, ("mixture_ged", "expert_ged", "expert_dice"))
            yield from _by_expert(evaluations)
        elif section.startswith("shifts"):
            yield markdown_table(evaluations, (*TOGETHER, *BELIEF[3:], "true_empty_rate"))
            yield from _strangers(evaluations[OURS])
        else:
            yield markdown_table(evaluations, (*TOGETHER, "empty_rate", "true_empty_rate"))
        seconds = ", ".join(f"{name} {m.seconds:.0f} s" for name, m in methods.items())
        yield f"CPU time: {seconds}.\n"


def _by_expert(evaluations: Mapping[str, Evaluation]) -> Iterator[str]:
    """Yield presence and style swap of the methods that know the experts."""
    rows = [
        [name, *map(str, evaluation.expert_estimates("presence_bias"))]
        for name, evaluation in evaluations.items()
        if "presence_bias" in evaluation.by_expert
    ]
    experts = [f"Expert {number + 1}" for number in range(len(rows[0]) - 1)]
    yield "Presence by expert, stated − true:\n"
    yield markdown(["method", *experts], rows)
    yield "Dice by expert:\n"
    dice = [
        [name, *map(str, evaluations[name].expert_estimates("swap_dice"))]
        for name in (OURS, PERFECT)
    ]
    yield markdown(["method", *experts], dice)
    yield "Style swap: an expert's own answer is the best for that expert's drawings, by GED_U.\n"
    swaps = {
        name: style_swap(evaluation)
        for name, evaluation in evaluations.items()
        if "swap_ged" in evaluation.by_expert
    }
    won = [[name, str(s.columns_won), str(s.patients_won)] for name, s in swaps.items()]
    yield markdown(["method", "experts (over patients)", "(patient, expert) pairs"], won)
    yield f"{OURS}: GED_U of each expert's answer (row) on each expert's drawings (column):\n"
    yield markdown(
        ["", *experts],
        [
            [name, *(f"{value:.4f}" for value in row)]
            for name, row in zip(experts, swaps[OURS].table, strict=True)
        ],
    )


def _strangers(evaluation: Evaluation) -> Iterator[str]:
    """Say, where the experts are unseen, which known one comes nearest to each."""
    if "expert_ged" in evaluation.scores:
        return
    rows, distances = nearest(evaluation)
    dice = evaluation.of_experts("swap_dice")[rows, np.arange(len(rows))]
    yield (
        "The model does not know these experts. It is asked for its consensus, measured against"
        " their mixture, and its nearest expert to each is named, chosen by GED_U on these same"
        " phantoms, which flatters a little.\n"
    )
    yield markdown(
        ["unseen expert", "nearest known", "GED_U", "Dice"],
        [
            [f"Unseen {number + 1}", f"Expert {row + 1}", f"{distances[number]:.4f}", f"{d:.4f}"]
            for number, (row, d) in enumerate(zip(rows, dice, strict=True))
        ],
    )
