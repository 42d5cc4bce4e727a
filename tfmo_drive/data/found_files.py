"""Lists the files of a folder that somebody gives: every one once, whatever links lead to it, and the rest counted."""

from __future__ import annotations

import array
import dataclasses
import functools
import heapq
import os
import re
import stat
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from tfmo_drive.base import faults
from tfmo_drive.contracts import BadInput
from tfmo_drive.data.paths import Paths

JUNK = ("__MACOSX", "$RECYCLE.BIN", "System Volume Information", "@eaDir", "lost+found")
"""Folders that systems leave behind; what begins with a dot is left out as well."""

IMAGE_HOLDERS = ("images", "image", "imgs", "img")
"""Names, in lower case, of folders that hold all images."""
HOLDERS = (*IMAGE_HOLDERS, "jpegimages", "image_2", "labels", "label_2", "annotations")
"""Names, in lower case, of folders that hold all images or their labels; none is a class."""
MASK_HOLDERS = ("masks", "mask", "labels", "label", "annotations", "annotation", "annot")
"""Names, in lower case, of folders that hold all masks."""
_MASKS = {*MASK_HOLDERS, "gt", "seg", "semantic", "segmentation"}
_BESIDE = {"color", "colour", "camera", "raw", "anon", "dir", "set", "data", "train", "training", "val", "valid",
           "test"}  # fmt: skip
"""Words beside those in names of folders that hold all images or their masks: ColorImage, rgb_anon, train_masks."""
ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".7z", ".rar")
"""Suffixes of packed folders."""
VIDEOS = (".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v")
"""Suffixes of videos."""
_FIRST = 100
"""The number of names of each suffix by which a folder is known."""
_SETTLED = 2 * 10**9
"""The nanoseconds after which a folder's time tells whether it changed since."""
_NO_DEVICE = 2**64 - 1
"""Stands where a device's number would, for a file that is told by its path."""


@dataclasses.dataclass
class Found:
    """Lists what lies below a folder; paths are in the order of their folders and names."""

    files: Paths = dataclasses.field(default_factory=Paths)
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
    found, waiting, listed = Found(), [folder], {}
    holding = [place for place in folder.parents if root and (place == root or root in place.parents)]
    seen = {identity(place) for place in (folder, *holding)}
    ends = tuple(suffixes)
    while waiting:
        place = waiting.pop()
        others: list[os.DirEntry[str]] = []
        names = [entry.name for entry in scanned(place) if _is_plain(entry, ends) or others.append(entry)]
        for entry in sorted(others, key=lambda entry: entry.name):
            path, wanted = place / entry.name, entry.name.lower().endswith(ends)
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
                names.append(entry.name)
            else:
                found.odd.append(f"{path} (not a regular file)")
        listed[str(place)] = sorted(names)
    for place in sorted(listed):
        begin = str(Path(place, "_"))[:-1]  # nothing for the folder in which the process is
        found.files.texts.extend([begin + name for name in listed[place]])
    return found


def _is_plain(entry: os.DirEntry[str], suffixes: tuple[str, ...]) -> bool:
    """Says whether an entry is a file of these suffixes and no link, as nearly all are, without a look at the file."""
    return entry.name.lower().endswith(suffixes) and entry.is_file(follow_symlinks=False)


def scanned(folder: str | Path) -> Iterator[os.DirEntry[str]]:
    """Yields the entries of a folder in any order, without hidden ones and JUNK; raises BadInput as `entries` does."""
    try:
        with os.scandir(folder) as there:
            yield from (entry for entry in there if not _is_junk(entry.name))
    except OSError as error:
        raise BadInput(f"{folder} cannot be read: {error.strerror}.") from error


def entries(folder: Path) -> Iterator[os.DirEntry[str]]:
    """Returns the entries of `folder` by name, without hidden ones and JUNK.

    Raises BadInput where it cannot be listed.
    """
    return iter(sorted(scanned(folder), key=lambda entry: entry.name))


def names_in(folder: str | Path) -> list[str]:
    """Returns the names of what is in `folder` in any order, without hidden ones and JUNK.

    An entry for each would take a quarter of a gigabyte for a million. Raises BadInput where it cannot be listed.
    """
    return [entry.name for entry in scanned(folder)]


