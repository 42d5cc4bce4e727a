"""Says first whether there is anything to compare: a model that is no better than the trivial answer is worth nothing.

The trivial answer is the task's own (`Task.trivial`), scored on the same test examples by the same task. A row is
better where the whole paired 95 % interval of the difference is above 0; with several tasks in one model each must be.
A row that gives the same answer to every example is trivial itself, however often that answer is right. Test examples
that are one single group give no interval: that is not decided, which is no pass.
"""

from __future__ import annotations

from tfmo_drive.report.document import Tile
from tfmo_drive.report.rendering import numbers
from tfmo_drive.report.row_facts import Row, beats_trivial, called, featured, over_trivial, reference


def doubted(report: dict) -> list[Row]:
    """Returns which of the rows that matter are not better than the trivial answer.

    These are the float baseline, the row that the report is about and the row of its expectations.
    """
    judged = {one.get("judged") for one in report.get("expect") or ()}
    rows = [reference(report), featured(report)[0], *(row for row in report["rows"] if row["name"] in judged)]
    asked = {row["name"]: row for row in rows}
    return [row for row in asked.values() if over_trivial(row) and not beats_trivial(row)]


def doubts(report: dict) -> list[str]:
    """Returns a sentence on each doubted row."""
    return [_doubt(row, row is reference(report)) for row in doubted(report)]


def tiles(report: dict) -> list[Tile]:
    """Returns a tile on each doubted row."""
    return [
        Tile(_state(row).lower(), called(row) if row is reference(report) else row["name"],
             f"{numbers.percent(row['score'])}, {answered(row)} {numbers.percent(row['trivial_score'])}", "bad")
        for row in doubted(report)
    ]  # fmt: skip


def answered(row: Row) -> str:
    """Returns the trivial answer in words: 'answering always "stop"'."""
    return f"answering {row.get('trivial_answer') or 'without a look'}"


def trivial_row(row: Row) -> Row:
    """Returns the trivial answer as a row of a table, from a row that was compared with it on all test examples."""
    delta = None if row.get("score") is None else row["trivial_score"] - row["score"]
    said = f"trivial: {row.get('trivial_answer') or 'the same for all'}"
    return {"name": said, "stage": "trivial", "score": row["trivial_score"], "score_delta": delta,
            "examples": row.get("examples")}  # fmt: skip


def _state(row: Row) -> str:
    return "NOT DECIDED" if beats_trivial(row) is None else "WORTHLESS"


def _doubt(row: Row, baseline: bool) -> str:
    """Returns what is not better, and what to do about it."""
    what = "BASELINE" if baseline else "RESULT"
    if beats_trivial(row) is None:
        said = _compared("", row, row)
        return (
            f"NOT DECIDED whether this {what} is worth anything: {row['name']} {said}, and the test examples are one "
            "single group, which gives no interval. Test on two groups or more (recordings, tracks)."
        )
    lost = [_compared(name, one, row) for name, one in over_trivial(row).items()
            if one.get("always_the_same") or (one.get("over_trivial_low") or 0) <= 0]  # fmt: skip
    said = f"{row['name']} {'; '.join(lost)}: not better than the trivial answer by its interval."
    if not baseline:
        return f"WORTHLESS {what}: {said}"
    return f"WORTHLESS {what}: {said} What is compared with it says nothing. Train it longer, or give other weights."


def _compared(part: str, one: Row, row: Row) -> str:
    low, high = one.get("over_trivial_low"), one.get("over_trivial_high")
    bounds = "" if None in (low, high) else f" (95 % interval {numbers.points(low)} to {numbers.points(high)})"
    who = f"its {part.replace('_', ' ')} " if part else ""
    who += "says the same of every example and scores" if one.get("always_the_same") else "scores"
    other = "the trivial answer" if part else answered(row)
    return (
        f"{who} {numbers.percent(one.get('score'))}, {other} scores {numbers.percent(one['trivial_score'])}: "
        f"{numbers.points(one['over_trivial'])} points{bounds}"
    )
