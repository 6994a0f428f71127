"""Cards say what the files hold, without torch, and nothing in a file can do harm."""

import json
import os
import struct
from pathlib import Path

import pytest

from diffoseg.errors import InputError, WeightsError
from diffoseg.experts.panel import Expert
from diffoseg.files import header as file_header
from diffoseg.model.cards import (
    DEFAULT_MODEL,
    ExpertCard,
    available_cards,
    available_models,
    find_model,
    read_card,
)

METADATA = {
    "title": "A model",
    "intensity": {"kind": "window", "low": -1000, "high": 400, "to_low": -1, "to_high": 1},
    "spacing_mm": 0.7,
    "patch": 64,
    "mask_distance": 100,
    "training": {"notice": "Not for clinical use."},
}
EXPERTS = [{"name": "Ann", "description": "wide"}, {"name": "Bob", "description": ""}]


def header(**changes: str) -> dict[str, str]:
    return {
        "format": "diffoseg-model",
        "format_version": "1",
        "metadata": json.dumps(METADATA),
        "networks": '{"consensus": {}, "personal": {}}',
        "schedule": "{}",
        "experts": json.dumps(EXPERTS),
        "content_hash": "4f1c" * 16,
        "checksum": "4f1c" * 16,
    } | changes


def metadata(**changes: object) -> str:
    return json.dumps(METADATA | changes)


def write(path: Path, texts: object = None, raw: bytes | None = None) -> Path:
    """Write a file that is a header and nothing else."""
    content = raw if raw is not None else json.dumps({"__metadata__": texts or header()}).encode()
    path.write_bytes(struct.pack("<Q", len(content)) + content)
    return path


@pytest.fixture
def own_folder(tmp_path, monkeypatch) -> Path:
    folder = tmp_path / "own"
    folder.mkdir()
    monkeypatch.setenv("DIFFOSEG_MODELS", os.pathsep.join((str(folder), "", "/nowhere")))
    return folder


def test_the_default_models_card_is_what_the_loaded_model_says():
    from diffoseg.model.model import load_model
    from diffoseg.model.stored import content_hash

    card, model = read_card(), load_model()

    assert card.name == DEFAULT_MODEL
    assert card.answers == ("consensus", *model.experts)
    assert list(card.panel) == list(model.panel)
    assert card.metadata == model.metadata
    assert card.hash == content_hash(model)
    assert card.title == model.metadata.title
    assert "not for clinical use" in card.notice


@pytest.mark.parametrize(
    ("networks", "answers"),
    [
        ('{"consensus": {}}', ("consensus",)),
        ('{"personal": {}}', ("Ann", "Bob")),
        ('{"consensus": {}, "personal": {}}', ("consensus", "Ann", "Bob")),
    ],
)
def test_a_card_answers_for_the_networks_that_the_file_holds(tmp_path, networks, answers):
    card = read_card(write(tmp_path / "m.safetensors", header(networks=networks)))

    assert card.answers == answers
    assert card.notice == "Not for clinical use."


def test_ones_own_folder_comes_before_the_models_of_the_program(own_folder):
    assert read_card().path.parent != own_folder
    write(own_folder / f"{DEFAULT_MODEL}.safetensors")

    assert read_card().title == "A model"
    assert find_model("") == find_model(None) == own_folder / f"{DEFAULT_MODEL}.safetensors"


def test_cards_start_with_the_default_and_leave_broken_files_out(own_folder):
    write(own_folder / "a.safetensors")
    write(own_folder / "broken.safetensors", raw=b"{")
    (own_folder / "folder.safetensors").mkdir()

    names = [card.name for card in available_cards()]
    assert names == [DEFAULT_MODEL, *sorted({*names} - {DEFAULT_MODEL})]
    assert "a" in names
    assert "broken" not in names
    assert set(available_models()) == {*names, "broken"}


