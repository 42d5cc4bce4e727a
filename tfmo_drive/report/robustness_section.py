"""Shows whether compression makes a model more fragile: a row's scores on corrupted images against the float row's.

Hendrycks & Dietterich 2019, arXiv:1903.12261; measured by measures/robustness.py.
"""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from matplotlib.ticker import MaxNLocator

from tfmo_drive.report.document import Cell, Figure, Section, Table
from tfmo_drive.report.plots.plot_style import BLUE, COLOURS, DRAWN_DPI, MARKERS, VERMILLION, legend, plain, png, widen
from tfmo_drive.report.rendering import numbers
from tfmo_drive.report.rendering.tables import cell, changes
from tfmo_drive.report.row_facts import Row, featured, reference

# More lines than colours cannot be told apart: the first row, the featured one, and then as the report has them.
LINES = len(COLOURS)


def section(report: dict) -> Section | None:
    """Returns what corruptions cost, in words, as the figure "robustness", and by corruption for every row."""
    first, rows = reference(report), _measured(report)
    if first not in rows:
        return None
    known = first["robustness"]
    means = [_means(row) for row in rows]
    lines = [
        (Cell(name), cell(score, numbers.percent), *changes(one[name] - score for one in means[1:]))
        for name, score in means[0].items()
    ]
    columns = ("Corruption", f"Score of {first['name']}", *(row["name"] for row in rows[1:]))
    caption = (
        f"{_said(featured(report)[0], first)} {known['examples']:,} test examples, each corrupted at "
        f"{len(known['severities'])} severities; every row sees the same pixels. The table: means over severities, "
        "points against the first row."
    )
    figure = Figure("robustness", "Left: mean score over all corruptions by severity (0: clean). Right: points against "
                    "float of the row above the bars, mean over severities, worst first.")  # fmt: skip
    return Section("Robustness", caption, (figure,), Table(columns, tuple(lines)))


def figure(report: dict) -> bytes | None:
    """Returns PNG bytes: score against severity of the rows, and the featured row's change by corruption."""
    first, row, rows = reference(report), featured(report)[0], _measured(report)
    if first not in rows:
        return None
    compared = row in rows and row is not first
    drawing = Drawing(figsize=(11.4 if compared else 6.2, 4.4), dpi=DRAWN_DPI, layout="constrained")
    panels = np.ravel(drawing.subplots(1, 2 if compared else 1, width_ratios=[1.25, 1][: 1 + compared]))
    ordered = [first, *[row] * compared, *(one for one in rows if one is not first and one is not row)]
    _by_severity(panels[0], ordered[:LINES], row)
    if compared:
        _by_corruption(panels[1], row, first)
    return png(drawing)


def _by_severity(axes: Axes, rows: list[Row], marked: Row) -> None:
    plain(axes)
    for place, row in enumerate(rows):
        known = row["robustness"]
        scores = [known["clean"], *np.mean(list(known["scores"].values()), axis=0)]
        style = {"linewidth": 2.6, "zorder": 3} if row is marked else {"linewidth": 1.3}
        axes.plot([0, *known["severities"]], 100 * np.array(scores), marker=MARKERS[place], markersize=5,
                  linestyle="-" if place else "--", color=COLOURS[place - 1], label=row["name"], **style)  # fmt: skip
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set(xlabel="severity (0: clean)", ylabel="score, mean over corruptions, %")
    widen(axes)
    legend(axes.figure, "outside lower left", fontsize=9)


def _by_corruption(axes: Axes, row: Row, first: Row) -> None:
    plain(axes)
    theirs = first["robustness"]["scores"]
    deltas = {name: np.mean(ours) - np.mean(theirs[name]) for name, ours in row["robustness"]["scores"].items()}
    names = sorted(deltas, key=deltas.get)
    points = [100 * deltas[name] for name in names]
    axes.barh(range(len(names)), points, color=[VERMILLION if one < 0 else BLUE for one in points], height=0.7)
    axes.set_yticks(range(len(names)), [_spelt(name) for name in names])
    axes.invert_yaxis()
    axes.axvline(0, color="black", linewidth=0.8)
    for place, one in enumerate(points):
        axes.text(
            one, place, f" {numbers.points(one / 100)} ", va="center", ha="right" if one < 0 else "left", fontsize=9
        )
    axes.margins(x=0.2)
    widen(axes, "x")
    axes.set_xlabel("points against float on the same pixels")
    axes.set_title(row["name"], loc="left", fontsize=10)
    axes.grid(False, axis="y")


def _measured(report: dict) -> list[Row]:
    return [row for row in report["rows"] if row.get("robustness")]


def _means(row: Row) -> dict[str, float]:
    """Returns the scores on clean images, under each corruption and under all of them, averaged over severities."""
    known = row["robustness"]
    kinds = {_spelt(name): float(np.mean(scores)) for name, scores in known["scores"].items()}
    return {"none": known["clean"], **kinds, "all together": row["corruption_score"]}


def _said(row: Row, first: Row) -> str:
    if not row.get("robustness") or row is first:
        corrupted, clean = (numbers.percent(one) for one in (first["corruption_score"], first["robustness"]["clean"]))
        return f"{first['name']} scores {corrupted} on corrupted images, {clean} on clean ones."
    kind, severity = row["worst_corruption"].rsplit(" ", 1)
    loss = numbers.points(row["worst_corruption_delta"])
    worst = f"worst: {_spelt(kind)} {severity}, {loss} points against float on the same pixels"
    text = (
        f"{row['name']} scores {numbers.percent(row['corruption_score'])} on corrupted images, "
        f"{numbers.points(row['corruption_delta'])} points against float; "
        f"{worst if loss.startswith('-') else 'under no corruption is it worse'}."
    )
    extra = numbers.points(row["fragility"]).lstrip("+-")
    if float(extra) == 0:
        return f"{text} On average a corruption costs it as much as it costs float."
    more = "more" if row["fragility"] > 0 else "less"
    return f"{text} On average a corruption costs it {extra} points {more} than it costs float."


def _spelt(name: str) -> str:
    return name.replace("_", " ")
