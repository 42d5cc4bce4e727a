"""Recognises layouts of data sets that are known and not read, so that none is taken for folders of classes."""

from __future__ import annotations

from pathlib import Path

from tfmo_drive.data.found_files import entries

_BOXES = "Convert its boxes to COCO JSON."
_UNREAD = {
    "BDD100K": (("images/100k", "labels/*/det_*.json", "labels/bdd100k_labels*.json"), _BOXES),
    "KITTI's object benchmark": (("label_2/*.txt", "*/label_2/*.txt"), _BOXES),
    "Pascal VOC": (("Annotations/*.xml", "*/Annotations/*.xml", "VOCdevkit/*/Annotations"), _BOXES),
    "YOLO": (("labels/*.txt", "*/labels/*.txt", "labels/*/*.txt"), _BOXES),
}
"""Names of layouts to the paths that show them (globs, each by itself), and what to do until they are read."""
_OTHER_TASKS = {
    "boxes in COCO JSON": (("*.coco.json", "*/_annotations.coco.json", "annotations/instances_*.json"), "detection"),
    "images and their masks": (
        ("images & masks", "*/images & */masks", "train & trainannot", "train & train_labels"),
        "segmentation",
    ),
    "a driving log": (("driving_log.csv",), "lane"),
    "a donkeycar tub": (("*.catalog",), "lane"),
}
"""Data of other tasks, the paths that show it, and the experiment that reads it."""
HOLDERS = ("images", "image", "imgs", "img", "jpegimages", "image_2", "labels", "label_2", "annotations")
"""Names, in lower case, of folders that hold all images or their labels; none is a class."""


def unread(root: Path) -> str:
    """Returns a sentence on the layout that `root` seems to be of, where nothing here reads it; else ""."""
    for name, (signs, advice) in _UNREAD.items():
        if _shown(root, signs):
            return f"It looks like {name}, which is not read yet. {advice}"
    return ""


def no_classes(root: Path) -> str:
    """Returns a sentence why `root` is no folder of classes, where its layout shows that; else ""."""
    if found := unread(root):
        return found
    for name, (signs, experiment) in _OTHER_TASKS.items():
        if _shown(root, signs):
            return f"It holds {name}: --experiment={experiment} and those like it read that."
    return ""


def _shown(root: Path, signs: tuple[str, ...]) -> bool:
    """Says whether one of the signs is there: a path, or several with & between them; hidden ones do not count."""
    return any(all(_matches(root, path.split("/")) for path in sign.split(" & ")) for sign in signs)


def _matches(folder: Path, parts: list[str]) -> bool:
    """Says whether the path is there; only what a wildcard asks for is listed, because folders of classes are long."""
    first, *rest = parts
    below = [Path(entry.path) for entry in entries(folder)] if "*" in first else [folder / first]
    found = [path for path in below if path.match(first) and (path.is_dir() if rest else path.exists())]
    return any(_matches(path, rest) for path in found) if rest else bool(found)