@dataclasses.dataclass(frozen=True)
class Inside:
    """Sums up what a folder holds, without hidden ones and JUNK, however much that is."""

    folders: tuple[str, ...]
    """The names of its folders, sorted."""
    files: Mapping[str, tuple[str, ...]]
    """The first names, at most _FIRST, of files of each suffix (in lower case)."""


def inside(folder: Path) -> Inside:
    """Returns the sum of what a folder holds; one that nothing was added to or taken from is not listed again.

    Raises BadInput where it cannot be listed.
    """
    try:
        found = os.stat(folder)
    except OSError as error:
        raise BadInput(f"{folder} cannot be read: {error.strerror}.") from error
    known = _summed_up if time.time_ns() - found.st_mtime_ns > _SETTLED else _summed_up.__wrapped__
    return known(str(folder), found.st_dev, found.st_ino, found.st_mtime_ns)


@functools.lru_cache(maxsize=1000)
def _summed_up(folder: str, *_: int) -> Inside:
    folders, files = [], defaultdict(list)
    for entry in scanned(folder):
        if entry.is_dir():
            folders.append(entry.name)
        else:
            files[os.path.splitext(entry.name)[1].lower()].append(entry.name)
    return Inside(
        tuple(sorted(folders)), {suffix: tuple(heapq.nsmallest(_FIRST, names)) for suffix, names in files.items()}
    )


def folders_in(folder: Path) -> list[Path]:
    """Returns the folders in `folder` by name, without hidden ones and JUNK.

    Raises BadInput where it cannot be listed.
    """
    return [folder / name for name in inside(folder).folders]


def folders_below(folder: Path, deep: int, most: int = 1000) -> list[Path]:
    """Returns the folders below a folder, at most so many and so deep, those of one depth after another.

    Raises BadInput where one cannot be listed.
    """
    found, level = [], [folder]
    for _ in range(deep):
        level = [child for place in level for child in folders_in(place)][: most - len(found)]
        found += level
    return found


def holds_everything(name: str) -> bool:
    """Says whether a folder is called as one of all images, or of their masks or labels; none is a class.

    A mask may be one, in photographs of faces, and so may all that is a word alone.
    """
    alone = name.isalpha() and name in (name.lower(), name.capitalize())
    return name.lower() in (*HOLDERS, "rgb", "gt") or not alone and _made_of(name, {*HOLDERS, *_MASKS, "rgb"})


def holds_masks(name: str) -> bool:
    """Says whether a folder is called as one of all masks or labels (CameraSeg, gt)."""
    return _made_of(name, _MASKS)


def _made_of(name: str, kind: set[str]) -> bool:
    """Says whether a name has a word of a kind, and beside those none but what says more of it."""
    words = {word.lower() for word in re.findall("[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)}
    return bool(words & kind) and words <= kind | _BESIDE


def only_folder(folder: Path) -> Path | None:
    """Returns the folder in `folder` where nothing else is there but what is hidden or JUNK, else None.

    Raises BadInput where it cannot be listed.
    """
    found = None
    for entry in scanned(folder):  # one that is long is not read to its end
        if found or not entry.is_dir():
            return None
        found = Path(entry.path)
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


def identities(files: Sequence[str | os.PathLike]) -> np.ndarray:
    """Returns int64 [n]: the index of the first file that is the same as each, by this or another name (a link)."""
    known: dict[str, int] = {}
    numbers = array.array("Q")
    for file in files:
        found = identity(file)
        numbers.extend(found if isinstance(found, tuple) else (_NO_DEVICE, known.setdefault(found, len(known))))
    return first_equal(np.array(numbers, np.uint64).reshape(-1, 2))


def first_equal(rows: np.ndarray) -> np.ndarray:
    """Returns int64 [n]: the index of the first of rows [n, k] that is equal to each."""
    order = np.lexsort(rows.T)
    begins = np.append(True, (rows[order[1:]] != rows[order[:-1]]).any(axis=1))[: len(rows)]
    found = np.empty(len(rows), np.int64)
    found[order] = order[begins][np.cumsum(begins) - 1]  # sorting is stable, so a run begins with its first
    return found
