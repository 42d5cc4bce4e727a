"""A report.json (DESIGN section 4) as a document: the same tables and captions for Markdown, HTML and the terminal."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from tfmo_drive.report import numbers
from tfmo_drive.report.document import Cell, Document, Figure, Section, Table
from tfmo_drive.report.rows import Row, featured, ratio, reference, worst_classes
from tfmo_drive.report.verdict import amount, judgement, limit, threads, tiles, verdict

WORST_CLASSES = 10


def document(report: dict) -> Document:
    """Everything a reader should see, the verdict first; what the report does not hold is left out."""
    row = featured(report)[0]
    candidates = (
        _rows(report["rows"], row),
        _expectations(report),
        _paired(report),
        _pictures(report),
        _worst_classes(row),
        _stages(report),
        _sparsity(row),
        _float_layers(report["rows"]),
        _regressions(row),
        _skipped(report),
        _left_alone(report),
        _every_class(report),
        _environment(report),
        _settings(report),
    )
    return Document(
        title=str(report.get("experiment") or "tfmo_drive report"),
        verdict=verdict(report),
        tiles=tiles(report),
        tone=judgement(report),
        sections=tuple(section for section in candidates if section),
    )


def _rows(rows: list[Row], marked: Row) -> Section:
    caption = (
        "Every row was scored on the artifact itself; in parentheses its 95 % interval. Points are differences to the "
        "first row on the same examples; macro is the mean over classes. Beside sizes: how many times smaller than the "
        "first row's file; faster: how many times its speed, timed in turns. Non-zeros are what the file really holds."
    )
    return Section("Rows", caption, table=rows_table(rows, [rows[0]] * len(rows), marked["name"]))


def rows_table(rows: list[Row], firsts: list[Row], marked: str = "", run: bool = False) -> Table:
    """Every measured number of `rows`, ratios being to `firsts` (one for each row).

    The row named `marked` is emphasised; with `run` the rows' "run" stands in front (compare).
    """
    columns = ("Row", "Score", "Points", "Macro", "Agree", "Size", "gzip", "Params", "Non-zeros", "MACs", "Latency",
               "Faster", "Runtime", "Made in")  # fmt: skip
    cells = (_row(row, first, row["name"] == marked) for row, first in zip(rows, firsts, strict=True))
    if not run:
        return Table(columns, tuple(cells))
    named = ((Cell(str(row["run"])), *line) for row, line in zip(rows, cells, strict=True))
    return Table(("Run", *columns), tuple(named), text_columns=2)


def _row(row: Row, first: Row, marked: bool) -> tuple[Cell, ...]:
    zeros = None
    if row.get("parameters") and row.get("nonzero_parameters") is not None:
        zeros = 1 - row["nonzero_parameters"] / row["parameters"]
    smaller, packed = (ratio(row, first, key) for key in ("size_bytes", "gzip_bytes"))
    p95 = row.get("latency_p95_ms")
    return (
        Cell(row["name"], "", None, "marked" if marked else ""),
        _interval(row, "score", numbers.percent, lambda value: f"{100 * value:.1f}"),
        _interval(row, "score_delta", numbers.points, numbers.points, _tone(row)),
        _cell(row.get("score_macro"), numbers.percent),
        _cell(row.get("agreement"), numbers.percent, f"({row['subset']})" if row.get("subset") else ""),
        _cell(row.get("size_bytes"), numbers.size, f"({numbers.times(smaller)})" if smaller else ""),
        _cell(row.get("gzip_bytes"), numbers.size, f"({numbers.times(packed)})" if packed else ""),
        _cell(row.get("parameters"), numbers.count),
        _cell(row.get("nonzero_parameters"), numbers.count, "" if zeros is None else f"({100 * zeros:.0f} % zero)"),
        _cell(row.get("macs"), numbers.count),
        _cell(row.get("latency_ms"), numbers.milliseconds, f"(p95 {numbers.significant(p95)})" if p95 else ""),
        _cell(row.get("speedup"), numbers.times),
        Cell(str(row.get("runtime") or numbers.DASH), f"({threads(row)})" if row.get("threads") else ""),
        _cell(row.get("seconds"), numbers.duration),
    )


def _interval(row: Row, key: str, spelt: Callable, bound: Callable, tone: str = "") -> Cell:
    low, high = row.get(f"{key}_low"), row.get(f"{key}_high")
    known = low is not None and high is not None and not (row.get("reference") and low == high)
    note = f"({bound(low)} to {bound(high)})" if known else ""
    return Cell(spelt(row.get(key)), note, row.get(key), tone)


def _tone(row: Row) -> str:
    low, high = row.get("score_delta_low"), row.get("score_delta_high")
    if low is None or high is None:
        return ""
    return "bad" if high < 0 else "good" if low > 0 else ""


def _cell(value: float | None, spelt: Callable, note: str = "") -> Cell:
    return Cell(spelt(value), note, value)


def _expectations(report: dict) -> Section | None:
    expect = report.get("expect")
    if not expect:
        return None
    rows = tuple(
        (
            Cell(one["name"]),
            Cell(str(one.get("row") or numbers.DASH)),
            Cell(limit(one), "", one.get("bound")),
            Cell(amount(one, "value"), "", one.get("value")),
            Cell("PASS", "", 1, "good") if one.get("passed") else Cell("FAIL", "", 0, "bad"),
        )
        for one in expect
    )
    table = Table(("Expectation", "Row", "Allowed", "Measured", "Verdict"), rows, text_columns=2)
    return Section("Expectations", "What the experiment promises; a FAIL is a non-zero exit code.", table=table)


def _paired(report: dict) -> Section | None:
    rows = tuple(
        (
            Cell(one["row"]),
            Cell(one["against"]),
            _interval(one, "score_delta", numbers.points, numbers.points, _tone(one)),
            _cell(one.get("agreement"), numbers.percent),
        )
        for one in report.get("paired") or ()
    )
    if not rows:
        return None
    caption = "The same test examples, one by one: what the recipe gained or lost against its controls."
    return Section("Against the controls", caption, table=Table(("Row", "Against", "Points", "Agree"), rows, 2))


def _pictures(report: dict) -> Section:
    first = reference(report)["name"]
    figures = (
        Figure("score_size", "Score against file size. Bars: 95 % intervals. Dotted: rows that no other row beats in "
               f"both. The dashed line is {first}."),
        Figure("score_latency", "Score against the median latency of one inference (batch 1), on the same scale."),
    )  # fmt: skip
    return Section("Score against cost", "Up and to the left is better.", figures)


def _worst_classes(row: Row) -> Section | None:
    worst = [pair for pair in worst_classes(row)[:WORST_CLASSES] if pair[1]["delta"] < 0]
    if not worst_classes(row):
        return None
    figure = Figure("class_deltas", "Change of every class's score, worst first (at most 20 classes). Few examples "
                    "make large steps: one of 12 is 8.3 points.")  # fmt: skip
    cells = tuple(
        (Cell(name), *_class_cells(one), Cell(numbers.points(one["delta"]), "", one["delta"], "bad"))
        for name, one in worst
    )
    table = Table(("Class", "Examples", "Score", "Points"), cells) if worst else None
    caption = f"Classes that lost most in {row['name']} against the float baseline."
    return Section("Worst classes", caption if worst else f"No class got worse in {row['name']}.", (figure,), table)


def _class_cells(one: dict) -> tuple[Cell, Cell]:
    return _cell(one.get("examples"), numbers.whole), _cell(one.get("score"), numbers.percent)


def _stages(report: dict) -> Section | None:
    stages = report.get("stages")
    if not stages:
        return None
    rows = tuple(
        (
            Cell(str(stage["name"])),
            Cell(str(stage.get("recipe") or numbers.DASH)),
            Cell(str(stage.get("promise") or numbers.DASH)),
            _cell(stage.get("keras_score"), numbers.percent),
            _cell(len((stage.get("curves") or {}).get("epoch") or ()) or None, numbers.whole),
            _cell(stage.get("seconds"), numbers.duration),
        )
        for stage in stages
    )
    table = Table(("Stage", "Recipe", "Promise", "Keras score", "Epochs", "Time"), rows, text_columns=3)
    figure = Figure("curves", "Training loss and validation score by epoch, one column per stage. Dashed: the "
                    "baseline's validation score.")  # fmt: skip
    caption = "Keras scores are of the training-time model; the rows above are of the files that ship."
    return Section("Stages", caption, (figure,), table)


def _sparsity(row: Row) -> Section | None:
    if not row.get("layer_sparsity"):
        return None
    figure = Figure("sparsity", "Zeros in each layer's weights, input side left. Dashed: all together.")
    return Section("Sparsity", f"Zeros counted in the file of {row['name']}.", (figure,))


def _float_layers(rows: list[Row]) -> Section | None:
    mixed = [(row["name"], row["float_layers"]) for row in rows if row.get("float_layers")]
    if not mixed:
        return None
    caption = (
        "The layers whose own int8 output has the worst signal-to-noise ratio stay in float, the fewest that keep the "
        "decisions on the calibration images; what feeds them stays with them."
    )
    lines = []
    for name, said in mixed:
        worst = [f"{one['layer']} {one['sqnr_db']:.1f} dB" for one in said["worst"]]
        shown = ", ".join(worst[:5]) + (f" and {len(worst) - 5} more" if len(worst) > 5 else "")
        count = len(worst) + len(said["feeding"])
        share = Cell(f"{count} of {said['of']}", f"({len(worst)} worst)" if count else "", count)
        lines.append((Cell(name), Cell(shown or numbers.DASH), share, _cell(said["agreement"], numbers.percent)))
    return Section("Layers in float", caption, table=Table(("Row", "Worst", "In float", "Agree"), tuple(lines), 2))


def _regressions(row: Row) -> Section | None:
    found = row.get("regressions")
    if not found:
        return None
    figure = Figure("regressions", f"Images that the float artifact gets right and {row['name']} wrong, worst first.")
    cells = tuple(
        (*(Cell(str(one.get(key, numbers.DASH))) for key in ("truth", "says")), _cell(one.get("index"), str))
        for one in found
    )
    table = Table(("Truth, as the reference says", "This row says", "Index in the test split"), cells, text_columns=2)
    return Section("New mistakes", "What compression broke, to be looked at.", (figure,), table)


def _skipped(report: dict) -> Section | None:
    skipped = report.get("skipped")
    if not skipped:
        return None
    rows = tuple(tuple(Cell(str(one.get(key) or numbers.DASH)) for key in ("stage", "target", "reason"))
                 for one in skipped)  # fmt: skip
    table = Table(("Stage", "Target", "Reason"), rows, text_columns=3)
    return Section("Skipped rows", "What was not made, and why.", table=table)


def _left_alone(report: dict) -> Section | None:
    rows = tuple(
        (Cell(str(stage["name"])), Cell(str(stage.get("recipe") or numbers.DASH)), Cell(layer), Cell(reason))
        for stage in report.get("stages") or ()
        for layer, reason in (stage.get("left_alone") or {}).items()
    )
    table = Table(("Stage", "Recipe", "Layer", "Reason"), rows, text_columns=4)
    caption = "What a step could not change, nor what hangs together with it."
    return Section("Left alone", caption, table=table) if rows else None


def _every_class(report: dict) -> Section | None:
    rows = [row for row in report["rows"] if row.get("per_class")]
    if not rows:
        return None
    first = rows[0]["per_class"]
    lines = []
    for name in dict.fromkeys(name for row in rows for name in row["per_class"]):
        deltas = [(row["per_class"].get(name) or {}).get("delta") for row in rows[1:]]
        tones = ["bad" if delta and delta < 0 else "good" if delta and delta > 0 else "" for delta in deltas]
        cells = [Cell(numbers.points(delta), "", delta, tone) for delta, tone in zip(deltas, tones, strict=True)]
        known = first.get(name) or next(row["per_class"][name] for row in rows if name in row["per_class"])
        lines.append((Cell(name), *_class_cells(known), *cells))
    columns = ("Class", "Examples", f"Score of {rows[0]['name']}", *(row["name"] for row in rows[1:]))
    table = Table(columns, tuple(lines))
    return Section("Every class in every row", "Points against the first row.", table=table, folded=True)


def _environment(report: dict) -> Section | None:
    environment = report.get("environment") or {}
    facts = {key: value for key, value in environment.items() if key not in ("packages", "command")}
    facts |= {"seed": report.get("seed"), "data fingerprint": report.get("data_fingerprint")}
    cells = tuple((Cell(str(key)), Cell(_plain(value))) for key, value in facts.items() if value is not None)
    if not cells:
        return None
    caption = "Same seed, same machine, same threads: same numbers."
    table = Table(("Fact", "Value"), cells, text_columns=2)
    return Section("Environment", caption, table=table, text=str(environment.get("command") or ""))


def _settings(report: dict) -> Section | None:
    settings: dict[str, Any] = {key: report[key] for key in ("settings", "task", "baseline") if report.get(key)}
    for stage in report.get("stages") or ():
        if stage.get("settings"):
            settings[f"{stage.get('recipe') or 'stage'}/{stage['name']}"] = stage["settings"]
    packages = (report.get("environment") or {}).get("packages")
    settings |= {"packages": packages} if packages else {}
    return Section("All settings", text=json.dumps(settings, indent=2, default=str), folded=True) if settings else None


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str)
