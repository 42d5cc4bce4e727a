"""Writes times in every report: as base.speed decides, in two digits and with "about" where they are not sure."""

from __future__ import annotations

from tfmo_drive.base import speed
from tfmo_drive.base.speed import Row, Speed
from tfmo_drive.report.document import Cell, Section, Table
from tfmo_drive.report.rendering import numbers

BUSY = "not measurable now: the machine is busy"


def times(found: Speed | None) -> str:
    """Returns the ratio: 4.7x, or about 4.7x."""
    if found is None:
        return numbers.DASH
    return numbers.times(found.ratio) if found.sure else f"about {numbers.significant(found.ratio, 2)}x"


def milliseconds(row: Row) -> str:
    """Returns the row's own median time."""
    return _milliseconds(row.get("latency_ms"), speed.steady(row))


def pair(found: Speed) -> str:
    """Returns the row's time against that of the float baseline in the same turns."""
    own, theirs = (_milliseconds(one, found.steady) for one in found.milliseconds)
    return f"{own} against {theirs}"


def whole(found: Speed | None, reference: bool = False) -> str:
    """Returns the ratio, the two times that divide to it, and its spread: 4.7x: 1.06 ms against 5.02 ms (±4 %).

    For the float baseline itself it returns its time.
    """
    if found is None:
        return numbers.DASH
    if reference:
        return _milliseconds(found.milliseconds[0], found.steady)
    return f"{times(found)}: {pair(found)} (±{numbers.percent(found.spread, 0)})"


def beside(row: Row) -> str:
    """Returns the float baseline's milliseconds in the same turns, in parentheses."""
    found = speed.of(row)
    if found is None or row.get("reference"):
        return ""
    return f"({numbers.significant(found.milliseconds[1], 3 if found.steady else 2)})"


def short(row: Row) -> str:
    """Returns the row's milliseconds with those of the float baseline: 1.06 (5.02)."""
    return f"{milliseconds(row).removesuffix(' ms')} {beside(row)}".rstrip()


def compared(found: Speed) -> tuple[str, str]:
    """Returns the ratio above 1 and which way round it is: "2.0x", "slower"."""
    near = abs(found.ratio - 1) <= speed.ALIKE and found.sure
    better = found.ratio >= 1 or near
    shown = found if better else Speed(1 / found.ratio, found.spread)
    if found.faster or found.slower:
        return times(shown), "faster" if found.faster else "slower"
    return times(shown), "neither faster nor slower" if near else f"not surely {'faster' if better else 'slower'}"


def within(found: Speed) -> str:
    """Returns how closely the ratio repeated: "within 4 %", "only within 45 %"."""
    return f"{'' if found.sure else 'only '}within {numbers.percent(found.spread, 0)}"


def threads(count: int | None) -> str:
    """Returns "2 threads", or "" where the number is not known."""
    return f"{count} thread{'' if count == 1 else 's'}" if count else ""


def sentence(row: Row) -> str:
    """Returns what one inference of the row takes against the float baseline's."""
    found, where = speed.of(row), ", ".join(part for part in (row.get("runtime"), threads(row.get("threads"))) if part)
    where = f" ({where})" if where else ""
    if found is None:
        took = f"One inference takes {milliseconds(row)}{where}, not timed side by side, so no ratio is given."
        return took if row.get("latency_ms") else "Its latency was not measured."
    said = f"One inference is {phrase(found)}: {pair(found)}{where}, timed in turns, the ratio repeating "
    said += f"{within(found)}{'' if found.sure else ' because the machine was busy'}."
    most = speed.best(row)
    if most is None or most.threads == found.threads:
        return said
    own, theirs = (threads(count) for count in most.threads)
    where = (
        f"On {own}, which suits both best" if own == theirs else f"Each on what suits it best, {own} against {theirs}"
    )
    return f"{said} {where}, it is {phrase(most)}: {pair(most)}."


def section(rows: list[Row]) -> Section | None:
    """Returns every row's times on one thread, on two, and each on what suits it best."""
    timed = [row for row in rows if speed.of(row)]
    if len(timed) < 2:
        return None
    caption = (
        "Milliseconds of one inference against those of the first row in the same turns, which is why the "
        "first row's differ from row to row, and how many times faster that is. In parentheses how far the ratio "
        f"repeated: beyond {numbers.percent(speed.SURE, 0)} the machine was too busy, and a number is only about "
        "right. Best: each on the number of threads that suits it best."
    )
    lines = tuple(
        (Cell(row["name"]), _p95(row),
         *(_cell(found, bool(row.get("reference"))) for found in (speed.of(row, 1), speed.of(row, 2), speed.best(row))))
        for row in timed
    )  # fmt: skip
    columns = ("Row", "p95", "1 thread", "2 threads", "Best against best")
    return Section("Speed", caption, table=Table(columns, lines))


def _p95(row: Row) -> Cell:
    value = row.get("latency_p95_ms")
    return Cell(_milliseconds(value, speed.steady_p95(row)), "", value)


def _cell(found: Speed | None, reference: bool) -> Cell:
    text, parenthesis, note = whole(found, reference).partition(" (")
    return Cell(text, f"{parenthesis.strip()}{note}", found and found.ratio)


def phrase(found: Speed) -> str:
    """Returns "2.0x faster", "2.0x slower", or that it is open, with the ratio in parentheses."""
    said, word = compared(found)
    return f"{said} {word}" if found.faster or found.slower else f"{word} ({said})"


def _milliseconds(value: float | None, sure: bool) -> str:
    exact = numbers.milliseconds(value)
    return exact if sure or exact == numbers.DASH else f"about {numbers.significant(value, 2)} ms"
