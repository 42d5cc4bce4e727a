"""Writes the report's files into the run folder: report.json, report.md, report.html, figures/*."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from tfmo_drive.base import atomic
from tfmo_drive.base.given_file import json_of
from tfmo_drive.contracts import BadInput
from tfmo_drive.report.document import Document
from tfmo_drive.report.plots.figures import figures
from tfmo_drive.report.plots.sheets import film, sheets
from tfmo_drive.report.rendering.html import html, page
from tfmo_drive.report.rendering.markdown import markdown, render, terminal_text
from tfmo_drive.report.row_facts import featured
from tfmo_drive.report.schema import AGAIN, checked
from tfmo_drive.scores.gallery import Gallery


def write(report: dict, folder: Path, gallery: Gallery | None = None) -> None:
    """Writes the report's files into `folder`, each whole or not at all, the numbers before the pictures.

    numpy numbers become plain ones and what is not finite becomes null.

    Args:
        report: The content of report.json.
        folder: The run folder.
        gallery: Renders test examples: the sheet of new mistakes and, where the task renders, its answers over the
            images and over moving scenes, as a strip and a film.

    Raises:
        BadInput: `report` is not of this schema, or has no rows.
    """
    folder = Path(folder)
    report = checked(plain(report), folder / "report.json")
    atomic.write_json(folder / "report.json", report)
    clip = gallery.clip(featured(report)[0]["name"]) if gallery else ()
    drawn = figures(report) | sheets(report, gallery, clip)
    write_figures(folder / "report.md", drawn, {"clip": film(clip)} if clip else {})
    atomic.write_text(folder / "report.md", markdown(report, drawn))
    atomic.write_text(folder / "report.html", html(report, drawn))


def write_document(shown: Document, drawn: Mapping[str, bytes], folder: Path, name: str) -> str:
    """Writes <name>.md and <name>.html into `folder`, with the pictures `drawn`, and returns text for a terminal."""
    write_figures(folder / f"{name}.md", drawn)
    atomic.write_text(folder / f"{name}.md", render(shown, drawn))
    atomic.write_text(folder / f"{name}.html", page(shown, drawn))
    return terminal_text(shown)


def write_figures(page: Path, drawn: Mapping[str, bytes], films: Mapping[str, bytes] = MappingProxyType({})) -> None:
    """Writes `drawn` into figures/ beside `page` (the Markdown to come), as <name>.png, and `films`, as <name>.gif.

    What only the page's older version shows is removed: it would belong to no page. Other people's files stay.
    """
    files = {f"{name}.png": data for name, data in drawn.items()} | {
        f"{name}.gif": data for name, data in films.items()
    }
    for name, data in files.items():
        atomic.write_bytes(page.parent / "figures" / name, data)
    older = page.read_text(encoding="utf-8", errors="replace") if page.is_file() else ""
    for name in set(re.findall(r"\]\(figures/([\w-]+\.(?:png|gif))\)", older)) - set(files):
        (page.parent / "figures" / name).unlink(missing_ok=True)


def read(folder: Path) -> dict:
    """Returns the report.json of a run folder.

    Raises BadInput where it is missing, not JSON, of another schema or without rows.
    """
    path = Path(folder) / "report.json"
    if not path.exists():
        raise BadInput(f"No report.json in {folder}. Expected a finished run's folder, such as runs/pruned.")
    return checked(json_of(path, "a run's report", AGAIN), path)


def plain(value: Any) -> Any:
    """Returns `value` in JSON types only: numpy numbers and arrays as Python's, NaN and infinities as None."""
    if isinstance(value, Mapping):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    if isinstance(value, Path):
        return str(value)
    return None if isinstance(value, float) and not math.isfinite(value) else value
