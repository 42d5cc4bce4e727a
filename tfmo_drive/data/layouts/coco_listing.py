"""Lists images with boxes from COCO JSON files: which file belongs to which split, and where its images lie.

As in data.layouts.listing, a missing split is sampled out of train, but recorded frames are sampled in blocks
(data.recordings), and where there is train and val but no test, val becomes test: it is what others report on.
"""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from absl import logging

from tfmo_drive.base import faults
from tfmo_drive.base.spelling import suggestion
from tfmo_drive.contracts import BadInput
from tfmo_drive.data.boxes import Truth
from tfmo_drive.data.class_names import quoted
from tfmo_drive.data.found_files import entries, folders_in
from tfmo_drive.data.images import SUFFIXES, UnreadableImage, size_of
from tfmo_drive.data.layouts import coco_json
from tfmo_drive.data.layouts.coco_json import Document, read_document
from tfmo_drive.data.layouts.csv_listing import find_files
from tfmo_drive.data.layouts.known_layouts import BOXES, elsewhere
from tfmo_drive.data.layouts.mask_listing import MASKS
from tfmo_drive.data.recordings import blocks
from tfmo_drive.data.splitting import SPLIT_WORDS, SPLITS, Listing, Split, refuse_repeated_files, sampled_blocks

_FOLDERS = ("annotations", "labels")
"""The folders of annotations that lie beside those of images: COCO's own and FiftyOne's."""
_OTHERS = ("captions", "person_keypoints", "panoptic", "stuff", "image_info", "classes", "manifest", ".")
"""The beginnings of names of JSON files that lie beside COCO's instances and hold something else."""


@dataclasses.dataclass(frozen=True)
class BoxSplit(Split):
    """Lists the images of one split with their boxes; the labels are 0..n-1, the indices of the truths."""

    sizes: np.ndarray
    """int64 [n, 2]: (height, width) of the image file, as the JSON says; boxes are in its pixels."""
    truths: tuple[Truth, ...]

    def at(self, kept: np.ndarray) -> BoxSplit:
        """Returns the split of the images at these indices."""
        chosen = [self.truths[i] for i in kept]
        files = tuple(self.files[i] for i in kept)
        return BoxSplit(files, np.arange(len(kept)), self.groups[kept], self.sizes[kept], tuple(chosen))


def list_coco(
    data: str | Path,
    class_names: Sequence[str] | None = None,
    annotations: Mapping[str, str] | None = None,
    seed: int = 0,
    skip_bad: bool = False,
) -> Listing:
    """Lists a folder with COCO JSON files, or one such file; every split is a BoxSplit.

    The files are found by the word train, val or test in their own name or their folder's, beside the images or in
    annotations/; a single file without such a word is split by the seed. Without a test file, val is the test split.
    What is missing then is sampled from train, in whole blocks of recorded frames; blocks are the groups. Images are in
    the order of their names, as those of mask folders are, so that one task can take both.

    Args:
        data: The folder or the file.
        class_names: A choice of the categories in any order, whose indices become the classes; boxes of others are
            ignored. By default all categories by rising id.
        annotations: The files by split where names do not tell, {"train": "boxes.json"}, relative to `data`.
        seed: The seed of the sampling.
        skip_bad: Whether images and boxes that cannot be used are skipped, and boxes partly outside their image
            clipped.

    Raises:
        BadInput: A split has no object, or something cannot be used (counted, the first ten named).
    """
    data = Path(data)
    documents = {split: read_document(path) for split, path in _annotation_files(data, annotations or {}).items()}
    indices, names = _classes(documents, class_names)
    parts, first_group = {}, 0
    for split, document in documents.items():
        parts[split] = _checked(document, indices, data, skip_bad)
        parts[split] = dataclasses.replace(parts[split], groups=parts[split].groups + first_group)
        first_group = int(parts[split].groups.max()) + 1
    _say_unlisted(data, parts)
    splits = _divided(parts, data, seed)
    refuse_repeated_files(data, splits)
    present = {split: _present(part) for split, part in splits.items()}
    for split in SPLITS:
        if not present[split]:
            raise BadInput(
                f"{data}: {split} must hold an object of {quoted(names)} that is no crowd, got none: it has no score. "
                "Add some, choose classes with --set=task.classes=FILE, or, where splits are drawn, draw others with "
                "--set=task.split_seed=1."
            )
    absent = [name for label, name in enumerate(names) if label not in present["train"]]
    if absent:
        faults.note(data, f"no training box of class {quoted(absent)}, so it cannot be learned.")
    return Listing(names, splits)


def _present(split: BoxSplit) -> set[int]:
    """Returns the classes of a split's objects; crowds do not count."""
    return {label for truth in split.truths for label in truth.classes[~truth.crowd].tolist()}


def _say_unlisted(data: Path, parts: Mapping[str, BoxSplit]) -> None:
    """Warns, with a count, of images that lie among those of the JSON files and are in none of them."""
    listed = {file for part in parts.values() for file in part.files}
    there = [file for folder in sorted({file.parent for file in listed}) for file in map(Path, entries(folder))]
    others = [file for file in there if file.suffix.lower() in SUFFIXES and file not in listed]
    if others:
        what = "images beside those of the JSON files are not used"
        faults.note(data, faults.counted([file.name for file in others], len(there), what))


