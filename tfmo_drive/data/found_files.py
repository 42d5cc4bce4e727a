"""Which files lie in a folder that somebody gives: every one once, whatever links lead to it, and the rest counted."""

from __future__ import annotations

import dataclasses
import os
import stat
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from absl import logging

from tfmo_drive.contracts import BadInput, one_line

JUNK = ("__MACOSX", "$RECYCLE.BIN", "System Volume Information", "@eaDir", "lost+found")
"""Folders that systems leave behind; what begins with a dot is left out as well."""


@dataclasses.dataclass
class Found:
    """What lies below a folder: paths in the order of their folders and names."""

    files: list[Path] = dataclasses.field(default_factory=list)
    """Regular files of the suffixes that were asked for."""
    odd: list[str] = dataclasses.field(default_factory=list)
    """What has such a suffix and is no regular file, with the reason."""
    others: Counter[str] = dataclasses.field(default_factory=Counter)
    """How many files of which other suffix there are ("" for none)."""
    again: list[Path] = dataclasses.field(default_factory=list)
    """Links to folders that hold them, or were walked through already; not followed."""

    def left_out(self) -> str:
        """`12 .txt, 1 .heic, 2 links to folders that were listed already`, or nothing."""
        kinds = [f"{count:,} {suffix or 'without a suffix'}" for suffix, count in self.others.most_common(8)]
        if len(self.others) > 8:
            kinds.append(f"files of {len(self.others) - 8} other suffixes")
        if self.again:
            kinds.append(f"{len(self.again):,} links to folders that were listed already, such as {self.again[0]}")
        return ", ".join(kinds)

    def say_left_out(self, source: Path) -> None:
        """A warning that counts what was not taken, where there is any."""
        if text := self.left_out():
            logging.warning("%s", one_line(f"{source}: not read: {text}."))

    def __add__(self, other: Found) -> Found:
        return Found(
            self.files + other.files, self.odd + other.odd, self.others + other.others, self.again + other.again
        )


def walk(folder: Path, suffixes: Sequence[str], root: Path | None = None) -> Found:
    """All files below `folder`, every folder once, whatever links lead to it; hidden ones and JUNK are not looked at.

    `root`: the folder of the whole data set, so that a link back to it is a loop too. Raises BadInput where a folder
    cannot be listed.
    """
    found, waiting = Found(), [folder]
    holding = [place for place in folder.parents if root and (place == root or root in place.parents)]
    seen = {identity(place) for place in (folder, *holding)}
    while waiting:
        for entry in entries(waiting.pop()):
            path, wanted = Path(entry.path), entry.name.lower().endswith(tuple(suffixes))
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
    """What lies in `folder`, by name, without hidden entries and JUNK; BadInput where it cannot be listed."""
    try:
        with os.scandir(folder) as scanned:
            listed = sorted(scanned, key=lambda entry: entry.name)
    except OSError as error:
        raise BadInput(f"{folder} cannot be read: {error.strerror}.") from error
    return (entry for entry in listed if not entry.name.startswith(".") and entry.name not in JUNK)


def folders_in(folder: Path) -> list[Path]:
    """The folders in `folder`, by name, without hidden ones and JUNK. Raises BadInput where it cannot be listed."""
    return [Path(entry.path) for entry in entries(folder) if entry.is_dir()]


def identity(path: str | os.PathLike) -> object:
    """What two names of one file have in common (links, "./"): its device and number, or its path where there is
    none."""
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return os.path.abspath(path)
    return (found.st_dev, found.st_ino) if found.st_ino else os.path.realpath(path)
