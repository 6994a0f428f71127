"""Small pieces of HTML that the report is made of; all text in them is escaped."""

import base64
from collections.abc import Sequence
from html import escape

from ..comparison.result import Comparison
from ..experts.panel import CONSENSUS, Color, display_name
from .display import dashes


def table(heads: Sequence[str], lines: Sequence[tuple[str, Sequence[str]]]) -> str:
    """Return a table; the first cell of each line is its head and already HTML."""
    top = "".join(
        f'<th scope="col"><span class="name">{escape(head)}</span></th>' for head in heads
    )
    body = "".join(
        f'<tr><th scope="row">{head}</th>{"".join(f"<td>{escape(c)}</td>" for c in cells)}</tr>'
        for head, cells in lines
    )
    return (
        f'<div class="wide"><table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>'
    )


def named(comparison: Comparison, name: str) -> str:
    """Return a name with its colour, as HTML."""
    shown = escape(display_name(name))
    return f'{swatch(comparison, name)}<span class="name">{shown}</span>'


def swatch(comparison: Comparison, name: str) -> str:
    """Return a short line in an expert's colour and dashes, as HTML."""
    width = 5 if name == CONSENSUS else 3
    return (
        '<svg class="swatch" viewBox="0 0 16 6" aria-hidden="true"><path d="M0 3H16"'
        f' stroke="{hex_of(comparison.colors[name])}" stroke-width="{width}"'
        f"{dash_attribute(comparison, name)}/></svg>"
    )


def dash_attribute(comparison: Comparison, name: str) -> str:
    """Return an expert's dash pattern as an attribute of an SVG path; nothing for a solid line."""
    pattern = dashes(comparison, name)
    return f' stroke-dasharray="{" ".join(f"{2 * n:g}" for n in pattern)}"' if pattern else ""


def hex_of(color: Color) -> str:
    """Return red-green-blue in 0..1 as "#rrggbb"."""
    return "#" + "".join(f"{round(255 * part):02x}" for part in color)


def data_url(png: bytes) -> str:
    """Return a PNG file's bytes as the address of an image that needs no file."""
    return f"data:image/png;base64,{base64.b64encode(png).decode('ascii')}"
