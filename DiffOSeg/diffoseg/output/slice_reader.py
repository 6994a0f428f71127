"""The report's slices: the scan with every outline as layers that can be hidden."""

import io
from dataclasses import dataclass
from html import escape
from typing import Self

import numpy as np

from ..comparison.measures import crop_to_region, disagreement, experts_of
from ..comparison.result import Comparison
from ..experts.panel import CONSENSUS, display_name
from ..space.volume import Volume
from .display import Display, display_window, field_of_view, interest, outlines
from .markup import dash_attribute, data_url, hex_of, named

_MOST_SLICES = 16
_LARGEST_SPREAD = 0.5  # standard deviation where half are 0 and half are 1


def slice_reader(comparison: Comparison, volume: Volume) -> str:
    """Return the slices to scroll through, with an outline per result that can be hidden."""
    display = Display.of(comparison)
    indices, current = _choose_slices(interest(comparison, display))
    stack = _Stack.of(comparison, volume, display)
    figures = "".join(stack.figure(index) for index in indices)
    hidden = "".join(
        f"#reader:has(#show-{layer}:not(:checked)) .layer-{layer}{{display:none}}"
        for layer in [*range(len(comparison.results)), "map"]
    )
    return (
        f'<style>{hidden}</style><div id="reader">{_controls(comparison, len(indices), current)}'
        f'<div class="slices">{figures}</div></div>'
    )


