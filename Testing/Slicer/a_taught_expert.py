"""Experts taught here, as files in the library; their codes are made up, so nobody was trained."""

import numpy as np

from diffoseg.experts.local_expert import SUFFIX, LocalExpert, save_expert
from diffoseg.experts.panel import Expert
from diffoseg.model.cards import read_card
from diffoseg.model.expert_library import default_folder

NAME = "Dr. Übel <b>&"
COLOR = (0.53, 0.13, 0.33)
CODE_WIDTH = 16  # of the default weights


def aTaughtExpert(name=NAME, cases=4, color=COLOR, base_hash=None, scale=1.0):
    """Put an expert into the library as DiffOSeg Training does; return its card."""
    from DiffOSegLib.run import LocalExperts

    base = read_card()
    validation = {
        "folds": 3,
        "cases": cases,
        "dice": 0.861,
        "consensus": 0.792,
        "best": 0.8,
        "best_name": "Tighter of four",
        "better": 1.0,
        "verdict": "use",
    }
    expert = LocalExpert(
        Expert(name, "reads chests", color),
        base_hash=base_hash or base.hash,
        base_title=base.title,
        kind="fast",
        code=scale * np.linspace(-1, 1, CODE_WIDTH, dtype=np.float32),
        presence_bias=0.5,
        training={"cases": cases, "date": "2026-11-21", "validation": validation},
    )
    made = default_folder().parent / f"made{SUFFIX}"
    made.parent.mkdir(parents=True, exist_ok=True)
    save_expert(expert, made)
    card = LocalExperts.library().add(made)
    made.unlink()
    LocalExperts.changed()
    return card
