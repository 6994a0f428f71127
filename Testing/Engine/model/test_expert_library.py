"""The library is its files: each change is whole, told in words, and safe beside other programs."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from a_local_expert import CODE, a_file, a_local_expert, a_small_disk, fill

from diffoseg.errors import InputError, WeightsError
from diffoseg.experts.local_expert import SUFFIX, LocalExpert, load_expert, save_expert
from diffoseg.experts.panel import Expert
from diffoseg.model import expert_library
from diffoseg.model.cards import ExpertCard, read_card
from diffoseg.model.expert_library import ExpertLibrary, default_folder


@pytest.fixture
def library(tmp_path) -> ExpertLibrary:
    return ExpertLibrary(tmp_path / "experts")


def added(library: ExpertLibrary, name: str = "Cleo", **changes) -> ExpertCard:
    return library.add(a_file(library.folder.parent, a_local_expert(name, **changes)))


def names(library: ExpertLibrary) -> list[str]:
    return [card.name for card in library.cards()]


def files(library: ExpertLibrary) -> list[str]:
    """All experts' files, part of a file among them, but not the lock."""
    found = [file.relative_to(library.folder).as_posix() for file in library.folder.rglob("*")]
    return sorted(file for file in found if file not in (".lock", "disabled"))


def test_a_folder_that_is_not_there_is_an_empty_library(library):
    assert (library.cards(), library.broken(), library.enabled_for("0" * 64)) == ((), (), ())
    assert not library.folder.exists()


def test_the_folder_is_ones_own_or_the_one_that_is_asked_for(monkeypatch, tmp_path):
    monkeypatch.setenv("DIFFOSEG_EXPERTS", str(tmp_path / "elsewhere"))
    assert default_folder() == tmp_path / "elsewhere"
    monkeypatch.delenv("DIFFOSEG_EXPERTS")
    assert default_folder() == Path.home() / ".diffoseg" / "experts"


def test_an_expert_that_is_added_is_a_copy_and_enabled(library, tmp_path):
    card = added(library)

    assert library.cards() == (card,)
    assert library.is_enabled(card)
    assert library.enabled_for(card.base_hash) == (card,)
    assert library.enabled_for("0" * 64) == ()
    assert load_expert(card.path).hash == a_local_expert().hash
    (tmp_path / f"cleo{SUFFIX}").unlink()
    assert library.cards() == (card,)


def test_experts_are_listed_by_name_whatever_their_case(library):
    for name in ("dora", "Bea", "Änne", "Cleo"):
        added(library, name)
    assert names(library) == ["Bea", "Cleo", "dora", "Änne"]


def test_names_that_fall_together_in_file_names_are_told_apart(library):
    for name in ("田中", "佐藤", "CON", "a/b", "A:B", "👩‍⚕️"):
        added(library, name)

    slugs = ("a-b", "a-b-2", "expert", "expert-2", "expert-3", "expert-con")
    assert files(library) == sorted(f"{slug}{SUFFIX}" for slug in slugs)
    assert len(names(library)) == 6


def test_a_name_that_is_taken_is_refused_and_nothing_changes(library):
    cards = [added(library), library.set_enabled(added(library, "Dora"), False)]
    before = files(library)

    for name in ("Cleo", "cleo", "DORA"):
        with pytest.raises(InputError, match=r"Rename or delete it first"):
            added(library, name, code=-CODE)
    with pytest.raises(InputError, match="already"):
        library.rename(cards[0], "Dora")

    assert files(library) == before
    assert list(library.cards()) == cards


def test_the_very_same_expert_may_be_added_twice_and_stays_as_it_is(library):
    card = library.set_enabled(added(library), False)
    assert added(library) == card
    assert library.cards() == (card,)


def test_a_name_of_the_models_own_experts_is_refused(library, tmp_path):
    base = read_card()
    own = Expert(base.panel.names[1].upper())
    save_expert(LocalExpert(own, base.hash, "", "fast", np.zeros(16), 0.0), tmp_path / "x")
    with pytest.raises(InputError, match="of its own"):
        library.add(tmp_path / "x")
    assert files(library) == []

    save_expert(LocalExpert(Expert("New"), base.hash, "", "fast", np.ones(16), 0.0), tmp_path / "x")
    with pytest.raises(InputError, match="of its own"):
        library.rename(library.add(tmp_path / "x"), base.panel.names[0])


