"""Show several runs in one table and one plot for each data set: nothing is ranked across test data.

    tfmo-drive compare runs/*
    tfmo-drive compare runs/pruned runs/distilled --out=runs/compare

Reads the report.json of each run folder (folders without one are skipped, with a note), prints a table for every data
set (runs of one task whose data has the same fingerprint), and writes compare.md, compare.html and figures/*.png into
--out. A baseline row that is equal in several runs of a data set appears once. Points, smaller and faster always refer
to the float baseline of the row's own run.
"""

from __future__ import annotations

import dataclasses
import textwrap
from pathlib import Path

from absl import flags

from tfmo_drive.base import speed
from tfmo_drive.base.given_file import reading
from tfmo_drive.commands import shared_flags  # noqa: F401 (defines --out)
from tfmo_drive.contracts import BadInput
from tfmo_drive.report import timing, worth
from tfmo_drive.report.document import Document, Figure, Section
from tfmo_drive.report.plots.figures import against
from tfmo_drive.report.rendering import numbers
from tfmo_drive.report.rendering.markdown import TERMINAL_WIDTH, table
from tfmo_drive.report.rendering.tables import rows_table, with_trivial
from tfmo_drive.report.row_facts import Row, frontier, ratio, reference
from tfmo_drive.report.schema import AGAIN
from tfmo_drive.report.sections import TIME
from tfmo_drive.report.write_report import read, write_document

FLAGS = flags.FLAGS
flags.declare_key_flag("out")


@dataclasses.dataclass(frozen=True)
class Block:
    """Holds runs of one task on the same test data: their rows, each with its run's first row beside it."""

    title: str
    reports: dict[str, dict]
    rows: list[Row]
    firsts: list[Row]


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Holds a block for each data set, that of most runs first."""

    blocks: list[Block]
    notes: list[str]


def main(argv: list[str]) -> int:
    """Compares the run folders in argv[1:] and returns the exit code.

    Raises BadInput where there is nothing to compare.
    """
    out = Path(FLAGS.out or "runs/compare")
    reports, skipped = _read_runs([Path(name) for name in argv[1:]], out)
    compared = compare(reports)
    print(terminal(compared))
    print(*(f"\nNote: {note}" for note in [*compared.notes, *skipped]), sep="")
    write(compared, out)
    print(f"\n{out / 'compare.html'}")
    return 0


def compare(reports: dict[str, dict]) -> Comparison:
    """Returns reports, given by run name, in a block for each data set and task."""
    groups: dict[tuple[str, str], dict[str, dict]] = {}
    for run, report in reports.items():
        groups.setdefault(_data(report), {})[run] = report
    titles = [_title(group) for group in groups.values()]
    blocks = [
        _block(title if titles.count(title) == 1 else f"{title}, {fingerprint[:8]}", group)
        for title, ((_, fingerprint), group) in zip(titles, groups.items(), strict=True)
    ]
    return Comparison(sorted(blocks, key=lambda block: -len(block.reports)), _notes(reports, len(blocks)))


def _data(report: dict) -> tuple[str, str]:
    """Returns what two runs must have in common to be compared: the kind of task, and the content of the data."""
    kind = str((report.get("task") or {}).get("kind"))
    return kind, str(report.get("data_fingerprint") or reference(report).get("examples"))


def _title(reports: dict[str, dict]) -> str:
    """Returns a block's title, such as "gtsrb48, Classification, 1,055 test examples"."""
    report = next(iter(reports.values()))
    task, examples = report.get("task") or {}, reference(report).get("examples")
    data = Path(str(task.get("data") or "")).name  # arrays in memory have no name
    return ", ".join(filter(None, (data, task.get("kind"), f"{numbers.whole(examples)} test examples")))


def _block(title: str, reports: dict[str, dict]) -> Block:
    """Returns a block, in which baseline rows of the same target, score and bytes appear once."""
    rows, firsts, seen = [], [], {}
    for run, report in reports.items():
        for row in report["rows"]:
            same = tuple(row.get(key) for key in ("target", "score", "size_bytes"))
            if row.get("stage") == "baseline" and same in seen:
                seen[same]["runs"].append(run)
                continue
            rows.append({**row, "runs": [run]})
            firsts.append(reference(report))
            if row.get("stage") == "baseline":
                seen[same] = rows[-1]
    for row in rows:
        runs = row.pop("runs")
        row["run"] = runs[0] if len(runs) == 1 else f"{len(runs)} runs"
    return Block(title, reports, rows, firsts)


def terminal(compared: Comparison) -> str:
    """Returns what makes runs worthless, then for each data set one line per row, narrow enough for a terminal."""
    tables = [_lines(block) for block in compared.blocks]
    if len(tables) > 1:
        tables = [f"{block.title}:\n{lines}" for block, lines in zip(compared.blocks, tables, strict=True)]
    doubts = [textwrap.fill(one, TERMINAL_WIDTH) for block in compared.blocks for one in _doubts(block)]
    return "\n\n".join([*doubts, *tables])


