"""Renders a report as Markdown (GitHub tables) and as text for a terminal."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Collection, Sequence

from tfmo_drive.base import speed
from tfmo_drive.base.spelling import shortened
from tfmo_drive.report import timing, worth
from tfmo_drive.report.document import Document, Section, Table
from tfmo_drive.report.rendering import numbers
from tfmo_drive.report.rendering.markdown_text import escaped
from tfmo_drive.report.rendering.tables import with_trivial
from tfmo_drive.report.row_facts import Row, called, featured, not_made, ratio
from tfmo_drive.report.sections import document
from tfmo_drive.report.verdict import verdict

TERMINAL_WIDTH = 110
_ABOUT = f"~ about: repeats differed by more than {numbers.percent(speed.SURE, 0)}, for the machine was busy"


def markdown(report: dict, figures: Collection[str] = ()) -> str:
    """Returns the report as Markdown; pictures of the names in `figures` are linked as figures/<name>.png."""
    return render(document(report), figures)


def render(page: Document, figures: Collection[str] = ()) -> str:
    """Returns any document as Markdown; folded sections (for looking up) are left to the HTML."""
    headline, *rest = page.verdict
    blocks = [f"# {escaped(page.title)}", f"**{escaped(headline)}** {escaped(' '.join(rest))}".rstrip()]
    for section in page.sections:
        if not section.folded:
            blocks += _section(section, figures)
    return "\n\n".join(blocks) + "\n"


def terminal(report: dict) -> str:
    """Returns a report's doubts, rows and verdict, in TERMINAL_WIDTH columns."""
    rows, doubts = report["rows"], worth.doubts(report)
    lines = [
        "\n".join(textwrap.fill(doubt, TERMINAL_WIDTH) for doubt in doubts),
        rows_table(report),
        "\n".join(textwrap.fill(f"{name}: not made. {why}", TERMINAL_WIDTH) for name, why in not_made(report).items()),
        "\n".join(f"{row['name']}: scored on {row['subset']}." for row in rows if row.get("subset")),
        "\n".join(_against(one) for one in report.get("paired") or ()),
        textwrap.fill(" ".join(verdict(report)[len(doubts) :]), TERMINAL_WIDTH),
    ]
    return "\n\n".join(line for line in lines if line) + "\n"


def terminal_text(page: Document) -> str:
    """Returns any document's verdict and tables for a terminal; what stands beside a value is left to the pages."""
    blocks = ["\n".join(textwrap.fill(sentence, TERMINAL_WIDTH) for sentence in page.verdict)]
    for shown in (section.table for section in page.sections if section.table and not section.folded):
        lines = [dict(zip(shown.columns, (cell.text for cell in row), strict=True)) for row in shown.rows]
        blocks.append(table(lines, shown.columns, text_columns=shown.text_columns))
    return "\n\n".join(blocks) + "\n"


def rows_table(report: dict) -> str:
    """Returns the report's rows as aligned text columns, the trivial answer and what was not made below them."""
    rows, marked = report["rows"], featured(report)[0]
    shown = [_short(row, rows[0], row is marked) for row in with_trivial(rows, rows)[0]]
    columns = [key for key in shown[0] if key != "error" or rows[0].get("error") is not None]
    shown += [dict(zip(columns, (name, "not made"), strict=False)) for name in not_made(report)]
    return table(shown, columns)


def table(
    rows: Sequence[dict[str, str]], columns: Sequence[str], width: int = TERMINAL_WIDTH, text_columns: int = 1
) -> str:
    """Returns aligned text columns, the first `text_columns` to the left and numbers to the right.

    Names in the first are shortened in their middle where the table would pass `width`. "about" becomes a sign that a
    line below explains, since the word itself would leave no room for names.
    """
    cells = [[str(row.get(column, numbers.DASH)).replace("about ", "~") for column in columns] for row in rows]
    widths = [max(len(line[i]) for line in [list(columns), *cells]) for i in range(len(columns))]
    # 12 characters still tell rows apart; below that a long line is the smaller evil.
    widths[0] = min(widths[0], max(12, width - sum(widths[1:]) - 2 * (len(columns) - 1)))
    lines = []
    for line in [list(columns), ["-" * size for size in widths], *cells]:
        line = [shortened(line[0], widths[0]), *line[1:]]
        aligned = [text.ljust(size) if place < text_columns else text.rjust(size)
                   for place, (text, size) in enumerate(zip(line, widths, strict=True))]  # fmt: skip
        lines.append("  ".join(aligned).rstrip())
    return "\n".join([*lines, *[_ABOUT] * any("~" in text for line in cells for text in line[1:])])


def _against(one: dict) -> str:
    low, high = one.get("score_delta_low"), one.get("score_delta_high")
    bounds = "" if None in (low, high) else f" ({numbers.points(low)} to {numbers.points(high)})"
    points = numbers.points(one["score_delta"])
    return f"{one['row']} against {one['against']}, example by example: {points} points{bounds}."


def _short(row: Row, first: Row, marked: bool) -> dict[str, str]:
    bounds = row.get("score_low"), row.get("score_high")
    score = numbers.percent(row.get("score")).removesuffix(" %")
    return {
        "row (* = verdict)": f"{row['name']}{' *' if marked else ''}",
        "score % [95 %]": score if None in bounds else f"{score} [{100 * bounds[0]:.1f}, {100 * bounds[1]:.1f}]",
        "points": numbers.points(row.get("score_delta")),
        "error": numbers.measured(row.get("error"), row.get("error_unit")),
        "size": numbers.size(row.get("size_bytes")),
        "smaller": numbers.times(ratio(row, first, "size_bytes")),
        "gzip": numbers.size(row.get("gzip_bytes")),
        f"ms ({called(first).split()[0]})": timing.short(row),
        "faster": timing.times(speed.of(row)),
    }


def _section(section: Section, figures: Collection[str]) -> list[str]:
    blocks = [f"## {escaped(section.title)}", escaped(section.caption)]
    for one in section.figures:
        if one.name in figures:
            blocks.append(f"![{escaped(one.caption)}](figures/{one.name}.png)")
            blocks += [f"[The same in motion](figures/{one.name}.gif)"] * one.film
    if section.table:
        blocks.append(_table(section.table))
    if section.text:
        fence = "`" * max(3, 1 + max(map(len, re.findall("`+", section.text)), default=0))
        blocks.append(f"{fence}\n{section.text}\n{fence}")
    # A section that had only pictures, none of which was drawn, would be an empty heading.
    return [block for block in blocks if block] if len(blocks) > 2 else []


def _table(shown: Table) -> str:
    marks = [":---" if i < shown.text_columns else "---:" for i in range(len(shown.columns))]
    lines = [[escaped(name) for name in shown.columns], marks]
    for row in shown.rows:
        lines.append([f"**{escaped(str(cell))}**" if cell.tone == "marked" else escaped(str(cell)) for cell in row])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
