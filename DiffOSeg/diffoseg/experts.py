"""Experts: who a model can draw like, in which order and in which colour."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from .errors import InputError

CONSENSUS = "consensus"

Color = tuple[float, float, float]

_LONGEST_NAME = 200

CONSENSUS_COLOR: Color = (1.0, 0.84, 0.0)

# Okabe and Ito's palette, told apart under every common colour blindness; yellow is the consensus.
_PALETTE: tuple[Color, ...] = (
    (0.34, 0.71, 0.91),
    (0.84, 0.37, 0.00),
    (0.00, 0.62, 0.45),
    (0.80, 0.47, 0.65),
    (0.00, 0.45, 0.70),
    (0.90, 0.62, 0.00),
)


def display_name(name: str) -> str:
    """Return an expert's name as shown; the consensus gets its capital letter."""
    return "Consensus" if name == CONSENSUS else name


@dataclass(frozen=True)
class Expert:
    """One person, or one simulated person, in whose style the model can draw."""

    name: str
    description: str = ""


class ExpertPanel(Sequence[Expert]):
    """The experts of one model, in the order of the model's own rows.

    The consensus is not among them. Names are unique, printable, of 1..200 characters, and none is
    "consensus".
    """

    def __init__(self, experts: Sequence[Expert]):
        names = [expert.name for expert in experts]
        if len(set(names)) != len(names):
            raise InputError(f"Two experts share a name: {', '.join(names)}. Rename one of them.")
        for name in names:
            said = name.strip() and name.isprintable() and len(name) <= _LONGEST_NAME
            if not said or name.strip().lower() == CONSENSUS:
                raise InputError(f"{name!r:.80} cannot be an expert's name. Choose another one.")
        self._experts = tuple(experts)

    @classmethod
    def of(cls, *names: str) -> "ExpertPanel":
        """Return a panel of experts that have nothing but a name."""
        return cls([Expert(name) for name in names])

    def __len__(self) -> int:
        return len(self._experts)

    def __getitem__(self, index):  # type: ignore[no-untyped-def]
        return self._experts[index]

    def __iter__(self) -> Iterator[Expert]:
        return iter(self._experts)

    @property
    def names(self) -> tuple[str, ...]:
        """The experts' names in the model's order."""
        return tuple(expert.name for expert in self._experts)

    def index_of(self, name: str) -> int:
        """Return the row of the expert called ``name``; raises InputError listing all there are."""
        if name not in self.names:
            known = ", ".join((CONSENSUS, *self.names))
            raise InputError(f"There is no expert {name!r} in this model. It knows: {known}.")
        return self.names.index(name)

    def color_of(self, name: str) -> Color:
        """Return the fixed colour, red-green-blue in 0..1, of an expert or of the consensus."""
        if name == CONSENSUS:
            return CONSENSUS_COLOR
        return _PALETTE[self.index_of(name) % len(_PALETTE)]

    def slugs(self) -> dict[str, str]:
        """Map the consensus and every expert to a name that is safe in file names everywhere.

        Names that fall together ("Ärztin 1", "Arztin 1") are told apart by a number.
        """
        taken: dict[str, str] = {}
        for name in (CONSENSUS, *self.names):
            base = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:40] or "expert"
            if re.fullmatch(r"(con|prn|aux|nul|com\d|lpt\d)", base):
                base = f"expert-{base}"
            slug, count = base, 2
            while slug in taken.values():
                slug, count = f"{base}-{count}", count + 1
            taken[name] = slug
        return taken
