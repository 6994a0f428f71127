"""What is minimised to teach a new expert, and on which drawings in each step; see ``expert``."""

import math

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ...device.choice import mixed_precision
from ...diffusion.losses import draw_times
from ...diffusion.posterior import q_sample
from .lesson import Lesson

_PRESENCE = 0.15  # of a slice's presence: one decision to mark is behind all slices of a drawing
_UNSEEN = 0.5  # share of the rows that see nothing of the mask, as a segmentation's first call


def objective(lesson: Lesson, place: Tensor, step: int) -> tuple[Tensor, float]:
    """Return what is minimised, summed over the folds, and the final expert's loss per pixel.

    Args:
        lesson: of F folds.
        place: of each fold's code and last the final one, in standard deviations, with the bias of
            presence behind, (F + 1, W + 1).
        step: which decides, with the seed, on what is drawn.
    """
    settings, codes = lesson.settings, lesson.prior.code(place[:, :-1])
    drawn = [_rows(lesson, fold, step) for fold in range(len(place))]
    counts = [len(rows) for rows, _, _ in drawn]
    row = torch.cat([rows for rows, _, _ in drawn])
    noisy = torch.cat([noisy for _, noisy, _ in drawn])
    survival = torch.cat([survival for _, _, survival in drawn])
    fold = torch.arange(len(place)).repeat_interleave(torch.tensor(counts)).to(row.device)
    with mixed_precision(lesson.device):
        belief = lesson.base.fast_belief(lesson.features.rows(row), noisy, survival, codes[fold])
    errors = functional.binary_cross_entropy_with_logits(
        belief.logits, lesson.masks[row].float(), reduction="none"
    )
    of_masks = torch.stack([part.mean() for part in errors.sum((1, 2)).split(counts)])
    marked = torch.stack([learnt.sum() for learnt in lesson.learnt])
    prior = (place[:, :-1].square().sum(1) + (place[:, -1] / settings.bias_spread).square()) / 2
    presence = _of_presence(lesson, codes, place[:, -1])
    total = marked * of_masks / settings.pixels + _PRESENCE * presence + prior
    pixels = errors[0].numel()
    return total.sum(), float(of_masks[-1].detach()) / pixels


def _rows(lesson: Lesson, fold: int, step: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return slices to learn from in one step, their noisy masks, and what of them is left.

    Every choice is keyed by (seed, step, fold), so that a run that was killed goes on alike.
    """
    settings, schedule = lesson.settings, lesson.base.schedule
    random = np.random.Generator(
        np.random.Philox(key=[settings.seed, step], counter=[0, 0, 0, 1 + lesson.folds - fold])
    )
    learnt = lesson.learnt[fold].nonzero()[:, 0].cpu().numpy()
    count = settings.rows if fold == lesson.folds else settings.rows // 2
    rounds = math.ceil(count / len(learnt))  # each slice as often as any other
    order = np.concatenate([random.permutation(learnt) for _ in range(rounds)])
    row = torch.from_numpy(order[:count]).to(lesson.device)
    mask = lesson.masks[row]
    generator = torch.Generator().manual_seed(int(random.integers(2**62)))
    times = draw_times(len(row), schedule, lesson.network.config.mask_distance, generator)
    uniform = torch.from_numpy(random.random(tuple(mask.shape), dtype=np.float32))
    noisy = q_sample(mask.long(), times.to(lesson.device), schedule, uniform.to(mask.device), 2)
    unseen = torch.from_numpy(random.random(len(row)) < _UNSEEN) | (times == schedule.T)
    survival = schedule.level(times).float().masked_fill(unseen, 0.0)
    return row, 2.0 * noisy - 1, survival.to(lesson.device)


def _of_presence(lesson: Lesson, codes: Tensor, bias: Tensor) -> Tensor:
    """Return the cross-entropy of presence, summed over the slices each fold learns from, (F,)."""
    network, calibration = lesson.network, lesson.base.calibration
    there, count = lesson.marked.float(), len(lesson.marked)
    sums = []
    for fold, (code, shift) in enumerate(zip(codes, bias, strict=True)):
        logit = network.presence_logit(lesson.features, code.expand(count, -1)) + shift
        errors = functional.binary_cross_entropy_with_logits(
            calibration.presence(logit), there, reduction="none"
        )
        held_out = torch.from_numpy(lesson.fold_of == fold).to(errors.device)
        sums.append(errors.masked_fill(held_out, 0.0).sum())
    return torch.stack(sums)
