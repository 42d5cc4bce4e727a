"""Keeps the run folder: who holds it, which stages are finished, and under which settings they were made.

A stage is reused where the hash of everything it depends on is equal; one with another hash is removed and made again.
Nothing is removed but what a run wrote: temporary files by their names, stages by what is in them.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import logging as python_logging
import os
import re
import reprlib
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from absl import logging

from tfmo_drive.base import atomic, given_file
from tfmo_drive.contracts import BadInput

_PLACES = ("stages", "artifacts", "figures", "pack", "ledger", "sensitivity", "tensorboard")
"""Folders that runs make in a run folder."""
_REPLACED = re.compile(r"(experiment|report|lint)\.(txt|json|md|html)")
"""Names of files that runs replace, and that other people's files may have too."""
_OWN = re.compile(rf"log\.txt|{_REPLACED.pattern}|" + "|".join(_PLACES))
"""Names of the files and folders that runs write."""
_STAGE = re.compile(
    r"stage\.json|model\.h5|begun\.json|progress\.npz|curves\.json|removed\.json|round_\d+|tensorboard|train|val|"
    r"validation|events\.out\.tfevents\..*"
)
"""Names of the files and folders that stages write."""
_PATHS = ("data", "baseline", "weights", "teacher", "classes", "allocation")
"""Settings that are paths."""


@contextlib.contextmanager
def held(workdir: Path, inputs: Mapping[str, Path] = MappingProxyType({})) -> Iterator[None]:
    """Holds `workdir` for this process while the block runs, and logs into its log.txt.

    Where the block raises BadInput before it has written anything, a folder that was no run's before is again as it
    was: a refused start leaves nothing. One that is killed leaves its lock and its log, which the next start takes
    over: the lock lies in the folder from the beginning, so that a second process is refused at once.

    Args:
        workdir: The run folder, which is made where it is missing.
        inputs: The files and folders that the run reads, by the setting that names them.

    Raises:
        BadInput: Another process holds the folder, or no run may write there. Nothing is written then.
    """
    for setting, path in inputs.items():
        _refuse_input(workdir, setting, path)
    _refuse(workdir)
    new = [folder for folder in (workdir, *workdir.parents) if not folder.exists()]
    fresh = ".lock" not in _entries(workdir)
    try:
        workdir.mkdir(parents=True, exist_ok=True)
    except (FileNotFoundError, FileExistsError, NotADirectoryError) as error:
        raise BadInput(
            f"{workdir} cannot be made: {error.strerror} ({error.filename}). Choose another folder with --workdir."
        ) from error
    with atomic.opened(workdir / ".lock") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            lock.seek(0)
            raise BadInput(
                f"{workdir} is in use by process {lock.read(20).strip() or '?'}. Wait for it, or choose another folder "
                "with --workdir."
            ) from error
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        atomic.recover(workdir)
        for name in _PLACES:
            _recover_below(workdir / name)
        try:
            with _logged(workdir / "log.txt"):
                yield
        except BadInput:
            if fresh:
                _leave_nothing(workdir, new)
            raise


def _leave_nothing(workdir: Path, new: list[Path]) -> None:
    """Removes what a refused start has made, where it has made nothing but its lock, its log and `new` folders."""
    if set(_entries(workdir)) <= {".lock", "log.txt"}:
        for name in (".lock", "log.txt"):
            (workdir / name).unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # somebody else put something there meanwhile
            for folder in new:
                folder.rmdir()


def _recover_below(place: Path) -> None:
    """Clears what killed runs left in a folder and below it; links are not followed."""
    for folder, below, _ in os.walk(place) if not place.is_symlink() else ():
        atomic.recover(Path(folder))
        below[:] = [name for name in below if not atomic.is_temporary(name)]


def _refuse(workdir: Path) -> None:
    """Raises BadInput where `workdir` is no folder for a run, because other people's files lie there."""
    place = Path(os.path.realpath(workdir))
    known = {"the folder you are in": os.getcwd(), "your home folder": os.path.expanduser("~"), "the root": "/"}
    for what, path in known.items():
        path = Path(os.path.realpath(path))
        if place == path or place in path.parents:
            raise BadInput(
                f"{workdir} is {what}, or holds it, and a run wants a folder of its own. Choose one such as "
                "--workdir=runs/pruned."
            )
    if os.path.lexists(workdir) and not place.is_dir():
        raise BadInput(f"{workdir} is no folder. Choose another one with --workdir.")
    names = _entries(place)
    ours = _OWN if ".lock" in names else re.compile(f"(?!{_REPLACED.pattern})({_OWN.pattern})")
    others = sorted(name for name in names if not name.startswith(".") and not ours.fullmatch(name))
    if others and not _holds_run(place):
        raise BadInput(
            f"{workdir} holds {others[0]}, and no run: nothing is written among other people's files. Choose a new "
            "folder with --workdir."
        )


