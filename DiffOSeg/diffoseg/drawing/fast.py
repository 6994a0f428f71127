"""Drawing with the fast network: each tile encoded once, presence drawn first, then few steps.

An expert's probability map is the first belief, before any noisy mask, times presence; it needs no
sample. The samples only show its variety: whether anything is drawn in a tile is drawn first, and
where something is, a chain follows, whose first step has the same first belief. With the sampler
"level-set" none does: a mask is then where the first belief exceeds one number. The consensus is
the mixture over the model's own experts, not the local ones: its probability is the mean of theirs,
and each of its samples is drawn like one of them.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..comparison.outline import LEAST_PRESENCE
from ..device.choice import gains_from_bfloat16, mixed_precision, that_fit
from ..diffusion.noise import chances
from ..diffusion.sampling import binary_chain, plan
from ..errors import CancelledError
from ..experts.panel import CONSENSUS
from ..model.presets import LEVEL_SET
from ..networks.fast import Features
from ..space.tiling import Cut, calls_about
from .canvas import Canvas
from .drawing import Drawing, spoken
from .drawn import Drawn, Rows
from .fast_look import Look, Seen, probability

_GROWTH = {"cpu": 2, "cuda": 16}
"""How many times the tiles of a step's first call its largest has; measured on a CPU."""

_TILES_TOGETHER = 256
"""Tiles that go through the chain together; their features are 60 MB in bfloat16."""

_BYTES_A_VALUE = 4 * 8
"""Memory for each value of the decoder's widest level: eight at a time, of float32."""


@dataclass(frozen=True)
class _Ask:
    """All that one network call needs, the same at every step, but the noisy masks."""

    numbers: list[int]
    places: slice
    features: Features
    code: Tensor


