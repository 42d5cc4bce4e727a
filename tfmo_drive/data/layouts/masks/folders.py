"""Lists images and their masks in folders: CamVid's layout (Brostow et al. 2009), as SegNet has it, and others.

    train/ + trainannot/    images/train/ + masks/train/    train/images/ + train/masks/    images/ + masks/

Image and mask have one stem, or the mask's has an ending more (0001.png and 0001_mask.png, 0001_L.png, ...); so told
apart they may also lie in one folder. Only names are read here.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

from tfmo_drive.base import faults
from tfmo_drive.contracts import BadInput
from tfmo_drive.data.class_names import quoted
from tfmo_drive.data.found_files import entries, walk
from tfmo_drive.data.images import SUFFIXES
from tfmo_drive.data.layouts import mask_folders
from tfmo_drive.data.layouts.known_layouts import MASKS, elsewhere
from tfmo_drive.data.layouts.masks.pairs import Pairs, named_in
from tfmo_drive.data.mask_files import LOSSLESS
from tfmo_drive.data.recordings import recording
from tfmo_drive.data.splitting import SPLIT_WORDS, split_of_folder

_LAYOUT = (
    "Expected train/ + trainannot/, images/train/ + masks/train/, train/images/ + train/masks/ or images/ + masks/."
)
_MASK_END = re.compile(
    r"[_-](masks?|L|P|labels?|annot|gt|seg|segmentation|gtFine(_labelIds|_labelTrainIds)?|labelIds)$", re.IGNORECASE
)
"""What a mask's stem may have behind its image's."""
_IMAGE_END = re.compile("_(leftImg8bit|image|img|sat)$")
"""What an image's stem may have in its place."""
_NO_MASK = re.compile("_gt(Fine|Coarse)_(color|instanceIds)$")


def pairs(root: Path) -> Pairs:
    """Returns the pairs in all folders of `root` that are a split, or all as one split that is still to be drawn.

    Raises BadInput where there are none to train on, or two files of one stem.
    """
    found = Pairs(root)
    for split, (image_folder, mask_folder) in _places(root).items():
        images = _by_stem(root, image_folder, SUFFIXES, found.odd)
        if image_folder == mask_folder:
            masks = {stem: file for stem, file in images.items() if _MASK_END.sub("", stem) != stem}
            images = {stem: file for stem, file in images.items() if stem not in masks}
        else:
            masks = _by_stem(root, mask_folder, LOSSLESS, found.odd)
        lists = {} if split else _lists(root, images)
        rest = "train" if lists and "train" not in lists.values() else ""
        known: dict[str, str] = {}
        for stem, file in masks.items():
            name = stem if stem in images else _image_of(stem, images)
            if name is None:
                found.odd += [] if _NO_MASK.search(stem) else [f"{file} has no image"]
            elif known.setdefault(name, file) != file:
                raise BadInput(
                    f"{known[name]} and {Path(file).name} could each be the mask of {images[name]}. Keep one."
                )
        found.odd += [f"{file} has no mask" for stem, file in images.items() if stem not in known]
        for stem in images:
            if stem in known:
                frame = _IMAGE_END.sub("", stem)
                found.add(images[stem], known[stem], split or lists.get(stem, rest), f"{frame}.png", recording(frame))
    return found


def _lists(root: Path, names: Iterable[str]) -> dict[str, str]:
    """Returns {image: split} of train.txt, val.txt and their like in `root` that name any image of `names`.

    Raises BadInput where one is in two of them.
    """
    known, found = set(names), {}
    for word, split in SPLIT_WORDS.items():
        listed = named_in(root / f"{word}.txt") if (root / f"{word}.txt").is_file() else []
        for name in known.intersection(listed):
            if found.setdefault(name, split) != split:
                raise BadInput(f"{root}: {name} is in {found[name]} and in {split}. Keep it in one of them.")
    return found


def _image_of(stem: str, images: dict[str, str]) -> str | None:
    """Returns the stem of the image of a mask, or None where there is none."""
    plain = _MASK_END.sub("", stem)
    choices = [stem, plain, *(f"{plain}_{end}" for end in ("leftImg8bit", "image", "img", "sat"))]
    choices += [f"{_IMAGE_END.sub('', plain)}"]
    return next((choice for choice in choices if choice in images), None)


def _places(root: Path) -> dict[str, tuple[Path, Path]]:
    """Returns {split: (folder of images, folder of masks)}; the split is "" where all are still to be split."""
    if not root.is_dir():
        raise BadInput(f"There is no folder {root}. {_LAYOUT}")
    folders = mask_folders.subfolders(root)
    found: dict[str, tuple[Path, Path]] = {}
    (images, masks), parts = mask_folders.whole(folders), mask_folders.of_splits(folders)
    for word, (image_folder, mask_folder) in parts.items():
        split = split_of_folder(word)
        if not split:
            continue
        if not (image_folder and mask_folder) and _ends_in_masks(folders.get(word)):
            image_folder = mask_folder = folders[word]
        if image_folder is None or mask_folder is None:
            faults.note(root, f"there are no masks for {word}; it is left out.")
        elif found.setdefault(split, (image_folder, mask_folder)) != (image_folder, mask_folder):
            raise BadInput(f"{root} holds one split twice: {quoted(list(parts))}. Keep one of them.")
    if not found and images and masks and not any(map(split_of_folder, parts)):
        found = {"": (images, masks)}
    if not found and (alone := next(filter(_ends_in_masks, (root, images)), None)):
        found = {"": (alone, alone)}
    used = {folder for pair in found.values() for folder in pair}
    spare = [word for word in parts if not split_of_folder(word) and folders.get(word) not in used]
    if spare and "" not in found:
        faults.note(root, f"not read: {quoted(spare)}, no split.")
    if not found:
        raise BadInput(
            f"{root} holds no images and masks to train on, only {quoted(list(folders)) or 'files'}. "
            f"{elsewhere(root, MASKS) or _LAYOUT}"
        )
    return found


def _ends_in_masks(folder: Path | None) -> bool:
    """Says whether a folder holds an image beside its mask, which is called after it with an ending more."""
    names = [entry.name for entry in entries(folder)] if folder else []
    stems = {Path(name).stem for name in names if name.lower().endswith(SUFFIXES)}
    return any(_MASK_END.sub("", stem) != stem and _MASK_END.sub("", stem) in stems for stem in stems)


def _by_stem(root: Path, folder: Path, suffixes: tuple[str, ...], odd: list[str]) -> dict[str, str]:
    """Returns {path below the folder, without suffix: file}, sorted.

    A path that is no regular file is added to `odd`; files of another suffix are counted in a warning. Raises BadInput
    where there is no file, or two of one stem.
    """
    below, found = walk(folder, suffixes), {}
    below.say_left_out(folder)
    odd += below.odd
    begin = len(str(folder / "_")) - 1
    for file in below.files.texts:
        stem = os.path.splitext(file[begin:])[0]
        if found.setdefault(stem, file) != file:
            raise BadInput(f"{found[stem]} and {Path(file).name} have one stem, so their mask is not known. Keep one.")
    if not found:
        kind = "images" if suffixes == SUFFIXES else f"masks ({', '.join(suffixes)})"
        layout = elsewhere(root, MASKS) or elsewhere(folder.parent, MASKS)
        if suffixes != SUFFIXES and {".jpg", ".jpeg"} & set(below.others):
            layout = "Save them as PNG, from what they were made of: JPEG changes the ids and colours of a mask."
        raise BadInput(f"No {kind} under {folder}. {layout or _LAYOUT}")
    return found