def _holds_run(folder: Path) -> bool:
    try:
        return {"experiment", "settings"} <= read_json(folder / "experiment.json").keys()
    except BadInput:
        return False


def _refuse_input(workdir: Path, setting: str, path: Path) -> None:
    """Raises BadInput where the run would write into what it reads, or remove it."""
    place, read = Path(os.path.realpath(workdir)), Path(os.path.realpath(path))
    if read.is_dir() and (place == read or place in read.parents or read in place.parents):
        where = "is" if place == read else "holds" if place in read.parents else "lies in"
        raise BadInput(f"{workdir} {where} {setting} ({path}). Choose another folder with --workdir.")
    if any(place / name in read.parents for name in ("stages", "artifacts")):
        raise BadInput(
            f"{setting} ({path}) is a result of {workdir}, where it may be made again. Copy it elsewhere, or choose "
            "another folder with --workdir."
        )


def inputs(settings: Any, name: str = "") -> Iterator[tuple[str, Path]]:
    """Yields (setting, path) for every setting (of `base.overrides.settings`) that names an existing file or folder."""
    if isinstance(settings, dict | list):
        for key, value in settings.items() if isinstance(settings, dict) else enumerate(settings):
            yield from inputs(value, f"{name}.{key}".lstrip("."))
    elif isinstance(settings, str):
        for text in map(str.strip, settings.split(",")):
            if os.sep not in text and name.rsplit(".", 1)[-1] not in _PATHS:  # a class may be called as a folder here
                continue
            with contextlib.suppress(OSError, ValueError):  # a text that cannot be a path
                if text and os.path.exists(text):
                    yield name, Path(text)


def _entries(folder: Path) -> list[str]:
    return os.listdir(folder) if folder.is_dir() else []


def read_json(path: Path) -> dict[str, Any]:
    """Returns the JSON object in a file of ours, or {} where there is none.

    Raises BadInput where it holds something else.
    """
    if not os.path.lexists(path):
        return {}
    advice = f"Put back what was there, or remove {path.parent}."
    found = given_file.json_of(path, "what a run writes there", advice)
    if not isinstance(found, dict):
        raise BadInput(f"{path} is not what a run writes: an object expected, got {reprlib.repr(found)}. {advice}")
    return found


@contextlib.contextmanager
def _logged(path: Path) -> Iterator[None]:
    stream = atomic.opened(path)
    handler = python_logging.StreamHandler(stream)
    handler.handleError = lambda record: None  # a full disk is told once, by what cannot do without it
    handler.setFormatter(python_logging.Formatter("%(asctime)s %(message)s"))
    logger = python_logging.getLogger("absl")
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        with contextlib.suppress(OSError):  # a full disk must not take the place of what happened
            stream.close()


def read_facts(stage: Path) -> dict[str, Any]:
    """Returns the facts of a stage folder's stage.json, or {} where there is none.

    Raises BadInput where it is damaged.
    """
    path = stage / "stage.json"
    facts = read_json(path)
    for name, (kinds, wanted) in _FACTS.items():
        value = facts.get(name)
        right = value is None or (_is_number(value) if float in kinds else isinstance(value, kinds))
        if right and name in ("labels", "skipped_layers"):
            texts = value.values() if isinstance(value, dict) else value
            right = all(isinstance(text, str) for text in texts or ())
        if not right:
            raise BadInput(
                f"{path} is damaged: {name} must be {wanted}, got {reprlib.repr(value)}. Put back what was there, or "
                f"remove {stage}."
            )
    return facts


def _is_number(value: Any) -> bool:
    """Says whether the value is a number that float64 can hold; NaN is one here, because a score may be NaN."""
    return given_file.is_number(value, sys.float_info.max) or value != value


_FACTS: dict[str, tuple[tuple[type, ...], str]] = {
    **dict.fromkeys(("key", "preprocessing", "promise", "sha256"), ((str,), "a text")),
    **dict.fromkeys(("keras_score", "val_score", "seconds"), ((int, float), "a number")),
    "finished": ((bool,), "true or false"), "labels": ((list,), "a list of texts"),
    "skipped_layers": ((dict,), "an object"), "settings": ((dict,), "an object"),
}  # fmt: skip
"""The types of a stage.json's facts, and their names in an error; a fact may be missing."""


