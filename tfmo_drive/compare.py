"""Several runs in one table and one plot.

    python -m tfmo_drive.compare runs/*
    python -m tfmo_drive.compare runs/pruned runs/distilled --out=runs/compare

Reads the report.json of each run folder (folders without one are skipped, with a note), prints one table, and writes
compare.md, compare.html and figures/*.png into --out. A baseline row that is equal in several runs appears once.
Points, smaller and faster always refer to the float baseline of the row's own run.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

from absl import flags

from tfmo_drive.contracts import BadInput
from tfmo_drive.core import command_line, speed
from tfmo_drive.core.given_file import reading
from tfmo_drive.report import numbers, timing
from tfmo_drive.report.document import Document, Figure, Section
from tfmo_drive.report.figures import against
from tfmo_drive.report.markdown import table
from tfmo_drive.report.rows import Row, frontier, ratio, reference
from tfmo_drive.report.schema import AGAIN
from tfmo_drive.report.sections import TIME
from tfmo_drive.report.tables import rows_table
from tfmo_drive.report.write import read, write_document

FLAGS = flags.FLAGS
flags.DEFINE_string("out", "runs/compare", "Folder for compare.md, compare.html and figures/.")


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Rows of several runs, each with its run's first row beside it."""

    reports: dict[str, dict]
    rows: list[Row]
    firsts: list[Row]
    notes: list[str]


def main(argv: list[str]) -> int:
    """Compare the run folders in argv[1:]; BadInput when there is nothing to compare."""
    reports, skipped = _read_runs([Path(name) for name in argv[1:]], Path(FLAGS.out))
    compared = compare(reports)
    print(terminal(compared))
    for note in [*compared.notes, *skipped]:
        print(f"Note: {note}")
    write(compared, Path(FLAGS.out))
    print(f"\n{Path(FLAGS.out) / 'compare.html'}")
    return 0


def compare(reports: dict[str, dict]) -> Comparison:
    """Merge reports (by run name): baseline rows of the same target, score and bytes appear once."""
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
    return Comparison(reports, rows, firsts, _notes(reports))


def terminal(compared: Comparison) -> str:
    """One line per row, narrow enough for a terminal."""
    lines = [
        {
            # A recipe's rows are named after its run already.
            "row": row["name"] if row.get("stage") == row["run"] else f"{row['run']}: {row['name']}",
            "score": numbers.percent(row.get("score")),
            "points": numbers.points(row.get("score_delta")),
            "size": numbers.size(row.get("size_bytes")),
            "smaller": numbers.times(ratio(row, first, "size_bytes")),
            "gzip": numbers.size(row.get("gzip_bytes")),
            "ms (float)": timing.short(row),
            "faster": timing.times(speed.of(row)),
        }
        for row, first in zip(compared.rows, compared.firsts, strict=True)
    ]
    return table(lines, list(lines[0]))


def write(compared: Comparison, out: Path) -> None:
    """Write compare.md, compare.html and figures/*.png into `out`."""
    costs = {"score_size": "size_bytes", "score_latency": "latency_share"}
    drawn = {name: against(compared.rows, cost, group="run") for name, cost in costs.items()}
    drawn = {name: data for name, data in drawn.items() if data}
    write_document(document(compared), drawn, out, "compare")


def document(compared: Comparison) -> Document:
    """What the comparison says: which rows nothing else beats, all rows, every run's verdict row."""
    front = [
        f"{row['run']}: {row['name']}, {numbers.percent(row['score'])} in {numbers.size(row['size_bytes'])}."
        for row in frontier(compared.rows, "size_bytes")
    ]
    beaten = "No other row beats these in both score and bytes, smallest first:"
    verdict = (beaten, *front, *compared.notes) if front else ("No row has both a score and a size.", *compared.notes)
    figures = (
        Figure("score_size", "Score against file size of every row; bars: 95 % intervals; dotted: rows that no other "
               "row beats in both. Rows equal in several runs are drawn once."),
        Figure("score_latency", f"Score against {TIME}."),
    )  # fmt: skip
    caption = (
        "Points, smaller and faster refer to the float baseline of the row's own run; beside a latency stands the "
        "baseline's in the same turns."
    )
    return Document(
        title=f"{len(compared.reports)} run{'s' * (len(compared.reports) > 1)} compared",
        verdict=verdict,
        sections=(
            Section("Score against cost", "Up and to the left is better.", figures),
            Section("Rows", caption, table=rows_table(compared.rows, compared.firsts, run=True)),
        ),
    )


def _notes(reports: dict[str, dict]) -> list[str]:
    """What makes these runs hard to compare: other test data, other machines."""
    notes = []
    data = {_test_data(report) for report in reports.values()}
    if len(data) > 1:
        notes.append("The runs were not scored on the same test data, so scores of different runs cannot be compared.")
    machines = {str((report.get("environment") or {}).get("cores")) for report in reports.values()}
    if len(machines) > 1:
        cores = " and ".join(sorted(machines))
        notes.append(f"The runs were timed on machines of {cores} cores: compare ratios, not milliseconds.")
    return notes


def _test_data(report: dict) -> str:
    return str(report.get("data_fingerprint") or reference(report).get("examples"))


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
        given = f"of {len(folders)} folders given, {skipped[0]}" if skipped else "no folder was given"
        raise BadInput(f"No runs to compare: {given}. Type the folders of finished runs, such as runs/*.")
    return reports, skipped


if __name__ == "__main__":
    command_line.start(main)
