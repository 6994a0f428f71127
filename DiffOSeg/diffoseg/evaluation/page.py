"""Tables as one page, in Markdown and as HTML, and for a terminal."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from ..output.markup import table as html_table
from ..output.report_style import STYLE
from .tables import markdown

_WIDER = "@media screen { body { max-width: 92rem; } }"  # than a report: six columns of intervals

Row = tuple[str, list[str]]


@dataclass(frozen=True)
class Section:
    """A table with a title, what it says in a sentence, its heads and its rows."""

    title: str
    note: str
    heads: Sequence[str]
    rows: Sequence[Row]


def as_markdown(title: str, lead: Sequence[str], sections: Sequence[Section]) -> str:
    """Return the page in Markdown."""
    parts = [f"# {title}\n", *(f"{line}\n" for line in lead)]
    for section in sections:
        rows = [[name, *cells] for name, cells in section.rows]
        parts += [f"## {section.title}\n", f"{section.note}\n", markdown(section.heads, rows)]
    return "\n".join(parts)


def as_text(sections: Sequence[Section]) -> str:
    """Return the tables for a terminal."""
    lines = []
    for section in sections:
        table = [list(section.heads), *([name, *cells] for name, cells in section.rows)]
        widths = [max(len(row[column]) for row in table) for column in range(len(section.heads))]
        lines += ["", section.title]
        lines += [
            "  " + "  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip()
            for row in table
        ]
    return "\n".join(lines)


def as_html(title: str, lead: Sequence[str], sections: Sequence[Section]) -> str:
    """Return the page as one HTML file that needs nothing else."""
    body = "".join(f"<p>{escape(line)}</p>" for line in lead)
    for section in sections:
        lines = [(escape(name), cells) for name, cells in section.rows]
        body += f'<h2>{escape(section.title)}</h2><p class="dim">{escape(section.note)}</p>'
        body += html_table(section.heads, lines)
    return (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">'
        f"<title>{escape(title)}</title><style>{STYLE}{_WIDER}</style></head>"
        f"<body><main><h1>{escape(title)}</h1>{body}</main></body></html>\n"
    )
