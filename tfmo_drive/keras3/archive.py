"""Looks into a `.keras` file, which is a zip archive, and unpacks nothing of it but its description."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

from tfmo_drive.base.given_file import reading
from tfmo_drive.contracts import BadInput

WEIGHTS = "model.weights.h5"
_GROWTH, _SPARE = 20, 64 << 20
"""How many times its size a file may be when it is unpacked, and how many bytes more."""
_DESCRIPTION = 256 << 20
"""The most bytes that the description of a model may have."""


def described(path: Path, setting: str, advice: str) -> tuple[str, Any]:
    """Returns the version of Keras that wrote the file, and the model's configuration.

    How it was compiled is left out: its loss may be a user's own, and nobody reads it.

    Args:
        path: The file.
        setting: The setting that names it, with which a line begins.
        advice: A sentence that says what to give instead of a file that is damaged.

    Raises:
        BadInput: It is no `.keras` file, or one that grows beyond measure when it is unpacked.
    """
    with reading(path, "a .keras file", advice, setting), zipfile.ZipFile(path) as archive:
        sizes = {one.filename: one.file_size for one in archive.infolist()}
        whole = sum(sizes.values())
        if whole > _GROWTH * path.stat().st_size + _SPARE or sizes.get("config.json", 0) > _DESCRIPTION:
            raise BadInput(f"{setting}: {path} would grow to {whole / 1e9:,.1f} GB when it is unpacked. {advice}")
        missing = {"metadata.json", "config.json", WEIGHTS} - sizes.keys()
        if missing:
            raise ValueError(f"it holds no {sorted(missing)[0]}")
        version = json.loads(archive.read("metadata.json"))["keras_version"]
        config = json.loads(archive.read("config.json"))
        return str(version), {key: one for key, one in config.items() if key != "compile_config"}
