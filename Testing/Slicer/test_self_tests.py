"""One command for all modules' self-tests: a line for each, and whether all passed."""

import pytest
import slicer

import SlicerSelfTests


def failing():
    raise AssertionError("two\nlines")


@pytest.fixture
def tests(monkeypatch):
    found = dict.fromkeys(SlicerSelfTests.MODULES, lambda: None)
    monkeypatch.setattr(slicer, "selfTests", found, raising=False)
    return found


def test_all_that_pass_are_a_line_each(tests, capsys):
    assert SlicerSelfTests.runAll()
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == list(SlicerSelfTests.MODULES)
    assert all("passed in" in line for line in lines)


def test_one_that_fails_or_is_not_there_stops_no_other(tests, capsys):
    tests["DiffOSeg"] = failing
    del tests["DiffOSegTraining"]
    assert not SlicerSelfTests.runAll()
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "DiffOSeg: failed (AssertionError: two lines)"
    assert lines[1] == "DiffOSegTraining: not loaded"
    assert "passed" in lines[2]
