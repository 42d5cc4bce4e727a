"""What the rows of a report.json say when they are read together: the reference, the featured row, ratios, classes."""

from __future__ import annotations

from typing import Any

Row = dict[str, Any]

# Rows within one point of the baseline count as unharmed: the bar that the project sets for a compressed artifact.
UNHARMED = 0.01


def reference(report: dict) -> Row:
    """The float baseline on the float target: always the first row."""
    return report["rows"][0]


def featured(report: dict) -> tuple[Row, str]:
    """The row that the report is about, and the rule that chose it (a sentence).

    The row that the expectations judge; without any, the smallest shipped file within one point of the baseline;
    without any, the shipped row that scores best; with the baseline alone, the baseline.
    """
    rows, named = report["rows"], {row["name"]: row for row in report["rows"]}
    judged = [one.get("judged") or one.get("row") for one in report.get("expect") or ()]
    judged = [named[name] for name in judged if name in named]
    if judged:
        return judged[0], "It is the row that the expectations judge"
    # A Keras row is a fake-quant model, not a file that a board can run.
    shipped = [row for row in rows[1:] if row.get("runtime") != "keras" and row.get("score") is not None]
    unharmed = [row for row in shipped if (row.get("score_delta") or 0.0) >= -UNHARMED and row.get("size_bytes")]
    if unharmed:
        chosen = min(unharmed, key=lambda row: (row["size_bytes"], row.get("gzip_bytes") or 0, -row["score"]))
        return chosen, "It is the smallest file within 1 point of the float baseline"
    if shipped:
        best = max(shipped, key=lambda row: row["score"])
        return best, "No file is within 1 point of the float baseline; this one scores best"
    return rows[0], "Only the float baseline was measured"


def ratio(row: Row, first: Row, key: str) -> float | None:
    """How many times less of `key` (size_bytes, gzip_bytes) `row` needs than `first`; None when either is unknown."""
    return first[key] / row[key] if row.get(key) and first.get(key) else None


def plain_row(report: dict, row: Row) -> Row | None:
    """The uncompressed baseline on the same target (plain post-training conversion): the bar a recipe has to beat."""
    if row.get("stage") == "baseline":
        return None
    same = [one for one in report["rows"] if one.get("stage") == "baseline" and one.get("target") == row.get("target")]
    return same[0] if same else None


def worst_classes(row: Row) -> list[tuple[str, dict]]:
    """(class, {"score", "examples", "delta"}) of `row`, the largest loss first; equal losses: more examples first."""
    known = [(name, one) for name, one in (row.get("per_class") or {}).items() if one.get("delta") is not None]
    return sorted(known, key=lambda pair: (pair[1]["delta"], -(pair[1].get("examples") or 0)))


def frontier(rows: list[Row], cost: str) -> list[Row]:
    """The rows that no other row beats in both score and `cost` (Pareto), cheapest first.

    Rows scored on a subset are left out: their score is of other images than the rest.
    """
    known = [row for row in rows if row.get(cost) and row.get("score") is not None and not row.get("subset")]
    best, front = -1.0, []
    for row in sorted(known, key=lambda row: (row[cost], -row["score"])):
        if row["score"] > best:
            best = row["score"]
            front.append(row)
    return front


def completed(row: Row, before: list[Row], stages: list[dict]) -> Row:
    """The row with its ratios to the first row, and the score of the Keras model it was made from."""
    first = before[0] if before else row
    for short, long in (("size_ratio", "size_bytes"), ("gzip_ratio", "gzip_bytes")):
        if row.get(long) and first.get(long):
            row[short] = row[long] / first[long]
    row["keras_score"] = [stage["keras_score"] for stage in stages if stage["recipe"] == row["stage"]][-1]
    return row


def summary(row: Row) -> str:
    """A row in a line of the log."""
    parts = [f"score {row['score']:.4f}" if row.get("score") is not None else ""]
    parts += [f"{row['size_bytes']:,} bytes" if row.get("size_bytes") else ""]
    parts += [f"{row['latency_ms']:.3g} ms" if row.get("latency_ms") else ""]
    return ", ".join(part for part in parts if part)
