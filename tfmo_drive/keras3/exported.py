"""Has a file of Keras 3 read in a process of its own, and keeps what comes of it in the cache."""

from __future__ import annotations

import dataclasses
import functools
import importlib.metadata
import json
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tfmo_drive.base import cache
from tfmo_drive.base.given_file import reading, reason
from tfmo_drive.base.run_folder import file_digest
from tfmo_drive.contracts import BadInput

_PROGRAM = Path(__file__).with_name("program.py")
_FILES = ("model.json", "arrays.npz")
_REFUSED = "refused.json"
_SECONDS, _BYTES = 600.0, 1e6
"""The seconds of a processor that a file may take, and the number of bytes that add one more."""
_PATIENCE = 10
"""The factor by which it may take longer by the clock: a busy machine damages no file."""
OTHER_PYTHON = (
    "Its Lambda layer is bytecode of Python, which runs under the version of Python that wrote it alone: replace that "
    "layer by built-in ones."
)
"""What to say where code of a file cannot be read, or takes the process down."""


@dataclasses.dataclass(frozen=True)
class Exported:
    """An `Exported` model of Keras 3 is its description and its arrays, as `keras3.program` writes them."""

    description: dict[str, Any]
    arrays: dict[str, np.ndarray]


def exported(path: Path, setting: str, allow_code: bool) -> Exported:
    """Returns what is in a file that Keras 3 wrote.

    It is read once: the cache has it by the file's digest, the version of Keras and the program that reads.

    Args:
        path: A `.keras` or `.h5` file.
        setting: The setting that names it, with which a line begins.
        allow_code: Whether code inside the file, such as a Lambda layer's, may run.

    Raises:
        BadInput: The file is damaged, or holds what cannot be handed on.
    """
    made_of = [file_digest(path), _PROGRAM.read_text(), importlib.metadata.version("keras"), allow_code]
    place = cache.cache_root() / "keras3"
    with cache.keeping(f"{setting}: what is in {path}", place):
        made = functools.partial(_make, path, setting, allow_code)
        return _read(cache.made_once(place / cache.digest(made_of), made, _FILES))


def in_memory(model: Any, subject: str) -> Exported:
    """Returns what is in a model of Keras 3 that this process holds, whose code may run: it is saved, and read anew.

    Raises BadInput, which begins with `subject`, where it cannot be saved, or holds what cannot be handed on.
    """
    with tempfile.TemporaryDirectory() as folder:
        path, made = Path(folder) / "model.keras", Path(folder) / "made"
        made.mkdir()
        try:
            model.save(path)
        except Exception as error:  # what a user's own layers raise
            raise BadInput(
                f"{subject} is of Keras 3, which cannot save it: {reason(error)}. Build it of built-in layers."
            ) from error
        (why,) = export_all([(path, made)], allow_code=True)
        if why:
            raise BadInput(f"{subject}: {why}")
        return _read(made)


def _make(path: Path, setting: str, allow_code: bool, folder: Path) -> None:
    (why,) = export_all([(path, folder)], allow_code)
    if why:
        raise BadInput(f"{setting}: {path}: {why}")


def export_all(jobs: Sequence[tuple[Path, Path]], allow_code: bool = False) -> list[str]:
    """Reads files of Keras 3 in one process, or, after one that takes it down, in the next.

    Args:
        jobs: Files, and for each the empty folder for what is in it.
        allow_code: Whether code inside the files may run.

    Returns:
        For each file "", or a sentence that says why it cannot be taken.
    """
    said: list[str] = []
    while len(said) < len(jobs):
        rest = jobs[len(said) :]
        ended = _run(rest, allow_code)
        for _, folder in rest:
            refused = folder / _REFUSED
            if refused.is_file():
                said.append(_told(json.loads(refused.read_text()), allow_code))
                refused.unlink()
            elif (folder / _FILES[0]).is_file():
                said.append("")
            else:
                advice = OTHER_PYTHON if allow_code else "The file is damaged: get it again."
                said.append(f"Keras 3 does not come back from it ({ended}). {advice}")
                break
    return said


def _run(jobs: Sequence[tuple[Path, Path]], allow_code: bool) -> str:
    """Runs the program once, and returns how it ended."""
    seconds = _SECONDS + max(path.stat().st_size for path, _ in jobs) / _BYTES
    files = [str(one.absolute()) for job in jobs for one in job]
    words = [sys.executable, "-I", str(_PROGRAM), f"{seconds:.0f}", "unsafe" if allow_code else "safe", *files]
    try:
        ran = subprocess.run(
            words, stdin=subprocess.DEVNULL, capture_output=True, timeout=_PATIENCE * seconds * len(jobs)
        )
    except subprocess.TimeoutExpired:
        return "it takes for ever"
    if ran.returncode < 0:
        return signal.Signals(-ran.returncode).name
    return " ".join(ran.stderr.decode(errors="replace").split())[-200:] or f"exit code {ran.returncode}"


def _told(refused: dict[str, Any], allow_code: bool) -> str:
    """Returns the sentence for what the program says of a file."""
    why = str(refused["why"])
    if refused["known"]:
        return f"{why}."
    if allow_code and "marshal" in why:
        return f"Keras cannot read it: {why}. {OTHER_PYTHON}"
    version = importlib.metadata.version("keras")
    return (
        f"Keras {version} cannot read it: {why}. It is damaged, was written by a later version, or holds what an .h5 "
        "file cannot: save it again, model.save('model.keras')."
    )


def _read(folder: Path) -> Exported:
    with reading(folder, "a model of Keras 3 in the cache"), np.load(folder / _FILES[1]) as arrays:
        return Exported(json.loads((folder / _FILES[0]).read_text()), dict(arrays))