def key(*facts: Any) -> str:
    """Returns a hash, 20 hex digits, of JSON-able facts; equal facts have equal keys."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()[:20]


class StageFolder:
    """Represents one stage on disk.

    That is `model.h5` and, written last, `stage.json` with `finished`; before that, training progress. A folder of
    another key is removed where everything in it belongs to a stage.

    Args:
        path: The stage's folder.
        stage_key: The hash of everything that the stage depends on.
        wanted: The facts that a finished stage must have.

    Raises:
        BadInput: A folder of another key holds other people's files; or what a finished stage saved is damaged, or
            lacks a wanted fact.
    """

    def __init__(self, path: Path, stage_key: str, wanted: Iterable[str] = ()):
        self.path, self.key = path, stage_key
        self.facts: dict[str, Any] = read_facts(path)
        lost = bool(self.facts.get("finished")) and not self.weights.exists()
        if self.facts.get("key") != stage_key or lost:
            if os.path.lexists(path):
                logging.info("stage %s %s: made again", path, "lost its model" if lost else "was of other settings")
                self._refuse_others()
                atomic.remove_folder(path)
            self.facts = {"key": stage_key}
            atomic.write_json(path / "stage.json", self.facts)
        needed = (*wanted, "sha256") if self.finished else ("finished",) if "sha256" in self.facts else ()
        missing = [name for name in needed if self.facts.get(name) is None]
        if missing:
            raise BadInput(
                f"{path / 'stage.json'} is damaged: {missing[0]} is not there. Put it back, or remove {path}."
            )
        if self.finished:
            if file_digest(self.weights) != self.facts["sha256"]:
                raise BadInput(
                    f"{self.weights} is not what the stage saved (another SHA-256). Put that back, or remove {path}: "
                    "the stage is then made again."
                )
            self._drop_progress()

    @property
    def weights(self) -> Path:
        """Returns the path of the model that the stage saves."""
        return self.path / "model.h5"

    @property
    def finished(self) -> bool:
        """Says whether the stage has saved its model and its facts."""
        return bool(self.facts.get("finished")) and self.weights.exists()

    def read(self) -> contextlib.AbstractContextManager:
        """Returns a context manager around code that reads the finished stage's weights.

        It raises BadInput where they are unreadable.
        """
        advice = f"Put back what was there, or remove {self.path}: the stage is then made again."
        return given_file.reading(self.weights, "the model of a stage", advice)

    def finish(self, model, facts: dict[str, Any]) -> None:
        """Saves the model, then the facts, and removes what only served an interrupted run."""
        with atomic.file(self.weights) as temporary:
            model.save(temporary, include_optimizer=False)
        self.facts = {"key": self.key, **facts, "sha256": file_digest(self.weights), "finished": True}
        atomic.write_json(self.path / "stage.json", self.facts)
        self._drop_progress()

    def _refuse_others(self) -> None:
        """Raises BadInput where something that no stage wrote would be lost."""
        if self.path.is_symlink() or not self.path.is_dir():
            raise BadInput(f"{self.path} should be a stage's folder, and is none. Move it away.")
        for folder, below, files in os.walk(self.path):
            for name in (*below, *files):
                path = Path(folder, name)
                known = _STAGE.fullmatch(name) or atomic.is_temporary(name)
                if not known or path.is_symlink() or (name in files and not path.is_file()):
                    raise BadInput(
                        f"{path} is not of a stage, which is made again with other settings. Move it away, or choose "
                        "another folder with --workdir."
                    )
        if "key" not in self.facts and "model.h5" in _entries(self.path):
            raise BadInput(f"{self.path} has no stage.json to say what its model.h5 is. Move it away, or remove it.")

    def _drop_progress(self) -> None:
        for place in (self.path, *self.path.glob("round_*")):  # a step of several rounds has one each
            (place / "progress.npz").unlink(missing_ok=True)

    def curves(self) -> dict[str, list]:
        """Returns the training curves by name, a value for each epoch; {} where nothing was trained.

        The curves of a step's rounds, which lie in folders of their own, come first.
        """
        paths = [*sorted(self.path.glob("*/curves.json")), self.path / "curves.json"]
        parts = [(path, read_json(path)) for path in paths if path.exists()]
        for path, part in parts:
            lists = [part.get("epoch"), *part.values()]
            whole = all(isinstance(one, list) and len(one) == len(lists[0]) for one in lists)
            if not whole or not all(_is_number(value) for one in lists for value in one):
                raise BadInput(f"{path} is damaged: expected lists of numbers, one for each epoch. Remove it.")
        names = list(parts[0][1]) if parts else ()
        found = {name: [value for _, part in parts for value in part.get(name, ())] for name in names}
        return found | {"epoch": list(range(1, len(found["epoch"]) + 1))} if found else {}


def file_digest(path: Path) -> str:
    """Returns the SHA-256, in hex, of a file, or of every file of a folder in the order of their paths."""
    digest = hashlib.sha256()
    for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
        if file.is_file():
            with open(file, "rb") as opened:
                digest.update(hashlib.file_digest(opened, "sha256").digest())
    return digest.hexdigest()
