"""Reads COCO JSON files: which file belongs to which split, and where its images lie.

{"images": [{"id", "file_name", "width", "height"}], "annotations": [{"id", "image_id", "category_id", "bbox": [x, y,
width, height], "area", "iscrowd"}], "categories": [{"id", "name"}]}, as https://cocodataset.org/#format-data has it.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from tfmo_drive.base import faults, given_file
from tfmo_drive.base.spelling import suggestion
from tfmo_drive.contracts import BadInput
from tfmo_drive.data.class_names import clean, quoted, refuse_unfit
from tfmo_drive.data.found_files import folders_in
from tfmo_drive.data.layouts.boxes.box_document import Document, is_id, name_of
from tfmo_drive.data.layouts.named_images import find_files, find_recorded, in_one_of, is_of_masks
from tfmo_drive.data.splitting import SPLITS, split_in_name

_FOLDERS = ("annotations", "labels")
"""The folders of annotations that lie beside those of images: COCO's own and FiftyOne's."""
_OTHERS = ("captions", "person_keypoints", "panoptic", "stuff", "image_info", "classes", "manifest", ".")
"""The beginnings of names of JSON files that lie beside COCO's instances and hold something else."""


def documents(data: Path, named: Mapping[str, str]) -> dict[str, Document]:
    """Returns what COCO JSON files say, split by split; raises BadInput where one is none.

    The files are found by the word train, val or test in their own name or their folder's, beside the images or in
    annotations/; a single file without such a word is train.

    Args:
        data: The folder or the file.
        named: The files by split where names do not tell, relative to `data`.
    """
    found = {split: read_document(path) for split, path in _annotation_files(data, named).items()}
    return {split: _with_images(document, data) for split, document in found.items()}


def read_document(path: Path) -> Document:
    """Returns the document in a file.

    A category that no annotation has and that is the group (supercategory) of others is left out. Raises BadInput where
    the file is no COCO JSON, holds no annotation, names a category twice, or gives it a name that no class may have.
    """
    facts = given_file.json_of(path, "a COCO JSON file")
    parts = [facts.get(key) if isinstance(facts, dict) else None for key in ("images", "annotations", "categories")]
    if not all(isinstance(part, list) and all(isinstance(item, dict) for item in part) for part in parts):
        raise BadInput(f"{path}: expected COCO's images, annotations and categories, each a list of objects.")
    images, annotations, categories = parts
    if not annotations or not images:
        raise BadInput(f"{path}: no {'annotations' if images else 'images'}. Name another file, or add some.")
    # Roboflow lists the group of all classes as one more, which no object has.
    used = {key for annotation in annotations if is_id(key := annotation.get("category_id"))}
    groups = [(category.get("supercategory"), category.get("name")) for category in categories]
    groups = {group for group, name in groups if is_id(group) and group != name}
    pairs = [(category.get("id"), category.get("name")) for category in categories]
    pairs = [pair for pair in pairs if not all(map(is_id, pair)) or pair[1] not in groups or pair[0] in used]
    if not pairs or any(not is_id(key) or not isinstance(name, str) or not name for key, name in pairs):
        raise BadInput(f"{path}: every category must have an id and a name, got {str(pairs)[:60]}.")
    twice = [str(key) for key, count in Counter(key for key, _ in pairs).items() if count > 1]
    if twice:
        raise BadInput(f"{path}: categories must differ in their id, got {quoted(twice)} more than once.")
    pairs.sort(key=lambda pair: (isinstance(pair[0], str), pair[0]))
    named = {key: clean(name) for key, name in pairs}
    refuse_unfit(path, list(named.values()), said=True)
    return Document(path, images, annotations, named)


def json_files(data: Path) -> list[Path]:
    """Returns the JSON files of a folder that may hold boxes, or the one file that the data are."""
    if not data.is_dir():
        return [data] if data.suffix.lower() == ".json" else []
    children = [child for child in folders_in(data) if child.name.lower() in _FOLDERS or split_in_name(child.name)]
    return sorted(
        file for place in (data, *children) for file in place.glob("*.json") if not file.stem.startswith(_OTHERS)
    )


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
        split = split_in_name(file.stem) or split_in_name(file.parent.name if file.parent != data else "")
        found.setdefault(split, []).append(file)
    if set(found) == {""}:
        found = {"train": files}
    elif spare := [file.name for file in found.get("", []) if file not in [data / name for name in named.values()]]:
        faults.note(data, f"not read: {quoted(spare)}, no word of a split in the name.")
    found = {split: [data / named[split]] if split in named else found.get(split, []) for split in SPLITS}
    for split, choices in found.items():
        instances = [file for file in choices if file.stem.startswith("instances")]
        found[split] = choices = instances if len(instances) == 1 else choices
        if len(choices) > 1 or (split == "train" and not choices):
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
    split = split_in_name(path.stem) or split_in_name(path.parent.name)
    bases = [path.parent, *([path.parent.parent] if path.parent.name.lower() in _FOLDERS else [])]
    bases += [data] if data.is_dir() and data not in bases else []
    bases += [base / "images" for base in bases if (base / "images").is_dir()]
    below = [child for base in bases for child in folders_in(base)]
    below = [child for child in below if not is_of_masks(child)]
    own = [child for child in below if split and split_in_name(child.name) == split]
    others = [child for child in below if not split or not split_in_name(child.name)]
    return [*own, *bases], [child for child in others if child not in bases]


def _with_images(document: Document, data: Path) -> Document:
    """Returns the document with the places of its images.

    Where a likely place holds one of them, no other place is looked into: what is missing is missing there, and a file
    of its name elsewhere may be a mask.
    """
    likely, others = _image_folders(document.path, data)
    names = [name_of(image) for image in document.images]
    found = find_files(likely, names)
    if not any(found):
        found = in_one_of(others, names, document.path, find_files)
    if not any(found):  # as another machine had them
        found = find_recorded([*likely, *others], names)
    files = dict(zip(names, found, strict=True))
    return dataclasses.replace(document, files=files, looked=(*likely, *others))
