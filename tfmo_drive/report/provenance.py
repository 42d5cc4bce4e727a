"""Shows how the rows of a report were made: stages, layers that were skipped, the machine, all settings."""

from __future__ import annotations

import json
from typing import Any

from tfmo_drive.report.document import Cell, Figure, Section, Table
from tfmo_drive.report.rendering import numbers
from tfmo_drive.report.rendering.tables import cell


def stages(report: dict) -> Section | None:
    """Returns what training each stage took, and what it promises from then on."""
    stages = report.get("stages")
    if not stages:
        return None
    rows = tuple(
        (
            Cell(str(stage["name"])),
            Cell(str(stage.get("recipe") or numbers.DASH)),
            Cell(str(stage.get("promise") or numbers.DASH)),
            cell(stage.get("keras_score"), numbers.percent),
            cell(len((stage.get("curves") or {}).get("epoch") or ()) or None, numbers.whole),
            cell(stage.get("seconds"), numbers.duration),
        )
        for stage in stages
    )
    table = Table(("Stage", "Recipe", "Promise", "Keras score", "Epochs", "Time"), rows, text_columns=3)
    figure = Figure("curves", "Training loss and validation score by epoch, one column per stage. Dashed: the "
                    "baseline's validation score.")  # fmt: skip
    caption = "Keras scores are of the training-time model; the rows above are of the files that ship."
    return Section("Stages", caption, (figure,), table)


def data_notes(report: dict) -> Section | None:
    """Returns what was left out of the data, and what else was noted as it was listed."""
    rows = tuple((Cell(str(one["source"])), Cell(str(one["text"]))) for one in report.get("data_notes") or ())
    caption = "What was left out of it (files, rows, images), and what else was found as it was listed."
    return Section("Notes on the data", caption, table=Table(("Data", "Note"), rows, 2)) if rows else None


def skipped_layers(report: dict) -> Section | None:
    """Returns the layers that a step could not change, with the reason."""
    rows = tuple(
        (Cell(str(stage["name"])), Cell(str(stage.get("recipe") or numbers.DASH)), Cell(layer), Cell(reason))
        for stage in report.get("stages") or ()
        for layer, reason in (stage.get("skipped_layers") or {}).items()
    )
    table = Table(("Stage", "Recipe", "Layer", "Reason"), rows, text_columns=4)
    caption = "What a step could not change, nor what hangs together with it."
    return Section("Left alone", caption, table=table) if rows else None


def environment(report: dict) -> Section | None:
    """Returns machine, versions, seed, data and the command."""
    environment = report.get("environment") or {}
    facts = {key: value for key, value in environment.items() if key not in ("packages", "command")}
    facts |= {"seed": report.get("seed"), "data fingerprint": report.get("data_fingerprint")}
    cells = tuple((Cell(str(key)), Cell(_plain(value))) for key, value in facts.items() if value is not None)
    if not cells:
        return None
    caption = "Same seed, same machine, same threads: same numbers."
    table = Table(("Fact", "Value"), cells, text_columns=2)
    return Section("Environment", caption, table=table, text=str(environment.get("command") or ""))


def settings(report: dict) -> Section | None:
    """Returns everything that was set, as JSON, folded."""
    settings: dict[str, Any] = {key: report[key] for key in ("settings", "task", "baseline") if report.get(key)}
    for stage in report.get("stages") or ():
        if stage.get("settings"):
            settings[f"{stage.get('recipe') or 'stage'}/{stage['name']}"] = stage["settings"]
    packages = (report.get("environment") or {}).get("packages")
    settings |= {"packages": packages} if packages else {}
    return Section("All settings", text=json.dumps(settings, indent=2, default=str), folded=True) if settings else None


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str)
