"""What the commands under ``diffoseg train`` do, once their arguments are read.

Heavy packages are imported inside, so that the command line itself answers at once.
"""

from argparse import Namespace
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from shutil import rmtree
from typing import TYPE_CHECKING

from ..errors import InputError
from .progress import Progress
from .text import networks_of

if TYPE_CHECKING:
    from ..cohorts.case import Case
    from ..experts.panel import Expert, ExpertPanel
    from ..model.metadata import ModelMetadata
    from ..model.model import Model
    from ..training.loop import LoopSettings
    from ..training.slices import SliceSet

MODEL_FILE = "model.safetensors"
PERSONS, ORDER_STATISTICS = "persons", "order-statistics"


def stage1(arguments: Namespace) -> None:
    """Train a consensus network on a cohort."""
    from ..device.choice import chosen_device
    from ..networks.config import compact_config, published_config
    from ..training.prepare import prepare
    from ..training.stage1 import train_consensus

    _require_own(arguments.out)
    cohort = _cohort(arguments)
    metadata = _metadata_for(cohort[0], arguments)
    sizes = published_config if arguments.network == "published" else compact_config
    training, held_out = prepare(cohort, metadata, arguments.out, arguments.seed)
    with Progress() as progress:
        model = train_consensus(
            training,
            held_out,
            sizes("stage1", image_channels=1),
            metadata,
            _loop_settings(arguments, metadata),
            arguments.out,
            strategy=arguments.consensus,
            device=chosen_device(arguments.device),
            progress=progress,
        )
    _save_trained(model, arguments.out, _named_experts(cohort))


def fast(arguments: Namespace) -> None:
    """Train a fast network on a cohort."""
    from ..device.choice import chosen_device
    from ..training.fast import STEPS, train_fast
    from ..training.prepare import prepare

    _require_own(arguments.out)
    cohort = _cohort(arguments, readers_too=True)
    laws = _named_experts(cohort)
    metadata = replace(_metadata_for(cohort[0], arguments), kind="fast", steps=STEPS)
    training, held_out = prepare(cohort, metadata, arguments.out, arguments.seed)
    if laws is not None:  # whoever drew held-out scans alone would keep a code that nothing taught
        training = training.without_strangers(len(laws))
        held_out = held_out.drawn_by_first(len(laws))
    with Progress() as progress:
        model = train_fast(
            training,
            held_out,
            metadata,
            _loop_settings(arguments, metadata),
            arguments.out,
            named=None if laws is None else len(laws),
            mask_distance=None if laws is None else _mask_distance(training, len(laws)),
            device=chosen_device(arguments.device),
            progress=progress,
        )
    _save_trained(model, arguments.out, laws)


def stage2(arguments: Namespace) -> None:
    """Train the experts' network on a cohort, from a model of stage 1."""
    from ..device.choice import chosen_device
    from ..model.model import load_model
    from ..training.prepare import SPLIT, prepare
    from ..training.stage2 import train_personal

    _require_own(arguments.out)
    base = load_model(arguments.start)
    # The patients that stage 1 held out stay held out.
    first = Path(arguments.start).parent
    split = first if (first / SPLIT).exists() else arguments.out
    cohort = _cohort(arguments)
    training, held_out = prepare(cohort, base.metadata, split, arguments.seed)
    with Progress() as progress:
        model = train_personal(
            training,
            held_out,
            base,
            _loop_settings(arguments, base.metadata),
            arguments.out,
            device=chosen_device(arguments.device),
            progress=progress,
        )
    _save_trained(model, arguments.out, _named_experts(cohort))


def expert(arguments: Namespace) -> None:
    """Teach a fast model new experts, one after the other, from a list of cases that they drew."""
    from ..cohorts.datalist import read_datalist
    from ..device.choice import chosen_device
    from ..experts.panel import Expert
    from ..model.model import load_model
    from ..output.files import prepare_folder

    device = chosen_device(arguments.device)
    base = load_model(arguments.weights).to(device)
    cases = read_datalist(arguments.cases)
    names = tuple(arguments.expert or cases.experts)
    if not names:
        raise InputError(f"{arguments.cases.name} names no expert. Say who drew: --expert NAME.")
    base.panel.joined_by([Expert(name) for name in names])  # refuses a name that is taken
    newcomers = _newcomers((*cases.experts, *names), base)
    cohorts = {name: cases.cohort(name) for name in names}
    prepare_folder(arguments.out)
    finished = []
    for name, cohort in cohorts.items():
        newcomer, slug = newcomers[name]
        finished.append(arguments.out / f"{slug}.training")
        _teach(base, cohort, newcomer, finished[-1], slug, arguments)
    for folder in finished:  # kept until all are there, so that a run goes on where it was
        rmtree(folder)


def _newcomers(names: Sequence[str], base: "Model") -> "dict[str, tuple[Expert, str]]":
    """Return each name's expert, in a colour of its own, and what its files are called."""
    from ..experts.panel import Expert, ExpertPanel, unused_color

    names = tuple(dict.fromkeys(names))
    slugs = ExpertPanel.of(*names).slugs()
    taken = [base.panel.color_of(name) for name in base.panel.names]
    newcomers = {}
    for name in names:
        taken.append(unused_color(taken))
        newcomers[name] = Expert(name, color=taken[-1]), slugs[name]
    return newcomers