def test_renaming_keeps_what_an_expert_computes_and_changes_name_and_file(library):
    card = added(library)
    other = library.rename(card, " Dr. Ännchen ")

    assert library.cards() == (other,)
    assert (other.name, other.hash) == ("Dr. Ännchen", card.hash)
    assert (other.expert.color, other.training) == (card.expert.color, card.training)
    assert files(library) == [f"dr-nnchen{SUFFIX}"]
    assert library.rename(other, "dr. ännchen").name == "dr. ännchen"
    for name in ("", "consensus", "a\nb"):
        with pytest.raises(InputError, match="cannot be"):
            library.rename(library.cards()[0], name)


def test_who_is_disabled_is_not_offered_and_can_come_back(library):
    card, other = added(library), added(library, "Dora")
    away = library.set_enabled(card, False)

    assert names(library) == ["Cleo", "Dora"]
    assert not library.is_enabled(away)
    assert library.enabled_for(card.base_hash) == (other,)
    assert library.rename(away, "Cléo").path.parent.name == "disabled"
    back = library.set_enabled(library.cards()[0], True)
    assert library.is_enabled(back)
    assert library.set_enabled(back, True) == back
    assert len(library.enabled_for(card.base_hash)) == 2


def test_exporting_writes_the_same_expert_anywhere(library, tmp_path):
    card = added(library)
    library.export(card, tmp_path / "out")
    assert load_expert(tmp_path / "out").hash == card.hash
    with pytest.raises(InputError, match=r"^out: cannot be written"):
        library.export(card, tmp_path / "nowhere" / "out")


def test_deleting_takes_the_file_away_and_may_be_said_twice(library):
    card = added(library)
    library.delete(card)
    library.delete(card)
    assert files(library) == []


def test_files_that_are_no_experts_are_left_out_and_named(library, tmp_path):
    card = added(library)
    (library.folder / f"broken{SUFFIX}").write_bytes(b"x")
    (library.folder / f"folder{SUFFIX}").mkdir()
    (library.folder / "notes.txt").write_text("mine")
    save_expert(a_local_expert("CLEO", code=-CODE), library.folder / f"twin{SUFFIX}")

    assert library.cards() == (card,)
    told = {path.name: sentence for path, sentence in library.broken()}
    assert set(told) == {f"{name}{SUFFIX}" for name in ("broken", "folder", "twin")}
    assert "'CLEO'" in told[f"twin{SUFFIX}"]
    assert not any(str(tmp_path) in sentence for sentence in told.values())
    with pytest.raises(WeightsError):
        library.add(library.folder / f"broken{SUFFIX}")


def test_a_file_that_goes_while_the_list_is_read_is_simply_not_there(library, monkeypatch):
    cards = added(library), added(library, "Dora")
    real = expert_library.read_expert_card

    def gone_first(path: Path) -> ExpertCard:
        if path == cards[0].path:
            path.unlink()  # as another program does, after the folder was listed
        return real(path)

    monkeypatch.setattr(expert_library, "read_expert_card", gone_first)
    assert library.cards() == (cards[1],)
    assert library.broken() == ()


@pytest.mark.parametrize("how", ["gone", "another", "damaged"])
def test_a_card_whose_file_is_another_one_by_now_is_refused_in_words(library, tmp_path, how):
    card = added(library)
    if how == "gone":
        card.path.unlink()
    elif how == "another":
        save_expert(a_local_expert("Eve"), card.path)
    else:
        card.path.write_bytes(b"")
    before = [(library.folder / file).read_bytes() for file in files(library)]

    changes = [
        lambda: library.rename(card, "Dora"),
        lambda: library.set_enabled(card, False),
        lambda: library.export(card, tmp_path / "out"),
        *([] if how == "gone" else [lambda: library.delete(card)]),
    ]
    for change in changes:
        with pytest.raises(InputError, match=r"'Cleo' was changed or removed"):
            change()
    assert [(library.folder / file).read_bytes() for file in files(library)] == before


