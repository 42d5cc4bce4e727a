"""Draws the plots of a report, as PNG bytes: score against cost, classes, training, sparsity, robustness."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter

from tfmo_drive.base import speed
from tfmo_drive.base.spelling import shortened
from tfmo_drive.report import robustness_section
from tfmo_drive.report.plots import labels
from tfmo_drive.report.plots.plot_style import (
    BLUE,
    COLOURS,
    DRAWN_DPI,
    GREY,
    MARKERS,
    VERMILLION,
    legend,
    plain,
    png,
    single,
    widen,
)
from tfmo_drive.report.rendering import numbers
from tfmo_drive.report.row_facts import Row, featured, frontier, reference, worst_classes

CLASSES = 20
# Beyond this many names nothing can be read: then only the best row of each group and those that no other beats.
NAMED_ROWS = 20
# Letters of a name on a plot.
LONGEST_NAME = 44
# A row so far below the best one would press all others together: it is named under the picture.
FAR_BELOW = 0.25
FAR_NAMED, NOTE_WIDTH = 5, 100
"""The number of those that are named, and the number of letters in a line."""
LEAST_RATIO = 1.5
_DIGITS = (1,), (1, 2, 5), (1, 1.5, 2, 3, 4, 5, 6, 8)
"""The places in each decade where ticks of a log axis may be, coarse to fine."""
COSTS = {
    "size_bytes": ("file size (log scale)", numbers.size, lambda row: row.get("size_bytes")),
    "latency_share": (
        "time of one inference, as a share of the first row's in the same turns (log scale)",
        lambda share: numbers.percent(share, 1 if share > 0.0095 else 2), lambda row: _share(row),
    ),
}  # fmt: skip
"""The costs by key: title, how values are spelt, and where they come from."""


def figures(report: dict) -> dict[str, bytes]:
    """Returns PNG bytes by name, for everything that the report holds numbers of."""
    row, rows = featured(report)[0], report["rows"]
    drawn = {
        "score_size": against(rows, "size_bytes", reference(report)),
        "score_latency": against(rows, "latency_share", reference(report)),
        "class_deltas": class_deltas(row),
        "robustness": robustness_section.figure(report),
        "curves": curves(report.get("stages") or [], (report.get("baseline") or {}).get("val_score")),
        "sparsity": sparsity(row),
    }
    return {name: data for name, data in drawn.items() if data}


def against(rows: list[Row], cost: str, first: Row | None = None, group: str = "stage") -> bytes | None:
    """Returns a plot of the score with its 95 % interval against a cost, as PNG bytes, or None for fewer than two rows.

    Args:
        rows: The rows of a report.
        cost: A key of COSTS, on a log scale.
        first: The reference.
        group: The key of the rows by which they are coloured.
    """
    title, spelt, value = COSTS[cost]
    rows = [{**row, cost: value(row)} for row in rows]
    known = [row for row in rows if row.get(cost) and row.get("score") is not None]
    least = max((row["score"] for row in known), default=0.0) - FAR_BELOW
    least = min(least, (first or {}).get("score") or least)  # the reference's line is always drawn
    far = [row for row in known if row["score"] < least]
    known = [row for row in known if row not in far] if len(known) - len(far) > 1 else known
    if len(known) < 2:
        return None
    figure, axes = single(9.6, 5.6)
    groups = list(dict.fromkeys(str(row.get(group)) for row in known))
    for place, name in enumerate(groups):
        _points([row for row in known if str(row.get(group)) == name], cost, place, axes, shortened(name, LONGEST_NAME))
    front = frontier(known, cost)
    axes.plot([row[cost] for row in front], [100 * row["score"] for row in front], ":", color=GREY, zorder=1)
    if first and first.get("score") is not None:
        axes.axhline(100 * first["score"], color=GREY, linewidth=0.8, linestyle="--", zorder=0)
    axes.set_xscale("log")
    # Room for the names, which stand inside the frame.
    axes.margins(x=0.16, y=0.12)
    widen(axes)
    _widen_log(axes)
    _log_ticks(axes, spelt)
    axes.set(ylabel="score, %")
    axes.set_xlabel(f"{title}\n{_below([row for row in far if row not in known], group)}".strip(), fontsize=9)
    if len(groups) > 1:
        legend(figure, "outside upper left")
    best = [max((row for row in known if str(row.get(group)) == name), key=lambda row: row["score"]) for name in groups]
    named = known if len(known) <= NAMED_ROWS else [*front, *best]
    points = [(_named(row) if row in named else "", row) for row in known]
    labels.place(axes, [labels.Label(name, row[cost], *_percents(row)) for name, row in points])
    return png(figure)


def _below(far: list[Row], group: str) -> str:
    """Returns in words what lies too far below to be drawn."""
    told = [f"{_told(row, group)} {numbers.percent(row['score'])}" for row in far[:FAR_NAMED]]
    more = f" and {len(far) - FAR_NAMED} more" if len(far) > FAR_NAMED else ""
    return textwrap.fill(f"far below: {', '.join(told)}{more}", NOTE_WIDTH) if told else ""


def _told(row: Row, group: str) -> str:
    """Returns a row's name, and its group where that does not tell it: outside the frame no colour does."""
    name = row["name"] if row["name"].startswith(str(row.get(group))) else f"{row.get(group)}: {row['name']}"
    return shortened(name, LONGEST_NAME)


