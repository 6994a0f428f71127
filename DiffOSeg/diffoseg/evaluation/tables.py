"""What was measured of several methods, as tables in Markdown."""

from collections.abc import Mapping, Sequence

from .evaluate import MEASURES, Evaluation, paired_difference


def markdown_table(
    evaluations: Mapping[str, Evaluation], measures: Sequence[str] | None = None
) -> str:
    """Return one row a method, one column a measure: value and 95 % interval over patients."""
    columns = [name for name in measures or MEASURES if _known(evaluations, name)]
    titles = [_titled(name) for name in columns]
    rows = [
        [name, *(str(row.estimate(at)) if at in row.measures else "–" for at in columns)]
        for name, row in evaluations.items()
    ]
    return markdown(["method", *titles], rows)


def differences_table(
    ours: str, evaluations: Mapping[str, Evaluation], measures: Sequence[str]
) -> str:
    """Return ``ours`` minus every other method, paired, with 95 % intervals over patients."""
    rows = [
        [f"{ours} − {name}"]
        + [str(paired_difference(evaluations[ours], rival, measure)) for measure in measures]
        for name, rival in evaluations.items()
        if name != ours and set(measures) <= set(rival.measures)
    ]
    return markdown(["difference", *map(_titled, measures)], rows)


def _known(evaluations: Mapping[str, Evaluation], measure: str) -> bool:
    return any(measure in evaluation.measures for evaluation in evaluations.values())


def _titled(measure: str) -> str:
    arrow = {"lower": " ↓", "higher": " ↑"}.get(MEASURES[measure].better, "")
    return MEASURES[measure].title + arrow


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table in Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"
