"""Recognises the layouts in which data lie on a disk by the paths that show them, so that none is taken for another.

What reads a layout is in the file that is called as it; here are only the signs, for every reader must know what its
folder is when it is none of its own.
"""

from __future__ import annotations

import dataclasses
import fnmatch
import itertools
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path

from tfmo_drive.base import given_file
from tfmo_drive.contracts import BadInput
from tfmo_drive.data.found_files import HOLDERS, folders_below, folders_in, inside, only_folder
from tfmo_drive.data.images import SUFFIXES
from tfmo_drive.data.layouts import mask_folders
from tfmo_drive.data.layouts.columns import CLASSES as CLASS_COLUMNS
from tfmo_drive.data.layouts.columns import FILES, plain, sides_in, unnamed_in, whole_box_in
from tfmo_drive.data.splitting import SPLIT_WORDS, split_in_name

_LOOKED = 4096
"""The number of bytes of a file that are looked into."""
_COCO = re.compile(r'"(annotations|categories|images)"\s*:\s*\[')

_YOLO = (re.compile(r"^\s*(train|val)\s*:", re.MULTILINE), re.compile(r"^\s*(names|nc)\s*:", re.MULTILINE))
_ROWS = 8
"""The number of lines of a CSV in which boxes are looked for, as the first images may hold none."""
_CELL = re.compile(r'["\[(] *[0-9.]+ *, *[0-9.]+ *, *[0-9.]+ *, *[0-9.]+ *["\])]')
"""A cell that holds a whole box."""
_KITTI = re.compile(r"[A-Za-z]\S*(?:[ \t]+-?[0-9.]+(?:[eE][+-]?[0-9]+)?){14,15}[ \t]*(?:\n|\r|$)")
_VOC = re.compile(r"(<\?xml[^>]*>\s*)?<annotation\b")
_BDD, _BOX2D = re.compile(r'\[\s*\{|\{\s*"(frames|groups|config)"\s*:'), re.compile(r'"(box2d|timeofday)"\s*:')
"""How a list of frames begins, and what stands in it."""
_LABELS = ("labels", "label", "*/labels", "labels/*", "label/*")
"""Folders of YOLO's texts."""
_LINE = re.compile(r"[0-9]+([ \t]+[0-9.eE+-]+){4,}[ \t]*(\n|\r|$)")
_MOST = 20
"""The number of files that are looked into for a sign: labels beside images are as many as these."""
_ANNOTATIONS = ("annotations", "labels")
"""Names, in lower case, of folders of JSON files beside those of images."""
_FEW = 5
"""The number of files in a folder that are looked into, where one would say enough but may be empty."""
_DEEP, _PLACES, _TRIED = 4, 100, 3
"""How deep, in how many folders and to how many texts images are looked for."""
_FOLDERS = 200
"""The number of folders in which tables are looked for."""
_LISA = "frameAnnotationsBOX.csv"
"""What LISA calls the boxes of whole traffic lights, beside those of their bulbs."""
_TABLES = (".csv", ".tsv", ".json", ".jsonl", ".ndjson", ".parquet", ".feather", ".arrow", ".npz")
"""Suffixes of files of rows."""


@dataclasses.dataclass(frozen=True)
class Kind:
    """Describes what data say of an image, and the layouts that say it."""

    what: str
    """What they say, as messages name it."""
    experiment: str
    """An experiment that reads them."""
    signs: Mapping[str, tuple[str | Callable[[Path], bool], ...]]
    """The layouts' names to what shows them: paths as globs, each by itself, or several with & between them, or a look
    into files. Where a folder shows several layouts, the first counts."""


def begins(file: Path) -> str:
    """Returns the beginning of a file's text; "" where there is none to read."""
    try:
        with given_file.reading(file, "a text"), open(file, "rb") as opened:
            return opened.read(_LOOKED).decode("utf-8-sig", "replace").lstrip()
    except BadInput:
        return ""


def _files(root: Path, *suffixes: str) -> list[Path]:
    """Returns the file itself, or the first files in a folder, of these suffixes."""
    if not root.is_dir():
        return [root] if root.suffix.lower() in suffixes and root.is_file() else []
    there = inside(root).files
    names = sorted(name for suffix in suffixes for name in there.get(suffix, ()))
    return [root / name for name in names if (root / name).is_file()]


