"""Lists Cityscapes as its authors give it (Cordts et al. 2016): images and masks in folders of splits and cities.

    leftImg8bit/train/aachen/aachen_000000_000019_leftImg8bit.png
    gtFine/train/aachen/aachen_000000_000019_gtFine_labelIds.png    or ..._labelTrainIds.png

Of the 34 ids, 19 are trained on and scored (cityscapesscripts/helpers/labels.py, trainId). The masks of test that are
given away show none of them; where they do not, test is left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tfmo_drive.base import faults
from tfmo_drive.contracts import BadInput
from tfmo_drive.data.class_names import quoted
from tfmo_drive.data.found_files import folders_in
from tfmo_drive.data.images import UnreadableImage, opened
from tfmo_drive.data.layouts.masks.pairs import STREET, Pairs, by_name
from tfmo_drive.data.splitting import SPLIT_WORDS

IDS = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)
"""The label ids of STREET, in its order."""
COUNT = 34
NAMES = tuple(dict(zip(IDS, STREET, strict=True)).get(number, f"void {number}") for number in range(COUNT))
IGNORED = tuple(number for number in range(COUNT) if number not in IDS)
"""The names of the label ids, and those that are no classes."""
_IMAGE = r"(.+_\d+_\d+)_leftImg8bit.*"


def pairs(root: Path) -> Pairs:
    """Returns the pairs of every split; images without a mask are odd, and so are masks without an image.

    Raises BadInput where there are no masks of either kind.
    """
    images, truth = (next(place for place in places if place.is_dir()) for places in (
        (root / "leftImg8bit", root / "leftImg8bit_trainvaltest" / "leftImg8bit"),
        (root / "gtFine", root / "gtFine_trainvaltest" / "gtFine", root / "gtCoarse"),
    ))  # fmt: skip
    words = [folder.name for folder in folders_in(images)]
    if spare := [word for word in words if word not in SPLIT_WORDS]:
        faults.note(root, f"not read: {quoted(spare)}, no split.")
    kinds = ("labelIds", "labelTrainIds")
    odd, masks = [], {}
    for kind in kinds:
        masks[kind] = {word: by_name(truth / word, rf"(.+)_gt\w+_{kind}", odd) if (truth / word).is_dir() else {}
                       for word in words if word in SPLIT_WORDS}  # fmt: skip
    count, kind = max((sum(map(len, masks[kind].values())), kind) for kind in ("labelTrainIds", "labelIds"))
    found = Pairs(root, STREET) if kind == "labelTrainIds" else Pairs(root, NAMES, IGNORED)
    if not count:
        said = "Convert others (IDD's labellevel3Ids) to images/ + masks/, with the names of their ids in classes.txt."
        raise BadInput(f"{truth} holds no masks that end in {' or '.join(kinds)}.png. {said}")
    found.odd += odd
    for word, known in masks[kind].items():
        if not known:
            faults.note(root, f"there are no masks ({kind}) for {word}; it is left out.")
            continue
        if word == "test" and not _shows_classes([files[0] for files in known.values()], found):
            faults.note(root, "test is left out: its masks show no class, as those that Cityscapes gives away.")
            continue
        _add(found, by_name(images / word, _IMAGE, found.odd), known, SPLIT_WORDS[word])
    return found


def _add(found: Pairs, images: dict[str, list[Path]], masks: dict[str, list[Path]], split: str) -> None:
    for name, files in images.items():
        for file in files:
            if name in masks:
                city, sequence, frame = name.rsplit("_", 2)
                found.add(file, masks[name][0], split, f"{city}/{sequence}{frame}.png", city)
            else:
                found.odd.append(f"{file} has no mask")
    found.odd += [f"{files[0]} has no image" for name, files in masks.items() if name not in images]


def _shows_classes(masks: Sequence[Path], found: Pairs) -> bool:
    """Says whether the first mask of any city shows a class; one that cannot be read may."""
    firsts = {mask.parent: mask for mask in reversed(masks)}
    for mask in firsts.values():
        try:
            with opened(mask, mask) as image:
                ids = np.unique(np.asarray(image))
        except UnreadableImage:
            return True
        if any(number < len(found.names) and number not in found.ignored for number in ids.tolist()):
            return True
    return False
