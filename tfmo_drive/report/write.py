"""The report's files in the run folder (DESIGN section 4): report.json, report.md, report.html, figures/*.png."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tfmo_drive.contracts import BadInput
from tfmo_drive.core import atomic
from tfmo_drive.report.figures import figures
from tfmo_drive.report.html import html
from tfmo_drive.report.markdown import markdown
from tfmo_drive.report.rows import featured

SCHEMA = 1


def write(report: dict, folder: Path, images: Callable[[list[int]], np.ndarray] | None = None) -> None:
    """Write the report's files into `folder`, each whole or not at all, the numbers before the pictures.

    `images` gives the test inputs at some indices, for the sheet of new mistakes; without it, or where they are no
    images (uint8 [n, h, w, 3]), there is no sheet. numpy numbers become plain ones and what is not finite becomes null.
    Raises BadInput when `report` is not one of schema 1 with rows.
    """
    folder = Path(folder)
    report = _checked(plain(report), folder / "report.json")
    atomic.write_json(folder / "report.json", report)
    wanted = [one["index"] for one in featured(report)[0].get("regressions") or ()]
    drawn = figures(report, images(wanted) if images and wanted else None)
    write_figures(folder / "figures", drawn)
    atomic.write_text(folder / "report.md", markdown(report, drawn))
    atomic.write_text(folder / "report.html", html(report, drawn))


def write_figures(folder: Path, drawn: Mapping[str, bytes]) -> None:
    """Replace `folder` by one that holds exactly `drawn`, as <name>.png."""
    with atomic.folder(folder) as temporary:
        for name, data in drawn.items():
            (temporary / f"{name}.png").write_bytes(data)


def read(folder: Path) -> dict:
    """The report.json of a run folder; BadInput when it is absent, not JSON, of another schema or without rows."""
    path = Path(folder) / "report.json"
    try:
        report = json.loads(path.read_text())
    except (FileNotFoundError, NotADirectoryError):
        raise BadInput(f"No report.json in {folder}. Expected a finished run's folder, such as runs/pruned.") from None
    except (OSError, ValueError) as error:
        raise BadInput(f"{path} cannot be read: {error}. Run the experiment again to write it anew.") from None
    return _checked(report, path)


def plain(value: Any) -> Any:
    """`value` with JSON types only: numpy numbers and arrays as Python's, NaN and infinities as None."""
    if isinstance(value, Mapping):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    if isinstance(value, Path):
        return str(value)
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _checked(report: Any, path: Path) -> dict:
    schema = report.get("schema") if isinstance(report, dict) else None
    if schema != SCHEMA:
        raise BadInput(f"{path} must be of schema {SCHEMA}, got {schema}. Run the experiment again with this version.")
    rows = report.get("rows")
    if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) and row.get("name") for row in rows):
        raise BadInput(f"{path} must hold rows with names, the float baseline first. Run the experiment again.")
    return report
