"""Keeps results that every run may use again: decoded images, packed rows, teachers' logits.

An entry is a folder named after a hash of everything it is made of. `sealed.json`, written last, has the length and the
SHA-256 of each of its files; an entry that no longer agrees with its seal is made again.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

from absl import logging

from tfmo_drive.base import atomic
from tfmo_drive.contracts import BadInput

SEAL = "sealed.json"
_SETTLED_NS = 10**9
"""A file that was changed less than this before it was looked at may have been changed again within one tick."""


def cache_root() -> Path:
    """Returns the folder of the cache: `$TFMO_DRIVE_CACHE`, or `~/.cache/tfmo_drive`."""
    return Path(os.environ.get("TFMO_DRIVE_CACHE") or "~/.cache/tfmo_drive").expanduser()


def made_once(path: Path, make: Callable[[Path], None], names: Collection[str]) -> Path:
    """Returns `path`, a folder of the cache, and has it made first where it is missing or damaged.

    The folder appears whole or not at all, and among several processes only one makes it.

    Args:
        path: The entry's folder, named after everything that it is made of.
        make: A function that is given an empty temporary folder and fills it.
        names: The names of files that `make` may write.

    Returns:
        `path`.

    Raises:
        OSError: The folder cannot be written.
        BadInput: The folder holds files that this program did not write, which would be lost.
    """
    if _fault(path, names):
        with _alone(path):
            atomic.recover(path.parent, path.name)
            if fault := _fault(path, names):  # another process may have made it while we waited
                if os.path.lexists(path):
                    _refuse_others(path, names)
                    logging.warning("%s: %s; it is made again.", path, fault)
                with atomic.folder(path) as temporary:
                    make(temporary)
                    _seal(temporary)
    return path


@contextlib.contextmanager
def keeping(what: str, place: Path) -> Iterator[None]:
    """Turns an OSError of the block, which keeps `what` in the folder `place` of the cache, into a BadInput."""
    try:
        yield
    except OSError as error:
        raise BadInput(
            f"{what} cannot be kept in {place}: {error.strerror or error}. Make room there, or set TFMO_DRIVE_CACHE to "
            "another folder."
        ) from error


@contextlib.contextmanager
def scratch(place: Path) -> Iterator[Path]:
    """Yields an empty folder in the folder `place` of the cache, for what gets its name only when it is made.

    It goes when the block ends; one that a killed process left goes when the next is made.
    """
    with _alone(place / "scratch"):
        _remove_left(place)
        made = Path(tempfile.mkdtemp(prefix=".scratch-", dir=place))
        lock = os.open(made, os.O_RDONLY)
        fcntl.flock(lock, fcntl.LOCK_EX)
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)
        os.close(lock)


def _remove_left(place: Path) -> None:
    """Removes scratch folders that no process holds any more."""
    for left in place.glob(".scratch-*"):
        with contextlib.suppress(FileNotFoundError, BlockingIOError):  # removed by its process, or still in use
            lock = os.open(left, os.O_RDONLY)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(left, ignore_errors=True)
            finally:
                os.close(lock)


def digest(value: object) -> str:
    """Returns the SHA-256, in hex, of a value of JSON types; equal values have equal digests."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def _fault(path: Path, names: Collection[str]) -> str:
    """Returns why the entry cannot be used as it is, or "" where it can."""
    try:
        there = set(os.listdir(path))
        if SEAL not in there:
            return f"it has no {SEAL}"
        seal = json.loads((path / SEAL).read_bytes()) if (path / SEAL).is_file() else {}
        files = seal["files"]
        if digest(files) != seal["sha256"]:
            return f"{SEAL} is not as it was written"
        if set(files) != there & set(names):
            return "files were added or removed"
        now, settled = time.time_ns(), True
        for name, told in files.items():
            settled &= _as_last_seen(path / name, seal, name)
            if not settled and _measured(path / name) != told:
                return f"{name} is not as it was made"
        if not settled:
            _look_back_on(path, files, now)
    except (FileNotFoundError, NotADirectoryError):
        return "it is not there"
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        return f"{SEAL} cannot be read ({type(error).__name__})"
    return ""


def _as_last_seen(path: Path, seal: dict[str, Any], name: str) -> bool:
    """Says whether nobody has written to the file since its digest was last compared.

    Reading gigabytes again would cost more than what they are read for. The system sets the time of change (ctime), and
    nobody can set it back.
    """
    found = os.stat(path)
    seen = seal["seen"].get(name)
    return seen == [found.st_ino, found.st_ctime_ns, found.st_size] and seal["at"] - found.st_ctime_ns > _SETTLED_NS


def _measured(path: Path) -> dict[str, Any]:
    if not stat.S_ISREG(os.stat(path).st_mode):
        return {}
    with open(path, "rb") as opened:
        size = os.fstat(opened.fileno()).st_size
        return {"bytes": size, "sha256": hashlib.file_digest(opened, "sha256").hexdigest()}


def _seal(folder: Path) -> None:
    files = {path.name: _measured(path) for path in sorted(folder.iterdir())}
    atomic.write_json(folder / SEAL, {"files": files, "sha256": digest(files), "seen": {}, "at": 0})


def _look_back_on(path: Path, files: dict[str, Any], at: int) -> None:
    """Writes down that these files agreed with their digests at the time `at` (ns)."""
    seen = {}
    for name in files:
        found = os.stat(path / name)
        seen[name] = [found.st_ino, found.st_ctime_ns, found.st_size]
    with contextlib.suppress(OSError):  # a cache that can only be read is compared every time
        atomic.write_json(path / SEAL, {"files": files, "sha256": digest(files), "seen": seen, "at": at})


def _refuse_others(path: Path, names: Collection[str]) -> None:
    """Raises BadInput where the entry's folder holds what this program did not put there."""
    entries = os.listdir(path) if path.is_dir() else ["."]
    for name in sorted(entries):
        ours = name in (*names, SEAL) or atomic.is_temporary(name)
        if not ours or (path / name).is_dir():
            raise BadInput(
                f"{path / name} does not belong into the cache, where a damaged entry must be made again. Move it away."
            )


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Holds a lock file beside `path`, so that two processes do not do the same work.

    The lock ends with its process.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic.opened(path.with_name(f".{path.name}.lock")) as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            logging.info("Another process makes %s; waiting for it.", path)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
