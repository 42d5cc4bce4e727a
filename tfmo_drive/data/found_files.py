"""Lists the files of a folder that somebody gives: every one once, whatever links lead to it, and the rest counted."""

from __future__ import annotations

import dataclasses
import os
import stat
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from tfmo_drive.base import faults
from tfmo_drive.contracts import BadInput

JUNK = ("__MACOSX", "$RECYCLE.BIN", "System Volume Information", "@eaDir", "lost+found")
"""Folders that systems leave behind; what begins with a dot is left out as well."""

IMAGE_HOLDERS = ("images", "image", "imgs", "img")
"""Names, in lower case, of folders that hold all images."""
HOLDERS = (*IMAGE_HOLDERS, "jpegimages", "image_2", "labels", "label_2", "annotations")
"""Names, in lower case, of folders that hold all images or their labels; none is a class."""
MASK_HOLDERS = ("masks", "mask", "labels", "annotations", "annot", "labeledapproved_full")
"""Names, in lower case, of folders that hold all masks."""
ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".7z", ".rar")
"""Suffixes of packed folders."""
VIDEOS = (".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v")
"""Suffixes of videos."""


@dataclasses.dataclass
class Found:
    """Lists what lies below a folder; paths are in the order of their folders and names."""

    files: list[Path] = dataclasses.field(default_factory=list)
    """Regular files of the suffixes that were asked for."""
    odd: list[str] = dataclasses.field(default_factory=list)
    """Paths that have such a suffix and are no regular files, each with the reason."""
    others: Counter[str] = dataclasses.field(default_factory=Counter)
    """The number of files of each other suffix ("" for none)."""
    again: list[Path] = dataclasses.field(default_factory=list)
    """Links to folders that hold them, or were walked through already; not followed."""

    def left_out(self) -> str:
        """Returns `12 .txt, 1 .heic, 2 links to folders that were listed already`, or ""."""
        kinds = [f"{count:,} {suffix or 'without a suffix'}" for suffix, count in self.others.most_common(8)]
        if len(self.others) > 8:
            kinds.append(f"files of {len(self.others) - 8} other suffixes")
        if self.again:
            kinds.append(f"{len(self.again):,} links to folders that were listed already, such as {self.again[0]}")
        return ", ".join(kinds)

    def say_left_out(self, source: Path) -> None:
        """Logs a warning that counts the files that were not taken, where there are any."""
        if text := self.left_out():
            faults.note(source, f"not read: {text}.")

    def __add__(self, other: Found) -> Found:
        return Found(
            self.files + other.files, self.odd + other.odd, self.others + other.others, self.again + other.again
        )


def walk(folder: Path, suffixes: Sequence[str], root: Path | None = None) -> Found:
    """Returns all files below `folder`; each folder is walked once, whatever links lead to it.

    Hidden files and folders, and JUNK, are not looked at.

    Args:
        folder: The folder.
        suffixes: The suffixes of the files that are wanted, in lower case.
        root: The folder of the whole data set, so that a link back to it is a loop too.

    Raises:
        BadInput: A folder cannot be listed.
    """
    found, waiting = Found(), [folder]
    holding = [place for place in folder.parents if root and (place == root or root in place.parents)]
    seen = {identity(place) for place in (folder, *holding)}
    while waiting:
        for entry in entries(waiting.pop()):
            path, wanted = Path(entry.path), entry.name.lower().endswith(tuple(suffixes))
            if wanted and entry.is_file(follow_symlinks=False):  # as nearly all are, told without a look at each
                found.files.append(path)
                continue
            try:
                mode = entry.stat().st_mode
            except OSError as error:
                if wanted:
                    found.odd.append(f"{path} ({(error.strerror or str(error)).lower()})")
                else:
                    found.others[path.suffix.lower()] += 1
                continue
            if stat.S_ISDIR(mode):
                (found.again if identity(path) in seen else waiting).append(path)
                seen.add(identity(path))
            elif not wanted:
                found.others[path.suffix.lower()] += 1
            elif stat.S_ISREG(mode):
                found.files.append(path)
            else:
                found.odd.append(f"{path} (not a regular file)")
    found.files.sort(key=os.path.split)
    return found


def entries(folder: Path) -> Iterator[os.DirEntry[str]]:
    """Returns the entries of `folder` by name, without hidden ones and JUNK.

    Raises BadInput where it cannot be listed.
    """
    try:
        with os.scandir(folder) as scanned:
            listed = sorted(scanned, key=lambda entry: entry.name)
    except OSError as error:
        raise BadInput(f"{folder} cannot be read: {error.strerror}.") from error
    return (entry for entry in listed if not _is_junk(entry.name))


def folders_in(folder: Path) -> list[Path]:
    """Returns the folders in `folder` by name, without hidden ones and JUNK.

    Raises BadInput where it cannot be listed.
    """
    return [Path(entry.path) for entry in entries(folder) if entry.is_dir()]


def only_folder(folder: Path) -> Path | None:
    """Returns the folder in `folder` where nothing else is there but what is hidden or JUNK, else None.

    Raises BadInput where it cannot be listed.
    """
    found = None
    try:
        with os.scandir(folder) as scanned:
            for entry in scanned:  # one that is long is not read to its end
                if not _is_junk(entry.name):
                    if found or not entry.is_dir():
                        return None
                    found = Path(entry.path)
    except OSError as error:
        raise BadInput(f"{folder} cannot be read: {error.strerror}.") from error
    return found


def _is_junk(name: str) -> bool:
    return name.startswith(".") or name in JUNK


def tables(folder: Path) -> list[Path]:
    """Returns the CSV files in `folder` by name; raises BadInput where it cannot be listed."""
    return [Path(entry.path) for entry in entries(folder) if entry.name.lower().endswith(".csv") and entry.is_file()]


def refuse_archive(path: Path) -> None:
    """Raises BadInput where the path is a file of a packed folder."""
    if path.is_file() and path.name.lower().endswith(ARCHIVES):
        raise BadInput(f"{path} is an archive. Unpack it, and name the folder that comes out.")


def identity(path: str | os.PathLike) -> object:
    """Returns what all names of one file have in common: device and inode, or the path where there is no file."""
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return os.path.abspath(path)
    return (found.st_dev, found.st_ino) if found.st_ino else os.path.realpath(path)