def _coco(root: Path) -> bool:
    """Says whether a JSON file, also one in a folder of annotations or of a split, begins with one of COCO's lists."""
    inside = folders_in(root) if root.is_dir() else []
    places = [place for place in inside if place.name.lower() in _ANNOTATIONS or split_in_name(place.name)]
    below = [deep for place in places if split_in_name(place.name) for deep in folders_in(place)]
    places += [place for place in below if place.name.lower() in _ANNOTATIONS]
    files = [*_files(root, ".json"), *(file for place in places for file in _files(place, ".json")[:_MOST])]
    return any(map(is_coco, files)) or bool(coco_elsewhere(root))


def coco_elsewhere(root: Path) -> list[Path]:
    """Returns COCO's files in the only folder in `root`, of any name, that has some beside folders of images."""
    inside = folders_in(root) if root.is_dir() else []
    found = {place: list(filter(is_coco, _files(place, ".json")[:_MOST])) for place in inside[:_MOST]}
    found = {place: files for place, files in found.items() if files and len(inside) > 1}
    return next(iter(found.values())) if len(found) == 1 else []


def is_coco(file: Path) -> bool:
    """Says so of what begins with one of the lists; one of categories alone, Label Studio's notes.json, is none."""
    text = begins(file)
    found = {match[1] for match in _COCO.finditer(text)} if text.startswith("{") else set()
    return bool(found - {"categories"}) or bool(found) and len(text) >= _LOOKED - 4


def _yolo_settings(root: Path) -> bool:
    """Says whether a file of YOLO's settings is there, which says where images are and what classes are called."""
    texts = map(begins, _files(root, ".yaml", ".yml"))
    return any(all(sign.search(text) for sign in _YOLO) for text in texts)


def box_tables(root: Path) -> list[Path]:
    """Returns the CSV files of a folder, or the one file, whose header names boxes, or whose first rows hold some.

    Where a folder has none itself, those of its folders of splits are it, as Roboflow writes train/_annotations.csv,
    else those of the only folder below that has any, or that are called alike in several, as LISA's of every clip.
    """
    found = [file for file in _files(root, ".csv", ".txt")[:_MOST] if _holds_boxes(begins(file))]
    if found or not root.is_dir():
        return found
    splits = [folder for folder in folders_in(root) if folder.name.lower() in SPLIT_WORDS]
    for folders in (splits, folders_below(root, _DEEP, _FOLDERS)):
        files = [file for folder in folders for file in _files(folder, ".csv")[:_MOST]]
        if found := [file for file in files if _holds_boxes(begins(file))]:
            break
    wanted = {file.name for file in found} & {_LISA} or {file.name for file in found}
    if len(wanted) > 1 and len({file.parent for file in found}) > 1 and folders is not splits:
        return []
    return [file for file in found if file.name in wanted]


def _yolo_texts(root: Path) -> bool:
    """Says whether some texts of YOLO's lines lie in any folder, called as images in that folder or in another."""
    texts = _samples(root, ".txt")
    lines = [file for file in texts if not file.stem.endswith(".lines") and _LINE.match(begins(file))][:_TRIED]
    places = {file.parent for file in texts} | {root, *folders_below(root, _DEEP, _PLACES)} if lines else set()
    endings = [ending for suffix in SUFFIXES for ending in (suffix, suffix.upper())]
    images = [[place / f"{file.stem}{ending}" for place in places for ending in endings] for file in lines]
    return sum(any(image.is_file() for image in some) for some in images) > 1


def _yolo_labels(root: Path) -> bool:
    """Says whether there are folders called labels, with texts that are not KITTI's."""
    return any(_shown(root, f"{path}/*.txt") for path in _LABELS) and not _kitti_texts(root)


def _kitti_texts(root: Path) -> bool:
    """Says whether some texts of KITTI's lines lie in a folder of another name than KITTI's own."""
    texts = [file for file in _samples(root, ".txt", _FEW) if file.parent.name not in ("label_2", "label_02")]
    return any(map(is_kitti, texts))


def is_kitti(file: Path) -> bool:
    """Says whether a text begins with a line of KITTI's: a word and 14 numbers, or 15 where a detector wrote it."""
    return _KITTI.match(begins(file)) is not None


