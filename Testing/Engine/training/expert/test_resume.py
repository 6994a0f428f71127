"""A training that is killed, again and again and whenever, ends with the expert it would have."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from a_lesson import NAME, a_base, a_list, a_training, some_cases

from diffoseg.errors import CancelledError
from diffoseg.experts.local_expert import LocalExpert, load_expert
from diffoseg.model.stored import save_model
from diffoseg.training.expert.settings import ExpertSettings
from diffoseg.worker.answers import Engine
from diffoseg.worker.training import train
from diffoseg.worker.training_job import RESULT

pytestmark = [
    pytest.mark.skipif(os.name == "nt", reason="Windows cannot fork"),
    pytest.mark.slow,
]

KILLS = 20


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("models") / "tiny.safetensors"
    save_model(a_base(), path)
    return path


@pytest.fixture(scope="module")
def processes():
    """Processes that are there at once: torch is loaded before they part."""
    context = multiprocessing.get_context("forkserver")
    slow = ["torch._dynamo", "scipy.ndimage", "SimpleITK", "pytest"]  # what loads slowly
    context.set_forkserver_preload(["diffoseg.worker.training", *slow])
    return context


def teach(folder: Path) -> None:
    """Do what the worker does, from loading the model on."""
    train(Engine(), folder, lambda: True, lambda: False, lambda event: None)


def assert_same(one: LocalExpert, other: LocalExpert) -> None:
    np.testing.assert_array_equal(one.code, other.code)
    assert one.presence_bias == other.presence_bias
    assert one.training["validation"] == other.training["validation"]


def test_twenty_kills_at_any_moment_change_nothing(processes, base, tmp_path):
    def begun(folder: Path) -> multiprocessing.process.BaseProcess:
        process = processes.Process(target=teach, args=(folder,))
        process.start()
        return process

    def lived(folder: Path) -> float:
        start = time.monotonic()
        begun(folder).join()
        return time.monotonic() - start

    lived(a_training(tmp_path / "first", base))  # the server of the processes starts with it
    whole = a_training(tmp_path / "whole", base)
    life = lived(whole)
    truth = load_expert(whole / RESULT)

    random, kills, trainings = np.random.default_rng(0), 0, 0
    while kills < KILLS:
        folder, trainings = a_training(tmp_path / f"killed {trainings}", base), trainings + 1
        while not (folder / RESULT).exists():
            process = begun(folder)
            process.join(random.uniform(0, life) if kills < KILLS else None)
            process.kill()
            process.join()
            assert process.exitcode in {0, -signal.SIGKILL}  # it may have been done before
            kills += process.exitcode != 0
        assert_same(load_expert(folder / RESULT), truth)


def test_cancels_at_any_moment_change_nothing(base, tmp_path):
    """And one is heard while the cases are read and encoded, and the others drawn, as well."""
    engine = Engine()

    def asked(folder: Path, most: float) -> int:
        """Train until that many questions whether to stop have been answered no."""
        questions = 0

        def cancelled() -> bool:
            nonlocal questions
            questions += 1
            return questions > most

        with suppress(CancelledError):
            train(engine, folder, lambda: True, cancelled, lambda event: None)
        return questions

    whole, parts = (a_training(tmp_path / name, base) for name in ("whole", "parts"))
    most = asked(whole, np.inf)
    assert most > ExpertSettings().steps + len(some_cases(3)) + 3  # encoding, Ann, Bob, consensus

    random, lives = np.random.default_rng(1), 0
    while not (parts / RESULT).exists():
        asked(parts, random.integers(most // 2))
        lives += 1
    assert lives > 3
    assert_same(load_expert(parts / RESULT), load_expert(whole / RESULT))


def stopped(command: list[str], out: Path, how: signal.Signals) -> str:
    """Begin a training, stop it once it has learnt something more, and return what it said."""

    def learnt() -> list[int]:
        return [path.stat().st_mtime_ns for path in out.glob("*.training/checkpoint.safetensors")]

    before = learnt()
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as run:
        while learnt() == before:
            assert run.poll() is None
            time.sleep(0.005)
        run.send_signal(how)
        told = run.stderr.read()
    assert run.returncode == (4 if how == signal.SIGINT else -how)
    return told


def test_a_stopped_and_a_killed_command_go_on_when_they_are_given_again(base, tmp_path):
    cases = a_list(tmp_path / "list", some_cases(3))

    def command(out: Path) -> list[str]:
        files = [str(cases), "--out", str(out), "--weights", str(base), "--device", "cpu"]
        return [sys.executable, "-m", "diffoseg", "train", "expert", *files]

    subprocess.run(command(tmp_path / "whole"), check=True)
    (expected,) = (tmp_path / "whole").glob("*.expert.safetensors")
    parts = tmp_path / "parts"
    told = stopped(command(parts), parts, signal.SIGINT)
    assert told.splitlines()[-1].endswith("the same command makes the rest.")
    assert "Traceback" not in told
    stopped(command(parts), parts, signal.SIGKILL)
    assert not list(parts.glob("*.expert.safetensors"))

    said = subprocess.run(command(parts), check=True, capture_output=True, text=True).stdout

    assert f"{NAME}. With 3 cases: Dice 0." in said
    assert_same(load_expert(parts / expected.name), load_expert(expected))
    assert {path.name for path in parts.iterdir()} == {
        expected.name,
        expected.name.replace(".expert.safetensors", ".curve.png"),
    }
