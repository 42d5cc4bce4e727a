"""Lists TuSimple's lanes (github.com/TuSimple/tusimple-benchmark): a JSON object a line, of one image.

    {"raw_file": "clips/0601/.../20.jpg", "h_samples": [160, 170, ...], "lanes": [[-2, 646, ...], ...]}

lanes[i][k] is the x of lane i in row h_samples[k], or -2 where it has none.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np

from tfmo_drive.base.given_file import is_number, reading, text_of
from tfmo_drive.contracts import BadInput
from tfmo_drive.data.found_files import identity
from tfmo_drive.data.lanes import FARTHEST, LANES, Lanes
from tfmo_drive.data.layouts.masks.pairs import Pairs
from tfmo_drive.data.layouts.named_images import find_recorded
from tfmo_drive.data.splitting import SPLIT_WORDS

_EXPECTED = "TuSimple's lanes, a JSON object with raw_file, h_samples and lanes a line"
_FOLDERS = ("", "train_set", "test_set")


def tables(root: Path) -> list[Path]:
    """Returns the files of lanes, in the order of their names: label_data_0601.json, test_label.json, ..."""
    found = [path for folder in _FOLDERS for path in (root / folder).glob("*.json") if "label" in path.stem.lower()]
    return sorted(found)


def pairs(root: Path) -> Pairs:
    """Returns the labelled images: test where a file or its folder is called so, the others still to be split.

    Raises BadInput for a line that is no such object. Images that are missing are odd, and so are those of an earlier
    line.
    """
    found, seen = Pairs(root, LANES), set()
    for table in tables(root):
        words = re.split(r"[_\W]+", f"{table.parent.relative_to(root)}_{table.stem}".lower())
        named = [SPLIT_WORDS[word] for word in words if word in SPLIT_WORDS]
        split = next((word for word in named if word != "train"), "")
        records = _records(table)
        folders = [table.parent, *(root / folder for folder in sorted(_FOLDERS, reverse=split != "test"))]
        files = find_recorded(folders, [record["raw_file"] for record in records])
        for record, file in zip(records, files, strict=True):
            if file is None or identity(file) in seen:
                fault = "has no image" if file is None else "is that of an earlier line"
                found.odd.append(f"{record['raw_file']} of {table.name} {fault}")
                continue
            seen.add(identity(file))
            # A clip's folder is called after its time, and the labelled image is always its 20th.
            clip = Path(record["raw_file"].replace("\\", "/"))
            frame = clip.parent if clip.stem.isdigit() and clip.parent.name.isdigit() else clip.with_suffix("")
            found.add(file, Lanes(table, _lines(record)), split, f"{frame}.png")
    return found


def _records(table: Path) -> list[dict[str, Any]]:
    records = []
    for number, line in enumerate(text_of(table, _EXPECTED).split("\n"), start=1):
        if line.strip():
            with reading(table, f"{_EXPECTED} (see line {number})"):
                record = json.loads(line)
                if reason := _fault(record):
                    raise ValueError(reason)
                records.append(record)
    if not records:
        raise BadInput(f"{table} holds no lanes. Expected {_EXPECTED}.")
    return records


def _fault(record: Any) -> str:
    """Returns what is wrong with a line's value, or ""."""
    if not isinstance(record, dict) or not isinstance(record.get("raw_file"), str) or not record["raw_file"].strip():
        return 'it needs a text, "raw_file"'
    rows, lanes = record.get("h_samples"), record.get("lanes")
    if not _numbers(rows) or not isinstance(lanes, list) or not all(map(_numbers, lanes)):
        return '"h_samples" must be a list of numbers, and "lanes" one of such lists'
    if odd := [len(lane) for lane in lanes if len(lane) != len(rows)]:
        return f"a lane has {odd[0]} numbers, but there are {len(rows)} h_samples"
    return ""


def _numbers(values: Any) -> bool:
    return isinstance(values, list) and all(is_number(value, FARTHEST) for value in values)


def _lines(record: dict[str, Any]) -> tuple[np.ndarray, ...]:
    rows = np.array(record["h_samples"], np.float32)
    lanes = [np.stack([np.array(lane, np.float32), rows], 1) for lane in record["lanes"]]
    return tuple(lane[lane[:, 0] >= 0] for lane in lanes)