def _voc_texts(root: Path) -> bool:
    """Says whether annotations of Pascal VOC lie in any folder."""
    return any(_VOC.match(begins(file)) for file in _samples(root, ".xml", _FEW))


def bdd_files(root: Path) -> list[Path]:
    """Returns the JSON files of a folder, or of one of annotations in it, that hold lists of BDD100K's frames."""
    inside = folders_in(root) if root.is_dir() else []
    places = [root, *(place for place in inside if place.name.lower() in _ANNOTATIONS)]
    files = [file for place in places for file in _files(place, ".json")[:_MOST]]
    return [file for file in files if _BDD.match(text := begins(file)) and _BOX2D.search(text)]


def _samples(root: Path, suffix: str, most: int = _MOST) -> list[Path]:
    """Returns some files of a suffix in each folder."""
    places = [root, *folders_below(root, _DEEP, _PLACES)] if root.is_dir() else []
    return [place / name for place in places for name in inside(place).files.get(suffix, ())[:most]]


def spaced(line: str) -> bool:
    """Says whether a line of a table has spaces between its cells, as in Udacity's labels.csv, and no other sign."""
    return len(line.split()) > 5 and not re.search("[,;\t]", line)


def _holds_boxes(text: str) -> bool:
    for number, line in enumerate(text.split("\n")[:_ROWS]):
        cells = [cell.strip(' "') for cell in re.split("[,;\t]", line)]
        if spaced(line):
            words = line.split()
            classes = {plain(name) for name in CLASS_COLUMNS}.intersection(map(plain, words))
            cells = words[:6] if words[0].lower().endswith(SUFFIXES) else words if classes else []
        if number == 0 and (form := sides_in(cells)[0] or _CELL.search(text) and whole_box_in(cells)):
            images = {plain(name) for name in FILES}
            return form == "corners" or any(plain(cell) in images for cell in cells)
        if unnamed_in(cells):
            return True
    return False


CLASSES, BOXES, MASKS, DRIVING = "classes", "boxes", "masks", "driving"
KINDS = {
    BOXES: Kind(
        "boxes",
        "detection",
        {
            "COCO JSON": ("*.coco.json", "*/_annotations.coco.json", "annotations/instances_*.json", _coco),
            "BDD100K": (
                "labels/*/det_*.json", "*/labels/*/det_*.json", "labels/bdd100k_labels*.json",
                "*/labels/bdd100k_labels*.json", "*/*/labels/bdd100k_labels*.json", "det_*.json",
                "bdd100k_labels*.json", "100k/*/*.json", "*/100k/*/*.json", "*/*/100k/*/*.json",
                "*/*/labels/*/det_*.json", bdd_files,
            ),
            "Cityscapes": (
                "gtFine/*/*/*_polygons.json", "gtCoarse/*/*/*_polygons.json", "*/gtFine/*/*/*_polygons.json",
                "*/gtCoarse/*/*/*_polygons.json",
            ),
            "KITTI": (
                "label_2/*.txt", "*/label_2/*.txt", "*/*/label_2/*.txt", "label_02/*.txt", "*/label_02/*.txt",
                "*/*/label_02/*.txt", _kitti_texts,
            ),
            "Pascal VOC": (
                "Annotations/*.xml", "annotations/*.xml", "*/Annotations/*.xml", "*/annotations/*.xml",
                "VOCdevkit/*/Annotations/*.xml", "train/*.xml", "images/*.xml", "*.xml & *.jpg", _voc_texts,
            ),
            "YOLO": ("obj.data", _yolo_labels, _yolo_settings, _yolo_texts),
            "a CSV of boxes": (box_tables,),
        },
    ),
    MASKS: Kind(
        "images and their masks",
        "segmentation",
        {
            "Cityscapes": ("leftImg8bit & gtFine", "leftImg8bit & gtCoarse",
                           "leftImg8bit_trainvaltest/leftImg8bit & gtFine_trainvaltest/gtFine"),
            "BDD100K's masks": ("labels/*/masks", "labels/*/colormaps", "drivable_maps/labels", "seg/labels",
                                "bdd100k/labels/*/masks", "bdd100k/labels/*/colormaps", "bdd100k/drivable_maps/labels",
                                "bdd100k/seg/labels"),
            "Pascal VOC's masks": ("SegmentationClass", "SegmentationClassPNG", "*/SegmentationClass",
                                   "VOCdevkit/*/SegmentationClass"),
            "TuSimple's lanes": ("clips & label_data*.json", "clips & test_label*.json", "*/clips & */label_data*.json",
                                 "*/clips & test_label*.json"),
            "CULane's lanes": ("*.lines.txt", "images/*.lines.txt", "driver_*/*/*.lines.txt"),
            "KITTI's masks": ("training/image_2 & training/semantic", "training/image_2 & training/gt_image_2",
                              "image_2 & semantic", "image_2 & gt_image_2"),
            "folders of images and of masks": (
                mask_folders.shown, "*_mask.png", "images/*_mask.png", "train/*_mask.png", "*_L.png",
            ),
        },
    ),
    DRIVING: Kind(
        "a record of driving",
        "lane",
        {"a driving log": ("driving_log.csv",), "a donkeycar tub": ("*.catalog", "record_*.json")},
    ),
}  # fmt: skip


