"""Reads the rows of a report.json together: the reference, the featured row, ratios, classes."""

from __future__ import annotations

from typing import Any

from tfmo_drive.report import timing
from tfmo_drive.report.rendering import numbers

Row = dict[str, Any]

# A change of more than one point is marked: the bar that the project sets for a compressed artifact.
UNHARMED = 0.01


def reference(report: dict) -> Row:
    """Returns the first row: the float baseline on the float target, or a `.tflite` that was given and is no float."""
    return report["rows"][0]


def called(first: Row) -> str:
    """Returns what the reference is: "float baseline", or "given file" where that computes in something else."""
    return "float baseline" if first.get("target") in (None, "litert_float32") else "given file"


def featured(report: dict) -> tuple[Row, str]:
    """Returns the row that the report is about, and the rule that chose it (a sentence).

    It is the recipe's row on the experiment's last target, or on that of its expectations; without a recipe the float
    row. A report without `headline` is about the row of its expectations, else about the last row that is
    called after the experiment.
    """
    rows, named = report["rows"], {row["name"]: row for row in report["rows"]}
    wanted = report.get("headline")
    judged = [one.get("judged") or one.get("row") for one in report.get("expect") or ()]
    known = [named[name] for name in ([wanted] if wanted else judged) if name in named]
    own = [row for row in rows if row.get("stage") == report.get("experiment")]
    row = (known or own[-1:] or rows)[0]
    if wanted and not known:
        return row, f"There is no row {wanted}, which this report should be about: its target did not take the model"
    if row is rows[0]:
        return row, f"It is the {called(row)}"
    kind = "the baseline's" if row.get("stage") == "baseline" else "the recipe's"
    return row, f"It is {kind} row on {row.get('target')}"


def not_made(report: dict) -> dict[str, str]:
    """Returns the reasons of the rows that are not there because their target refused the model, by the rows' names."""
    return {f"{one.get('stage')}/{one.get('target')}": str(one.get("reason")) for one in report.get("skipped") or ()}


def over_trivial(row: Row) -> dict[str, Row]:
    """Returns everything in which a row was compared with the trivial answer, by name; {} where it was not.

    "" is the row's score, and with several tasks in one model each has its own name: {"": {"score", "trivial_score",
    "over_trivial", with _low and _high}}.
    """
    return {} if row.get("over_trivial") is None else {"": row, **(row.get("parts") or {})}


def beats_trivial(row: Row) -> bool | None:
    """Says whether a row is better than the trivial answer by its intervals, in each of its tasks.

    A row that gives the same answer to every example is not. It is None where that is not decided: the test examples
    are one group and there is no interval, or nothing was compared.
    """
    found = over_trivial(row).values()
    if any(one.get("always_the_same") for one in found):
        return False
    lows = [one.get("over_trivial_low") for one in found]
    return None if not lows or None in lows else min(lows) > 0


def ratio(row: Row, first: Row, key: str) -> float | None:
    """Returns how many times less of `key` (size_bytes, gzip_bytes) `row` needs than `first`; None where unknown."""
    return first[key] / row[key] if row.get(key) and first.get(key) else None


def plain_row(report: dict, row: Row) -> Row | None:
    """Returns the uncompressed baseline on the same target: the bar a recipe has to beat.

    That is plain post-training conversion; a row of the baseline has none.
    """
    if row.get("stage") == "baseline":
        return None
    same = [one for one in report["rows"] if one.get("stage") == "baseline" and one.get("target") == row.get("target")]
    return same[0] if same else None


def worst_classes(row: Row) -> list[tuple[str, dict]]:
    """Returns (class, {"score", "examples", "delta"}) of `row`, the largest loss first.

    Among equal losses the one of more examples comes first.
    """
    known = [(name, one) for name, one in (row.get("per_class") or {}).items() if one.get("delta") is not None]
    return sorted(known, key=lambda pair: (pair[1]["delta"], -(pair[1].get("examples") or 0)))


def examples(one: dict) -> str:
    """Returns the number of examples of a class or a slice: 1 example, 1,055 examples."""
    count = one.get("examples")
    return f"{numbers.whole(count)} example{'' if count == 1 else 's'}"


def frontier(rows: list[Row], cost: str) -> list[Row]:
    """Returns the rows that no other row beats in both score and `cost` (Pareto), cheapest first.

    Rows scored on a subset are left out, for their score is of other images than the rest; and those that are not
    better than the trivial answer, which takes no bytes and no time at all.
    """
    known = [row for row in rows if row.get(cost) and row.get("score") is not None and not row.get("subset")]
    known = [row for row in known if not over_trivial(row) or beats_trivial(row)]
    best, front = -1.0, []
    for row in sorted(known, key=lambda row: (row[cost], -row["score"])):
        if row["score"] > best:
            best = row["score"]
            front.append(row)
    return front


def completed(row: Row, before: list[Row], stages: list[dict]) -> Row:
    """Returns the row with its ratios to the first row, and the score of the Keras model it was made from."""
    first = before[0] if before else row
    for short, long in (("size_ratio", "size_bytes"), ("gzip_ratio", "gzip_bytes")):
        if row.get(long) and first.get(long):
            row[short] = row[long] / first[long]
    row["keras_score"] = [stage["keras_score"] for stage in stages if stage["recipe"] == row["stage"]][-1]
    return row


def summary(row: Row) -> str:
    """Returns a row in a line of the log."""
    parts = [f"score {row['score']:.4f}" if row.get("score") is not None else ""]
    parts += [f"{row['size_bytes']:,} bytes" if row.get("size_bytes") else ""]
    parts += [timing.milliseconds(row) if row.get("latency_ms") else ""]
    return ", ".join(part for part in parts if part)
