"""A worker that speaks the real one's protocol, and misbehaves as its first argument says.

It is there in a tenth of a second. Every expert draws the same box in the middle of the region.
Modes: normal, slow-start, never-ready, exit-at-once, idle-end, chatty (rubbish between messages),
rubbish (and then the end), flood, huge-line, crash, killed, launcher-killed, hang, ignore-cancel,
with-child (which starts a process of its own), bad-result, no-memory, no-disk, no-weights,
broken-torch, no-words (an error without a sentence), close (its output, and lives on), and
dies-before-ready, -ready, -started, -in-line, -result, -saved, -done: killed at that moment.
"""

import json
import os
import queue
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np

MODE, *MORE = sys.argv[1:]
STEPS = 20  # an expert
STEP_SECONDS = float(MORE[0]) if MORE else 0.01

JOBS: "queue.Queue[dict]" = queue.Queue()
CANCELLED: set = set()


def say(**message):
    sys.stdout.buffer.write(json.dumps(message).encode() + b"\n")
    sys.stdout.buffer.flush()


def moment(name):
    """Die here where the mode says so."""
    if f"dies-{name}" == MODE:
        os.kill(os.getpid(), signal.SIGKILL)


def listen():
    for line in sys.stdin.buffer:
        message = json.loads(line)
        if message["do"] == "cancel":
            CANCELLED.add(message["id"])
        elif message["do"] == "end":
            os._exit(0)
        else:
            JOBS.put(message)
    os._exit(0)


def save(path, array):
    with path.with_suffix(".part").open("wb") as file:
        np.save(file, array)
    path.with_suffix(".part").replace(path)


def result_of(job_id, folder, name, size, samples):
    slug = re.sub("[^a-z0-9]+", "-", name.lower()).strip("-")
    inside = np.zeros(size[::-1], bool)
    inside[tuple(slice(n // 4, max(n - n // 4, 1)) for n in size[::-1])] = True
    probability, drawings = f"probability_{slug}.npy", f"samples_{slug}.npy"
    save(folder / probability, np.where(inside, 0.9, 0.1).astype(np.float32))
    save(folder / drawings, np.packbits(np.stack([inside] * samples), axis=-1))
    interval = {"low": 0.1, "high": 0.2, "label": f"range of {samples} samples"}
    say(event="result", id=job_id, expert=name, slug=slug, color=[0.9, 0.6, 0.1], samples=samples,
        presence=1.0, level=0.5, volume_ml=float(inside.sum()) / 1000, interval=interval,
        probability=probability, drawings=drawings)  # fmt: skip


def row_of(name):
    unknown = ("difference_ml", "difference_percent", "diameter_mm", "mean_intensity", "dice")
    return {
        "name": name,
        "volume_ml": 0.15,
        "interval": {"low": 0.1, "high": 0.2, "label": "range of 2 samples"},
        "presence": 1.0,
        **dict.fromkeys((*unknown, "surface_mm", "surface_95_mm")),
    }


def misbehave(job_id):
    """Do in the middle of a run what the mode says."""
    if MODE == "crash":
        print("Fatal: the graphics driver is gone", file=sys.stderr, flush=True)
        os._exit(7)
    if MODE == "launcher-killed":
        print("error: [/opt/Slicer/bin/python-real] exit abnormally", file=sys.stderr, flush=True)
        os._exit(1)
    if MODE == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if MODE == "rubbish":
        sys.stdout.buffer.write(b'\x00\xff not a message\n{half\n[1]\n{"event": 3}\n')
        sys.stdout.buffer.flush()
        os._exit(1)
    if MODE == "flood":
        for _ in range(1000):
            sys.stdout.buffer.write(b"rubbish\n" * 1000)
    if MODE == "huge-line":
        for _ in range(100):
            sys.stdout.buffer.write(b"x" * 100_000)
        sys.stdout.buffer.write(b"\n")
        sys.stdout.buffer.flush()
    if MODE == "hang":
        time.sleep(3600)
    if MODE == "close":
        os.close(1)
        time.sleep(3600)
    errors = {
        "no-words": (1, ""),
        "no-memory": (3, "The computer has too little memory. Choose a smaller region."),
        "no-disk": (1, "The disk is full. Free some space and run again."),
        "no-weights": (5, "There is no model of that name. Choose another."),
        "broken-torch": (6, "PyTorch is installed but broken. Install it again."),
    }
    if MODE in errors:
        code, sentence = errors[MODE]
        say(event="error", id=job_id, code=code, sentence=sentence, details="Traceback ...")
        return False
    return True


def run(job_id, folder):
    job = json.loads((folder / "job.json").read_text())
    start, size = job["start"], job["size"]
    say(
        event="started",
        id=job_id,
        region={"start": start, "size": size},
        device="cpu",
        warnings=["The region is far from what the model was trained on."],
        experts=job["experts"],
    )
    moment("started")
    if MODE == "with-child":
        subprocess.Popen(["sleep", "3600"])
    stopped, rows = False, []
    total = STEPS * len(job["experts"])
    for index, name in enumerate(job["experts"]):
        for step in range(STEPS):
            if job_id in CANCELLED and MODE != "ignore-cancel":
                stopped = True
                break
            time.sleep(STEP_SECONDS)
            done = index * STEPS + step + 1
            say(
                event="progress",
                id=job_id,
                done=done,
                total=total,
                what=name,
                seconds_left=(total - done) * STEP_SECONDS,
            )
            if MODE == "dies-in-line":
                sys.stdout.buffer.write(b'{"event": "error", "code": 1, "sentence": ""')
                sys.stdout.buffer.flush()
                moment("in-line")
            if MODE == "chatty":
                print("Downloading wheels... 7 %", flush=True)
            if done == STEPS // 2 and not misbehave(job_id):
                return
        if stopped:
            break
        result_of(job_id, folder, name, size, job["samples"])
        moment("result")
        rows.append(row_of(name))
        if MODE == "bad-result":
            say(event="result", id=job_id)
    save(folder / "disagreement.npy", np.zeros(size[::-1], np.float32))
    moment("saved")
    say(
        event="done",
        id=job_id,
        stopped=stopped,
        rows=rows,
        disagreement="disagreement.npy",
        sentence="Stopped; what was finished is kept." if stopped else "Done.",
        provenance={},
        timings={},
        warnings=[],
    )
    moment("done")


def main():
    moment("before-ready")
    if MODE == "slow-start":
        time.sleep(1)
    if MODE == "idle-end" and not Path(MORE[1]).exists():
        Path(MORE[1]).touch()
        os._exit(0)
    if MODE == "exit-at-once":
        os._exit(0)
    if MODE != "never-ready":
        say(event="ready", versions={}, pid=os.getpid())
    moment("ready")
    threading.Thread(target=listen, daemon=True).start()
    while True:
        message = JOBS.get()
        if message["do"] == "describe":
            say(
                event="description",
                id=message["id"],
                device="cpu",
                line="CPU, 2 threads",
                because="this is a fake",
                seconds_per_tile=0.5,
                versions={},
            )
        elif message["do"] == "run":
            run(message["id"], Path(message["folder"]))


main()
