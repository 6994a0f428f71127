"""Measure the default weights against their rivals on held-out phantoms, and write their card.

    python Testing/Benchmarks/model_card.py WEIGHTS MAJORITY EXPERTS CARD.md --cases N

WEIGHTS is a model file, MAJORITY and EXPERTS are rivals by ``rivals.py``. All methods answer the
same slices; every figure has a 95 % interval over patients, and differences are paired. What was
measured is kept beside the card as JSON, and is not measured again for the same files; a rival
whose file is not there yet is left out.
"""

import argparse
import hashlib
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from diffoseg.bounds import humans, oracle
from diffoseg.cohorts.calibration import GATE, Calibration, calibrate
from diffoseg.cohorts.phantom import PhantomCohort
from diffoseg.evaluation import (
    Evaluation,
    Predictor,
    TruthSlice,
    evaluate,
)
from diffoseg.evaluation_tables import differences_table, markdown_table
from diffoseg.model import Model
from diffoseg.phantom_evaluation import DRAWS, ModelPredictor, truth_slices
from diffoseg.progress import Progress
from diffoseg.training.baselines import Baseline, FixedMasks, LevelSets
from diffoseg.weights import content_hash, load_model

HELD_OUT_SEED = 9001
OURS = "DiffOSeg"
TRUTH = ("mixture_ged", "consensus_ged", "expert_ged", "expert_dice", "hm_iou")
BELIEF = (
    "consensus_ece",
    "presence_bias",
    "presence_rmse",
    "empty_rate",
    "true_empty_rate",
    "ged_v",
)
DECIDING = ("mixture_ged", "expert_dice")


def main() -> int:
    """Measure every method and write the card."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("weights", "majority", "experts", "card"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--cases", type=int, default=20)
    parser.add_argument("--samples", type=int, default=16)
    arguments = parser.parse_args()
    model = load_model(arguments.weights)
    cohort = PhantomCohort(seed=HELD_OUT_SEED, cases=arguments.cases)
    known = Known(arguments.card.with_suffix(".json"), arguments.samples, len(cohort))
    truth = list(truth_slices(cohort, model.metadata))
    methods: dict[str, tuple[Path, Callable[[], Predictor]]] = {
        OURS: (arguments.weights, lambda: ModelPredictor(model)),
        "U-Net, majority vote": (
            arguments.majority,
            lambda: FixedMasks(Baseline.load(arguments.majority)),
        ),
        "U-Net, a head per expert": (
            arguments.experts,
            lambda: FixedMasks(Baseline.load(arguments.experts)),
        ),
        "U-Net, level sets of the heads": (
            arguments.experts,
            lambda: LevelSets(Baseline.load(arguments.experts)),
        ),
    }
    scored = {
        name: known.evaluation(name, path, make, truth)
        for name, (path, make) in methods.items()
        if path.exists()
    }
    bounds = {"perfect sampler": oracle(truth, arguments.samples), **humans(truth)}
    baselines = [
        Baseline.load(path) for path in (arguments.majority, arguments.experts) if path.exists()
    ]
    facts = {
        "weights_hash": content_hash(model),
        "held_out": {"seed": HELD_OUT_SEED, "cases": len(cohort), "slices": len(truth)},
        "samples": arguments.samples,
    }
    arguments.card.write_text(
        card(model, baselines, scored, bounds, calibrate(cohort), facts), encoding="utf-8"
    )
    print(arguments.card.read_text(encoding="utf-8"))
    return 0


class Known:
    """What was measured already, in a JSON file beside the card."""

    def __init__(self, path: Path, samples: int, cases: int):
        self.path = path
        self.samples = samples
        self.cases = cases
        self.found = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}

    def evaluation(
        self,
        name: str,
        file: Path,
        make: Callable[[], Predictor],
        truth: Sequence[TruthSlice],
    ) -> Evaluation:
        """Return the evaluation of a method, measured once for each state of its file."""
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        key = f"{digest}, {self.cases} cases of seed {HELD_OUT_SEED}, {self.samples} samples"
        if self.found.get(name, {}).get("key") != key:
            with Progress() as progress:
                measured = evaluate(make(), truth, self.samples, 0, progress)
            self.found[name] = {"key": key, **measured.to_dict()}
            self.path.write_text(json.dumps(self.found) + "\n", encoding="utf-8")
        return Evaluation.from_dict(self.found[name])


def card(
    model: Model,
    baselines: list[Baseline],
    scored: dict[str, Evaluation],
    bounds: dict[str, Evaluation],
    calibration: Calibration,
    facts: dict,
) -> str:
    """Return the model card as Markdown."""
    about = model.metadata
    held_out = facts["held_out"]
    return f"""# {about.title}

