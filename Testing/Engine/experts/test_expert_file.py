"""An expert's file is whole, what it was written as, and harmless whoever wrote it."""

import hashlib
import json
import math
import struct
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from a_fast_model import a_fast_model
from a_local_expert import CODE, a_file, a_local_expert, a_small_disk, fill

from diffoseg.errors import InputError, WeightsError
from diffoseg.experts import local_expert
from diffoseg.experts.local_expert import SUFFIX, load_expert
from diffoseg.model.cards import read_card, read_expert_card
from diffoseg.model.model import load_model

CHECKED = ("content_hash", "expert", "base", "training", "code_version")


def test_an_expert_comes_back_from_its_file_as_it_was(tmp_path):
    expert = a_local_expert()
    loaded = load_expert(a_file(tmp_path, expert))

    for name in ("expert", "base_hash", "base_title", "kind", "presence_bias", "training", "hash"):
        assert getattr(loaded, name) == getattr(expert, name)
    np.testing.assert_array_equal(loaded.code, CODE)
    assert loaded.parameter_count == 5
    assert [file.name for file in tmp_path.iterdir()] == [f"cleo{SUFFIX}"]


def test_the_file_is_one_that_safetensors_reads(tmp_path):
    tensors = safetensors.numpy.load_file(a_file(tmp_path))

    assert tensors.keys() == {"code", "presence_bias"}
    np.testing.assert_array_equal(tensors["code"], CODE)
    np.testing.assert_array_equal(tensors["presence_bias"], np.float32([0.75]))


def test_a_file_cut_anywhere_is_a_weights_error(tmp_path):
    path = a_file(tmp_path)
    whole = path.read_bytes()
    for length in range(0, len(whole), 3):
        path.write_bytes(whole[:length])
        with pytest.raises(WeightsError, match="cut short"):
            load_expert(path)


def test_a_bit_that_fell_over_is_noticed_or_changes_nothing(tmp_path):
    path, expert = a_file(tmp_path), a_local_expert()
    whole = path.read_bytes()
    random = np.random.default_rng(0)
    for place in range(0, len(whole), 2):
        hurt = bytearray(whole)
        hurt[place] ^= 1 << int(random.integers(8))
        path.write_bytes(hurt)
        try:
            found = load_expert(path)
        except WeightsError:
            continue
        assert (found.expert, found.training) == (expert.expert, expert.training)
        assert found.hash == expert.hash


def rewritten(
    path: Path, texts: dict[str, str] | None = None, tail: bytes | None = None, **entries
):
    """Change parts of a file's header, with checksums as a malicious hand would make them."""
    content = path.read_bytes()
    end = 8 + struct.unpack("<Q", content[:8])[0]
    header = json.loads(content[8:end])
    header["__metadata__"] |= texts or {}
    told = [header["__metadata__"].get(part, "") for part in CHECKED]
    plain = json.dumps(told, sort_keys=True, separators=(",", ":"))
    header["__metadata__"]["checksum"] = hashlib.sha256(plain.encode()).hexdigest()
    written = json.dumps(header | entries).encode()
    path.write_bytes(
        struct.pack("<Q", len(written)) + written + (content[end:] if tail is None else tail)
    )
    return path


def test_a_hand_that_makes_fitting_checksums_is_not_refused_for_that(tmp_path):
    said = json.dumps({"name": "Eve", "description": "", "color": None})
    assert load_expert(rewritten(a_file(tmp_path), {"expert": said})).name == "Eve"


def about(**changes) -> str:
    return json.dumps({"name": "Eve", "description": "", "color": None} | changes)


def base(**changes) -> str:
    return json.dumps({"hash": "0" * 64, "title": "", "kind": "fast"} | changes)


@pytest.mark.parametrize(
    "texts",
    [
        {"format": "diffoseg-model"},
        {"format_version": "\u00b2"},
        {"format_version": "-1"},
        {"expert": "[" * 100_000},
        {"expert": "3"},
        {"expert": "{}"},
        {"expert": about(name=3)},
        {"expert": about(name="consensus")},
        {"expert": about(name="\x1b[2J")},
        {"expert": about(name="x" * 201)},
        {"expert": about(name="\ud800")},
        {"expert": about(description=None)},
        {"expert": about(color="red")},
        {"expert": about(color=[1, 0])},
        {"expert": about(color=[1, 0, 2])},
        {"expert": about(color=[1, 0, 10**400])},
        {"expert": about(color=[True, 0, 0])},
        {"expert": about(color={"a": 1, "b": 1, "c": 1})},
        {"expert": '{"name": "Eve", "description": "", "color": [NaN, 0, 0]}'},
        {"base": "[]"},
        {"base": base(hash="../../etc/passwd")},
        {"base": base(hash="A" * 64)},
        {"base": base(kind=3)},
        {"training": "[]"},
        {"training": "NaN"},
        {"training": "1e999"},
        {"training": '{"a": ' * 500 + "1" + "}" * 500},
        {"training": "9" * 5000},
    ],
)
def test_a_hostile_description_is_a_short_weights_error(tmp_path, texts):
    with pytest.raises(WeightsError) as caught:
        load_expert(rewritten(a_file(tmp_path), texts))
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 300
    assert str(tmp_path) not in str(caught.value)


