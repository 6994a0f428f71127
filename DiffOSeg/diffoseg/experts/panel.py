"""Experts: who a model can draw like, in which order and in which colour."""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ..errors import InputError

CONSENSUS = "consensus"

Color = tuple[float, float, float]

_LONGEST_NAME = 200
_ALIKE = 0.02  # beyond what a colour loses in 8 bits

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

# Of Paul Tol's "muted" scheme, made for the same purpose: those that are far from the ones above.
_MORE_COLORS: tuple[Color, ...] = (
    (0.53, 0.13, 0.33),
    (0.27, 0.67, 0.60),
    (0.20, 0.13, 0.53),
    (0.60, 0.60, 0.20),
    (0.67, 0.27, 0.60),
    (0.07, 0.47, 0.20),
)

# Two of the signs that show nothing join letters in Persian, and people in an emoji.
_JOINERS = str.maketrans("", "", "\u200c\u200d")


def display_name(name: str) -> str:
    """Return an expert's name as shown; the consensus gets its capital letter."""
    return "Consensus" if name == CONSENSUS else name


def check_name(name: str) -> None:
    """Raise InputError where a text cannot be an expert's name.

    A name is 1..200 printable characters of one line that are more than spaces, and not
    "consensus".
    """
    said = name.strip() and len(name) <= _LONGEST_NAME and name.translate(_JOINERS).isprintable()
    if not said or not name.translate(_JOINERS).strip() or name_key(name) == CONSENSUS:
        raise InputError(f"{name!r:.80} cannot be an expert's name. Choose another one.")


def name_key(name: str) -> str:
    """Return what two names share that people take for the same: "ANN " and "Ann"."""
    return unicodedata.normalize("NFKC", name).strip().casefold()


def slug_of(name: str) -> str:
    """Return a name that is safe in file names everywhere, 1..47 of the signs a-z, 0-9 and "-"."""
    slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:40] or "expert"
    reserved = re.fullmatch(r"(con|prn|aux|nul|com\d|lpt\d)", slug)  # by Windows
    return f"expert-{slug}" if reserved else slug


def unused_color(taken: Sequence[Color]) -> Color:
    """Return a colour for a new expert: the first that is not taken, else the least taken one."""
    return min(_PALETTE + _MORE_COLORS, key=lambda color: sum(_alike(color, c) for c in taken))


def _alike(one: Color, other: Color) -> bool:
    return all(abs(a - b) < _ALIKE for a, b in zip(one, other, strict=True))


@dataclass(frozen=True)
class Expert:
    """One person, or one simulated person, in whose style the model can draw.

    Attributes:
        name: what people call this expert.
        description: a line for people.
        color: red-green-blue in 0..1; None takes that of the place in the panel.
    """

    name: str
    description: str = ""
    color: Color | None = None

    def __post_init__(self) -> None:
        color = self.color
        if color is not None and not (len(color) == 3 and all(0 <= part <= 1 for part in color)):
            raise InputError(f"{color!r:.80} is no colour: use red, green and blue in 0..1.")


class ExpertPanel(Sequence[Expert]):
    """The experts of one model, in the order of the model's own rows.

    The consensus is not among them. Names are unique, and each is one that ``check_name`` lets be.
    """

    def __init__(self, experts: Sequence[Expert]):
        names = [expert.name for expert in experts]
        if len(set(names)) != len(names):
            raise InputError(f"Two experts share a name: {', '.join(names)}. Rename one of them.")
        for name in names:
            check_name(name)
        self._experts = tuple(experts)

    @classmethod
    def of(cls, *names: str) -> "ExpertPanel":
        """Return a panel of experts that have nothing but a name."""
        return cls([Expert(name) for name in names])

    def joined_by(self, newcomers: Sequence[Expert]) -> "ExpertPanel":
        """Return the panel with more experts after its own.

        Raises InputError where a newcomer has a name that people would take for another's.
        """
        known = {name_key(name): name for name in self.names}
        for name in (expert.name for expert in newcomers):
            if other := known.get(name_key(name)):
                raise InputError(
                    f"The name {name!r:.80} is taken by the expert {other!r:.80}. Rename the new"
                    " one."
                )
            known[name_key(name)] = name
        return ExpertPanel([*self, *newcomers])

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
        index = self.index_of(name)
        return self[index].color or _PALETTE[index % len(_PALETTE)]

    def slugs(self) -> dict[str, str]:
        """Map the consensus and every expert to a name that is safe in file names everywhere.

        Names that fall together ("Ärztin 1", "Arztin 1") are told apart by a number.
        """
        taken: dict[str, str] = {}
        for name in (CONSENSUS, *self.names):
            base = slug = slug_of(name)
            count = 2
            while slug in taken.values():
                slug, count = f"{base}-{count}", count + 1
            taken[name] = slug
        return taken