def test_text_that_is_shown_is_one_short_line(tmp_path):
    shouted = metadata(title="A\n\x1b[2J\ud800" + "x" * 9999)
    card = read_card(write(tmp_path / "m.safetensors", header(metadata=shouted)))

    assert card.title.isprintable()
    assert card.title.startswith("A [2Jx") or card.title.startswith("A[2Jx")
    assert len(card.title) <= 200


@pytest.mark.parametrize(
    "changes",
    [
        {"format": "another"},
        {"format_version": "²"},
        {"metadata": "[" * 100_000},
        {"metadata": "[]"},
        {"metadata": '{"patch": NaN}'},
        {"metadata": metadata(patch=0)},
        {"metadata": metadata(patch=10**30)},
        {"metadata": metadata(spacing_mm=10**400)},
        {"metadata": metadata(spacing_mm=1e-300)},
        {"metadata": metadata(spacing_mm=1e300)},
        {"metadata": metadata(spacing_mm=True)},
        {"networks": "{}"},
        {"networks": "[]"},
        {"networks": '{"third": {}}'},
        {"content_hash": "../../etc"},
        {"content_hash": "0" * 10**6},
        {"experts": "3"},
        {"experts": '["Ann"]'},
        {"experts": '{"name": "Ann"}'},
        {"experts": '[{"name": "Ann"}]'},
        {"experts": '[{"name": "consensus", "description": ""}]'},
        {"experts": '[{"name": "\\u001b[2J", "description": ""}]'},
        {"experts": json.dumps([{"name": "x" * 201, "description": ""}])},
        {"experts": json.dumps(EXPERTS[:1] * 2)},
    ],
)
def test_a_hostile_description_is_a_short_weights_error(tmp_path, changes):
    with pytest.raises(WeightsError) as caught:
        read_card(write(tmp_path / "m.safetensors", header(**changes)))

    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 300
    assert str(tmp_path) not in str(caught.value)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"[]",
        b"\xff\xfe\x00",
        b"[" * 100_000,
        b'{"__metadata__": 3}',
        b'{"__metadata__": {"format": 3}}',
        b'{"tensor": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}',
    ],
)
def test_a_header_that_is_no_text_map_is_a_weights_error(tmp_path, raw):
    with pytest.raises(WeightsError, match=r"m\.safetensors"):
        read_card(write(tmp_path / "m.safetensors", raw=raw))


def test_a_newer_format_asks_for_an_update(tmp_path):
    with pytest.raises(WeightsError, match="newer DiffOSeg"):
        read_card(write(tmp_path / "m.safetensors", header(format_version="2")))


@pytest.mark.parametrize("length", [0, 2**25, 2**63, 2**64 - 1])
def test_an_absurd_header_length_is_refused_unread(tmp_path, length, monkeypatch):
    path = tmp_path / "long.safetensors"
    with path.open("wb") as file:
        file.write(struct.pack("<Q", length))
        file.truncate(2**26)  # sparse: takes no room
    monkeypatch.setattr(file_header.json, "loads", lambda *_, **__: pytest.fail("was read"))

    with pytest.raises(WeightsError, match="cut short"):
        read_card(path)


def test_a_missing_model_names_those_that_there_are(own_folder):
    with pytest.raises(WeightsError, match=f"no such weights file.*{DEFAULT_MODEL}"):
        read_card("of-my-own")


def a_taught(name: str) -> ExpertCard:
    return ExpertCard(
        Path("x"), Expert(name, "", (1, 0, 0)), "0" * 64, "", "fast", {}, "", "0" * 64
    )


def test_a_card_can_be_extended_by_experts_who_were_taught(tmp_path):
    card = read_card(write(tmp_path / "m.safetensors"))
    longer = card.with_experts([a_taught("Cleo"), a_taught("Dora")])

    assert longer.answers == (*card.answers, "Cleo", "Dora")
    assert longer.panel.color_of("Cleo") == (1, 0, 0)
    assert [longer.panel.color_of(name) for name in card.answers] == [
        card.panel.color_of(name) for name in card.answers
    ]
    with pytest.raises(InputError, match="'Bob'"):
        card.with_experts([a_taught("bob")])