def of_their_size(split: BoxSplit, skip_bad: bool = False) -> BoxSplit:
    """Returns `split` itself where every image file is as large as the JSON says (it opens all headers).

    Raises BadInput that counts the others and names ten; with `skip_bad` it leaves them out. Unreadable files are left
    to `pack`.
    """
    kept, odd = [], []
    for index, (file, said) in enumerate(zip(split.files, split.sizes.tolist(), strict=True)):
        try:
            found = list(size_of(file))
        except UnreadableImage:
            found = said
        if found == said:
            kept.append(index)
        else:
            odd.append(f"{file.name} ({found[1]} x {found[0]} instead of {said[1]} x {said[0]})")
    place = split.files[0].parent
    faults.refuse(place, odd, len(split), "images are of another size than the JSON says", skip_bad)
    return split.at(np.array(kept)) if odd else split


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
    children = folders_in(data)
    places = [data, *(child for child in children if child.name.lower() in _FOLDERS or _split_of(child.name))]
    files = sorted(file for place in places for file in place.glob("*.json") if not file.stem.startswith(_OTHERS))
    if not files and not named and (layout := elsewhere(data, BOXES)):
        raise BadInput(f"{data} holds no COCO JSON files. {layout}")
    found: dict[str, list[Path]] = {}
    for file in files:
        split = _split_of(file.stem) or _split_of(file.parent.name if file.parent != data else "")
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


def _split_of(name: str) -> str:
    """Returns the split that a name tells (instances_train2017: train), or ""."""
    return next((SPLIT_WORDS[word] for word in _words(name) if word in SPLIT_WORDS), "")


def _words(name: str) -> list[str]:
    return re.findall("[a-z]+", name.lower())


def _image_folders(path: Path, data: Path) -> tuple[list[Path], list[Path]]:
    """Returns where the images of an annotation file may lie: likely places, likeliest first, and all other folders.

    The folders of another split, and of masks, which may have the images' names, are never among them.
    """
    split = _split_of(path.stem) or _split_of(path.parent.name)
    bases = [path.parent, *([path.parent.parent] if path.parent.name.lower() in _FOLDERS else [])]
    bases += [data] if data.is_dir() and data not in bases else []
    bases += [base / "images" for base in bases if (base / "images").is_dir()]
    below = [child for base in bases for child in folders_in(base)]
    below = [child for child in below if not set(_words(child.name)) & set(MASKS)]
    own = [child for child in below if split and _split_of(child.name) == split]
    others = [child for child in below if not split or not _split_of(child.name)]
    return [*own, *bases], [child for child in others if child not in bases]


def _classes(documents: Mapping[str, Document], asked: Sequence[str] | None) -> tuple[dict[int, int], tuple[str, ...]]:
    """Returns ({category id: class index}, class names)."""
    first = next(iter(documents.values()))
    for other in documents.values():
        if other.categories != first.categories:
            odd = sorted(set(first.categories.items()) ^ set(other.categories.items()))
            shown = quoted([f"{key}: {name}" for key, name in odd])
            raise BadInput(f"{other.path} and {first.path} must list the same categories; they differ in {shown}.")
    ids = {name: key for key, name in first.categories.items()}
    names = tuple(asked or ids)
    for name in names:
        if name not in ids:
            raise BadInput(f'{first.path} has no category "{name}". {suggestion(name, ids)}')
        if names.count(name) > 1:
            raise BadInput(f'classes must differ, got "{name}" more than once.')
    return {ids[name]: index for index, name in enumerate(names)}, names


def _located(document: Document, likely: list[Path], others: list[Path]) -> dict[str, Path | None]:
    """Returns {name: file} of a document's images.

    Where a likely place holds one of them, no other place is looked into: what is missing is missing there, and a file
    of its name elsewhere may be a mask.
    """
    names = [coco_json.name_of(image) for image in document.images]
    found = find_files(likely, names)
    if not any(found):
        found = find_files(others, names)
        for one, other in zip(found, find_files(others[::-1], names), strict=True):
            if one != other:
                raise BadInput(
                    f"{document.path}: which are its images, those in {one.parent} or those in {other.parent}? "
                    f"Move them to {document.path.parent / 'images'}."
                )
    return dict(zip(names, found, strict=True))


def _checked(document: Document, indices: Mapping[int, int], data: Path, skip_bad: bool) -> BoxSplit:
    likely, others = _image_folders(document.path, data)
    found = coco_json.usable(document, indices, _located(document, likely, others).get)
    if not found.files:
        places = quoted([str(folder) for folder in (*likely, *others)])
        raise BadInput(f"{document.path}: none of its images can be used: {found.faults[0]}. Looked in {places}.")
    total = len(document.images) + len(document.annotations)
    treated = "left out, objects without a box with their images; boxes partly outside are clipped"
    faults.refuse(document.path, found.faults, total, "images or boxes cannot be used", skip_bad, treated)
    if found.repeated:
        faults.note(document.path, f"{found.repeated:,} boxes are given more than once, and taken once.")
    if found.ignored:
        faults.note(document.path, f"{found.ignored:,} boxes of other categories are ignored.", logging.INFO)
    groups, sizes = blocks(found.names, found.sizes), np.array(found.sizes, np.int64)
    split = BoxSplit(tuple(found.files), np.arange(len(groups)), groups, sizes, tuple(found.truths))
    order = sorted(range(len(split)), key=lambda index: os.path.split(found.names[index]))
    return split.at(np.array(order))  # the order in which masks of the same images are listed


def _divided(parts: dict[str, BoxSplit], data: Path, seed: int) -> dict[str, BoxSplit]:
    given = np.repeat(list(parts), [len(part) for part in parts.values()])
    groups, sizes = (np.concatenate([getattr(part, name) for part in parts.values()]) for name in ("groups", "sizes"))
    files, truths = (sum((getattr(part, name) for part in parts.values()), ()) for name in ("files", "truths"))
    whole = BoxSplit(files, np.arange(len(files)), groups, sizes, truths)
    places = sampled_blocks(given, groups, data, seed)
    return {split: whole.at(np.flatnonzero(places == split)) for split in SPLITS}