For demonstration and testing, **not for clinical use**. Trained on synthetic phantoms alone;
nothing here says how it draws on patients.

| | |
|---|---|
| networks | the paper's at half width: consensus and {len(model.experts)} experts |
| values | {model.parameter_count:,}, float16 |
| reads | CT, {about.intensity.low:g} to {about.intensity.high:g} HU |
| field of view | {about.patch} x {about.patch} pixels of {about.spacing_mm:g} mm around a lesion |
| draws with | {about.sampler}, {about.steps} of {model.schedule.T} steps |
| mask distance | D = {about.mask_distance:.0f} pixels |
| content hash | `{facts["weights_hash"]}` |

## How it was trained

{_training(model, baselines)}

## How good it is

{held_out["slices"]} slices of {held_out["cases"]} held-out phantoms (cohort seed
{held_out["seed"]}, which no training saw), {facts["samples"]} samples of each expert; the truth is
{DRAWS} fresh drawings by each expert. Mean [95 % interval, bootstrap over patients]. GED_U is
unbiased: 0 is a perfect sampler, and every value is an excess over that floor.

{markdown_table(scored | bounds, TRUTH)}
{markdown_table(scored | bounds, BELIEF)}
Paired differences to the rivals, which had the same slices, the same network and as many steps:

{differences_table(OURS, scored, DECIDING)}
The level-set gate of these phantoms (what level sets of the *true* marginals lose on present masks)
is {calibration.gate:.3f} ± {calibration.gate_error:.3f}; from {GATE} on, a cohort can tell
diffusion from thresholding. Their slices: marked by 1, 2, 3, 4 of the experts
{_shares(calibration.present_by_count)}; mean distance between two experts
{calibration.distance:.2f}, between two present masks {calibration.distance_present:.2f}; median
diameter {calibration.diameter:.1f} mm.

## Limits

* Simulated experts on simulated nodules: the styles are made up, and real readers do not draw so.
* One kind of lesion, near the middle of the region; give it a region of about 45 mm.
* Two-dimensional: each slice is seen alone, and the slices of a sample are kept together by
  sharing their noise.
* The spread says nothing about scans unlike its training; the program names such before it answers.
"""


def _training(model: Model, baselines: list[Baseline]) -> str:
    lines = []
    for stage, command in (("stage1", ""), ("stage2", " --from runs/stage1/model.safetensors")):
        done = model.metadata.training[stage]
        lines.append(
            f"    diffoseg train {stage} cohorts/phantom --out runs/{stage} --iterations"
            f" {done['iterations']} --batch {done['batch']} --seed {done['seed']}{command}"
        )
    times = ", ".join(
        f"{stage} {model.metadata.training[stage]['seconds'] / 60:.0f} min"
        for stage in ("stage1", "stage2")
    )
    rivals_said = "; ".join(
        f"{baseline.kind}: {baseline.training['iterations']} iterations,"
        f" {baseline.training['cpu_seconds'] / 60:.0f} CPU min"
        for baseline in baselines
    )
    return (
        "    diffoseg cohort phantom cohorts/phantom --cases 600 --seed 1\n"
        + "\n".join(lines)
        + f"\n\nWall time on one thread of a shared 2-core CPU: {times}. Rivals, each with the"
        f" iterations of both stages together: {rivals_said}.\n\n"
        "![stage I](diffoseg-phantom-stage1.png)\n\n![stage II](diffoseg-phantom-stage2.png)"
    )


def _shares(shares: tuple[float, ...]) -> str:
    return " / ".join(f"{share:.0%}" for share in shares)


if __name__ == "__main__":
    sys.exit(main())
