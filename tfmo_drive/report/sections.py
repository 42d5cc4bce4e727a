"""Turns a report.json into a document: the same tables and captions for Markdown, HTML and the terminal."""

from __future__ import annotations

import dataclasses

from tfmo_drive.report import gains, memory_section, provenance, robustness_section, slices, task_numbers, timing
from tfmo_drive.report.document import Cell, Document, Figure, Section, Table
from tfmo_drive.report.rendering import numbers
from tfmo_drive.report.rendering.tables import cell, changes, interval, rows_table, tone
from tfmo_drive.report.row_facts import Row, featured, not_made, reference, worst_classes
from tfmo_drive.report.verdict import MET, MISSED, amount, judgement, limit, outcome, tiles, verdict

WORST_CLASSES = 10
TIME = (
    "the median time of one inference (batch 1) as a share of the first row's in the same turns. Rows whose ratio "
    "repeated no better than within 20 % are not drawn"
)


def document(report: dict) -> Document:
    """Returns everything a reader should see, the verdict first; what the report does not hold is left out."""
    row = featured(report)[0]
    candidates = (
        _rows(report, row),
        _expectations(report),
        gains.section(report),
        timing.section(report["rows"]),
        task_numbers.section(report["rows"]),
        _paired(report),
        _pictures(report),
        _worst_classes(row),
        slices.section(report),
        robustness_section.section(report),
        task_numbers.over_time(report["rows"]),
        _regressions(row),
        _predictions(row),
        _clip(),
        provenance.data_notes(report),
        provenance.stages(report),
        _sparsity(row),
        _float_layers(report["rows"]),
        memory_section.npu(report["rows"]),
        memory_section.peak(row),
        provenance.skipped_layers(report),
        _every_class(report),
        provenance.environment(report),
        provenance.settings(report),
    )
    return Document(
        title=str(report.get("experiment") or "tfmo_drive report"),
        verdict=verdict(report),
        tiles=tiles(report),
        tone=judgement(report),
        sections=tuple(section for section in candidates if section),
    )


def _rows(report: dict, marked: Row) -> Section:
    caption = (
        "Every row was scored on the artifact itself; in parentheses its 95 % interval. Points are differences to the "
        "first row on the same examples; macro is the mean over classes. Beside sizes: how many times smaller than the "
        "first row's file. Latency: in parentheses the first row's in the same turns; faster: how many times that is. "
        "Non-zeros are what the file really holds; RAM is what the runtime takes, or what activations need at least. "
        "The last line is the trivial answer, the same for every example without a look at it: what is no better has "
        "learnt nothing."
    )
    rows = report["rows"]
    table = rows_table(rows, [rows[0]] * len(rows), marked["name"])
    if missing := not_made(report):
        caption += " Rows below it were not made, and say why."
        dashes = [Cell(numbers.DASH)] * (len(table.columns) - 2)
        lines = tuple((Cell(name), Cell("not made", f"({reason})"), *dashes) for name, reason in missing.items())
        table = dataclasses.replace(table, rows=(*table.rows, *lines))
    return Section("Rows", caption, table=table)


def _expectations(report: dict) -> Section | None:
    expect = report.get("expect")
    if not expect:
        return None
    judged = {MET: (1, "good"), MISSED: (0, "bad")}
    rows = tuple(
        (
            Cell(outcome(one), "", *judged.get(outcome(one), (None, ""))),
            Cell(one["name"]),
            Cell(amount(one, "value"), "", one.get("value")),
            Cell(limit(one), "", one.get("bound")),
            Cell(str(one.get("row") or numbers.DASH)),
        )
        for one in expect
    )
    table = Table(("Verdict", "Expectation", "Measured", "Allowed", "Row"), rows, text_columns=5)
    caption = (
        "What the experiment promises; a FAIL is exit code 1, a time that a busy machine kept from being measured exit "
        "code 3."
    )
    return Section("Expectations", caption, table=table)


def _paired(report: dict) -> Section | None:
    rows = tuple(
        (
            Cell(one["row"]),
            Cell(one["against"]),
            interval(one, "score_delta", numbers.points, numbers.points, tone(one)),
            cell(one.get("agreement"), numbers.percent),
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
        Figure("score_size", "Score against file size. Bars: 95 % intervals. Dotted: rows that beat the trivial "
               "answer, and that no other row beats in both. A name that finds no place is left to the table. The "
               f"dashed line is {first}."),
        Figure("score_latency", f"Score, on the same scale, against {TIME}."),
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
    caption = f"Classes that lost most in {row['name']} against the first row."
    return Section("Worst classes", caption if worst else f"No class got worse in {row['name']}.", (figure,), table)


def _class_cells(one: dict) -> tuple[Cell, Cell]:
    return cell(one.get("examples"), numbers.whole), cell(one.get("score"), numbers.percent)


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
        lines.append((Cell(name), Cell(shown or numbers.DASH), share, cell(said["agreement"], numbers.percent)))
    return Section("Layers in float", caption, table=Table(("Row", "Worst", "In float", "Agree"), tuple(lines), 2))


def _every_class(report: dict) -> Section | None:
    rows = [row for row in report["rows"] if row.get("per_class")]
    if not rows:
        return None
    first = rows[0]["per_class"]
    lines = []
    for name in dict.fromkeys(name for row in rows for name in row["per_class"]):
        deltas = [(row["per_class"].get(name) or {}).get("delta") for row in rows[1:]]
        known = first.get(name) or next(row["per_class"][name] for row in rows if name in row["per_class"])
        lines.append((Cell(name), *_class_cells(known), *changes(deltas)))
    columns = ("Class", "Examples", f"Score of {rows[0]['name']}", *(row["name"] for row in rows[1:]))
    table = Table(columns, tuple(lines))
    return Section("Every class in every row", "Points against the first row.", table=table, folded=True)


def _regressions(row: Row) -> Section | None:
    found = row.get("regressions")
    if not found:
        return None
    sheet = Figure("regressions", f"Images that {row['name']} answers worse than the float artifact, worst first.",
                   photographs=True)  # fmt: skip
    panels = Figure("comparisons", f"Where {row['name']} loses most against float, worst first: the truth, what float "
                    "says and what this row says. # is the example's place in the test split.",
                    photographs=True)  # fmt: skip
    titles = {"truth": "Truth", "reference_says": "Float says", "says": "This row says"}
    if all(one.get("reference_says") == one.get("truth") for one in found):
        titles = {"truth": "Truth, as the reference says", "says": "This row says"}
    titles = {key: title for key, title in titles.items() if any(one.get(key) for one in found)}
    cells = tuple(
        (*(Cell(str(one.get(key) or numbers.DASH)) for key in titles), cell(one.get("index"), str)) for one in found
    )
    table = Table((*titles.values(), "Index in the test split"), cells, text_columns=len(titles))
    return Section("New mistakes", "What compression broke, to be looked at.", (sheet, panels), table)


def _predictions(row: Row) -> Section:
    figure = Figure("predictions", f"The truth, what float says and what {row['name']} says.", photographs=True)
    return Section("Predictions", "Ordinary test examples, chosen without a look at how they went.", (figure,))


def _clip() -> Section:
    figure = Figure("clip", "Some of its frames, time running to the right.", film=True, photographs=True)
    return Section("Clip", "The same moving scene, as the rows answer it.", (figure,))