def unwrapped(data: Path) -> Path:
    """Returns the folder that holds the data: below `data` where each holds the next and nothing else, as in a zip."""
    while data.is_dir() and (below := only_folder(data)):
        if _is_split(below) or not (_shows(below) or _opens(below) and not _shows(data)):
            break
        if (here := layouts(data, MASKS)) and here[:1] != layouts(below, MASKS)[:1]:  # which folders of any name are
            break
        data = below
    return data


def _is_split(folder: Path) -> bool:
    """Says whether a folder is called as a split, and does not hold one that is called so and nothing else."""
    below = only_folder(folder)
    again = below is not None and below.name.lower() == folder.name.lower()
    return folder.name.lower() in SPLIT_WORDS and not again


def _shows(folder: Path) -> bool:
    return any(layouts(folder, kind) for kind in KINDS)


def _opens(folder: Path) -> bool:
    """Says whether a folder may hold data of a layout without a sign: folders of classes, or a table."""
    return bool(inside(folder).folders) or any(suffix in inside(folder).files for suffix in _TABLES)


def layouts(root: Path, kind: str) -> list[str]:
    """Returns the names of the layouts of a kind that a folder shows, the first of them the one to read."""
    return [
        name
        for name, signs in KINDS[kind].signs.items()
        if any(sign(root) if callable(sign) else _shown(root, sign) for sign in signs)
    ]


def elsewhere(root: Path, kind: str) -> str:
    """Returns a sentence on what `root` holds in place of data of a kind, and the experiment that reads it; else ""."""
    for other, facts in KINDS.items():
        if other != kind and (found := layouts(root, other)):
            return f"It holds {facts.what} ({found[0]}): --experiment={facts.experiment} and those like it read that."
    return ""


def below(root: Path, kind: str) -> str:
    """Returns a sentence on a folder in `root`, which shows nothing itself, that shows a layout of a kind; else ""."""
    for folder in map(unwrapped, folders_in(root)[:_MOST] if root.is_dir() else ()):
        if found := layouts(folder, kind):
            return f"{folder} holds {KINDS[kind].what} ({found[0]}): name that folder."
    return ""


def above(folder: Path) -> str:
    """Returns a sentence on the folder above one of images or of a split alone that shows a layout with it; else ""."""
    place = Path(os.path.abspath(folder))
    while place.name.lower() in (*SPLIT_WORDS, *HOLDERS):
        place = place.parent
        for facts, found in ((facts, layouts(place, kind)) for kind, facts in KINDS.items()):
            if found:
                return f"{place} holds {facts.what} ({found[0]}): name that folder."
    return ""


def _shown(root: Path, sign: str) -> bool:
    """Says whether a sign is there: a path, or several with & between them; hidden ones do not count."""
    return root.is_dir() and all(_matches(root, path.split("/")) for path in sign.split(" & "))


def _matches(folder: Path, parts: list[str]) -> bool:
    """Says whether a path is there; a wildcard stands for one of the names by which a folder is known."""
    first, *rest = parts
    if "*" not in first:
        path = folder / first
        return _matches(path, rest) if rest and os.path.isdir(path) else not rest and os.path.exists(path)
    there = inside(folder)
    names = there.folders if rest else (*there.folders, *itertools.chain(*there.files.values()))
    return any(not rest or _matches(folder / name, rest) for name in fnmatch.filter(names, first))
