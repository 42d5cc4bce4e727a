"""Lists Pascal VOC's masks (Everingham et al. 2010) and those of tools that write its folders, such as CVAT.

    JPEGImages/2007_000032.jpg    SegmentationClass/2007_000032.png    ImageSets/Segmentation/train.txt

The palette's indices are the ids, and 255 is void, unless a file says colours (data.layouts.masks.colours).
"""

from __future__ import annotations

from pathlib import Path

from tfmo_drive.base import faults
from tfmo_drive.contracts import BadInput
from tfmo_drive.data.class_names import quoted
from tfmo_drive.data.found_files import folders_in
from tfmo_drive.data.layouts.masks.pairs import Pairs, by_name, named_in
from tfmo_drive.data.splitting import SPLIT_WORDS

NAMES = ("background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow",
         "diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train",
         "tvmonitor")  # fmt: skip
_MASKS, _PNG = "SegmentationClass", "SegmentationClassPNG"
"""The folder of masks, and the one in which labelme puts them beside arrays of NumPy."""


def pairs(root: Path) -> Pairs:
    """Returns the pairs in the splits of ImageSets/Segmentation, or all masks, still to be split, where it has none.

    A split whose images have no masks at all, as VOC's own test, is left out, with a warning. Raises BadInput where
    several years lie in `root`, or a list names an image twice.
    """
    homes = [folder for folder in (root, *folders_in(root), *_folders(root / "VOCdevkit"))
             if (folder / _MASKS).is_dir() or (folder / _PNG).is_dir()]  # fmt: skip
    if len(homes) > 1:
        raise BadInput(f"{root} holds several sets of masks: {quoted([str(home) for home in homes])}. Name one.")
    home = homes[0]
    found = Pairs(home, NAMES)
    masks = by_name(home / (_PNG if (home / _PNG).is_dir() else _MASKS), "(.+)", found.odd, (".png",))
    place = next((home / name for name in ("JPEGImages", "images") if (home / name).is_dir()), home / "JPEGImages")
    images = by_name(place, "(.+)", found.odd) if place.is_dir() else {}
    seen: dict[str, str] = {}
    for split, names in _lists(home, list(masks)).items():
        if names and not any(name in masks for name in names):
            faults.note(root, f"there are no masks for {split or 'the list'}; it is left out.")
            continue
        for name in names:
            if seen.setdefault(name, split) != split:
                raise BadInput(f"{home}: {name} is in {seen[name]} and in {split}. Keep it in one of them.")
            if name in masks and name in images:
                found.add(images[name][0], masks[name][0], split, f"{name}.png")
            else:
                found.odd.append(f"{name} has no {'image' if name in masks else 'mask'}")
    return found


def _folders(place: Path) -> list[Path]:
    return folders_in(place) if place.is_dir() else []


def _lists(home: Path, masks: list[str]) -> dict[str, list[str]]:
    """Returns {split: names}; "" is still to be drawn: of trainval.txt, where that is all, or all masks."""
    folder = home / "ImageSets" / "Segmentation"
    found = {split: folder / f"{word}.txt" for word, split in SPLIT_WORDS.items() if (folder / f"{word}.txt").is_file()}
    if "train" not in found:
        whole = [folder / name for name in ("trainval.txt", "default.txt") if (folder / name).is_file()]
        if not whole:
            return {"": masks}
        found = {"": whole[0]} | {split: path for split, path in found.items() if split == "test"}
    return {split: named_in(path) for split, path in found.items()}
