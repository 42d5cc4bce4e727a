"""Finds the images that lists, tables and logs name, where they lie and as another machine named them."""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath

from tfmo_drive.contracts import BadInput
from tfmo_drive.data.found_files import IMAGE_HOLDERS, MASK_HOLDERS, folders_in
from tfmo_drive.data.images import SUFFIXES
from tfmo_drive.data.splitting import split_in_name

_ROOT = re.compile("/+|~.*|[A-Za-z]:")


def find_beside(path: Path, names: Sequence[str]) -> list[Path | None]:
    """Returns where the images lie that a table names, each or None.

    They are looked for as `find_recorded` does, beside the table, in images/ or another folder that is called so, and
    in one that is called as the table; where none is there, in all other folders beside it, but for those of another
    split than the table's name says. Raises BadInput where two of those hold them.
    """
    splits = {"", split_in_name(path.stem) or "any"}
    below = [folder for folder in folders_in(path.parent) if not is_of_masks(folder)]
    below = [folder for folder in below if "any" in splits or split_in_name(folder.name) in splits]
    likely = [folder for folder in below if folder.name.lower() in (*IMAGE_HOLDERS, path.stem.lower())]
    found = find_recorded([path.parent, *likely], names)
    return found if any(found) else in_one_of([folder for folder in below if folder not in likely], names, path)


def in_one_of(
    folders: Sequence[Path],
    names: Sequence[str],
    source: Path,
    find: Callable[[Sequence[Path], Sequence[str]], list[Path | None]] | None = None,
) -> list[Path | None]:
    """Returns where the names lie in folders of which only one should hold any.

    Args:
        folders: The folders.
        names: The names.
        source: The file that names them, with which errors begin.
        find: What finds names in folders; by default `find_recorded`.

    Raises:
        BadInput: Two folders hold a file of one name, and which is meant nobody can say.
    """
    find = find or find_recorded
    found = find(folders, names)
    for one, other in zip(found, find(folders[::-1], names), strict=True):
        if one != other:
            raise BadInput(
                f"{source}: which are its images, those in {one.parent} or those in {other.parent}? "
                f"Move them to {source.parent / 'images'}."
            )
    return found


def is_of_masks(folder: Path) -> bool:
    """Says whether a folder is called as one of masks or labels, whose files may have the images' names."""
    words = re.findall("[a-z]+", folder.name.lower())
    return any(word in MASK_HOLDERS or word.startswith("segmentation") for word in words)


def find_recorded(folders: Sequence[Path], names: Sequence[str]) -> list[Path | None]:
    """Returns, as `find_files` does, where each name lies, also for names that another machine wrote.

    A name that is not found as it stands is looked for with slashes in place of backslashes, then by ever shorter ends
    of it (signs/stop/1.png, stop/1.png, 1.png). Where one name was found without its beginning, others of that
    beginning are found so too, or are missing: 1.png of another folder is another image.
    """
    bare = _are_bare(names)
    found = find_files(folders, names, bare)
    parts = [PurePosixPath(name.replace("\\", "/")).parts for name in names]
    # What was left out in front of a name that was found; and whether that began at a root.
    begun = {_beginning(parts[row], 0) for row, file in enumerate(found) if file}
    waiting = [row for row, file in enumerate(found) if not file and parts[row]]
    for dropped in range(max((len(parts[row]) for row in waiting), default=0)):
        files = find_files(folders, [os.path.join(*parts[row][dropped:]) for row in waiting], bare)
        found_now = {row: file for row, file in zip(waiting, files, strict=True) if file}
        begun |= {_beginning(parts[row], dropped) for row in found_now}
        for row, file in found_now.items():
            found[row] = file
        waiting = [row for row in waiting if row not in found_now and _beginning(parts[row], dropped) not in begun]
        waiting = [row for row in waiting if len(parts[row]) > dropped + 1]
    return found


def _beginning(parts: tuple[str, ...], dropped: int) -> tuple[bool, tuple[str, ...]]:
    return bool(parts) and bool(_ROOT.fullmatch(parts[0])), parts[:dropped]


def _are_bare(names: Sequence[str]) -> bool:
    return not any(name.lower().endswith(SUFFIXES) for name in names)


def find_files(folders: Sequence[Path], names: Sequence[str], bare: bool | None = None) -> list[Path | None]:
    """Returns where each name lies in the first of the folders that holds it, or None.

    Where no name has an image's suffix, they are ids: 7 is then 7.jpg, and also 0007.jpg where there is no such. Every
    folder is listed once: to ask each for each name would take minutes for many of both.

    Args:
        folders: The folders.
        names: The names, perhaps with folders in front.
        bare: Whether they are ids; None looks at them.

    Raises:
        BadInput: Two images of a folder are called as an id.
    """
    bare = _are_bare(names) if bare is None else bare
    parts = [os.path.split(name) for name in names]
    wanted: dict[str, set[str]] = {}
    for parent, last in parts:
        wanted.setdefault(parent, set()).add(last)
    found: dict[tuple[str, str], Path] = {}
    for folder, (parent, lasts) in itertools.product(folders, wanted.items()):
        if lasts:
            place = folder / parent
            there = _entries(place)
            here = {last: last for last in lasts & there if os.path.isfile(place / last)}
            here |= _of_ids(place, there, lasts - here.keys()) if bare else {}
            found |= {(parent, last): place / file for last, file in here.items()}
            lasts.difference_update(here)
    return [found.get(part) for part in parts]


def _of_ids(folder: Path, files: set[str], ids: set[str]) -> dict[str, str]:
    """Returns {id: image}, of an image called as the id, or, of numbers, as the id with zeros in front."""
    stems: dict[str, list[str]] = {}
    for file in sorted(files):
        stem, suffix = os.path.splitext(file)
        if suffix.lower() in SUFFIXES:
            for key in {stem, stem.lstrip("0") or "0"} if stem.isascii() and stem.isdigit() else {stem}:
                stems.setdefault(key, []).append(file)
    found = {}
    for name in sorted(ids & stems.keys()):
        own = [file for file in stems[name] if os.path.splitext(file)[0] == name] or stems[name]
        if len(own) > 1:
            raise BadInput(f"{folder}: {own[0]} and {own[1]} could each be the image {name}. Write the suffix too.")
        found[name] = own[0]
    return found


def _entries(folder: Path) -> set[str]:
    try:
        return set(os.listdir(folder))
    except (OSError, ValueError):  # there is none, or the name is none that a file can have
        return set()
