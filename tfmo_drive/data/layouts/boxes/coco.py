"""Finds COCO JSON files: which file belongs to which split, and where its images lie."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tfmo_drive.base import faults
from tfmo_drive.base.spelling import suggestion
from tfmo_drive.contracts import BadInput
from tfmo_drive.data.class_names import quoted
from tfmo_drive.data.found_files import entries, folders_in
from tfmo_drive.data.layouts.boxes.box_document import Document
from tfmo_drive.data.layouts.boxes.coco_objects import Facts, document_of, name_of, read
from tfmo_drive.data.layouts.known_layouts import coco_elsewhere, is_coco
from tfmo_drive.data.layouts.named_images import find_files, find_recorded, in_one_of, is_of_masks
from tfmo_drive.data.splitting import SPLITS, split_in_name, split_of_path

_FOLDERS = ("annotations", "labels")
"""The folders of annotations that lie beside those of images: COCO's own and FiftyOne's."""
_OTHERS = ("captions", "person_keypoints", "panoptic", "stuff", "image_info", "classes", "manifest")
"""The beginnings of names of JSON files that lie beside COCO's instances and hold something else."""


def documents(data: Path, named: Mapping[str, str]) -> dict[str, Document]:
    """Returns what COCO JSON files say, split by split; raises BadInput where one is none.

    The files are found by the word train, val or test in their own name or their folder's, beside the images or in
    annotations/; a single file without such a word is train. A split without an image or an object, such as a test
    split that nobody has labelled, is left out.

    Args:
        data: The folder or the file.
        named: The files by split where names do not tell, relative to `data`.
    """
    found = {split: read(path) for split, path in _annotation_files(data, named).items()}
    labelled = {split: facts for split, facts in found.items() if facts.images and facts.annotations}
    for split, facts in found.items():
        if split not in labelled:
            lacking = "annotations" if facts.images else "images"
            if split == "train" or not labelled:
                raise BadInput(f"{facts.path}: no {lacking}. Name another file, or add some.")
            faults.note(facts.path, f"no {lacking}, so {split} is left out.")
    return {split: document_of(facts, *_images(facts, data)) for split, facts in labelled.items()}


def json_files(data: Path) -> list[Path]:
    """Returns the JSON files of a folder that may hold boxes, or the one file that the data are.

    Where some begin as COCO's do, others beside them hold something else.
    """
    if not data.is_dir():
        return [data] if data.suffix.lower() == ".json" else []
    children = [child for child in folders_in(data) if child.name.lower() in _FOLDERS or split_in_name(child.name)]
    below = [deep for child in children if split_in_name(child.name) for deep in folders_in(child)]
    children += [child for child in below if child.name.lower() in _FOLDERS]
    files = [Path(entry.path) for place in (data, *children) for entry in entries(place)]
    files = [file for file in files if file.suffix.lower() == ".json" and not file.stem.lower().startswith(_OTHERS)]
    files = sorted(filter(is_coco, files) if len(files) > 1 else files) or sorted(files)
    return files or [file for file in coco_elsewhere(data) if not file.stem.lower().startswith(_OTHERS)]


def _annotation_files(data: Path, named: Mapping[str, str]) -> dict[str, Path]:
    """Returns {split: file}, train first."""
    if data.is_file() and named:
        raise BadInput(
            f"task.annotations.{next(iter(named))} names a file of a folder, but the data is one file, {data}. "
            f"Add --data={data.parent}, or leave task.annotations out."
        )
    if data.is_file():
        return {"train": data}
    if not data.is_dir():
        raise BadInput(f"There is no {data}. Expected a folder with COCO JSON files, or one such file.")
    for split in named:
        if split not in SPLITS:
            raise BadInput(f'annotations: there is no split "{split}". {suggestion(split, SPLITS)}')
    files = json_files(data)
    found: dict[str, list[Path]] = {}
    for file in files:
        found.setdefault(split_of_path(file, data), []).append(file)
    both = [file for file in found.get("", []) if "trainval" in file.stem.lower()]
    if len(both) == 1 and "train" not in found:
        found["train"] = both
        found[""] = [file for file in found[""] if file not in both]
    if set(found) == {""}:
        found = {"train": files}
        spare = []
    elif spare := [file.name for file in found.get("", []) if file not in [data / name for name in named.values()]]:
        faults.note(data, f"not read: {quoted(spare)}, no word of a split in the name.")
    found = {split: [data / named[split]] if split in named else found.get(split, []) for split in SPLITS}
    for split, choices in found.items():
        instances = [file for file in choices if file.stem.lower().startswith("instances")]
        found[split] = choices = instances if len(instances) == 1 else choices
        if len(choices) > 1 or (split == "train" and not choices and (spare or not files)):
            names = quoted([str(file.relative_to(data)) for file in choices or files]) or "none"
            raise BadInput(
                f"{data} must hold one COCO JSON file for {split}, got {names}. "
                f"Name it with --set=task.annotations.{split}=FILE."
            )
    return {split: choices[0] for split, choices in found.items() if choices}


def _image_folders(path: Path, data: Path) -> tuple[list[Path], list[Path]]:
    """Returns where the images of an annotation file may lie: likely places, likeliest first, and all other folders.

    The folders of another split, and of masks, which may have the images' names, are never among them.
    """
    split = split_of_path(path, data)
    bases = [path.parent, *([path.parent.parent] if path.parent.name.lower() in _FOLDERS else [])]
    bases += [data] if data.is_dir() and data not in bases else []
    bases += [base / "images" for base in bases if (base / "images").is_dir()]
    below = [child for base in bases for child in folders_in(base)]
    below = [child for child in below if not is_of_masks(child)]
    own = [child for child in below if split and split_in_name(child.name) == split]
    others = [child for child in below if not split or not split_in_name(child.name)]
    return [*own, *bases], [child for child in others if child not in bases]


def _images(facts: Facts, data: Path) -> tuple[dict[str, Path | None], list[Path]]:
    """Returns where the images lie, by their names, and the folders in which they were looked for.

    Where a likely place holds one of them, no other place is looked into: what is missing is missing there, and a file
    of its name elsewhere may be a mask.
    """
    likely, others = _image_folders(facts.path, data)
    names = [name_of(image) for image in facts.images]
    found = find_files(likely, names)
    if not any(found):
        found = in_one_of(others, names, facts.path, find_files)
    if not any(found):  # as another machine had them
        found = find_recorded([*likely, *others], names)
    return dict(zip(names, found, strict=True)), [*likely, *others]