def _share(row: Row) -> float | None:
    """Returns the row's share of the float baseline's time, or None where the machine was too busy."""
    timed = speed.of(row)
    return 1 / timed.ratio if timed and timed.sure else None


def class_deltas(row: Row) -> bytes | None:
    """Returns bars of each class's change in points against the reference, worst first, at most 20 classes."""
    classes = worst_classes(row)
    changed = [pair for pair in classes if pair[1]["delta"]][:CLASSES]
    if not changed:
        return None
    figure, axes = single(9.6, 1.3 + 0.27 * len(changed))
    deltas = [100 * one["delta"] for _, one in changed]
    axes.barh(range(len(changed)), deltas, color=[VERMILLION if delta < 0 else BLUE for delta in deltas], height=0.7)
    axes.set_yticks(range(len(changed)), [textwrap.shorten(name, 40, placeholder=" ..") for name, _ in changed])
    axes.invert_yaxis()
    axes.axvline(0, color="black", linewidth=0.8)
    for place, (delta, (_, one)) in enumerate(zip(deltas, changed, strict=True)):
        note = f" {numbers.points(delta / 100)} ({numbers.whole(one.get('examples'))}) "
        axes.text(delta, place, note, va="center", ha="right" if delta < 0 else "left", fontsize=9)
    axes.margins(x=0.15)
    widen(axes, "x")
    unchanged = len(classes) - len([one for _, one in classes if one["delta"]])
    axes.set_xlabel(
        f"points against the first row (test examples in parentheses); {numbers.whole(unchanged)} "
        f"class{'' if unchanged == 1 else 'es'} unchanged"
    )
    axes.set_title(row["name"], loc="left", fontsize=10)
    axes.grid(False, axis="y")
    return png(figure)


def curves(stages: list[dict], baseline_score: float | None = None) -> bytes | None:
    """Returns training loss above and validation score below by epoch, one column per stage."""
    trained = [stage for stage in stages if (stage.get("curves") or {}).get("epoch")]
    if not trained:
        return None
    figure = Figure(figsize=(max(4.8, min(11.0, 3.2 * len(trained))), 5.0), dpi=DRAWN_DPI, layout="constrained")
    panels = figure.subplots(2, len(trained), squeeze=False, sharex="col")
    for column, stage in enumerate(trained):
        history = stage["curves"]
        above, below = panels[:, column]
        # Scores are of one kind, on one scale; losses of different steps are not.
        if column:
            below.sharey(panels[1, 0])
            below.tick_params(labelleft=False)
        _curve(above, history, "loss", VERMILLION)
        _curve(below, history, "val_score", BLUE)
        if baseline_score is not None:
            below.axhline(100 * baseline_score, color=GREY, linewidth=0.9, linestyle="--")
        above.set_title(_titled(stage, len(trained)), fontsize=9)
        below.set_xlabel("epoch")
        below.set_xlim(0.5, max(history["epoch"]) + 0.5)
        below.xaxis.set_major_locator(MaxNLocator(4, integer=True, min_n_ticks=1))
        above.set_ylim(bottom=min(0.0, above.get_ylim()[0]))
    widen(panels[1, 0])
    panels[0, 0].set_ylabel("training loss")
    panels[1, 0].set_ylabel("validation score, %")
    return png(figure)


