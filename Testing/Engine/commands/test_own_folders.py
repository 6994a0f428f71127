"""Nothing that is there and was not made by the same command before is replaced by one."""

import pytest

from diffoseg.commands.command_line import main

MINE = "not made by DiffOSeg"


@pytest.mark.parametrize(
    "content", [MINE, '{"format": "another"}', '{"format": "diffoseg-cohort", "version": 1}']
)
def test_an_index_that_is_not_of_phantoms_stays(tmp_path, capsys, content):
    (tmp_path / "cohort.json").write_text(content)
    assert main(["cohort", "phantom", str(tmp_path), "--cases", "1"]) == 2
    assert "is not of phantoms" in capsys.readouterr().err
    assert (tmp_path / "cohort.json").read_text() == content
    assert [path.name for path in tmp_path.iterdir()] == ["cohort.json"]


def test_phantoms_are_written_over_phantoms(tmp_path):
    for cases in ("2", "1"):
        assert main(["cohort", "phantom", str(tmp_path / "a"), "--cases", cases]) == 0


@pytest.mark.parametrize("stage", [["stage1"], ["fast"], ["stage2", "--from", "none.safetensors"]])
def test_a_model_that_no_training_there_has_made_stays(tmp_path, capsys, stage):
    (tmp_path / "model.safetensors").write_text(MINE)
    kind, *options = stage
    command = ["train", kind, str(tmp_path / "cohort"), "--out", str(tmp_path), *options]
    assert main([*command, "--iterations", "1"]) == 2
    assert "that no training there has made" in capsys.readouterr().err
    assert (tmp_path / "model.safetensors").read_text() == MINE


@pytest.mark.parametrize("name", ["cases.csv", "slices.csv", "evaluation.md", "evaluation.html"])
def test_files_that_no_evaluation_there_has_made_stay(tmp_path, capsys, name):
    cohort, out = tmp_path / "cohort", tmp_path / "out"
    assert main(["cohort", "phantom", str(cohort), "--cases", "1"]) == 0
    out.mkdir()
    (out / name).write_text(MINE)
    command = ["evaluate", "diffoseg-phantom", str(cohort), "--samples", "2", "--out", str(out)]
    assert main(command) == 2
    assert "no evaluation there has made" in capsys.readouterr().err
    assert [(path.name, path.read_text()) for path in out.iterdir()] == [(name, MINE)]