def _lines(block: Block) -> str:
    rows, firsts = with_trivial(block.rows, block.firsts)
    lines = [
        {
            # A recipe's rows are named after its run already.
            "row": row["name"] if row.get("run") in (None, row.get("stage")) else f"{row['run']}: {row['name']}",
            "score": numbers.percent(row.get("score")),
            "points": numbers.points(row.get("score_delta")),
            "size": numbers.size(row.get("size_bytes")),
            "smaller": numbers.times(ratio(row, first, "size_bytes")),
            "gzip": numbers.size(row.get("gzip_bytes")),
            "ms (float)": timing.short(row),
            "faster": timing.times(speed.of(row)),
        }
        for row, first in zip(rows, firsts, strict=True)
    ]
    return table(lines, list(lines[0]))


def _doubts(block: Block) -> list[str]:
    return [f"{run}: {one}" for run, report in block.reports.items() for one in worth.doubts(report)]


def write(compared: Comparison, out: Path) -> None:
    """Writes compare.md, compare.html and figures/*.png into `out`."""
    drawn = {
        f"{name}{_number(place, compared)}": against(
            block.rows, cost, group="run" if len(block.reports) > 1 else "stage"
        )
        for place, block in enumerate(compared.blocks, start=1)
        for name, cost in (("score_size", "size_bytes"), ("score_latency", "latency_share"))
    }
    drawn = {name: data for name, data in drawn.items() if data}
    write_document(document(compared), drawn, out, "compare")


def _number(place: int, compared: Comparison) -> str:
    return f"_{place}" if len(compared.blocks) > 1 else ""


def document(compared: Comparison) -> Document:
    """Returns the comparison as a document: for each data set which rows nothing else beats, and all rows."""
    several = len(compared.blocks) > 1
    verdict = [one for block in compared.blocks for one in _doubts(block)]
    sections = []
    for place, block in enumerate(compared.blocks, start=1):
        verdict += _front(block, f"Of {block.title}: " if several else "")
        sections += _sections(block, _number(place, compared), f": {block.title}" if several else "")
    count = sum(len(block.reports) for block in compared.blocks)
    return Document(
        title=f"{count} run{'s' * (count > 1)} compared",
        verdict=(*verdict, *compared.notes),
        sections=tuple(sections),
    )


def _front(block: Block, of: str) -> list[str]:
    front = [
        f"{row['run']}: {row['name']}, {numbers.percent(row['score'])} in {numbers.size(row['size_bytes'])}."
        for row in frontier(block.rows, "size_bytes")
    ]
    beaten = "no other row beats these in both score and bytes, smallest first:" if front else (
        "no row that is better than the trivial answer has both a score and a size.")  # fmt: skip
    said = f"{of}{beaten}"
    return [f"{said[0].upper()}{said[1:]}", *front]


def _sections(block: Block, number: str, of: str) -> list[Section]:
    figures = (
        Figure(f"score_size{number}", "Score against file size of every row; bars: 95 % intervals; dotted: rows that "
               "beat the trivial answer, and that no other row beats in both. Rows equal in several runs are drawn "
               "once; a name that finds no place is left to the table."),
        Figure(f"score_latency{number}", f"Score against {TIME}."),
    )  # fmt: skip
    caption = (
        "In parentheses stands a row's run, where its name does not say it. Points, smaller and faster refer to the "
        "float baseline of the row's own run; beside a latency stands the baseline's in the same turns."
    )
    return [
        Section(f"Score against cost{of}", "Up and to the left is better.", figures),
        Section(f"Rows{of}", caption, table=rows_table(block.rows, block.firsts)),
    ]


def _notes(reports: dict[str, dict], blocks: int) -> list[str]:
    """Returns what makes these runs hard to compare: other test data, other machines."""
    notes = []
    if blocks > 1:
        notes.append(
            f"The runs were not scored on the same test data: {blocks} blocks, and nothing is ranked across them."
        )
    machines = {str((report.get("environment") or {}).get("cores")) for report in reports.values()}
    if len(machines) > 1:
        cores = " and ".join(sorted(machines))
        notes.append(f"The runs were timed on machines of {cores} cores: compare ratios, not milliseconds.")
    return notes


def _read_runs(folders: list[Path], out: Path) -> tuple[dict[str, dict], list[str]]:
    reports, skipped = {}, []
    names = [folder.name for folder in folders]
    for folder in folders:
        if folder.resolve() == out.resolve():
            continue
        name = folder.name if names.count(folder.name) == 1 else str(folder)
        try:
            reports[name] = read(folder)
            with reading(folder / "report.json", "a report that can be shown", AGAIN):
                alone = compare({name: reports[name]})
                terminal(alone), document(alone)
        except BadInput as error:
            reports.pop(name, None)
            skipped.append(f"skipped {folder}: {error}")
    if not reports:
        more = f" (and {len(skipped) - 1:,} more)" if len(skipped) > 1 else ""
        given = f"{skipped[0].rstrip('.')}{more}" if skipped else "no folder of a run was given, such as runs/*"
        raise BadInput(f"No runs to compare: {given}.")
    return reports, skipped
