"""The single measurements of the benchmark of new experts, and in which order they are made."""

from collections.abc import Callable, Iterator, Mapping
from functools import cached_property

import numpy as np
from bench_expert_answers import Answer, Answers
from bench_expert_cohort import Cohort, packed, unpacked
from bench_expert_energy import energy
from bench_expert_fit import Taught, mean_expert, teach, teach_rival
from bench_expert_rows import Key, Record
from bench_expert_scores import (
    among_themselves,
    dice,
    map_distance,
    surface_dice,
    volume_differences,
)

from diffoseg.model.model import Model

KS = (1, 2, 3, 5, 10, 20)
MANY = 100
"""Cases from which the network's own ceiling is learnt."""
RIVALS, RIVAL_KS = ("biases", "all weights"), (3, 20)
RIVAL_EXPERTS, ENERGY_EXPERTS, TIMED_EXPERTS = 20, 12, 5
ENERGY_K = 3
_LOOKED_AT = 10  # lessons at once


def tasks(experts: int, draws: int) -> Iterator[Key]:
    """Yield all that is to be measured, so that whatever is done first covers all experts."""
    for expert in range(experts):
        yield Key("bounds", expert, 0, 0)
        yield Key("mean", expert, 0, 0)
    for draw in range(draws):
        for expert in range(experts):
            for k in KS:
                yield Key("code", expert, k, draw)
        if draw == 0:
            yield from _seldom(experts)


def _seldom(experts: int) -> Iterator[Key]:
    """Yield what is measured on one draw of cases only, some of it on some experts only."""
    for expert in range(experts):
        yield Key("code", expert, MANY, 0)
    for expert in range(min(experts, RIVAL_EXPERTS)):
        for k in RIVAL_KS:
            for rival in RIVALS:
                yield Key(rival, expert, k, 0)
    for expert in range(min(experts, ENERGY_EXPERTS)):
        yield Key("energy", expert, ENERGY_K, 0)


def timed(experts: int) -> Iterator[Key]:
    """Yield the fits whose time counts, for a machine that is doing nothing else."""
    for expert in range(min(experts, TIMED_EXPERTS)):
        for k in KS:
            yield Key("timed", expert, k, 0)


class Bench:
    """All that the measurements share: the base model, the cohort, and what has been looked at.

    Args:
        base: a fast model.
        cohort: its unseen experts.
        taught: the fit under test, (model, cases, name) -> Taught.
    """

    def __init__(self, base: Model, cohort: Cohort, taught: Callable[..., Taught] = teach):
        self.base, self.cohort, self._teach = base, cohort, taught

    @cached_property
    def tests(self) -> Answers:
        """The test phantoms as the base sees them."""
        return Answers(self.base, self.cohort.tests)

    @cached_property
    def everyone(self) -> list[Answer]:
        """Answers of the consensus and of each known expert on the tests."""
        known = [self.tests.of(self.base, row) for row in range(self.base.known)]
        return [self.tests.consensus(self.base), *known]

    @cached_property
    def known_lessons(self) -> list[np.ndarray]:
        """Best outlines of each known expert on the lessons, (N, bytes)."""
        lessons, parts = self.cohort.lessons, []
        for first in range(0, len(lessons), _LOOKED_AT):  # features of all would be half a GB
            seen = Answers(self.base, lessons[first : first + _LOOKED_AT])
            every = (seen.of(self.base, row) for row in range(self.base.known))
            parts.append([answer.outlines()["best"] for answer in every])
        return [np.concatenate(of) for of in zip(*parts, strict=True)]

    def measure(self, key: Key) -> Record:
        """Return one measurement."""
        if key.method == "bounds":
            return self._bounds(key.expert)
        name = self.cohort.styles[key.expert].name
        if key.method == "mean":
            model = self.base.with_experts([mean_expert(self.base, name)])
            return self._scored(key.expert, self.tests.of(model, self.base.known))
        if key.method == "energy":
            return energy(self.base, self.cohort, key, self._taught(key).model)
        taught = self._taught(key)
        times = {"seconds": round(taught.seconds, 3), "loading": round(taught.loading, 3)}
        if key.method == "timed":
            return times
        changed = taught.model.fast is not self.base.fast
        looked = Answers(taught.model, self.cohort.tests) if changed else self.tests
        scored = self._scored(key.expert, looked.of(taught.model, taught.row))
        return {**scored, **times, **self._learnt(taught), "nearest": self._nearest(key)}

    def _taught(self, key: Key) -> Taught:
        name = self.cohort.styles[key.expert].name
        cases = self.cohort.cases(key.expert, key.draw, key.k)
        if key.method in RIVALS:
            return teach_rival(self.base, cases, name, key.method)
        return self._teach(self.base, cases, name)

    def _learnt(self, taught: Taught) -> Record:
        local = taught.local
        if local is None:
            return {}
        found = dict(local.training.get("validation") or {})
        return {
            "code": [round(float(value), 6) for value in local.code],
            "bias": local.presence_bias,
            "verdict": found.get("verdict"),
        }

    def _nearest(self, key: Key) -> int:
        """Return which known expert answers most like the expert drew, on the cases learnt from."""
        lessons = self.cohort.chosen(key.expert, key.draw, key.k)
        drawn = packed(np.stack([self.cohort.lesson(key.expert, number) for number in lessons]))
        scores = [dice(of[lessons], drawn[:, None]).mean() for of in self.known_lessons]
        return int(np.argmax(scores))

    def _bounds(self, expert: int) -> Record:
        """Return what no fit changes: the perfect answer, the experts themselves, the base."""
        truth = self.cohort.truth(expert)
        drawings, exact = truth.drawings, truth.counts / np.float32(truth.drawn)
        another = self.cohort.truth((expert + 1) % len(self.cohort.styles)).drawings
        consensus, *known = (self._scored(expert, answer) for answer in self.everyone)
        return {
            "ceiling": {**self._outlined(expert, truth.outlines, exact), "map": 0.0},
            "reread": float(among_themselves(drawings).mean()),
            "another": float(dice(another[:, 0], drawings).mean()),
            "consensus": consensus,
            "known": known,
        }

    def _scored(self, expert: int, answer: Answer) -> Record:
        """Return every measure of an answer; of those that the gap is counted in, more is better.

        "best" and "half" are the Dice of these outlines, "map" the distance of the maps below zero.
        """
        truth = self.cohort.truth(expert)
        apart = map_distance(answer.maps, truth.counts, truth.drawn)
        return {**self._outlined(expert, answer.outlines(), answer.maps), "map": -apart}

    def _outlined(
        self, expert: int, outlines: Mapping[str, np.ndarray], maps: np.ndarray
    ) -> Record:
        drawings = self.cohort.truth(expert).drawings
        x, y, z = self.cohort.tests[0].case.volume.geometry.spacing
        bits = zip(outlines["best"], drawings[:, 0], strict=True)
        pairs = [[unpacked(mask, maps.shape[1:]) for mask in pair] for pair in bits]
        apart = volume_differences(maps, drawings, x * y * z)
        return {
            **{name: float(dice(of, drawings).mean()) for name, of in outlines.items()},
            "nsd": float(np.mean([surface_dice(*pair, (z, y, x)) for pair in pairs])),
            "volume": [float(apart.mean()), float((apart**2).mean())],
        }
