"""Writes files and folders that appear whole or not at all: a temporary name beside them, fsync, then rename (POSIX).

A temporary name holds this program's name and 64 random bits: nobody else's file is called so, processes of equal
number (in containers) never choose the same one, and nobody can plant a link there beforehand.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import secrets
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from tfmo_drive.contracts import BadInput

DISK_SIGNS = {
    "No space left": errno.ENOSPC, "errno = 28": errno.ENOSPC, "Read-only file system": errno.EROFS,
    "errno = 30": errno.EROFS, "Disk quota exceeded": errno.EDQUOT, "Input/output error": errno.EIO,
}  # fmt: skip
"""Parts of the messages with which h5py, numpy and TensorFlow report a disk's errors."""
_OURS = re.compile(r"\.(?P<name>.*)\.tfmo_drive-[0-9a-f]{16}\.(?P<kind>tmp|old)(\..*)?", re.DOTALL)


@contextlib.contextmanager
def file(path: Path, durable: bool = True) -> Iterator[Path]:
    """Yields an empty temporary file, which becomes `path` when the block ends without an error.

    It lies in the folder of `path` and has its suffix.

    Args:
        path: The file to write; its folder is made where it is missing.
        durable: Whether to fsync the file and its folder. Without it the write survives a killed process, not a power
            cut, and large files are written much faster.

    Raises:
        OSError: The disk is full or fails; the error names `path`.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _beside(path, path.stem[:100], "tmp", path.suffix)
    os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o666))
    try:
        with _disk_errors_of(path):
            yield temporary
            if durable:
                _sync(temporary)
            os.replace(temporary, path)
            if durable:
                _sync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def folder(path: Path) -> Iterator[Path]:
    """Yields a temporary folder, which becomes `path` (in place of an older one) when the block ends without an error.

    The older folder is set aside, not removed, until the new one is in its place; if the process is killed in between,
    `recover` puts it back. The caller makes sure beforehand that the older folder holds nothing of anybody else.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _beside(path, path.name, "tmp")
    temporary.mkdir()
    try:
        with _disk_errors_of(path):
            yield temporary
            for written in temporary.rglob("*"):
                _sync(written)
        aside = _beside(path, path.name, "old")
        with contextlib.suppress(FileNotFoundError):
            os.rename(path, aside)
        try:
            os.rename(temporary, path)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                os.rename(aside, path)
            raise
        _sync(path.parent)
        _remove(aside)
    finally:
        _remove(temporary)


@contextlib.contextmanager
def _disk_errors_of(path: Path) -> Iterator[None]:
    """Raises an OSError that names `path` for a full or failing disk.

    The error of write() does not say which file it is about, and what h5py and TensorFlow raise is no OSError at all.
    """
    try:
        yield
    except Exception as error:
        said = getattr(error, "errno", None) if isinstance(error, OSError) else None
        number = said or next((number for sign, number in DISK_SIGNS.items() if sign in str(error)), None)
        if number not in DISK_SIGNS.values():
            raise
        raise OSError(number, os.strerror(number), str(path)) from error


def remove_folder(path: Path) -> None:
    """Removes a folder and all in it; a killed process leaves it whole, or under a name that `recover` knows."""
    gone = _beside(path, path.name, "tmp")
    os.rename(path, gone)
    _remove(gone)


def recover(place: Path, name: str | None = None) -> None:
    """Clears what a process killed inside `file` or `folder` left.

    An older folder that was set aside is put back; temporary files and folders are removed.

    Args:
        place: The folder whose direct entries are looked at. The caller holds its lock.
        name: Look only at what was to become the entry of this name. It must then be one that nobody else uses, such as
            a key of the cache.
    """
    pattern = re.compile(rf"\.(?P<name>{re.escape(name)})\..+\.(?P<kind>tmp|old)") if name else _OURS
    for entry in sorted(os.listdir(place)):
        found = pattern.fullmatch(entry)
        if not found:
            continue
        if found["kind"] == "old" and not os.path.lexists(place / found["name"]):
            os.rename(place / entry, place / found["name"])
        else:
            _remove(place / entry)


def is_temporary(name: str) -> bool:
    """Says whether this is the name of a temporary file or folder of this module, left by a killed process."""
    return _OURS.fullmatch(name) is not None


def opened(path: Path) -> TextIO:
    """Opens the regular file `path` to be read and appended to, and makes it where there is none.

    Raises BadInput where it is a link, a FIFO or a device, because what lies behind those is somebody else's.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        descriptor = os.open(path, flags, 0o666)
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        raise BadInput(f"{path} is a link, and nothing is written through it. Remove it.") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise BadInput(f"{path} is no regular file. Remove it.")
    return os.fdopen(descriptor, "a+", encoding="utf-8", errors="backslashreplace")


def write_bytes(path: Path, data: bytes) -> None:
    """Writes `data` so that a reader sees the old file or the new one, never a part."""
    with file(path) as temporary:
        temporary.write_bytes(data)


def write_text(path: Path, text: str) -> None:
    """Writes `text` in UTF-8, as `write_bytes` does."""
    write_bytes(path, text.encode())


def write_json(path: Path, value: Any) -> None:
    """Writes `value` as indented JSON with a newline at the end, as `write_text` does."""
    write_text(path, json.dumps(value, indent=1) + "\n")


def _beside(path: Path, name: str, kind: str, suffix: str = "") -> Path:
    return path.with_name(f".{name}.tfmo_drive-{secrets.token_hex(8)}.{kind}{suffix}")


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
