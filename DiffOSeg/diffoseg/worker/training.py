"""What the worker does when it is asked to train: a new expert from the cases in a folder.

The folder is the training: its job, its cases, the checkpoint, and in the end the expert's file. So
the same folder again goes on where it was, and is answered at once where it was finished.
"""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import torch

from ..device.choice import chosen_device, line_about
from ..drawing.segmenter import Segmenter
from ..errors import CancelledError
from ..experts.local_expert import LocalExpert, load_expert, save_expert, summary_of
from ..training.expert.curve import ExpertPoint
from ..training.expert.fit import train_expert
from ..training.expert.settings import ExpertSettings, expected_seconds
from ..training.expert.slices import expert_slices
from ..training.run_files import CHECKPOINT
from .answers import Engine, Event, Pace, Send, plain
from .training_job import RESULT, TrainingJob


def train(
    engine: Engine,
    folder: Path,
    begin: Callable[[], bool],
    cancelled: Callable[[], bool],
    send: Send,
) -> None:
    """Train the expert whose cases a folder holds, with the result written into the folder.

    Progress is told first of the cases read, then, after "started", of the steps learnt.

    Args:
        engine: has the model.
        folder: a ``training_job`` folder; the checkpoint and the expert's file go there too.
        begin: asked once, when the model is loaded; False: nobody waits for an answer any more.
        cancelled: asked between two cases and between two steps.
        send: takes the events; their "id" is the caller's business.

    Raises:
        CancelledError: ``cancelled`` said so; the checkpoint stays.
        DiffOSegError: as the parts do that read, learn and write.
    """
    job = TrainingJob.read(folder)
    segmenter = engine.segmenter(job.model, chosen_device(job.device))
    segmenter.model.panel.joined_by([job.expert])  # refuses a name that is taken
    if not begin():
        return
    try:
        if not (folder / RESULT).exists():
            save_expert(_trained(engine, segmenter, job, folder, cancelled, send), folder / RESULT)
    finally:
        if segmenter.device.type == "cuda":
            torch.cuda.empty_cache()  # Slicer draws with the same memory
    send(_done(load_expert(folder / RESULT)))


def _trained(
    engine: Engine,
    segmenter: Segmenter,
    job: TrainingJob,
    folder: Path,
    cancelled: Callable[[], bool],
    send: Send,
) -> LocalExpert:
    pace = Pace(send)

    def note(sentence: str) -> None:
        send({"event": "note", "sentence": sentence})

    base, device = segmenter.model, segmenter.device
    slices = expert_slices(
        job.cohort(folder),
        job.expert.name,
        base.metadata,
        progress=pace,
        cancel=cancelled,
        note=note,
    )
    if cancelled():
        raise CancelledError("Training was stopped before it began.")
    if (folder / CHECKPOINT).exists():
        note("Going on where the training was stopped.")
    send(
        {
            "event": "started",
            "device": device.type,
            "line": line_about(device),
            "cases": len(job.cases),
            "slices": len(slices),
            "seconds": expected_seconds(len(slices), engine.seconds_per_tile(device, job.model)),
        }
    )
    return train_expert(
        base,
        slices,
        job.expert,
        folder,
        corrects=job.corrects,
        settings=ExpertSettings(seed=job.seed),
        device=device,
        point=lambda point: send(_point(point)),
        progress=pace,
        cancel=cancelled,
    )


def _point(point: ExpertPoint) -> Event:
    """Return what one point of the curves says; what cannot be measured is null."""
    return {"event": "point", **plain(asdict(point))}


def _done(expert: LocalExpert) -> Event:
    return {
        "event": "done",
        "stopped": False,
        "sentence": summary_of(expert.training),
        "file": RESULT,
        "verdict": expert.training["validation"]["verdict"],
        "training": plain(expert.training),
    }