class FastDrawing(Drawing):
    """One run of a model that has a fast network; see ``Drawing``.

    The calls of a step begin with ``micro_batch`` tiles, the look at a canvas with one, and both
    grow to a number that suits the device. Of a canvas of more tiles than are kept together a
    cancel may keep no sample.
    """

    likely = LEAST_PRESENCE

    def __init__(self, *arguments: Any, **options: Any):
        super().__init__(*arguments, **options)
        assert self.model.fast is not None
        self.network = self.model.fast
        self.codes = self.model.codes
        device = self.model.device
        self._most = self.places * _GROWTH.get(device.type, 1)
        values = self.network.config.decoder_widths[0] * self.model.metadata.patch**2
        fit = that_fit(device, values * _BYTES_A_VALUE)
        self.micro_batch = self._most if fit is None else max(1, min(self._most, fit))
        if fit is not None:  # a card is idle with less
            self.batch_size = max(self.batch_size, self._most)
        self._look: Look | None = None

    def tiles_to_ask(self, canvas: Canvas, answers: int, samples: int) -> int:
        """Return how many tiles the network will be asked about, for the one who waits."""
        return int(canvas.active.sum()) * (1 + answers * samples * (self.settings.steps - 1))

    @torch.inference_mode()
    def search(self, canvas: Canvas) -> np.ndarray:
        """Return how likely the likeliest of the model's own experts marks anything in each tile.

        No step is needed for that, and who is to draw does not matter.
        """
        self.watch.begin(int(canvas.active.sum()))
        with mixed_precision(self.model.device):
            presence = self._look_at(canvas, "searching the volume").presence
        return np.asarray(presence[: self.model.known].max(0))

    @torch.inference_mode()
    def outline(self, canvas: Canvas, name: str) -> Drawn | None:
        """Return an answer's probability and presence, which need no step; of a large canvas None.

        After a cancel nothing.
        """
        try:
            look = self._looked_at(canvas, spoken(name))
            if len(look.groups) > 1:  # of which only one at a time is kept
                return None
            presence = self._as_told(look.presence)
            marked = self._marked(canvas, look.seen(look.groups[0]), name, presence)
        except CancelledError:
            return None
        return Drawn(
            np.zeros((0, *canvas.window.size), np.float32), marked, self._stated(name, presence)
        )

    @torch.inference_mode()
    def draw(self, canvas: Canvas, name: str, samples: int) -> Drawn:
        """Return what one expert, or the consensus, draws; after a cancel what was complete."""
        drawn = np.zeros((samples, *canvas.window.size), np.float32)
        marked = np.empty(canvas.window.size, np.float32)
        complete, stated = 0, 0.0
        try:
            look = self._looked_at(canvas, spoken(name))
            presence = self._as_told(look.presence)
            stated = self._stated(name, presence)
            for group in look.groups:
                seen = look.seen(group)
                marked[group.start : group.stop] = self._marked(canvas, seen, name, presence)
                rows = self._present(canvas, seen, name, presence, samples)
                for done in self._sampled(canvas, seen, name, rows, drawn):
                    complete = done if group == look.groups[-1] else 0
        except CancelledError:
            pass  # the watch remembers
        return Drawn(drawn[:complete], marked, stated)

    def drawn_like(self, name: str, sample: int) -> int:
        """Return the row of the expert whose style a sample has.

        The samples of the consensus go round the experts, in an order that the seed decides.
        """
        if name != CONSENSUS:
            return self.model.panel.index_of(name)
        experts = self.model.known
        order = np.argsort(self._chances(name, sample // experts, "order", experts))
        return int(order[sample % experts])

    def _looked_at(self, canvas: Canvas, what: str) -> Look:
        """Return the canvas as the network sees it, kept until another one is drawn on."""
        if self._look is None or self._look.canvas is not canvas:
            self._look = self._look_at(canvas, what)
        return self._look

    def _stated(self, name: str, presence: np.ndarray) -> float:
        """Return the probability that anything is marked, of presence by tile, (E, S, tiles)."""
        return float(presence[self._asked(name)].max((1, 2)).mean())

    def _look_at(self, canvas: Canvas, what: str) -> Look:
        return Look(
            self.model,
            canvas,
            self.places,
            self._in_parts,
            lambda tiles: self.watch.step(tiles, what),
        )

    def _asked(self, name: str) -> list[int]:
        """Return the rows of the experts over whom an answer is the mean."""
        if name == CONSENSUS:
            return list(range(self.model.known))
        return [self.model.panel.index_of(name)]

    def _as_told(self, presence: np.ndarray) -> np.ndarray:
        """Return presence (E, S, tiles), made what it is told to be where it is highest.

        A sample is marked wherever presence exceeds its one chance. So an expert marks anything
        with the highest presence of all tiles, and with 1 for it draws what would be drawn given
        that anything is.
        """
        if self.presence is None:
            return presence
        highest = presence.max((1, 2), keepdims=True)
        scale = self.presence / np.maximum(highest, np.finfo(np.float32).tiny)
        return np.minimum(presence * scale, 1).astype(np.float32)

    def _marked(self, canvas: Canvas, seen: Seen, name: str, presence: np.ndarray) -> np.ndarray:
        """Return the probability that a pixel is marked in the slices seen, (S, H, W) float32.

        It is the mean of a sample's first belief over the sample's chance of being marked: what
        the tiles that are above that chance say together.
        """
        asked = self._asked(name)
        first, tiles = seen.slices.start, [tile for _, tile in seen.places]
        of_slice = [
            [row for row, place in enumerate(seen.places) if place[0] == index]
            for index in seen.slices
        ]
        total = np.zeros((len(of_slice), *canvas.window.size[1:]), np.float32)
        for expert in asked:
            beliefs = seen.belief(expert).cpu().numpy()
            for index, rows in enumerate(of_slice):
                mine = [tiles[row] for row in rows]
                chances = presence[expert, first + index, mine]
                total[index] += canvas.tiling.expected(beliefs[rows], mine, chances)
        return total / len(asked)

    def _present(
        self, canvas: Canvas, seen: Seen, name: str, presence: np.ndarray, samples: int
    ) -> Rows:
        """Return the slices of samples in which something is drawn, and in which tiles.

        A sample has one chance for all its slices and tiles: it is marked wherever presence
        exceeds it, so that a lesion does not come and go from slice to slice.
        """
        keys, active = [], []
        for sample in range(samples):
            chance = self._chances(name, sample, "presence", 1)[0]
            present = presence[self.drawn_like(name, sample)] > chance
            for index in seen.slices:
                if present[index].any():
                    keys.append((sample, index))
                    active.append(present[index])
        chosen = np.array(active, bool).reshape(len(keys), canvas.active.shape[1])
        possible = samples * sum(int(canvas.active[index].sum()) for index in seen.slices)
        self.watch.total -= (possible - int(chosen.sum())) * (self.settings.steps - 1)
        return Rows.of(keys, torch.from_numpy(chosen))

    def _sampled(
        self, canvas: Canvas, seen: Seen, name: str, rows: Rows, drawn: np.ndarray
    ) -> Iterator[int]:
        """Draw rows into the samples (n, S, H, W); yield how many samples are complete so far."""
        first = 0
        while first < len(rows.keys):
            self.watch.look()  # a level-set draw asks the network no more
            stop = self._stop_of_chunk(rows, first)
            chunk = rows.part(first, stop)
            finished = self._finished(canvas, seen, name, chunk).cpu().numpy()
            for (sample, index), values in zip(chunk.keys, finished, strict=True):
                drawn[sample, index] = values
            if stop < len(rows.keys):
                yield rows.keys[stop][0]
            first = stop
        yield len(drawn)

    def _stop_of_chunk(self, rows: Rows, first: int) -> int:
        """Return where the rows end that go through the chain together."""
        most = rows.offsets[first] + max(_TILES_TOGETHER, self._most)
        stop = first + 1
        while stop < min(first + self.batch_size, len(rows.keys)):
            if rows.offsets[stop] + int(rows.active[stop].sum()) > most:
                break
            stop += 1
        return stop

    def _finished(self, canvas: Canvas, seen: Seen, name: str, rows: Rows) -> Tensor:
        """Return ``Drawn.samples`` of some rows, (B, H, W) float32."""
        cut = Cut(canvas.tiling, rows.active.to(self.model.device))
        styles = [self.drawn_like(name, rows.keys[row][0]) for row, _ in cut.pairs]
        at = [seen.row[rows.keys[row][1], tile] for row, tile in cut.pairs]
        beliefs = {style: seen.belief(style) for style in set(styles)}
        first = cut.joined(
            torch.stack([beliefs[style][row] for style, row in zip(styles, at, strict=True)])
        )
        if self.settings.name == LEVEL_SET:
            levels = [self._chances(name, sample, "level", 1)[0] for sample, _ in rows.keys]
            return first + (0.5 - torch.tensor(levels).to(first))[:, None, None]
        times, kernel = plan(self.settings, self.model.schedule, self.model.metadata.mask_distance)
        asks = self._asks(seen, cut, rows, at, styles)

        def believe(x: Tensor, t: int) -> Tensor:
            if t == times[0]:
                return first  # at T nothing of the noisy mask is left to see
            tiles = cut.tiles(2.0 * x - 1)
            return cut.joined(torch.cat([self._answer(ask, tiles, t, name) for ask in asks]))

        field, keys = self._noise(name, canvas.window), rows.on_grid(canvas.window)
        reach = self.model.calibration.reach
        pieces = partial(field.smooth, keys, reach=reach) if reach else None
        noise = partial(field.draw, keys)
        *_, last = binary_chain(believe, self.model.schedule, times, kernel, noise, pieces)
        return last.belief if last.level is None else last.belief + (0.5 - last.level)

    def _asks(
        self, seen: Seen, cut: Cut, rows: Rows, at: list[int], styles: list[int]
    ) -> list[_Ask]:
        """Return the network calls of each step about some rows."""
        device = self.model.device
        kept = torch.bfloat16 if gains_from_bfloat16(device) else torch.float32
        asks = []
        for call in calls_about(len(cut.pairs), rows.offsets[0], self.places, self._most):
            index = torch.tensor([at[number] for number in call.numbers], device=device)
            found = seen.features.rows(index)
            features = Features(tuple(level.to(kept) for level in found.levels), found.summary)
            code = self.codes[[styles[number] for number in call.numbers]]
            asks.append(_Ask(call.numbers, call.places, features, code))
        return asks

    def _answer(self, ask: _Ask, tiles: Tensor, t: int, name: str) -> Tensor:
        """Return the belief about the tiles that a network call is about, (n, e, e)."""
        noisy, survival = tiles[ask.numbers], float(self.model.schedule.level(t))

        def believe(part: slice) -> Tensor:
            features, code = ask.features.part(part), ask.code[part]
            with mixed_precision(self.model.device):
                return probability(self.model, features, noisy[part], survival, code)

        answer = torch.cat(self._in_parts(len(noisy), believe))[ask.places]
        self.watch.step(len(answer), spoken(name))
        return answer

    def _chances(self, name: str, sample: int, what: str, count: int) -> np.ndarray:
        """Return uniforms in [0, 1), (count,), keyed like the noise by what they are for."""
        return chances(count, self.seed, name, sample, what)
