"""Layouts of data sets that are known and not read: said by name, so that none is taken for folders of classes."""

from __future__ import annotations

from pathlib import Path

from tfmo_drive.core.found_files import entries

_BOXES = "Convert its boxes to COCO JSON."
_UNREAD = {
    "BDD100K": (("images/100k", "labels/*/det_*.json", "labels/bdd100k_labels*.json"), _BOXES),
    "KITTI's object benchmark": (("label_2/*.txt", "*/label_2/*.txt"), _BOXES),
    "Pascal VOC": (("Annotations/*.xml", "*/Annotations/*.xml", "VOCdevkit/*/Annotations"), _BOXES),
    "YOLO": (("labels/*.txt", "*/labels/*.txt", "labels/*/*.txt"), _BOXES),
    "a donkeycar tub": (("*.catalog",), "Write its catalogs as a driving log (CSV)."),
}
"""Names of layouts to the paths that show them, as globs, and what to do until they are read."""
_OTHER_TASKS = {
    "boxes in COCO JSON": (("*.coco.json", "*/*.coco.json", "annotations/instances_*.json"), "detection"),
    "images and their masks": (("masks", "*/masks", "trainannot", "train_labels"), "segmentation"),
    "a driving log": (("driving_log.csv",), "lane"),
}
"""What a folder of classes is no place for, and the experiment that reads it."""
HOLDERS = ("images", "image", "imgs", "img", "jpegimages", "image_2", "labels", "label_2", "annotations", "masks")
"""Folders that hold all images or what is said of them, in lower case; none is a class."""


def unread(root: Path) -> str:
    """A sentence on the layout that `root` seems to be of, where it is one that nothing here reads; else nothing."""
    for name, (signs, advice) in _UNREAD.items():
        if _shown(root, signs):
            return f"It looks like {name}, which is not read yet. {advice}"
    return ""


def no_classes(root: Path) -> str:
    """Why `root` is no folder of classes, as a sentence, where its layout shows that; else nothing."""
    if found := unread(root):
        return found
    for name, (signs, experiment) in _OTHER_TASKS.items():
        if _shown(root, signs):
            return f"It holds {name}: --experiment={experiment} and those like it read that."
    return ""


def _shown(root: Path, signs: tuple[str, ...]) -> bool:
    """Whether a path of these is there; hidden ones and what systems leave behind are none."""
    return any(_matches(root, sign.split("/")) for sign in signs)


def _matches(folder: Path, parts: list[str]) -> bool:
    for entry in entries(folder):
        if Path(entry.name).match(parts[0]) and (len(parts) == 1 or entry.is_dir()):
            if len(parts) == 1 or _matches(Path(entry.path), parts[1:]):
                return True
    return False
