"""Shows a task's own numbers of every row (average precision, degrees of error), and those of clips over time.

A task need not be known here: NAMES only spells some of its numbers better than their keys do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from tfmo_drive.base.given_file import is_number
from tfmo_drive.report.document import Cell, Section, Table
from tfmo_drive.report.rendering import numbers
from tfmo_drive.report.rendering.tables import cell
from tfmo_drive.report.row_facts import Row

IN_TABLES = {"score_macro", "mean_absolute_error"}
"""Numbers of tasks that the tables of scores and errors have already."""

NAMES: dict[str, tuple[str, Callable]] = {
    "ap50": ("AP50", numbers.percent),
    "ap_small": ("AP of small objects", numbers.percent),
    "ap_medium": ("AP of medium objects", numbers.percent),
    "ap_large": ("AP of large objects", numbers.percent),
    "pedestrians": ("Pedestrians", numbers.whole),
    "miss_rate_at_0.1": ("Pedestrians missed at 0.1 false alarms an image", numbers.percent),
    "miss_rate_at_1": ("Pedestrians missed at 1 false alarm an image", numbers.percent),
    "log_average_miss_rate": ("Pedestrians missed, log-average", numbers.percent),
    "average_precision": ("Average precision, mean over labels", numbers.percent),
    "f1_macro": ("F1, mean over labels", numbers.percent),
    "exact_match": ("Images with all labels right", numbers.percent),
    "pixel_accuracy": ("Pixels right", numbers.percent),
    "iou_road": ("IoU of road", numbers.percent),
    "iou_pedestrian": ("IoU of pedestrians", numbers.percent),
    "lane_accuracy": ("TuSimple's accuracy of lanes", numbers.percent),
    "lane_false": ("Lanes that are none", numbers.percent),
    "lane_missed": ("Lanes missed", numbers.percent),
    "error_degrees": ("Error", numbers.degrees),
    "error_curves_degrees": ("Error on curves", numbers.degrees),
    "score_curves": ("Score on curves", numbers.percent),
    "score_straight": ("Score of always straight", numbers.percent),
    "wrong_sign_curves": ("Curves steered to the other side", numbers.percent),
    "jitter_degrees": ("Jitter", numbers.degrees),
    "jitter_answer_degrees": ("Change from frame to frame", numbers.degrees),
    "jitter_truth_degrees": ("Change of the truth", numbers.degrees),
    "mean_absolute_error": ("Mean absolute error", numbers.significant),
    "r2": ("R2", numbers.significant),
    "score_macro": ("Score, mean over classes", numbers.percent),
    "flicker": ("Flicker of boxes", numbers.percent),
    "box_jitter": ("Jumps of boxes, in their size", numbers.percent),
    "changed_pixels": ("Pixels that flip", numbers.percent),
}


def section(rows: list[Row]) -> Section | None:
    """Returns one column for each number of the task, and of measures of a user's own, that a row has."""
    own = [[key for key in row.get("own_numbers") or () if key not in IN_TABLES] for row in rows]
    found = [{key: row[key] for key in keys if is_number(row.get(key))} for row, keys in zip(rows, own, strict=True)]
    caption = "What the task counts beside its score."
    return _section("Task numbers", caption, rows, found)


def over_time(rows: list[Row]) -> Section | None:
    """Returns the numbers of clips, where they were measured."""
    clips = [row.get("temporal") or {} for row in rows]
    first = next((one for one in clips if one), {})
    said = [f"{numbers.whole(first[key])} {key}" for key in ("clips", "frames") if key in first]
    found = [{key: value for key, value in one.items() if is_number(value) and key not in ("clips", "frames")}
             for one in clips]  # fmt: skip
    caption = f"What changes from frame to frame of moving scenes and should not{_of(said)}."
    return _section("Over time", caption, rows, found)


def spelt(key: str, values: Iterable[float]) -> tuple[str, Callable]:
    """Returns the title of a number, and how it is written; `values` are all those of its column.

    With several tasks together, a part's name stands before the number's ("detection_ap50"); its score is
    "part_detection".
    """
    if key in NAMES:
        return NAMES[key]
    if key.startswith("part_"):
        return f"{_words(key.removeprefix('part_'))}: score", numbers.percent
    known = max((name for name in NAMES if key.endswith(f"_{name}")), key=len, default=None)
    if known:
        title, written = NAMES[known]
        return f"{_words(key.removesuffix(f'_{known}'))}: {title}", written
    if key.endswith("_degrees"):
        return _words(key.removesuffix("_degrees")), numbers.degrees
    if all(isinstance(value, int) for value in values):
        return _words(key), numbers.whole
    return _words(key), numbers.percent if all(0 <= value <= 1 for value in values) else numbers.significant


def _section(title: str, caption: str, rows: list[Row], found: list[dict[str, float]]) -> Section | None:
    keys = dict.fromkeys(key for one in found for key in one)
    if not keys:
        return None
    shown = [spelt(key, [one[key] for one in found if key in one]) for key in keys]
    lines = tuple(
        (
            Cell(row["name"], f"({row['subset']})" if row.get("subset") else ""),
            *(cell(one.get(key), written) for key, (_, written) in zip(keys, shown, strict=True)),
        )
        for row, one in zip(rows, found, strict=True)
        if one
    )
    return Section(title, caption, table=Table(("Row", *(title for title, _ in shown)), lines))


def _words(key: str) -> str:
    words = key.replace("_", " ").strip()
    return words[:1].upper() + words[1:]


def _of(said: list[str]) -> str:
    return f", in {' of '.join(said)}" if said else ""
