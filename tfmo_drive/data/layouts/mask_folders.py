"""Finds the folders of images and of their masks by what they are called; data.layouts.masks.folders pairs their files.

train/ + trainannot/    train_images/ + train_masks/    images/train/ + masks/train/    train/images/ + train/masks/
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

from tfmo_drive.contracts import BadInput
from tfmo_drive.data.found_files import IMAGE_HOLDERS, MASK_HOLDERS, folders_below, folders_in, scanned
from tfmo_drive.data.images import SUFFIXES
from tfmo_drive.data.splitting import SPLIT_WORDS, split_of_folder

IMAGES = (*IMAGE_HOLDERS, "img_dir", "rgb", "701_stillsraw_full", "default")
MASKS = (*MASK_HOLDERS, "ann_dir", "gt", "seg", "segmentation", "labeledapproved_full", "defaultannot")
Folders = dict[str, Path]
"""Folders by their names in lower case."""
Places = dict[str, tuple[Path | None, Path | None]]
"""Words of splits and of others to the folders of images and of masks, each None where there is none."""
_LOOKED, _DEEP, _MOST = 200, 2, 20
"""How many files of a folder, how deep and in how many folders masks are looked for."""


def shown(root: Path) -> bool:
    """Says whether folders are called as those of images and of their masks, and the latter hold images too."""
    if not root.is_dir():
        return False
    try:
        folders = subfolders(root)
        places = [whole(folders), *of_splits(folders).values()]
    except BadInput:  # who reads them says so
        return False
    return any(images and truth and _holds_images(truth) for images, truth in places)


def _holds_images(folder: Path) -> bool:
    places = [folder, *folders_below(folder, _DEEP, _MOST)]
    some = itertools.chain.from_iterable(itertools.islice(scanned(place), _LOOKED) for place in places)
    return any(entry.name.lower().endswith(SUFFIXES) for entry in some)


def whole(folders: Folders) -> tuple[Path | None, Path | None]:
    """Returns the folders of all images and of all masks."""
    return _called(folders, IMAGES), _called(folders, MASKS)


def of_splits(folders: Folders) -> Places:
    """Returns the folders of every split, of those that hold a split's, or all of one kind, each by its word.

    Folders that are called as nothing of the kind stand there with None for both.
    """
    images, masks = whole(folders)
    if images and masks:
        below = subfolders(masks)
        return {word: (folder, below.get(word)) for word, folder in subfolders(images).items()}
    found: Places = {}
    taken: set[Path] = set()
    for word in SPLIT_WORDS:
        pair = _beside(word, folders)
        if all(pair):
            found[word] = pair
            taken |= set(pair)
    return found | {word: _inner(folder) for word, folder in folders.items() if folder not in taken}


def _beside(word: str, folders: Folders) -> tuple[Path | None, Path | None]:
    """Returns the folders of a split that are called by its word and their kind, as train/ and trainannot/ are."""
    named = [[f"{word}{bar}{kind}" for kind in kinds for bar in ("", "_", "-")] for kinds in (IMAGES, MASKS)]
    return _called(folders, [word, *named[0]]), _called(folders, named[1])


def _inner(folder: Path) -> tuple[Path | None, Path | None]:
    """Returns the folders of images and of masks in that of a split."""
    return whole(subfolders(folder)) if split_of_folder(folder.name) else (None, None)


def _called(folders: Folders, names: Sequence[str]) -> Path | None:
    return next((folders[name] for name in names if name in folders), None)


def subfolders(path: Path) -> Folders:
    """Returns {name in lower case: folder}, sorted; raises BadInput for two that differ in case alone."""
    found: Folders = {}
    for child in folders_in(path):
        if found.setdefault(child.name.lower(), child) != child:
            raise BadInput(f"{found[child.name.lower()]} and {child.name} differ in case alone. Keep one of them.")
    return found