def _teach(
    base: "Model",
    cohort: "Sequence[Case]",
    newcomer: "Expert",
    folder: Path,
    slug: str,
    arguments: Namespace,
) -> None:
    """Train one expert, and write its file and its curve beside ``folder``, its checkpoint's."""
    from ..experts.local_expert import SUFFIX, save_expert, summary_of
    from ..training.expert.curve import ExpertPoint
    from ..training.expert.fit import train_expert
    from ..training.expert.picture import draw_expert_curve
    from ..training.expert.settings import ExpertSettings
    from ..training.expert.slices import expert_slices

    points: list[ExpertPoint] = []
    with Progress() as progress:
        slices = expert_slices(cohort, newcomer.name, base.metadata, progress=progress, note=_note)
        expert = train_expert(
            base,
            slices,
            newcomer,
            folder,
            corrects=arguments.corrects,
            settings=ExpertSettings(seed=arguments.seed),
            device=base.device,
            point=points.append,
            progress=progress,
        )
    file, picture = (folder.with_name(f"{slug}{ending}") for ending in (SUFFIX, ".curve.png"))
    draw_expert_curve(picture, points)
    save_expert(expert, file)
    print(f"{newcomer.name}. {summary_of(expert.training)}")
    print(f"Draw like {newcomer.name}: diffoseg segment SCAN --expert-file {file} --out DIR\n")


def _note(sentence: str) -> None:
    print(f"Note: {sentence}")


def _cohort(arguments: Namespace, *, readers_too: bool = False) -> "Sequence[Case]":
    """Return the cases of a cohort's folder, or of a data list, which is a .json file.

    Args:
        arguments: "cohort", and as "experts" how its readers become experts.
        readers_too: add the readers themselves where the experts are order statistics.

    Raises:
        InputError: the experts asked for are not those that the cohort has.
    """
    path: Path = arguments.cohort
    if path.suffix.lower() == ".json":
        from ..cohorts.datalist import read_datalist

        if arguments.experts == ORDER_STATISTICS:
            raise InputError(
                "The experts of a data list are persons. Train them as they are, without --experts."
            )
        return read_datalist(path).cohort()
    from ..cohorts.folder import read_cohort
    from ..cohorts.order_statistics import OrderStatisticsCohort

    cohort = read_cohort(path)
    if arguments.experts == ORDER_STATISTICS:
        return OrderStatisticsCohort(cohort, readers_too=readers_too, seed=arguments.seed)
    if not cohort.persistent_experts:
        raise InputError(
            f"{path.resolve().name} cannot be trained as experts {cohort.experts.names[0]} to"
            f" {cohort.experts.names[-1]}, since each of these is another person in another scan;"
            " train the laws from the tightest to the widest drawing instead: --experts"
            f" {ORDER_STATISTICS}"
        )
    return cohort


def _require_own(folder: Path) -> None:
    """Refuse a folder whose model no training made that is there: it would be replaced."""
    from ..training.run_files import CHECKPOINT

    if (folder / MODEL_FILE).exists() and not (folder / CHECKPOINT).exists():
        raise InputError(
            f"The output folder holds a {MODEL_FILE} that no training there has made. Give another"
            " folder."
        )


def _mask_distance(slices: "SliceSet", named: int) -> float:
    from ..training.objective import mask_distance_of

    return mask_distance_of(slices.drawn_by_first(named))


def _named_experts(cohort: "Sequence[Case]") -> "ExpertPanel | None":
    """Return the laws that a model shall know by name; None where the experts are persons."""
    from ..cohorts.order_statistics import OrderStatisticsCohort

    return cohort.experts if isinstance(cohort, OrderStatisticsCohort) else None


def _metadata_for(first: "Case", arguments: Namespace) -> "ModelMetadata":
    """Return what a new model says of itself, from a cohort's first case and the arguments."""
    from ..model.metadata import ModelMetadata
    from ..space.intensity import IntensityMapping

    modality = first.volume.modality or "CT"
    lung_window = IntensityMapping("window", -1000.0, 400.0)
    return ModelMetadata(
        title=f"Trained on {arguments.cohort.resolve().name}",
        image_channels=(modality,),
        intensity=lung_window if modality == "CT" else IntensityMapping("percentiles", 1.0, 99.0),
        spacing_mm=arguments.spacing,
        patch=arguments.patch,
        mask_distance=1.0,  # measured by the training
        modality=modality,
    )


def _loop_settings(arguments: Namespace, metadata: "ModelMetadata") -> "LoopSettings":
    from ..training.loop import LoopSettings

    return LoopSettings(
        iterations=arguments.iterations,
        batch=arguments.batch,
        edge=metadata.patch,
        seed=arguments.seed,
    )


def _save_trained(model: "Model", folder: Path, laws: "ExpertPanel | None") -> None:
    """Write a model, its experts described as laws where they are; says where it is."""
    from ..model.stored import save_model

    if laws is not None:
        model = replace(model, panel=laws)
    save_model(model, folder / MODEL_FILE)
    print(f"Trained {networks_of(model)}. The model is {folder / MODEL_FILE}")
    for expert in laws or ():
        print(f"  {expert.name}: {expert.description}")
