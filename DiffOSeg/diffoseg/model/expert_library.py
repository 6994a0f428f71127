"""The experts that were taught here: a folder of their files, which is all the state there is.

A disabled expert's file lies in the folder's "disabled". Each change is one file that appears,
changes its name or goes, so that a crash leaves the experts as they were before or after it; a
lock keeps two programs from giving the same name twice.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from ..errors import InputError, WeightsError
from ..experts.local_expert import SUFFIX, LocalExpert, load_expert, renamed, save_expert
from ..experts.panel import name_key, slug_of
from .cards import ExpertCard, available_cards, card_of, read_expert_card

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

FOLDER_VARIABLE = "DIFFOSEG_EXPERTS"
"""Environment variable with the folder of one's own experts."""

_DISABLED = "disabled"
_LOCK = ".lock"


def default_folder() -> Path:
    """Return where this person's experts are kept; the folder need not be there."""
    own = os.environ.get(FOLDER_VARIABLE)
    return Path(own) if own else Path.home() / ".diffoseg" / "experts"


class ExpertLibrary:
    """The expert files of one folder, read anew at each question.

    Whatever changes the library raises InputError, in words, where a file cannot be written or is
    not there any more.
    """

    def __init__(self, folder: Path):
        self.folder = folder

    def cards(self) -> tuple[ExpertCard, ...]:
        """Return all experts that can be used or enabled, sorted by name."""
        return self._read()[0]

    def broken(self) -> tuple[tuple[Path, str], ...]:
        """Return the files that are left out, each with a sentence that says why."""
        return self._read()[1]

    def is_enabled(self, card: ExpertCard) -> bool:
        """Say whether an expert is offered to those who segment."""
        return card.path.parent == self.folder

    def enabled_for(self, base_hash: str) -> tuple[ExpertCard, ...]:
        """Return the enabled experts that were taught to one base model, sorted by name."""
        return tuple(
            card for card in self.cards() if card.base_hash == base_hash and self.is_enabled(card)
        )

    def add(self, path: Path) -> ExpertCard:
        """Copy an expert file into the library, enabled, unless this very expert is there already.

        Raises:
            WeightsError: it is no expert file; see ``load_expert``.
            InputError: its name is taken.
        """
        expert = load_expert(path)
        with self._locked():
            for card in self.cards():
                if (card.name, card.hash) == (expert.name, expert.hash):
                    return card
            self._check_free(expert)
            goal = self._unused(self.folder, expert.name)
            save_expert(expert, goal)
        return card_of(expert, goal)

    def rename(self, card: ExpertCard, name: str) -> ExpertCard:
        """Give an expert another name; raises InputError where it is taken or cannot be one."""
        with self._locked():
            other = renamed(self._still(card), name.strip())
            self._check_free(other, besides=card.path)
            save_expert(other, card.path)  # at once, under the file's old name
            return card_of(other, self._moved(card.path, card.path.parent, other.name))

    def set_enabled(self, card: ExpertCard, enabled: bool) -> ExpertCard:
        """Offer an expert to those who segment, or do not."""
        folder = self.folder if enabled else self.folder / _DISABLED
        with self._locked():
            self._still(card)
            if card.path.parent == folder:
                return card
            return replace(card, path=self._moved(card.path, folder, card.name))

    def export(self, card: ExpertCard, path: Path) -> None:
        """Write an expert to a file of one's choice, replacing what is there."""
        save_expert(self._still(card), path)

    def delete(self, card: ExpertCard) -> None:
        """Delete an expert's file; nothing happens where it is gone already."""
        with self._locked(), self._in_words(card.path):
            if card.path.exists():
                self._still(card)
                card.path.unlink(missing_ok=True)

    def _files(self) -> list[Path]:
        """Return the enabled experts' files, then the disabled ones', each sorted."""
        return [file for file in self._named(f"*{SUFFIX}") if not file.name.startswith(".")]

    def _named(self, pattern: str) -> list[Path]:
        """Return what lies in the two folders and is named like this, the enabled ones' first."""
        folders = (self.folder, self.folder / _DISABLED)
        return [file for folder in folders for file in sorted(folder.glob(pattern))]

    def _read(self) -> tuple[tuple[ExpertCard, ...], tuple[tuple[Path, str], ...]]:
        cards: list[ExpertCard] = []
        broken: list[tuple[Path, str]] = []
        names = self._base_names()
        for file in self._files():
            try:
                card = read_expert_card(file)
            except WeightsError as error:
                if file.exists():  # else another program has just taken it away
                    broken.append((file, str(error)))
                continue
            others = {name_key(card.name) for card in cards} | names.get(card.base_hash, set())
            if name_key(card.name) in others:
                why = f"{file.name}: another expert is called {card.name!r:.80}, too. Delete one."
                broken.append((file, why))
            else:
                cards.append(card)
        return tuple(sorted(cards, key=lambda card: name_key(card.name))), tuple(broken)

    def _base_names(self) -> dict[str, set[str]]:
        """Return the names that each available model's own experts have, by its hash."""
        return {card.hash: set(map(name_key, card.panel.names)) for card in available_cards()}

    def _check_free(self, expert: LocalExpert, besides: Path | None = None) -> None:
        name = expert.name
        taken = {name_key(card.name) for card in self.cards() if card.path != besides}
        if name_key(name) in taken:
            raise InputError(
                f"There is an expert {name!r:.80} already. Rename or delete it first, or choose"
                " another name."
            )
        if name_key(name) in self._base_names().get(expert.base_hash, set()):
            raise InputError(
                f"The model has an expert {name!r:.80} of its own. Choose another name."
            )

    def _still(self, card: ExpertCard) -> LocalExpert:
        """Return the expert of a card; raises InputError where its file is another one by now."""
        try:
            expert = load_expert(card.path)
            if (expert.name, expert.hash) == (card.name, card.hash):
                return expert
        except WeightsError:
            pass  # it is as good as gone
        raise InputError(
            f"The expert {card.name!r:.80} was changed or removed by another program. Look at the"
            " list again."
        )

    def _moved(self, path: Path, folder: Path, name: str) -> Path:
        """Move an expert's file to a folder and the file name that its name asks for."""
        if path.parent == folder and path.name == f"{slug_of(name)}{SUFFIX}":
            return path
        goal = self._unused(folder, name)
        with self._in_words(path):
            folder.mkdir(parents=True, exist_ok=True)
            path.rename(goal)
        return goal

    def _unused(self, folder: Path, name: str) -> Path:
        slug, count = slug_of(name), 2
        goal = folder / f"{slug}{SUFFIX}"
        while goal.exists():
            goal, count = folder / f"{slug}-{count}{SUFFIX}", count + 1
        return goal

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Keep other programs from changing the library; a lock goes with the one who holds it."""
        with self._in_words(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            lock = (self.folder / _LOCK).open("wb")
        with lock:
            with suppress(OSError):  # some network drives know no locks
                if sys.platform == "win32":
                    msvcrt.locking(lock.fileno(), msvcrt.LK_LOCK, 1)
                else:
                    fcntl.flock(lock, fcntl.LOCK_EX)
                for part in self._named(f".*{SUFFIX}.*.part"):  # of who was killed while writing
                    part.unlink()
            yield

    @contextmanager
    def _in_words(self, path: Path) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise InputError(
                f"{path.name}: cannot be changed ({error.strerror}). Check that the folder of your"
                " experts is writable."
            ) from error
