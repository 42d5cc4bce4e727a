"""The run folder: who holds it, which stages are finished, and under which settings they were made.

A stage is reused where the hash of everything it depends on is equal; one with another hash is removed and made again.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import logging as python_logging
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from absl import logging

from tfmo_drive.contracts import BadInput
from tfmo_drive.core import atomic


@contextlib.contextmanager
def held(workdir: Path) -> Iterator[None]:
    """Hold `workdir` for this process and log into its log.txt; BadInput says which process holds it already."""
    workdir.mkdir(parents=True, exist_ok=True)
    with open(workdir / ".lock", "a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            lock.seek(0)
            raise BadInput(
                f"{workdir} is in use by process {lock.read().strip() or '?'}. Wait for it, or choose another folder "
                "with --workdir."
            ) from error
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        for leftover in [path for path in workdir.rglob(".*.tmp*") if path.exists()]:  # of a run that was killed
            shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink(missing_ok=True)
        with _logged(workdir / "log.txt"):
            yield


@contextlib.contextmanager
def _logged(path: Path) -> Iterator[None]:
    handler = python_logging.FileHandler(path)
    handler.handleError = lambda record: None  # a full disk is told once, by what cannot do without it
    handler.setFormatter(python_logging.Formatter("%(asctime)s %(message)s"))
    logger = python_logging.getLogger("absl")
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        with contextlib.suppress(OSError):  # a full disk must not take the place of what happened
            handler.close()


def read_facts(stage: Path) -> dict[str, Any]:
    """A stage folder's stage.json; {} where there is none."""
    try:
        return json.loads((stage / "stage.json").read_text())
    except (OSError, ValueError):
        return {}


def key(*facts: Any) -> str:
    """Hash of JSON-able facts: the same facts, the same key."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()[:20]


class StageFolder:
    """One stage on disk: `model.h5` and, last of all, `stage.json` with `finished`; training progress before that."""

    def __init__(self, path: Path, stage_key: str):
        self.path, self.key = path, stage_key
        self.facts: dict[str, Any] = self._read()
        if self.facts.get("key") != stage_key:
            if path.exists():
                logging.info("stage %s was made with other settings: made again", path)
            shutil.rmtree(path, ignore_errors=True)
            self.facts = {"key": stage_key}
            atomic.write_json(path / "stage.json", self.facts)
        if self.finished:
            self._drop_progress()

    @property
    def weights(self) -> Path:
        return self.path / "model.h5"

    @property
    def finished(self) -> bool:
        return bool(self.facts.get("finished")) and self.weights.exists()

    def finish(self, model, facts: dict[str, Any]) -> None:
        """Save the model, then say so; what only served an interrupted run is removed."""
        with atomic.file(self.weights) as temporary:
            model.save(temporary, include_optimizer=False)
        self.facts = {"key": self.key, **facts, "finished": True}
        atomic.write_json(self.path / "stage.json", self.facts)
        self._drop_progress()

    def _drop_progress(self) -> None:
        for progress in self.path.rglob("progress.npz"):  # a step of several rounds has one each
            progress.unlink()

    def curves(self) -> dict[str, list]:
        """Training curves by epoch, those of a step's rounds (folders in its own) first; empty where nothing was
        trained."""
        paths = [*sorted(self.path.glob("*/curves.json")), self.path / "curves.json"]
        parts = [json.loads(path.read_text()) for path in paths if path.exists()]
        found = {key: [value for part in parts for value in part[key]] for key in (parts[0] if parts else ())}
        return found | {"epoch": list(range(1, len(found["epoch"]) + 1))} if found else {}

    def _read(self) -> dict[str, Any]:
        return read_facts(self.path)


def file_digest(path: Path) -> str:
    """sha256 of a file, or of every file of a folder, in order."""
    digest = hashlib.sha256()
    for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
        if file.is_file():
            with open(file, "rb") as opened:
                digest.update(hashlib.file_digest(opened, "sha256").digest())
    return digest.hexdigest()
