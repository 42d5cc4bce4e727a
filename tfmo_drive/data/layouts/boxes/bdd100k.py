"""Reads BDD100K's JSON: labels/det_20/det_train.json, bdd100k_labels_images_train.json, or labels/100k/train/NAME.json.

A list of frames {"name", "attributes": {"weather", "timeofday", "scene"}, "labels": [{"category", "box2d": {"x1", "y1",
"x2", "y2"}}]} (https://doc.bdd100k.com/format.html). A frame without labels holds no object; labels without a box2d are
lanes and drivable areas. A file for each image has its objects in its first frame. A list of other name is known by
what it holds, also where it is the "frames" of Scalabel's files. Images lie in images/100k/train.
What is told of a frame becomes slices of the score.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tfmo_drive.base import given_file
from tfmo_drive.base.given_file import is_number
from tfmo_drive.contracts import BadInput
from tfmo_drive.data.class_names import quoted
from tfmo_drive.data.found_files import entries, folders_below, folders_in
from tfmo_drive.data.layouts.boxes.box_document import Document
from tfmo_drive.data.layouts.boxes.gathered import Gathered, documents_of
from tfmo_drive.data.layouts.known_layouts import bdd_files
from tfmo_drive.data.layouts.named_images import find_files
from tfmo_drive.data.splitting import SPLIT_WORDS, split_in_name

_SIDES = ("x1", "y1", "x2", "y2")
_LIKE_IMAGES = ("images", "image")


def documents(data: Path) -> dict[str, Document]:
    """Returns what the JSON files of a folder, or the one file, say of their frames, split by split.

    Raises BadInput where a file is no list of frames, a split has two, or there is no object.
    """
    root, gathered = data if data.is_dir() else _above_labels(data), Gathered()
    if data.is_file():
        _add(gathered, _listed(data), data, ("train", split_in_name(data.stem) or "train"), root)
        return documents_of(data, gathered)
    files: dict[str, Path] = {}
    for path in label_files(root):
        split = split_in_name(path.stem) or "train"
        if split in files:
            raise BadInput(f"{data} holds {quoted([files[split].name, path.name])} for {split}. Name one: --data=FILE.")
        files[split] = path
    for split, path in files.items():
        _add(gathered, _listed(path), path, (split, split), root)
    if not files:
        for folder in _single_folders(root):
            split = SPLIT_WORDS[folder.name.lower()]
            facts = [_single(Path(entry.path)) for entry in entries(folder) if entry.name.endswith(".json")]
            _add(gathered, facts, folder, (split, split), root)
    return documents_of(data, gathered)


def label_files(root: Path) -> list[Path]:
    """Returns the JSON files of a folder that hold frames with boxes, det_20 before what was before it."""
    folders = [root, *folders_below(root, 4)]
    for pattern in ("det_*.json", "bdd100k_labels*.json"):
        if found := sorted(path for folder in folders for path in folder.glob(pattern)):
            return found
    return bdd_files(root)


def _above_labels(path: Path) -> Path:
    """Returns the folder that holds labels/ and images/, or the file's own."""
    return next((place.parent for place in path.parents if place.name == "labels"), path.parent)


def _single_folders(root: Path) -> list[Path]:
    """Returns the folders of splits in a 100k/ that hold a JSON file for each image."""
    folders = [root, *folders_in(root)]
    folders += [child for folder in folders_in(root) for child in folders_in(folder)]
    tops = [child for folder in folders for child in folders_in(folder) if child.name == "100k"]
    below = [child for top in tops for child in folders_in(top) if child.name.lower() in SPLIT_WORDS]
    return [folder for folder in below if any(entry.name.endswith(".json") for entry in entries(folder))]


def _listed(path: Path) -> list[dict[str, Any]]:
    """Returns the frames of a file that lists them."""
    frames = given_file.json_of(path, "a list of BDD100K's frames")
    frames = frames.get("frames") if isinstance(frames, dict) else frames
    if not isinstance(frames, list) or not all(isinstance(frame, dict) for frame in frames):
        raise BadInput(f"{path}: expected a list of BDD100K's frames, each an object with a name and labels.")
    return frames


def _single(path: Path) -> dict[str, Any]:
    """Returns the frame of a file of one image, as a list has it; its labels are a text where it cannot be read."""
    try:
        facts = given_file.json_of(path, "a frame of BDD100K")
    except BadInput as error:
        return {"name": f"{path.stem}.jpg", "labels": str(error).removesuffix(".")}
    frames = facts.get("frames") if isinstance(facts, dict) else None
    if not isinstance(frames, list) or len(frames) != 1 or not isinstance(frames[0], dict):
        return {"name": f"{path.stem}.jpg", "labels": f"{path.name} has no list of one frame"}
    return {"name": f"{path.stem}.jpg", "attributes": facts.get("attributes"), "labels": frames[0].get("objects")}


def _add(gathered: Gathered, frames: list[dict[str, Any]], source: Path, split: tuple[str, str], root: Path) -> None:
    """Adds frames of a split; their images lie in folders called as the split, or as the other word for it."""
    names = [frame.get("name") if isinstance(frame.get("name"), str) else "" for frame in frames]
    files = find_files(_image_folders(root, split[1]), names)
    for place, (frame, name, file) in enumerate(zip(frames, names, files, strict=True)):
        image = gathered.image(name or f"at place {place} of {source.name}", file, split[0], f"{name}, label")
        told = frame.get("attributes")
        if (
            told := {key: value for key, value in told.items() if isinstance(value, str)}
            if isinstance(told, dict)
            else {}
        ):
            gathered.attributes[image] = told
        labels = frame.get("labels") or []
        if not name or not isinstance(labels, list) or not all(isinstance(label, dict) for label in labels):
            why = labels if isinstance(labels, str) else "labels are no list of objects"
            gathered.broken[image] = why if name else "no name"
            continue
        for number, label in enumerate(labels):
            if label.get("box2d") is not None:
                _add_object(gathered, label, number)


def _image_folders(root: Path, split: str) -> list[Path]:
    """Returns where the images of a split may lie: in a folder called as it below images/, then in those above it."""
    tops = [folder for folder in folders_below(root, 4) if folder.name.lower() in _LIKE_IMAGES]
    below = [*tops, *(child for top in tops for child in folders_in(top))]
    words = [word for word, meant in SPLIT_WORDS.items() if meant == split]
    return [*(folder / word for folder in below for word in words), *below, root / split, root]


def _add_object(gathered: Gathered, label: Mapping[str, Any], number: int) -> None:
    name, box, told = label.get("category"), label["box2d"], label.get("attributes")
    sides = [box.get(side) for side in _SIDES] if isinstance(box, dict) else []
    if not isinstance(name, str) or not name.strip():
        gathered.fault("no category", number)
    elif not sides or not all(map(is_number, sides)):
        gathered.fault("box2d is not x1, y1, x2, y2", number)
    else:
        gathered.object(name, sides, number, isinstance(told, dict) and told.get("crowd") is True)