def _titled(stage: dict, count: int) -> str:
    """Returns the title of one of `count` columns, in lines that are no wider than it."""
    words, width = [stage["name"], stage.get("recipe") or ""], max(14, 80 // count)
    lines = [line for one in words for line in textwrap.wrap(one.replace("_", "_ "), width)]
    return "\n".join(lines).replace("_ ", "_")


def sparsity(row: Row) -> bytes | None:
    """Returns bars of the fraction of zeros in each layer, in the order of the graph."""
    layers = row.get("layer_sparsity") or {}
    if not layers:
        return None
    figure, axes = single(max(4.8, min(11.0, 1.2 + 0.19 * len(layers))), 4.2)
    axes.bar(range(len(layers)), [100 * value for value in layers.values()], color=BLUE, width=0.75)
    # The end of a layer's name is what tells it apart ("conv4_block2_1_conv").
    names = [name if len(name) <= 24 else f"..{name[-22:]}" for name in layers]
    axes.set_xticks(range(len(layers)), names, rotation=90, fontsize=7)
    axes.set(ylim=(0, 100), ylabel="zeros, % of the weights", xlim=(-0.7, len(layers) - 0.3))
    if row.get("parameters") and row.get("nonzero_parameters") is not None:
        overall = 100 * (1 - row["nonzero_parameters"] / row["parameters"])
        axes.axhline(overall, color=VERMILLION, linestyle="--", linewidth=1)
    axes.set_title(row["name"], loc="left", fontsize=10)
    axes.grid(False, axis="x")
    return png(figure)


def _points(rows: list[Row], cost: str, place: int, axes: Axes, name: str) -> None:
    scores, lows, highs = np.transpose([_percents(row) for row in rows])
    axes.errorbar(
        [row[cost] for row in rows],
        scores,
        yerr=[scores - lows, highs - scores],
        fmt=MARKERS[place % len(MARKERS)],
        color=COLOURS[place % len(COLOURS)],
        markersize=7,
        elinewidth=0.9,
        capsize=3,
        alpha=0.9,
        label=name,
    )


def _percents(row: Row) -> tuple[float, float, float]:
    """Returns score, low and high in percent; an interval that was not measured has no length."""
    score, low, high = (row.get(key) for key in ("score", "score_low", "score_high"))
    low, high = score if low is None else min(low, score), score if high is None else max(high, score)
    return 100 * score, 100 * low, 100 * high


def _named(row: Row) -> str:
    name = shortened(row["name"], LONGEST_NAME)
    return f"{name} (subset)" if row.get("subset") else name


def _curve(axes: Axes, history: dict, key: str, colour: str) -> None:
    known = [(epoch, value) for epoch, value in zip(history["epoch"], history.get(key) or (), strict=False)
             if value is not None]  # fmt: skip
    scale = 100 if key == "val_score" else 1
    axes.plot([epoch for epoch, _ in known], [scale * value for _, value in known], "o-", color=colour, markersize=3)
    plain(axes)


def _widen_log(axes: Axes) -> None:
    """Widens a log axis of costs to LEAST_RATIO from end to end, where its values are nearly one."""
    low, high = axes.get_xlim()
    factor = max(1.0, LEAST_RATIO * low / high) ** 0.5
    axes.set_xlim(low / factor, high * factor)


def _log_ticks(axes: Axes, spelt: Callable[[float], str]) -> None:
    """Puts few round ticks in the values' own unit, because 10^6 bytes is not how sizes are read.

    They are the coarsest that are enough to read values from, on a short axis evenly spaced ones.
    """
    low, high = axes.get_xlim()
    decades = range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1)
    choices = [[digit * 10.0**power for power in decades for digit in digits] for digits in _DIGITS]
    choices.append(MaxNLocator(6, steps=[1, 2, 5, 10]).tick_values(low, high))
    inside = [[tick for tick in ticks if low <= tick <= high] for ticks in choices]
    ticks = next((found for found in inside if len(found) >= 4), inside[-1])
    axes.set_xticks(ticks)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _without_zeros(spelt(value))))
    axes.xaxis.set_minor_formatter(NullFormatter())


def _without_zeros(text: str) -> str:
    """Returns a label of an axis without zeros: "1.00 MB" is "1 MB"."""
    return re.sub(r"(\.\d*?)0+ ", r"\1 ", text).replace(". ", " ")
