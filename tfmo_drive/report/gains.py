"""Says whether rows are really smaller and really faster, from bytes of files and from times taken in turns.

People say of every toolkit that it is "pruned, and neither smaller nor faster". So a recipe's gain is also compared
with the plain conversion of the baseline to the same target, and every verdict says why.
"""

from __future__ import annotations

from tfmo_drive.base import speed
from tfmo_drive.base.speed import ALIKE
from tfmo_drive.report import timing
from tfmo_drive.report.document import Cell, Section, Table
from tfmo_drive.report.rendering import numbers
from tfmo_drive.report.row_facts import Row, plain_row, ratio

_FEWER = 1.05
"""The ratio of weights or multiply-accumulates from which they count as a reason."""


def section(report: dict) -> Section | None:
    """Returns every row but the first compared with the first, and the recipe's row with the plain conversion."""
    first, *rows = report["rows"]
    rows = [row for row in rows if row.get("size_bytes") and first.get("size_bytes")]
    if not rows:
        return None
    lines = tuple(_line(row, first, plain_row(report, row)) for row in rows)
    columns = ("Row", "Against float", "Against the plain conversion", "Why")
    caption = (
        "Smaller: the file's bytes as they lie in flash, not gzipped. Faster: the ratio of times taken in turns, by "
        "more than it varied between five repeats, and not decided where that was more than 20 %; against the plain "
        "conversion, the ratio of two such ratios. Plain: the float baseline converted to the same target, untrained."
    )
    return Section("Really smaller, really faster?", caption, table=Table(columns, lines, text_columns=4))


def _line(row: Row, first: Row, plain: Row | None) -> tuple[Cell, ...]:
    against_plain = verdict(row, plain) if plain else numbers.DASH
    return Cell(row["name"]), Cell(verdict(row, first)), Cell(against_plain), Cell(reason(row, plain or first))


def verdict(row: Row, other: Row) -> str:
    """Returns "both", "size only", "latency only" or "neither", with the ratios.

    It says where a time was not taken, or where a busy machine left it open.
    """
    size, timed = ratio(row, other, "size_bytes"), speed.against(row, other)
    small = bool(size) and size > 1 + ALIKE
    said = f"{numbers.times(size)} in size, "
    if timed is None:
        return said + "not timed" + (": size only" if small else "")
    said += f"{timing.times(timed)} in time (±{numbers.percent(timed.spread, 0)})"
    if timed.open:
        return f"{'smaller, ' if small else ''}latency not decided: {said}"
    words = {(True, True): "both", (True, False): "size only", (False, True): "latency only", (False, False): "neither"}
    return f"{words[small, timed.faster]}: {said}"


def reason(row: Row, other: Row) -> str:
    """Returns why the row is, or is not, smaller and faster than the other."""
    return "; ".join((_bytes(row, other), *_time(row, other)))


def _bytes(row: Row, other: Row) -> str:
    size, packed = (ratio(row, other, key) or 1.0 for key in ("size_bytes", "gzip_bytes"))
    weights, zeros = ratio(row, other, "parameters") or 1.0, _zeros(row)
    if size > 1 + ALIKE:
        fewer = f"{numbers.times(weights)} fewer weights" if weights > _FEWER else ""
        bits = numbers.significant(8 * row["size_bytes"] / row["parameters"], 2) if row.get("parameters") else ""
        narrower = f"{bits} bits a weight" if bits and size / weights > _FEWER else ""
        return " of ".join(part for part in (fewer, narrower) if part) or "a shorter file"
    if size < 1 - ALIKE:
        more = 1 / weights
        return f"{numbers.times(more)} as many weights" if more > _FEWER else "wider types, or more beside the weights"
    if zeros > 0.1:
        gzip = f", only gzip makes them {numbers.times(packed)} smaller" if packed > 1 + ALIKE else ""
        return f"its zeros ({numbers.percent(zeros, 0)}) are stored like other weights{gzip}"
    if packed > _FEWER:
        return f"repeated values are stored in full, only gzip makes them {numbers.times(packed)} smaller"
    return "as many weights of the same type"


def _time(row: Row, other: Row) -> list[str]:
    timed = speed.against(row, other)
    if timed is None:
        return []
    if timed.open:
        return [f"its time repeated {timing.within(timed)} because the machine was busy"]
    fewer, runtime = ratio(row, other, "macs") or 1.0, row.get("runtime", "this runtime")
    if timed.faster:
        if fewer > _FEWER:
            return [f"{numbers.times(fewer)} fewer multiply-accumulates"]
        if row.get("runtime") != other.get("runtime"):
            return [f"another runtime, {runtime}"]
        same = row.get("target") == other.get("target")
        return ["a lighter graph" if same else "a type that the runtime is faster in"]
    if timed.slower:
        return [f"slower kernels of {runtime} for its types"]
    if fewer > _FEWER:
        return [f"{numbers.times(fewer)} fewer multiply-accumulates, but their time does not show it on {runtime}"]
    if _zeros(row) > 0.1:
        return [f"zeros do not speed this graph up on {runtime}: it multiplies by them"]
    return ["as many multiply-accumulates"]


def _zeros(row: Row) -> float:
    counts = row.get("parameters"), row.get("nonzero_parameters")
    return 0.0 if not counts[0] or counts[1] is None else 1 - counts[1] / counts[0]
