"""The mathematics: schedule, posterior, losses, samplers and keyed noise; torch and numpy alone."""

from .losses import cross_entropy, draw_times, posterior_kl
from .posterior import draw_categorical, noisy_probs, posterior, q_sample
from .schedule import INFORMATION_RANGE, CategoricalSchedule, information, times_of_information

__all__ = [
    "INFORMATION_RANGE",
    "CategoricalSchedule",
    "cross_entropy",
    "draw_categorical",
    "draw_times",
    "information",
    "noisy_probs",
    "posterior",
    "posterior_kl",
    "q_sample",
    "times_of_information",
]