def a_row(count: int, start: int) -> dict:
    return {"dtype": "F32", "shape": [count], "data_offsets": [start, start + 4 * count]}


@pytest.mark.parametrize(
    ("entries", "tail"),
    [
        ({"code": {"dtype": "F32", "shape": [10**15], "data_offsets": [0, 4 * 10**15]}}, None),
        ({"code": {"dtype": "F32", "shape": [-1], "data_offsets": [0, -4]}}, None),
        ({"code": {"dtype": "F16", "shape": [4], "data_offsets": [0, 16]}}, None),
        ({"code": {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]}}, None),
        ({"code": {"dtype": "F32", "shape": [4], "data_offsets": [4, 20]}}, None),
        ({"code": None}, None),
        ({"third": {"dtype": "F32", "shape": [1], "data_offsets": [20, 24]}}, None),
        ({"__metadata__": None}, None),
        ({"__metadata__": {"format": 3}}, None),
        ({}, bytes(21)),
        ({}, struct.pack("<5f", math.nan, 0, 0, 0, 0)),
        ({}, struct.pack("<5f", 0, 0, 0, 0, math.inf)),
        ({}, struct.pack("<5f", 1e30, 0, 0, 0, 0)),
        ({}, struct.pack("<5f", 0, 0, 0, 0, 0)),
        ({"code": a_row(-1, 0), "presence_bias": a_row(1, -4)}, b""),
        ({"code": a_row(0, 0), "presence_bias": a_row(1, 0)}, bytes(4)),
    ],
)
def test_tensors_that_are_not_an_experts_are_refused(tmp_path, entries, tail):
    with pytest.raises(WeightsError):
        load_expert(rewritten(a_file(tmp_path), None, tail, **entries))


@pytest.mark.parametrize("length", [0, 2**25, 2**63, 2**64 - 1])
def test_an_absurd_header_length_is_refused_unread(tmp_path, length, monkeypatch):
    path = tmp_path / f"long{SUFFIX}"
    with path.open("wb") as file:
        file.write(struct.pack("<Q", length))
        file.truncate(2**30)  # sparse: takes no room
    monkeypatch.setattr(local_expert.json, "loads", lambda *_, **__: pytest.fail("was read"))

    with pytest.raises(WeightsError, match="cut short"):
        load_expert(path)


def test_text_that_is_shown_is_one_short_line(tmp_path):
    shouted = about(description="A\n\x1b[2J\ud800" + "x" * 9999)
    card = read_expert_card(rewritten(a_file(tmp_path), {"expert": shouted}))
    assert card.expert.description.isprintable()
    assert len(card.expert.description) <= 200


@pytest.mark.parametrize("what", ["nothing", "a folder", "a model"])
def test_what_is_no_expert_file_is_told_by_its_name(tmp_path, what):
    path = tmp_path / "it"
    if what == "a folder":
        path.mkdir()
    elif what == "a model":
        a_fast_model().save(path)
    with pytest.raises(WeightsError, match=r"^it: ") as caught:
        load_expert(path)
    assert str(tmp_path) not in str(caught.value)


def test_an_expert_that_is_given_as_weights_is_told_what_it_is(tmp_path):
    path = a_file(tmp_path)
    for read in (read_card, load_model):
        with pytest.raises(WeightsError, match="holds an expert, not the model"):
            read(path)


def test_a_newer_format_asks_for_an_update(tmp_path):
    with pytest.raises(WeightsError, match="newer DiffOSeg"):
        load_expert(rewritten(a_file(tmp_path), {"format_version": "2"}))


def test_a_longer_training_than_a_file_may_tell_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(InputError, match="too long"):
        a_file(tmp_path, a_local_expert(training={"log": "x" * 2**20}))
    assert not list(tmp_path.iterdir())


def test_a_full_disk_leaves_the_former_file_and_nothing_else(tmp_path):
    with a_small_disk(tmp_path) as disk:
        path = a_file(disk)
        former = path.read_bytes()
        fill(disk)
        with pytest.raises(InputError, match=r"No space.*free some space"):
            a_file(disk, a_local_expert("Dora", training={"log": "x" * 20_000}))
        assert path.read_bytes() == former
        assert sorted(file.name for file in disk.iterdir()) == [path.name, "filled"]
