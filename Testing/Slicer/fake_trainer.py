"""A worker that speaks the real one's protocol for trainings, and misbehaves as it is told.

It is there in a tenth of a second and learns nothing: the expert's code is the number of voxels
marked in each case, in 65536ths. The number of its last step in the folder is its checkpoint; what
is resumed goes four times as fast.
Modes: normal, crash (in the middle, where there is no step yet), hang, ignore-cancel, no-result,
no-memory, no-disk, broken-torch, rubbish, no-words (an error without a sentence), close (its
output, and lives on), and dies-before-ready, -ready, -read, -started, -in-line, -point, -saved,
-done: killed at that moment.
"""

import json
import os
import queue
import signal
import sys
import threading
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "DiffOSeg"))
from diffoseg.experts.local_expert import LocalExpert, save_expert
from diffoseg.model.cards import read_card
from diffoseg.training.run_files import CHECKPOINT
from diffoseg.worker.training_job import RESULT, TrainingJob

MODE, STEP_SECONDS = sys.argv[1], float(sys.argv[2])
STEPS = 20

JOBS: "queue.Queue[dict]" = queue.Queue()
CANCELLED: set = set()
VALIDATION = {"folds": 3, "cases": 3, "dice": 0.86, "consensus": 0.79, "best": 0.8}
VALIDATION |= {"best_name": "Tighter of four", "better": 1.0, "verdict": "use"}


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


def misbehave(job_id):
    """Do in the middle of a training what the mode says; return whether it goes on."""
    if MODE == "crash":
        print("Fatal: the graphics driver is gone", file=sys.stderr, flush=True)
        os._exit(7)
    if MODE == "rubbish":
        sys.stdout.buffer.write(b'\x00\xff no message\n{half\n[1]\n{"event": 3}\n')
        sys.stdout.buffer.flush()
        os._exit(1)
    if MODE == "hang":
        time.sleep(3600)
    if MODE == "close":
        os.close(1)
        time.sleep(3600)
    errors = {
        "no-words": (1, ""),
        "no-memory": (3, "The computer has too little memory. Close other programs."),
        "no-disk": (1, "The disk is full. Free some space and go on."),
        "broken-torch": (6, "PyTorch is installed but broken. Install it again."),
    }
    if MODE in errors:
        code, sentence = errors[MODE]
        say(event="error", id=job_id, code=code, sentence=sentence, details="Traceback ...")
        return False
    return True


def train(job_id, folder):
    job = TrainingJob.read(folder)
    moment("read")
    marked = [int(case.masks[job.expert.name].sum()) for case in job.cohort(folder)]
    checkpoint = folder / CHECKPOINT
    first = int(checkpoint.read_text()) if checkpoint.exists() else 0
    if first:
        say(event="note", id=job_id, sentence=f"Going on at step {first}.")
    say(event="started", id=job_id, device="cpu", line="CPU, 2 threads", cases=len(job.cases),
        slices=4 * len(job.cases), seconds=STEPS * STEP_SECONDS)  # fmt: skip
    moment("started")
    for step in range(first, STEPS):
        if job_id in CANCELLED and MODE != "ignore-cancel":
            say(event="error", id=job_id, code=4, sentence="Stopped.", details="")
            return
        time.sleep(STEP_SECONDS / 4 if first else STEP_SECONDS)
        part = checkpoint.with_suffix(".part")
        part.write_text(str(step + 1))
        part.replace(checkpoint)  # whole, whenever it is killed
        left = (STEPS - step - 1) * STEP_SECONDS
        if MODE == "dies-in-line":
            sys.stdout.buffer.write(b'{"event": "error", "code": 1, "sentence": ""')
            sys.stdout.buffer.flush()
            moment("in-line")
        say(event="progress", id=job_id, done=step + 1, total=STEPS, what="Learning",
            seconds_left=left)  # fmt: skip
        if step % 5 == 4:
            dice = None if len(job.cases) == 1 else 0.8 + step / 1000
            say(event="point", id=job_id, step=step + 1, loss=1 / (step + 1), dice=dice,
                consensus=0.79, best=0.8, best_name="Tighter of four")  # fmt: skip
            moment("point")
        if step == STEPS // 2 and not first and not misbehave(job_id):
            return
    if MODE != "no-result":
        save(job, marked, folder)
    moment("saved")
    say(event="done", id=job_id, stopped=False, file=RESULT, verdict="use", training={},
        sentence=f"With {len(job.cases)} cases: Dice 0.86 on held-out cases. Use it.")  # fmt: skip
    moment("done")


def save(job, marked, folder):
    card = read_card(job.model or None)
    code = np.zeros(16, np.float32)
    code[: len(marked)] = np.array(marked[:16]) / 65536
    training = {"cases": len(marked), "slices": 4 * len(marked), "date": "2026-11-21"}
    training |= {"corrects": job.corrects, "seed": job.seed, "validation": VALIDATION}
    made = LocalExpert(
        expert=job.expert,
        base_hash=card.hash,
        base_title=card.title,
        kind="fast",
        code=code,
        presence_bias=0.0,
        training=training,
    )
    save_expert(made, folder / RESULT)


def main():
    moment("before-ready")
    say(event="ready", versions={}, pid=os.getpid())
    moment("ready")
    threading.Thread(target=listen, daemon=True).start()
    while True:
        message = JOBS.get()
        if message["do"] == "describe":
            say(event="description", id=message["id"], device="cpu", line="CPU, 2 threads",
                because="this is a fake", seconds_per_tile=0.01, seconds_per_expert=8.0,
                versions={})  # fmt: skip
        elif message["do"] == "train":
            train(message["id"], Path(message["folder"]))


main()
