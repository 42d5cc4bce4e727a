"""Makes the cells of a report's tables, and the table of rows that a run's report and a comparison share."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from tfmo_drive.base import speed
from tfmo_drive.report import timing, worth
from tfmo_drive.report.document import Cell, Table
from tfmo_drive.report.rendering import numbers
from tfmo_drive.report.row_facts import UNHARMED, Row, ratio


def with_trivial(rows: list[Row], firsts: list[Row]) -> tuple[list[Row], list[Row]]:
    """Returns rows of one data set and the first row of each, with the trivial answer last where it was scored."""
    least = next((row for row in rows if row.get("reference") and row.get("trivial_score") is not None), None)
    return ([*rows, worth.trivial_row(least)], [*firsts, least]) if least else (rows, firsts)


def rows_table(rows: list[Row], firsts: list[Row], marked: str = "") -> Table:
    """Returns a table of every measured number of `rows`, and last the trivial answer.

    Args:
        rows: The rows; beside the name of one that knows its "run" (compare) the run stands, where the name does not
            say it.
        firsts: The row to which each one's ratios are.
        marked: The name of the row that is emphasised.
    """
    columns = ("Row", "Score", "Points", "Macro", "Agree", "Size", "gzip", "Params", "Non-zeros", "MACs", "RAM",
               "Latency", "Faster", "Runtime", "Made in")  # fmt: skip
    rows, firsts = with_trivial(rows, firsts)
    cells = [_row(row, first, row["name"] == marked) for row, first in zip(rows, firsts, strict=True)]
    if any(row.get("error") is not None for row in rows):
        columns = (*columns[:3], "Error", *columns[3:])
        cells = [(*line[:3], _error(row), *line[3:]) for row, line in zip(rows, cells, strict=True)]
    return Table(columns, tuple(cells))


def _row(row: Row, first: Row, marked: bool) -> tuple[Cell, ...]:
    zeros = None
    if row.get("parameters") and row.get("nonzero_parameters") is not None:
        zeros = 1 - row["nonzero_parameters"] / row["parameters"]
    run = row.get("run")
    timed, threads = speed.of(row), timing.threads(row.get("threads"))
    smaller, packed = (ratio(row, first, key) for key in ("size_bytes", "gzip_bytes"))
    return (
        Cell(row["name"], f"({run})" if run not in (None, row.get("stage")) else "", None, "marked" if marked else ""),
        interval(row, "score", numbers.percent, lambda value: f"{100 * value:.1f}"),
        interval(row, "score_delta", numbers.points, numbers.points, tone(row)),
        cell(row.get("score_macro"), numbers.percent),
        cell(row.get("agreement"), numbers.percent, f"({row['subset']})" if row.get("subset") else ""),
        cell(row.get("size_bytes"), numbers.size, f"({numbers.times(smaller)})" if smaller else ""),
        cell(row.get("gzip_bytes"), numbers.size, f"({numbers.times(packed)})" if packed else ""),
        cell(row.get("parameters"), numbers.count),
        cell(row.get("nonzero_parameters"), numbers.count, "" if zeros is None else f"({100 * zeros:.0f} % zero)"),
        cell(row.get("macs"), numbers.count),
        _memory(row),
        Cell(timing.milliseconds(row), timing.beside(row), row.get("latency_ms")),
        Cell(timing.times(timed), "", timed and timed.ratio),
        Cell(str(row.get("runtime") or numbers.DASH), f"({threads})" if threads else ""),
        cell(row.get("seconds"), numbers.duration),
    )


def _error(row: Row) -> Cell:
    """Returns the mean error in its unit, of a task that answers a number."""
    unit = row.get("error_unit")
    return interval(row, "error", lambda value: numbers.measured(value, unit), numbers.significant)


def _memory(row: Row) -> Cell:
    """Returns the memory that the runtime says that it takes, else what any runtime takes at least."""
    taken = row.get("arena_bytes") or (row.get("npu") or {}).get("sram_bytes")
    least = row.get("activation_bytes")
    return cell(taken or least, numbers.size, "(at least)" if least and not taken else "")


def interval(row: Row, key: str, spelt: Callable, bound: Callable, tone: str = "") -> Cell:
    """Returns the number `key` with its 95 % interval beside it; the reference's difference to itself has none."""
    low, high = row.get(f"{key}_low"), row.get(f"{key}_high")
    known = low is not None and high is not None and not (row.get("reference") and low == high)
    note = f"({bound(low)} to {bound(high)})" if known else ""
    return Cell(spelt(row.get(key)), note, row.get(key), tone)


def tone(row: Row) -> str:
    """Returns "bad" or "good" where the interval of the difference excludes zero, else ""."""
    low, high = row.get("score_delta_low"), row.get("score_delta_high")
    if low is None or high is None:
        return ""
    return "bad" if high < 0 else "good" if low > 0 else ""


def cell(value: float | None, spelt: Callable, note: str = "") -> Cell:
    """Returns a number as it is spelt, sorted by its value."""
    return Cell(spelt(value), note, value)


def changes(deltas: Iterable[float | None]) -> tuple[Cell, ...]:
    """Returns points against the first row, coloured where they are more than a compressed file may cost."""
    tones = {True: "bad", False: "good"}
    return tuple(
        Cell(numbers.points(delta), "", delta, tones[delta < 0] if delta and abs(delta) > UNHARMED else "")
        for delta in deltas
    )
