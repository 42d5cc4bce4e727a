"""Lists BDD100K's masks (Yu et al. 2020, arXiv:1805.04687) of drivable area or of classes, as they are given away.

    images/100k/train/0000f77c-6257be58.jpg    labels/drivable/masks/train/0000f77c-6257be58.png
    images/10k/train/...                       labels/sem_seg/masks/train/...
    images/100k/train/...                      drivable_maps/labels/train/..._drivable_id.png    (first edition)
    seg/images/train/...                       seg/labels/train/..._train_id.png                 (first edition)

Every image is of another video. The editions count drivable areas in another order (doc.bdd100k.com, format).
"""

from __future__ import annotations

from pathlib import Path

from tfmo_drive.base import faults
from tfmo_drive.contracts import BadInput
from tfmo_drive.data.class_names import quoted
from tfmo_drive.data.found_files import folders_in
from tfmo_drive.data.layouts.masks.pairs import STREET, Pairs, by_name
from tfmo_drive.data.splitting import SPLIT_WORDS

PLACES = {
    "labels/drivable/masks": (("images/100k", "images/10k"), "(.+)", ("direct", "alternative", "background")),
    "labels/sem_seg/masks": (("images/10k", "images/100k"), "(.+)", STREET),
    "drivable_maps/labels": (("images/100k",), "(.+)_drivable_id", ("background", "direct", "alternative")),
    "seg/labels": (("seg/images", "images/10k"), "(.+)_train_id", STREET),
}
"""The folders of masks to those of their images, how a mask is called after its image, and the names of the ids."""


def pairs(root: Path) -> Pairs:
    """Returns the pairs of the first folder of masks that is there; the others are named in a warning.

    Raises BadInput where there are no images, or other masks alone (of lanes, or colours).
    """
    home = root / "bdd100k" if (root / "bdd100k").is_dir() else root
    here = [place for place in PLACES if (home / place).is_dir()]
    if not here:
        raise BadInput(f"{home} holds no masks that are read: {quoted(list(PLACES))}. Unpack one of BDD100K's there.")
    if here[1:]:
        said = f"not read: {quoted(here[1:])}, as {here[0]} is there; move that away to read them."
        faults.note(root, said)
    folders, pattern, names = PLACES[here[0]]
    images = next((home / folder for folder in folders if (home / folder).is_dir()), None)
    if images is None:
        raise BadInput(f"{home} holds {here[0]} and no {folders[0]}, the images. Unpack them there.")
    found = Pairs(root, names)
    for folder in folders_in(images):
        truth = home / here[0] / folder.name
        masks = by_name(truth, pattern, found.odd, (".png",)) if truth.is_dir() else {}
        if not masks or folder.name not in SPLIT_WORDS:
            faults.note(root, f"there are no masks for {folder.name}; it is left out.")
            continue
        known = by_name(folder, "(.+)", found.odd)
        for name, files in known.items():
            if name in masks:
                found.add(files[0], masks[name][0], SPLIT_WORDS[folder.name], files[0].name)
            else:
                found.odd.append(f"{files[0]} has no mask")
        found.odd += [f"{files[0]} has no image" for name, files in masks.items() if name not in known]
    return found