def _choose_slices(worth: np.ndarray) -> tuple[list[int], int]:
    """Return at most 16 slices, those that hold something and one on either side, in order.

    Also returns the place in that list of the slice with most to see.
    """
    marked = np.flatnonzero(np.convolve(worth > 0, np.ones(3))[1:-1])
    if not len(marked):
        marked = np.arange(len(worth))
    peak = int(worth.argmax()) if worth.any() else int(marked[len(marked) // 2])
    if len(marked) > _MOST_SLICES:
        spread = np.linspace(marked[0], marked[-1], _MOST_SLICES - 1).round().astype(int)
        marked = np.union1d(spread, peak)
    return [int(index) for index in marked], int(np.searchsorted(marked, peak))


def _controls(comparison: Comparison, count: int, current: int) -> str:
    """Return a checkbox per outline, one for the map, and the slider."""
    boxes = [
        f'<label><input type="checkbox" id="show-{layer}" checked autocomplete="off">'
        f"{named(comparison, name)}</label>"
        for layer, name in enumerate(comparison.results)
    ]
    if len(experts_of(comparison)) > 1:
        boxes.append(
            '<label><input type="checkbox" id="show-map" autocomplete="off">'
            "Disagreement between experts</label>"
        )
    slider = (
        '<label class="scroll">Slice <input type="range" id="slice" min="0"'
        f' max="{count - 1}" value="{current}" autocomplete="off"></label>'
    )
    return f'<div class="controls">{"".join(boxes)}{slider}</div>'


@dataclass(frozen=True)
class _Stack:
    """What the slices show.

    Attributes:
        scan: grey values 0..255, (S, H, W), of the part shown.
        probabilities: by name, (S, H, W), of the same part.
        spread: the experts' disagreement, (S, H, W), or None.
        pixel_mm: height and width of a pixel.
    """

    comparison: Comparison
    display: Display
    scan: np.ndarray
    probabilities: dict[str, np.ndarray]
    spread: np.ndarray | None

    @classmethod
    def of(cls, comparison: Comparison, volume: Volume, display: Display) -> Self:
        """Cut what is shown out of the volume and the results."""
        rows, columns = field_of_view(comparison, display)

        def shown(array: np.ndarray) -> np.ndarray:
            return display.slices(array)[:, rows, columns]

        near = shown(crop_to_region(volume.array, comparison))
        low, high = display_window(near)
        scan = ((near - low) * (255 / (high - low))).clip(0, 255).astype(np.uint8)
        results = comparison.results.values()
        spread = disagreement(comparison)
        return cls(
            comparison,
            display,
            scan,
            {result.name: shown(result.probability) for result in results},
            None if spread is None else shown(spread),
        )

    def figure(self, index: int) -> str:
        """Return one slice as HTML; lengths in the drawing are mm."""
        height_mm, width_mm = self.display.pixel_mm
        height, width = self.scan.shape[1] * height_mm, self.scan.shape[2] * width_mm
        label = self.display.label(index)
        results = self.comparison.results
        marked = [
            display_name(name)
            for name, probability in self.probabilities.items()
            if probability[index].max() > results[name].level
        ]
        described = f"{label}, outlined by {', '.join(marked) or 'nobody'}"
        return (
            f'<figure><svg viewBox="0 0 {width:g} {height:g}" role="img"'
            f' aria-label="{escape(described)}">'
            f"{self._image(self.scan[index], width, height)}{self._map(index, width, height)}"
            f"{self._paths(index)}{self._marks(width, height)}</svg>"
            f"<figcaption>{escape(label)}</figcaption></figure>"
        )

    def _image(self, pixels: np.ndarray, width: float, height: float) -> str:
        return (
            f'<image href="{data_url(_png(pixels))}" width="{width:g}" height="{height:g}"'
            ' preserveAspectRatio="none"/>'
        )

    def _map(self, index: int, width: float, height: float) -> str:
        """Return the disagreement as a layer that fades out where the experts agree."""
        if self.spread is None:
            return ""
        from matplotlib import colormaps

        share = self.spread[index] / _LARGEST_SPREAD
        pixels = colormaps["inferno"](share, bytes=True)
        pixels[..., 3] = (255 * np.minimum(1, 2 * share)).astype(np.uint8)
        return f'<g class="layer-map">{self._image(pixels, width, height)}</g>'

    def _paths(self, index: int) -> str:
        """Return every result's outline, the consensus below the experts."""
        height_mm, width_mm = self.display.pixel_mm
        paths = []
        for layer, (name, probability) in enumerate(self.probabilities.items()):
            level = self.comparison.results[name].level
            lines = outlines(probability[index], level)
            lines = [(line + 0.5) * (width_mm, height_mm) for line in lines]
            shape = "".join(
                "M" + "L".join(f"{x:.2f} {y:.2f}" for x, y in line) + "Z" for line in lines
            )
            kind = " consensus" if name == CONSENSUS else ""
            paths.append(
                f'<path class="layer-{layer}{kind}" stroke="{hex_of(self.comparison.colors[name])}"'
                f'{dash_attribute(self.comparison, name)} d="{shape}"/>'
            )
        return "".join(paths)

    def _marks(self, width: float, height: float) -> str:
        """Return the patient's sides and a bar of 10 mm (1 mm in a field below 30 mm)."""
        size = height / 20
        left, right, top, bottom = self.display.letters
        places = (
            (left, size * 0.4, height / 2, "start"),
            (right, width - size * 0.4, height / 2, "end"),
            (top, width / 2, size * 1.1, "middle"),
            (bottom, width / 2, height - size * 0.5, "middle"),
        )
        texts = "".join(
            f'<text x="{x:.2f}" y="{y:.2f}" text-anchor="{anchor}" font-size="{size:.2f}"'
            f' stroke-width="{size / 5:.2f}">{letter}</text>'
            for letter, x, y, anchor in places
        )
        bar = 10 if width >= 30 else 1
        end, base = width - size * 0.6, height - size * 0.6
        return (
            f'{texts}<path class="bar" d="M{end - bar:.2f} {base:.2f}H{end:.2f}"/>'
            f'<text x="{end - bar / 2:.2f}" y="{base - size * 0.4:.2f}" text-anchor="middle"'
            f' font-size="{size * 0.8:.2f}" stroke-width="{size / 5:.2f}">{bar} mm</text>'
        )


def _png(pixels: np.ndarray) -> bytes:
    """Return grey (H, W) or RGBA (H, W, 4) bytes as a PNG without a date."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()
