"""Lists CULane's lanes (Pan et al. 2018, arXiv:1712.06080): beside every image a text file, a lane a line.

    driver_23_30frame/05151640_0419.MP4/00000.jpg and 00000.lines.txt    list/train.txt, val.txt, test.txt

The points are read when the images are; see data.lanes.
"""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath

from tfmo_drive.base import given_file
from tfmo_drive.contracts import BadInput
from tfmo_drive.data.found_files import walk
from tfmo_drive.data.images import SUFFIXES
from tfmo_drive.data.lanes import LANES
from tfmo_drive.data.layouts.masks.pairs import Pairs
from tfmo_drive.data.splitting import SPLIT_WORDS

_END = ".lines.txt"


def pairs(root: Path) -> Pairs:
    """Returns the images of list/, in its splits, or all images with a file of lanes, still to be split.

    Images without such a file are odd where a list names them, and are passed over elsewhere. Raises BadInput where a
    list names an image of another list.
    """
    found = Pairs(root, LANES)
    images = walk(root, SUFFIXES)
    lanes = {str(path.relative_to(root))[: -len(_END)] for path in walk(root, (_END,)).files}
    files = {str(path.relative_to(root).with_suffix("")): path for path in images.files}
    found.odd += images.odd
    seen: dict[str, str] = {}
    for split, names in _lists(root, sorted(lanes)).items():
        for name in names:
            if seen.setdefault(name, split) != split:
                raise BadInput(f"{root}: {name} is in {seen[name]} and in {split}. Keep it in one of them.")
            if name in lanes and name in files:
                recording = str(PurePosixPath(name).parent)
                found.add(files[name], root / f"{name}{_END}", split, f"{name}.png", recording)
            else:
                found.odd.append(f"{root / name} has no {'image' if name in lanes else f'{_END}, its lanes'}")
    return found


def _lists(root: Path, everything: list[str]) -> dict[str, list[str]]:
    """Returns {split: names without suffix}, of train.txt or train_gt.txt and their like; "" where there is no list."""
    found: dict[str, list[str]] = {}
    for word, split in SPLIT_WORDS.items():
        place = next((root / "list" / name for name in (f"{word}.txt", f"{word}_gt.txt")
                      if (root / "list" / name).is_file()), None)  # fmt: skip
        if place and split not in found:
            lines = given_file.text_of(place, "a list of images, one a line", windows=True).split("\n")
            words = [line.split()[0].replace("\\", "/").lstrip("/") for line in lines if line.strip()]
            found[split] = list(dict.fromkeys(os.path.splitext(PurePosixPath(name))[0] for name in words))
    return found if "train" in found else {"": everything}
