"""The tables of what was measured on a cohort of readers."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from ..experts.panel import CONSENSUS
from .intervals import Estimate
from .metrics import calibration_sums
from .over_patients import Pick, calibration, estimate, less, of_case, of_slices
from .page import Section
from .reader_volumes import DIFFERENCE, LOG_RATIO, SQUARED
from .readers import CaseScores
from .slice_scores import LEVEL_SETS, MAJORITY, ONE_OUTLINE, ONE_READER, TWO_READERS

_SIZES_MM = (0.0, 8.0, 20.0, np.inf)
_DIFFERENCES = ("GED_U", "HM-IoU")
_MOST_VALUES, _FEWEST_CASES = 6, 5  # of a tag, to be worth a table of its own

_OF_ANYBODY = (
    "GED_U is 0 for a perfect sampler, the V-statistic of the literature what is said below it; of"
    " slices chosen because somebody marked them both are a little less (.02 in LIDC-IDRI)."
)
_OF_PERSONS = (
    "Each of the same persons drew once, so that nobody is compared with another drawing of the"
    " same hand: a perfect sampler scores below 0 in GED_U, by a share of how much nearer people"
    " are to themselves than to others. Compare columns, not with 0. The V-statistic is the"
    " literature's."
)

Named = Callable[[str, Sequence[str]], Pick]


def sections_of(
    cases: Sequence[CaseScores], samples: int, *, persistent: bool = False
) -> list[Section]:
    """Return all tables; intervals need two patients or more.

    Args:
        cases: with their scores.
        samples: of each answer.
        persistent: whether readers are the same persons throughout. Then they are no independent
            draws from one law, and what a perfect sampler scores in GED cannot be told.
    """
    return [
        _distances(cases, persistent),
        _outlines(cases),
        _volumes(cases, samples),
        *_experts(cases),
        _presence_by_readers(cases),
        _reliability(cases),
        *_strata(cases),
    ]


def _text(found: Estimate | None) -> str:
    return _shown(found, float)


def _shown(found: Estimate | None, shown: Callable[[float], float]) -> str:
    if found is None:
        return "–"
    return f"{shown(found.value):.3f} [{shown(found.low):.3f}, {shown(found.high):.3f}]"


def _cells(cases: Sequence[CaseScores], named: Named, names: Sequence[str]) -> list[str]:
    """Return how many have all of these numbers, and the mean of each over the very same."""
    known = [name for name in names if name and any(list(named(name, ())(case)) for case in cases)]
    count = sum(len(list(named(known[0], known)(case))) for case in cases) if known else 0
    return [
        str(count),
        *(_text(estimate(cases, named(name, known))) if name else "" for name in names),
    ]


def _distances(cases: Sequence[CaseScores], persistent: bool) -> Section:
    everybody = ("", LEVEL_SETS, ONE_OUTLINE, ONE_READER)
    models = ("", LEVEL_SETS, ONE_OUTLINE)
    named = (
        ("GED_U", "GED_U", everybody, ""),
        ("GED, V-statistic at these samples", "GED_V", models, "published GED"),
        ("the same of a perfect sampler, about", "floor of GED_V", ("",), ""),
        ("GED, V-statistic at 100 samples", "GED_V of 100", models, ""),
        ("the same of a perfect sampler, about", "floor of GED_V of 100", ("",), ""),
        ("HM-IoU", "HM-IoU", everybody, "HM-IoU"),
        ("Dice_soft", "Dice_soft", models, "published Dice_soft"),
        ("Dice_max", "Dice_max", models, "published Dice_max"),
        ("Dice_match", "Dice_match", models, "published Dice_match"),
        (
            "Dice of each expert with its own",
            "Dice of each expert",
            ("",),
            "published Dice of each expert",
        ),
    )
    rows = []
    for title, name, methods, published in named:
        if persistent and name.startswith("floor"):
            continue
        columns = [name + whose if whose in methods else "" for whose in everybody]
        rows.append((title, _cells(cases, of_slices, [*columns, published])))
        if name in _DIFFERENCES:
            rows.append((f"{title}, model less this", _differences(cases, name, columns)))
    error = _text(calibration(cases, lambda case: case.calibration))
    rows.append(("calibration error of the map, 5 to 95 %", ["", error, "", "", "", ""]))
    return Section(
        "Slices that some reader marked",
        "The consensus against all readers, those who did not mark with an empty mask. "
        + (_OF_PERSONS if persistent else _OF_ANYBODY)
        + " Level sets are those of the model's own map, one outline is its own taken for all that"
        " there is, one reader stands in against the others. The published code counts two empty"
        " masks as 1 apart, and matches experts with whatever answer suits them.",
        [
            "measure",
            "slices",
            "model",
            "level sets of its map",
            "its outline alone",
            "one reader",
            "the published code's",
        ],
        rows,
    )


def _differences(cases: Sequence[CaseScores], name: str, columns: Sequence[str]) -> list[str]:
    """Return the model's number less each rival's, pair by pair."""
    known = [column for column in columns if any(of_slices(column)(case) for case in cases)]

    def less_than(rival: str) -> Pick:
        needed = [*known, rival]
        return less(of_slices(name, needed), of_slices(rival, needed))

    return ["", "", *(_text(estimate(cases, less_than(rival))) for rival in columns[1:]), ""]


def _outlines(cases: Sequence[CaseScores]) -> Section:
    def three(name: str) -> list[str]:
        return [name + whose for whose in ("", MAJORITY, TWO_READERS)]

    def surfaces(name: str) -> list[str]:  # a majority is often empty: others are not held to that
        return [f"{name}, mm", "", f"{name}{TWO_READERS}, mm"]

    rows = [
        ("Dice, slices", _cells(cases, of_slices, three("Dice"))),
        ("Dice, 3-D", _cells(cases, of_case, three("3-D Dice"))),
        ("mean surface distance, mm", _cells(cases, of_case, surfaces("surface"))),
        ("95 % surface distance, mm", _cells(cases, of_case, surfaces("95 % surface"))),
    ]
    for name in ("outline", "samples", "level sets"):
        columns = [f"flicker of {name}", "", "flicker of readers"]
        rows.append((f"1 - Dice from slice to slice, {name}", _cells(cases, of_case, columns)))
    rows += [
        (title, _cells(cases, of_case, [name, "", ""]))
        for title, name in (
            ("cases whose outline is empty", "outline empty"),
            ("share of what was drawn that lies in the region", "drawn in the region"),
            ("cases with the four laws in their order", "laws in their order"),
        )
        if any(name in case.numbers for case in cases)
    ]
    return Section(
        "One outline",
        "The consensus' outline with each reader who marked, beside these with each other, where"
        " two or more did; surfaces where the outline is not empty. The majority is the map above"
        " one half.",
        ["measure", "slices or cases", "outline", "majority", "two readers"],
        rows,
    )


def _volumes(cases: Sequence[CaseScores], samples: int) -> Section:
    def law(name: str, end: str = "") -> list[str]:
        return [name + end, "", name + LEVEL_SETS + end, name + ONE_READER + end]

    rows = []
    for name, title, shown, whose in (
        (DIFFERENCE, "less the readers' mean, ml", float, ("", MAJORITY, ONE_READER)),
        (LOG_RATIO, "as a multiple of the readers' mean", np.exp, ("", ONE_READER)),
    ):
        known = [name + w for w in whose if any(name + w in case.numbers for case in cases)]
        chosen = [case for case in cases if known and set(known) <= case.numbers.keys()]
        for what, cell in (("bias", _bias), ("95 % limits of agreement", _limits)):
            found = {w: cell(chosen, name + w, shown) for w in whose}
            cells = [found.get(w, "") for w in ("", MAJORITY, LEVEL_SETS, ONE_READER)]
            rows.append((f"{title}: {what}", [str(len(chosen)), *cells]))
    nominal = (samples - 1) / (samples + 1)
    rows += [
        (
            f"readers in the range of {samples}, ties by chance; right is {nominal:.3f}",
            _cells(cases, of_case, [*law("volume coverage")[:3], ""]),
        ),
        (
            "readers in the interval that is shown, its ends too",
            _cells(cases, of_case, ["volumes in the interval", "", "", ""]),
        ),
        ("CRPS of the volume, ml", _cells(cases, of_case, law("volume CRPS", ", ml"))),
    ]
    return Section(
        "Volumes",
        "Bias and limits (Bland-Altman) are against the mean of those who marked, and of a reader"
        " against the mean of the others, where two or more did; multiples where the outline"
        " is not empty. The law of the volume is judged on all readers, a lesion"
        " left out as 0.",
        ["volume", "cases", "model", "majority", "level sets of its map", "one reader"],
        rows,
    )


def _bias(cases: Sequence[CaseScores], name: str, shown: Callable[[float], float]) -> str:
    return _shown(estimate(cases, of_case(name)), shown)


def _limits(cases: Sequence[CaseScores], name: str, shown: Callable[[float], float]) -> str:
    """Return the bias less and plus 1.96 standard deviations; of readers, over all of a case."""
    values = np.array([case.numbers[name] for case in cases if name in case.numbers])
    if len(values) < 2:
        return "–"
    mean, variance = values.mean(), values.var(ddof=1)
    if name.endswith(ONE_READER):
        variance = np.mean([case.numbers[name + SQUARED] for case in cases]) - mean**2
    spread = 1.96 * max(0.0, float(variance)) ** 0.5
    return f"{shown(mean - spread):.3f} to {shown(mean + spread):.3f}"


def _experts(cases: Sequence[CaseScores]) -> list[Section]:
    names = list(dict.fromkeys(name for case in cases for name in case.persons))
    if not names:
        return []

    def person(name: str, what: str) -> Pick:
        return lambda case: [row[what]] if what in (row := case.persons.get(name, {})) else []

    answers = [CONSENSUS, *names]
    rows = [
        (f"as {who}", [_text(estimate(cases, person(name, f"of {who}"))) for name in names])
        for who in answers
    ]
    for title, what in (
        ("the others who marked", "others"),
        ("presence as stated", "stated"),
        ("share of cases marked", "marked"),
    ):
        rows.append((title, [_text(estimate(cases, person(name, what))) for name in names]))
    return [
        Section(
            "Each expert",
            "The 3-D Dice of each answer, and of the others' drawings, with what that person, or"
            " that law, drew, where anything was drawn. An expert that the model tells apart is"
            " met best by its own answer.",
            ["answer", *names],
            rows,
        )
    ]


def _presence_by_readers(cases: Sequence[CaseScores]) -> Section:
    counts = sorted({row["readers marking"] for case in cases for row in case.slices})
    rows = []
    for count in counts:
        chosen = [_marked_by(case, count) for case in cases]
        whole = [case for case in cases if case.numbers["readers marking"] == count]
        stated = _cells(whole, of_case, ["presence stated"])
        rows.append((f"{count:.0f}", [*_cells(chosen, of_slices, ["presence"]), *stated]))
    return Section(
        "Presence by how many readers marked",
        "Of slices, the share of samples that mark anything; of cases, what the model states. Even"
        " who knows the true chance does not know how many will mark: a calibrated model stays"
        " nearer to the middle than this.",
        ["readers", "slices", "presence", "cases", "presence stated"],
        rows,
    )


def _reliability(cases: Sequence[CaseScores]) -> Section:
    bins = len(cases[0].presence) if cases else 0
    rows = []
    for row in range(bins):
        slices = np.sum([case.presence[row] for case in cases], axis=0)
        whole = np.sum([_stated(case, bins)[row] for case in cases], axis=0)
        cells = [cell for sums in (slices, whole) for cell in _mean_cells(sums)]
        rows.append((f"{100 * row // bins} to {100 * (row + 1) // bins} %", cells))
    error = _text(calibration(cases, lambda case: case.presence))
    return Section(
        "Presence as stated, and the share of readers who marked",
        "All slices of the regions, marked or not, by the share of samples that mark them; and"
        f" whole cases, by what the model states. Calibration error of slices: {error}. Regions"
        " that were laid around what somebody marked hold no case that nobody did.",
        ["stated", "slices", "mean stated", "readers", "cases", "mean stated", "readers"],
        rows,
    )


def _stated(case: CaseScores, bins: int) -> np.ndarray:
    stated, true = (np.array([case.numbers[f"presence {what}"]]) for what in ("stated", "true"))
    return calibration_sums(stated, true, bins=bins)


def _mean_cells(sums: np.ndarray) -> list[str]:
    """Return the count, and the means where anything was counted."""
    return [f"{sums[0]:.0f}", *(f"{s / sums[0]:.3f}" if sums[0] else "–" for s in sums[1:])]


def _strata(cases: Sequence[CaseScores]) -> list[Section]:
    marked = [case for case in cases if "readers' mean, ml" in case.numbers]
    diameters = [_diameter(case.numbers["readers' mean, ml"]) for case in marked]
    sizes = {
        f"{low:g} to {high:g} mm" if np.isfinite(high) else f"{low:g} mm and more": [
            case for case, d in zip(marked, diameters, strict=True) if low <= d < high
        ]
        for low, high in itertools.pairwise(_SIZES_MM)
    }
    found = [_stratum("size", "Diameter of a sphere of the readers' mean volume.", sizes)]
    for tag in sorted({tag for case in cases for tag in case.tags}):
        values = sorted({case.tags.get(tag, "") for case in cases})
        groups = {v: [case for case in cases if case.tags.get(tag, "") == v] for v in values}
        groups = {v: group for v, group in groups.items() if len(group) >= _FEWEST_CASES}
        if 1 < len(groups) <= _MOST_VALUES:
            found.append(_stratum(tag, "By a tag of the cases.", groups))
    return found


def _stratum(name: str, note: str, groups: dict[str, list[CaseScores]]) -> Section:
    rows = []
    for value, group in groups.items():
        if group:
            dice = _cells(group, of_case, ["3-D Dice", "3-D Dice" + TWO_READERS])
            surface = _cells(group, of_case, ["surface, mm", f"surface{TWO_READERS}, mm"])
            ged = _cells(group, of_slices, ["GED_U", "GED_U" + LEVEL_SETS])
            rows.append((value or "–", [str(len(group)), *dice[1:], *surface[1:], *ged[1:]]))
    heads = [
        name,
        "cases",
        "3-D Dice",
        "two readers",
        "mean surface distance, mm",
        "two readers",
        "GED_U",
        "level sets of its map",
    ]
    return Section(f"By {name}", note, heads, rows)


def _diameter(volume_ml: float) -> float:
    """Return the diameter, mm, of a sphere of a volume."""
    return float(np.cbrt(6000 * volume_ml / np.pi))


def _marked_by(case: CaseScores, readers: float) -> CaseScores:
    """Return a case with the slices that so many readers marked."""
    return replace(case, slices=tuple(r for r in case.slices if r["readers marking"] == readers))
