"""From LIDC-IDRI to a table by three commands; and what cannot be trained by mistake."""

import json
import re

import pytest
from a_lidc_download import Session, a_ball, a_ct, a_scan_with_xml

from diffoseg.cohorts.lidc_case import MARGIN_MM
from diffoseg.cohorts.order_statistics import OF_FOUR
from diffoseg.commands.command_line import main
from diffoseg.model.model import load_model

TRAINING = ["--iterations", "2", "--batch", "2", "--patch", "16", "--spacing", "1.6"]


def sessions(shift: int) -> tuple[Session, ...]:
    return (
        Session((a_ball("Nodule 001", 20 + shift, 18, range(5, 9), 6),)),
        Session((a_ball("IL057_1", 20, 18, range(5, 9), 8),)),
        Session((a_ball("MI014_1", 20, 18, range(6, 8), 5),)),
        Session(),
    )


@pytest.fixture
def a_download(tmp_path):
    for number in range(3):
        a_scan_with_xml(f"LIDC-IDRI-900{number}", tmp_path / "TCIA", sessions(number), number)
    a_ct("LIDC-IDRI-9003", tmp_path / "TCIA", seed=3)
    return tmp_path / "TCIA"


@pytest.fixture
def a_cohort(a_download, tmp_path, capsys):
    assert main(["cohort", "lidc", str(a_download), str(tmp_path / "c"), "--processes", "1"]) == 0
    return tmp_path / "c"


def only_line(capsys) -> str:
    (line,) = capsys.readouterr().err.splitlines()
    return line


@pytest.mark.slow
def test_from_tcia_s_layout_to_a_table_by_three_commands(a_download, tmp_path, capsys):
    cohort, model = str(tmp_path / "cohort"), tmp_path / "model"
    assert main(["cohort", "lidc", str(a_download), cohort, "--processes", "1"]) == 0
    said = capsys.readouterr().out
    laws = ["--experts", "order-statistics"]
    assert main(["train", "fast", cohort, "--out", str(model), *laws, *TRAINING]) == 0
    trained = capsys.readouterr().out
    scan = a_download / "LIDC-IDRI-9003"
    weights = str(model / "model.safetensors")
    drawing = [
        "--samples",
        "2",
        "--preset",
        "preview",
        "--region=-15,8,12,40,-50,-42",
        "--out",
        str(tmp_path / "out"),
    ]
    assert main(["segment", str(scan), "--weights", weights, *drawing]) == 0
    table = capsys.readouterr().out

    assert "3 patients; 3 series (3 from XML)" in said
    assert "3 nodules, outlined 0 by 1, 0 by 2, 3 by 3, 0 by 4 of 4 sessions" in said
    assert re.search(r"1 refused:\n  LIDC-IDRI-9003 [\d.]+  There is no XML for it\.", said)
    assert "--experts order-statistics" in said
    assert "A law, not a person" in trained
    for name in ("Consensus", *OF_FOUR.names):
        assert re.search(rf"^{name} +[\d.]+ ml", table, re.M), name
    assert main(["info", weights]) == 0
    assert "Widest of four  A law, not a person" in capsys.readouterr().out
    learnt = load_model(weights)
    assert [(e.name, e.description) for e in learnt.panel] == [
        (e.name, e.description) for e in OF_FOUR
    ]
    # The sessions of two training patients have codes; nobody of the held-out one has.
    assert learnt.fast.config.population == 8
    split = json.loads((model / "split.json").read_text())
    assert len(split["training"]) == 2


@pytest.mark.parametrize("stage", ["stage1", "stage2", "fast"])
def test_readers_who_are_no_persons_cannot_be_trained_as_persons(stage, a_cohort, tmp_path, capsys):
    more = ["--from", str(a_base(tmp_path))] if stage == "stage2" else []
    command = ["train", stage, str(a_cohort), "--out", str(tmp_path / "m"), "--iterations", "1"]
    assert main([*command, *more]) == 2
    line = only_line(capsys)
    assert "cannot be trained as experts Session 1 to Session 4" in line
    assert line.endswith("--experts order-statistics")
    assert not (tmp_path / "m").exists()


def a_base(folder):
    """Return a tiny model of stage 1."""
    from a_training_set import METADATA

    from diffoseg.diffusion import CategoricalSchedule
    from diffoseg.experts.panel import ExpertPanel
    from diffoseg.model.model import Model
    from diffoseg.networks.config import UNetConfig
    from diffoseg.networks.unet import UNet

    sizes = {"base": 8, "multipliers": (1, 2), "blocks": 1, "norm_groups": 4, "head_channels": 8}
    model = Model(
        consensus=UNet(UNetConfig(1, attention_factors=(), **sizes)),
        personal=None,
        schedule=CategoricalSchedule.cosine(20, "exact"),
        panel=ExpertPanel.of("A", "B"),
        metadata=METADATA,
    )
    model.save(folder / "base.safetensors")
    return folder / "base.safetensors"


@pytest.mark.slow
def test_both_stages_learn_the_laws_by_name(a_cohort, tmp_path):
    laws = ["--experts", "order-statistics", "--iterations", "1", "--batch", "2"]
    base = str(a_base(tmp_path))
    command = ["train", "stage2", str(a_cohort), "--out", str(tmp_path / "two"), "--from", base]
    assert main([*command, *laws]) == 0
    assert load_model(tmp_path / "two" / "model.safetensors").experts == OF_FOUR.names


def test_experts_who_are_persons_are_not_ranked(tmp_path, capsys):
    assert main(["cohort", "phantom", str(tmp_path / "p"), "--cases", "2"]) == 0
    capsys.readouterr()
    command = ["train", "fast", str(tmp_path / "p"), "--out", str(tmp_path / "m"), *TRAINING]
    assert main([*command, "--experts", "order-statistics"]) == 2
    assert "the same persons throughout" in only_line(capsys)
    (tmp_path / "list.json").write_text("{}")
    command[2] = str(tmp_path / "list.json")
    assert main([*command, "--experts", "order-statistics"]) == 2
    assert "experts of a data list are persons" in only_line(capsys)


def test_where_nothing_can_be_imported_the_exit_code_is_2(tmp_path, capsys):
    a_ct("LIDC-IDRI-9001", tmp_path / "TCIA")
    command = ["cohort", "lidc", str(tmp_path / "TCIA"), str(tmp_path / "out")]
    assert main(command) == 2
    assert "Nothing could be imported from TCIA: 1 refused" in only_line(capsys)
    assert main([*command, "--processes", "0"]) == 2
    assert "less than 1" in only_line(capsys)


def test_the_margin_that_help_names_is_the_one_that_is_taken(capsys):
    assert main(["cohort", "lidc", "--help"]) == 0
    assert f"(default: {MARGIN_MM:g})" in capsys.readouterr().out