def test_a_folder_that_cannot_be_is_told_in_words(tmp_path):
    (tmp_path / "file").write_text("")
    library = ExpertLibrary(tmp_path / "file" / "experts")
    with pytest.raises(InputError, match="folder of your experts") as caught:
        added(ExpertLibrary(tmp_path / "file"))
    assert str(tmp_path) not in str(caught.value)
    assert library.cards() == ()


def test_a_full_disk_changes_nothing_and_can_be_cleared(tmp_path):
    with a_small_disk(tmp_path) as disk:
        library = ExpertLibrary(disk / "experts")
        cleo = library.add(a_file(tmp_path, a_local_expert("Cleo", training={"log": "x" * 9000})))
        before = files(library)
        fill(disk)
        with pytest.raises(InputError, match="free some space"):
            library.add(a_file(tmp_path, a_local_expert("Dora")))
        with pytest.raises(InputError, match="free some space"):
            library.rename(cleo, "Eve")
        assert (files(library), library.cards()) == (before, (cleo,))
        library.delete(cleo)
        assert files(library) == []


ANOTHER_PROGRAM = """
import sys
from pathlib import Path
from diffoseg.errors import InputError
from diffoseg.model.expert_library import ExpertLibrary
library, source = ExpertLibrary(Path(sys.argv[1])), Path(sys.argv[2])
print("ready", flush=True)
sys.stdin.readline()
for file in sorted(source.iterdir()):
    try:
        library.add(file)
        print("added", file.stem.split("-")[0], flush=True)
    except InputError as error:
        assert "already" in str(error), error
    assert not library.broken(), library.broken()
"""


def started(code: str, *arguments: object) -> subprocess.Popen:
    package = str(Path(expert_library.__file__).parents[2])
    process = subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": package},
    )
    assert process.stdout.readline() == "ready\n"
    return process


def test_of_two_programs_that_add_the_same_names_one_wins_each_time(library, tmp_path):
    programs = []
    for who in range(2):
        source = tmp_path / f"of-{who}"
        source.mkdir()
        for number in range(25):
            expert = a_local_expert(f"E {number}", code=CODE + who)
            save_expert(expert, source / f"{number:02}-{SUFFIX}")
        programs.append(started(ANOTHER_PROGRAM, library.folder, source))
    for program in programs:
        program.stdin.write("go\n")
        program.stdin.flush()
    told = [program.communicate()[0] for program in programs]

    assert [program.returncode for program in programs] == [0, 0]
    assert sorted("".join(told).split()) == sorted(
        ["added"] * 25 + [f"{number:02}" for number in range(25)]
    )
    assert len(library.cards()) == len(files(library)) == 25
    assert library.broken() == ()


RESTLESS = """
import sys
from itertools import cycle
from pathlib import Path
from diffoseg.model.expert_library import ExpertLibrary
library = ExpertLibrary(Path(sys.argv[1]))
(card,) = library.cards()
print("ready", flush=True)
for name, enabled in cycle([("One", True), ("Two", False), ("Two", True), ("Three", False)]):
    card = library.set_enabled(library.rename(card, name), enabled)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL here")
def test_a_kill_at_any_moment_loses_no_expert_and_doubles_none(library):
    hash_of_one = added(library, "One").hash
    wait = random.Random(0)
    for _ in range(6):
        program = started(RESTLESS, library.folder)
        time.sleep(wait.uniform(0.01, 0.1))
        program.kill()
        program.communicate()

        (card,) = library.cards()
        assert card.hash == hash_of_one
        assert library.broken() == ()

    library.delete(card)
    assert files(library) == []  # no half-written rest of what describes a person


def test_what_a_kill_left_half_written_goes_with_the_next_change_and_nothing_else(library):
    card = added(library)
    (library.folder / f".cleo{SUFFIX}.1234.part").write_bytes(b"half")
    others = [f".part-1-scan{SUFFIX}", ".scan.nrrd.part", f"deeper/.cleo{SUFFIX}.1234.part"]
    (library.folder / "deeper").mkdir()
    for other in others:  # as where one's experts lie in a folder with much else
        (library.folder / other).write_bytes(b"half")

    library.set_enabled(card, False)

    assert set(files(library)) == {*others, "deeper", f"disabled/cleo{SUFFIX}"}
