"""What is asked of a training, frozen; or what stands in its way, in a sentence."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import cast

from slicer.i18n import tr as _

from diffoseg.errors import InputError
from diffoseg.experts.panel import Expert, check_name, name_key, unused_color
from diffoseg.model.cards import ModelCard, read_card
from diffoseg.model.expert_library import ExpertLibrary
from diffoseg.worker.job import DeviceChoice

from ..cases.CaseChecks import Findings
from ..cases.CaseRows import CaseRow
from ..cases.SceneCases import patientKeys
from ..cases.TrainingParameters import TrainingParameterNode


@dataclass(frozen=True)
class AskedCase:
    """One case of a training.

    Attributes:
        row: of the table; a node that is deleted before it is handed over ends the training.
        number: of the row in the table, from 1.
        patient: what cases of one patient have in common; see ``SceneCases.patientKeys``.
        more: other rows of the same volume and region: each alone would teach that what the others
            mark is left out.
    """

    row: CaseRow
    number: int
    patient: str
    more: tuple[CaseRow, ...] = ()


@dataclass(frozen=True)
class TrainingRequest:
    """What is asked for one expert.

    Attributes:
        expert: who is taught.
        cases: what this expert drew.
        card: of the base model.
        corrects: an expert of that model to begin with; "" for none.
        device, seed: as ``TrainingJob`` has them.
    """

    expert: Expert
    cases: tuple[AskedCase, ...]
    card: ModelCard
    corrects: str = ""
    device: DeviceChoice = "auto"
    seed: int = 0


def requestsFor(
    wanted: str,
    parameters: TrainingParameterNode,
    rows: Sequence[CaseRow],
    checks: Sequence[Findings | None],
    library: ExpertLibrary,
) -> list[TrainingRequest]:
    """Return what is asked of the worker, one request for each expert.

    Args:
        wanted: whose cases to learn; "" is everyone's.
        parameters: the panel's settings.
        rows: the table.
        checks: what is wrong with each row; None where that is not known yet.
        library: the experts that have been taught.

    Raises:
        InputError: something is missing or wrong; the sentence says what to do.
        WeightsError: the base model is missing or damaged.
    """
    card = _teachable(parameters)
    own = parameters.expertName.strip()
    cases = _casesByExpert(wanted.strip(), own, rows, checks)
    others = library.cards()
    taught = {name_key(other.name) for other in others}
    colors = [card.panel.color_of(name) for name in card.panel.names]
    colors += [other.expert.color for other in others if other.expert.color is not None]
    requests = []
    for name, found in cases.items():
        _requireFree(name, taught, card)
        colors.append(unused_color(colors))
        about = parameters.description if name_key(name) == name_key(own) else ""
        requests.append(
            TrainingRequest(
                expert=Expert(name, about, colors[-1]),
                cases=tuple(found),
                card=card,
                corrects=parameters.corrects,
                device=cast(DeviceChoice, parameters.device),
                seed=int(parameters.seed),
            )
        )
    return requests


def _teachable(parameters: TrainingParameterNode) -> ModelCard:
    """Return the base model's card."""
    card = read_card(parameters.model or None)
    if card.metadata.kind != "fast":
        raise InputError(
            _(
                "{title} is of the published kind, which cannot be taught. Choose a model of the"
                " fast kind."
            ).format(title=card.title)
        )
    if parameters.corrects and parameters.corrects not in card.panel.names:
        raise InputError(
            _("The model has no expert {name} to begin with. It knows: {names}.").format(
                name=parameters.corrects, names=", ".join(card.panel.names)
            )
        )
    return card


def _casesByExpert(
    wanted: str, own: str, rows: Sequence[CaseRow], checks: Sequence[Findings | None]
) -> Mapping[str, list[AskedCase]]:
    """Return whose cases are to be learnt, by the first spelling of a name."""
    patients = patientKeys(rows)
    cases: dict[str, dict[object, AskedCase]] = {}
    spelt: dict[str, str] = {}
    for number, (row, found) in enumerate(zip(rows, checks, strict=True), start=1):
        name = row.drawnBy(own)
        if not wanted or name_key(name) == name_key(wanted):
            _requireFine(number, name, found)
            mine = cases.setdefault(spelt.setdefault(name_key(name), name), {})
            scan = (row.volume, row.roi)
            if scan in mine:
                mine[scan] = replace(mine[scan], more=(*mine[scan].more, row))
            else:
                mine[scan] = AskedCase(row, number, patients[row.id])
    if not cases and wanted:
        raise InputError(
            _("There are no cases of {name}. Say in the table which are.").format(name=wanted)
        )
    if not cases:
        raise InputError(_("There are no cases. Add a volume and its segment first."))
    return {name: list(mine.values()) for name, mine in cases.items()}


def _requireFine(number: int, expertName: str, found: Findings | None) -> None:
    if not expertName:
        raise InputError(
            _("Case {number} does not say who drew it. Type the expert's name.").format(
                number=number
            )
        )
    if found is None:
        raise InputError(_("Case {number} is being looked at. Wait.").format(number=number))
    for finding in found:
        if finding.kind == "error":
            raise InputError(
                _("Case {number}: {problem}").format(number=number, problem=finding.sentence)
            )


def _requireFree(name: str, taught: set[str], card: ModelCard) -> None:
    check_name(name)
    if name_key(name) in taught:
        raise InputError(
            _(
                "There is an expert {name} already. Choose another name, or rename or delete the"
                " one that is there."
            ).format(name=name)
        )
    if name_key(name) in map(name_key, card.panel.names):
        raise InputError(
            _(
                "{name} is an expert of the model itself. Choose another name; to begin with"
                " {name}, choose it under what is corrected."
            ).format(name=name)
        )
