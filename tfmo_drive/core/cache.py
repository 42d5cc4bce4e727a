"""Where results live that every run may use again: decoded images, packed rows, teachers' logits."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from absl import logging

from tfmo_drive.core import atomic


def cache_root() -> Path:
    """$TFMO_DRIVE_CACHE, or ~/.cache/tfmo_drive."""
    return Path(os.environ.get("TFMO_DRIVE_CACHE") or "~/.cache/tfmo_drive").expanduser()


def made_once(path: Path, last: str, make: Callable[[Path], None]) -> Path:
    """`path`, a folder that `make` fills (it is given a temporary one) unless it holds the file `last` already.

    It appears whole or not at all, and of several processes only one makes it. Raises OSError.
    """
    if not (path / last).exists():
        with _alone(path):
            if not (path / last).exists():  # another process may have made it while we waited
                for stale in path.parent.glob(f".{path.name}.*.tmp"):  # of a killed process, since we hold the lock
                    shutil.rmtree(stale, ignore_errors=True)
                with atomic.folder(path) as temporary:
                    make(temporary)
    return path


def digest(value: object) -> str:
    """A name for what is made of `value` (JSON types): equal values, equal names."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Hold a lock file beside `path`, so that two processes do not do the same work; the lock ends with its process."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path.with_name(f".{path.name}.lock"), "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            logging.info("Another process makes %s; waiting for it.", path)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
