"""What models and taught experts say of themselves, read without torch; which models there are.

The header of a safetensors file is JSON in front of the tensors; a card needs nothing else, so that
Slicer's own process can list the models and their experts. Nothing of the tensors is checked here:
``weights.load_model`` does that.
"""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from ..errors import InputError, WeightsError
from ..experts.local_expert import EXPERT_FORMAT, LocalExpert, load_expert
from ..experts.panel import CONSENSUS, Expert, ExpertPanel
from ..files.header import changed, damaged, header_bytes, parsed, texts_of
from ..files.values import one_line
from .metadata import ModelMetadata

DEFAULT_MODEL = "diffoseg-lidc"
PHANTOMS = "diffoseg-phantom"
"""A model of simulated experts, whose truth is known."""

FORMAT = "diffoseg-model"
FORMAT_VERSION = 1
NETWORKS = ("consensus", "personal", "fast")
FOLDERS_VARIABLE = "DIFFOSEG_MODELS"
"""Environment variable with folders of one's own models, parted as in PATH; looked at first."""

# The build copies the default weights into the package; a checkout has them in its Resources.
_FOLDERS = (
    Path(__file__).resolve().parents[1] / "_models",
    Path(__file__).resolve().parents[3] / "Resources" / "Models",
)


@dataclass(frozen=True)
class ModelCard:
    """What a model file says of itself.

    Attributes:
        name: the file's name without its ending.
        path: the file.
        title: a line for people.
        notice: what must be said wherever its answers are shown; may be empty.
        panel: the experts that it can draw like, in its own order.
        has_consensus: whether it can draw the consensus.
        metadata: everything else, such as the grid it works on.
        hash: SHA-256 of its content in hexadecimal, as the file states it.
    """

    name: str
    path: Path
    title: str
    notice: str
    panel: ExpertPanel
    has_consensus: bool
    metadata: ModelMetadata
    hash: str

    @property
    def answers(self) -> tuple[str, ...]:
        """Who can be asked: "consensus" where there is one, then the experts."""
        return ((CONSENSUS,) if self.has_consensus else ()) + self.panel.names

    def with_experts(self, cards: "Sequence[ExpertCard]") -> "ModelCard":
        """Return the card of this model with local experts after its own.

        Args:
            cards: of experts that were taught to this model; others are the caller's to leave out.

        Raises InputError where a name is taken.
        """
        return replace(self, panel=self.panel.joined_by([card.expert for card in cards]))


def require_free(path: Path) -> None:
    """Raise InputError where a model is to be written over a file that is no model of ours."""
    if not path.exists():
        return
    try:
        read_card(path)
    except WeightsError:
        raise InputError(
            f"{path.name} is there already and is no model of DiffOSeg. Give another name."
        ) from None


def available_models() -> dict[str, Path]:
    """Return the models that come with the program or lie in one's own folders, name to file."""
    own = filter(None, os.environ.get(FOLDERS_VARIABLE, "").split(os.pathsep))
    folders = (*map(Path, own), *_FOLDERS)
    files = [file for folder in folders for file in sorted(folder.glob("*.safetensors"))]
    return {file.stem: file for file in reversed(files) if file.is_file()}


def available_cards() -> tuple[ModelCard, ...]:
    """Return the cards of the available models, the default first; broken files are left out."""
    names = sorted(available_models(), key=lambda name: (name != DEFAULT_MODEL, name))
    cards = []
    for name in names:
        try:
            cards.append(read_card(name))
        except WeightsError:
            continue
    return tuple(cards)


def read_card(path_or_name: str | Path | None = None) -> ModelCard:
    """Return what a model file says of itself, from its header alone.

    Args:
        path_or_name: a file, or a name in ``available_models``; None or "" is the default model.

    Raises:
        WeightsError: there is no such file, it is no model of this program, of a newer format, or
            its description is damaged.
    """
    path = find_model(path_or_name)
    return _card(path, header_bytes(path))


@lru_cache(maxsize=8)
def _card(path: Path, written: bytes) -> ModelCard:
    """Return what a header says; kept, since panels ask at each tick and files seldom change."""
    header = texts_of(path.name, written)
    check_format(path.name, header)
    networks, described, experts = (
        parsed(path.name, header, part) for part in ("networks", "metadata", "experts")
    )
    if not isinstance(networks, dict) or not networks or networks.keys() - set(NETWORKS):
        raise changed(path.name)
    if not re.fullmatch("[0-9a-f]{64}", header.get("content_hash", "")):
        raise changed(path.name)
    metadata = ModelMetadata.from_values(described)
    return ModelCard(
        name=path.stem,
        path=path,
        title=one_line(metadata.title) or path.stem,
        notice=one_line(str(metadata.training.get("notice", ""))),
        panel=_panel(path.name, experts if networks.keys() & {"personal", "fast"} else []),
        has_consensus=bool(networks.keys() & {"consensus", "fast"}),
        metadata=metadata,
        hash=header["content_hash"],
    )


def find_model(path_or_name: str | Path | None) -> Path:
    """Return the file of a model; raises WeightsError where there is none, listing those known."""
    names = available_models()
    path_or_name = path_or_name or DEFAULT_MODEL
    if isinstance(path_or_name, str) and path_or_name in names:
        return names[path_or_name]
    path = Path(path_or_name)
    if path.is_file():
        return path
    known = ", ".join(sorted(names)) or "none"
    what = "is a folder, not a weights file" if path.is_dir() else "there is no such weights file"
    raise WeightsError(
        f"{path.name}: {what}. Give a .safetensors file or a model that came with the program"
        f" ({known})."
    )


def check_format(file: str, header: Mapping[str, str]) -> None:
    """Raise WeightsError unless a header's text map is that of a model that this version reads."""
    if header.get("format") == EXPERT_FORMAT:
        raise WeightsError(
            f"{file}: holds an expert, not the model that the expert was taught to. Choose that"
            " model, and give this file as an expert."
        )
    if header.get("format") != FORMAT:
        raise WeightsError(
            f"{file}: is not a DiffOSeg model. A checkpoint of the research code is imported with"
            " `diffoseg import`."
        )
    version = header.get("format_version", "")
    if not (version.isascii() and version.isdigit() and len(version) < 10):
        raise damaged(file)
    if int(version) > FORMAT_VERSION:
        raise WeightsError(
            f"{file}: made by a newer DiffOSeg (format {version}, this one reads"
            f" {FORMAT_VERSION}): update the extension."
        )


def _panel(file: str, experts: Any) -> ExpertPanel:
    try:
        return ExpertPanel([Expert(str(e["name"]), str(e["description"])) for e in experts])
    except (LookupError, TypeError, InputError) as error:
        raise WeightsError(
            f"{file}: does not name its experts as this version knows them."
            " Update the extension or get the file again."
        ) from error


@dataclass(frozen=True)
class ExpertCard:
    """What an expert's file says of itself; attributes as of ``LocalExpert``."""

    path: Path
    expert: Expert
    base_hash: str
    base_title: str
    kind: str
    training: Mapping[str, Any]
    code_version: str
    hash: str

    @property
    def name(self) -> str:
        """The expert's name."""
        return self.expert.name


def read_expert_card(path: str | Path) -> ExpertCard:
    """Return what an expert's file says of itself; raises as ``load_expert`` does."""
    return card_of(load_expert(path), Path(path))


def card_of(expert: LocalExpert, path: Path) -> ExpertCard:
    """Return the card of an expert that lies in a file."""
    return ExpertCard(
        path,
        expert.expert,
        expert.base_hash,
        expert.base_title,
        expert.kind,
        expert.training,
        expert.code_version,
        expert.hash,
    )
