"""Lists images with boxes in whichever layout they lie (data.layouts.boxes): classes, groups, splits and truths.

As in data.layouts.listing, a missing split is sampled out of train, but recorded frames are sampled in blocks
(data.recordings), and where there is train and val but no test, val becomes test: it is what others report on.
"""

from __future__ import annotations

import dataclasses
import itertools
import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from absl import logging

from tfmo_drive.base import faults
from tfmo_drive.base.spelling import suggestion
from tfmo_drive.contracts import BadInput
from tfmo_drive.data.boxes import Truths
from tfmo_drive.data.class_names import quoted
from tfmo_drive.data.found_files import names_in
from tfmo_drive.data.image_headers import quick_size_of
from tfmo_drive.data.images import SUFFIXES, UnreadableImage
from tfmo_drive.data.layouts.boxes import bdd100k, cityscapes, coco, csv_boxes, kitti, voc, yolo
from tfmo_drive.data.layouts.boxes.box_document import Document, usable
from tfmo_drive.data.layouts.csv_listing import OtherKind
from tfmo_drive.data.layouts.foreign_layouts import foreign
from tfmo_drive.data.layouts.known_layouts import BOXES, above, below, elsewhere, layouts, unwrapped
from tfmo_drive.data.paths import split as split_path
from tfmo_drive.data.recordings import blocks, drawn_whole, recording
from tfmo_drive.data.splitting import SPLITS, Listing, Split, missing, refuse_repeated_files, sampled_blocks, with_train

READERS: dict[str, Callable[[Path], dict[str, Document]]] = {
    "COCO JSON": lambda data: coco.documents(data, {}),
    "BDD100K": bdd100k.documents,
    "Cityscapes": cityscapes.documents,
    "KITTI": kitti.documents,
    "Pascal VOC": voc.documents,
    "YOLO": yolo.documents,
    "a CSV of boxes": csv_boxes.documents,
}
"""The layouts' names, as known_layouts has them, to what reads them: a folder or a file to {split: Document}; what has
no splits is all train."""
_LAST: dict[str, Callable[[Path], object]] = {
    "BDD100K": lambda data: data.is_file() and data.name.startswith(("det_", "bdd100k_labels")),
    "COCO JSON": coco.json_files,
}
"""The layouts whose readers say best what is wrong with a file that no longer looks like any."""
_UNKNOWN = "unknown"
"""What stands where nothing is told of an image."""


@dataclasses.dataclass(frozen=True)
class BoxSplit(Split):
    """Lists the images of one split with their boxes; the labels are 0..n-1, the indices of the truths."""

    sizes: np.ndarray
    """int64 [n, 2]: (height, width) of the image file; boxes are in its pixels."""
    truths: Truths
    sizes_said: bool = True
    """Whether the layout says the sizes, so that the files may be of others; else they are the files' own."""

    def at(self, kept: np.ndarray) -> BoxSplit:
        """Returns the split of the images at these indices."""
        arrays = {"labels": np.arange(len(kept)), "sizes": self.sizes[kept], "truths": self.truths.at(kept)}
        return dataclasses.replace(super().at(kept), **arrays)


def list_boxes(
    data: str | Path,
    class_names: Sequence[str] | None = None,
    annotations: Mapping[str, str] | None = None,
    seed: int = 0,
    skip_bad: bool = False,
) -> Listing:
    """Lists the images of a folder or file with their boxes, in whichever layout they lie; every split is a BoxSplit.

    Given splits are kept. Without test, val is the test split; what is missing then is sampled from train, in whole
    blocks of recorded frames; blocks are the groups. Images are in the order of their names, as those of mask folders
    are, so that one task can take both. What is told of an image beside its boxes (weather) becomes attributes.

    Args:
        data: The folder or the file.
        class_names: A choice of the classes in any order, which becomes theirs; boxes of others are ignored. By default
            all classes in the layout's own order.
        annotations: COCO JSON files by split where names do not tell, {"train": "boxes.json"}, relative to `data`.
        seed: The seed of the sampling.
        skip_bad: Whether images and boxes that cannot be used are skipped, and boxes partly outside their image
            clipped.

    Raises:
        BadInput: The layout is none that is known, a split has no object, or something cannot be used (counted, the
            first ten named).
    """
    data = unwrapped(Path(data))
    layout = "COCO JSON" if annotations else layout_of(data)
    documents = coco.documents(data, annotations) if annotations else READERS[layout](data)
    documents = dict(zip(with_train(np.array(list(documents)), data).tolist(), documents.values(), strict=True))
    indices, names = _classes(documents, class_names)
    parts, first_group = {}, 0
    for split, document in documents.items():
        parts[split] = _checked(document, indices, skip_bad)
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
    return Listing(names, splits, layout, missing(np.array(list(documents), "<U5"), blocks=True))


def layout_of(data: Path) -> str:
    """Returns the name of the layout in which a folder or a file holds boxes, as READERS has it.

    Where a folder shows several, it is the first of known_layouts, and a warning says so. Raises BadInput where it
    shows none.
    """
    if not data.exists():
        raise BadInput(f"There is no {data}. Expected a folder or a file that holds boxes; see data/README.md.")
    found, said = layouts(data, BOXES), elsewhere(data, BOXES)
    said = said if found else said or below(data, BOXES) or above(data) or foreign(data)
    if not found and not said:
        found = [name for name, shown in _LAST.items() if shown(data)]
    if not found:
        said = said or f"Those that are read are {', '.join(READERS)}; see data/README.md."
        raise OtherKind(f"{data} holds no boxes in a layout that is known. {said}")
    if len(found) > 1:
        faults.note(data, f"it holds boxes as {found[0]} and as {' and as '.join(found[1:])}; {found[0]} is read.")
    return found[0]


def _present(split: BoxSplit) -> set[int]:
    """Returns the classes of a split's objects; crowds do not count."""
    objects = split.truths.whole
    return set(np.unique(objects.classes[~objects.crowd]).tolist())


def _say_unlisted(data: Path, parts: Mapping[str, BoxSplit]) -> None:
    """Warns, with a count, of images that lie among those that are listed and are not themselves."""
    files = [file for part in parts.values() for file in part.files.texts]
    listed = Counter(split_path(file)[0] for file in files)
    folders = sorted(listed)
    listed.subtract(split_path(file)[0] for file in files if not _is_image(file))
    if all(sum(map(_is_image, names_in(one or "."))) == listed[one] for one in folders):
        return
    known = set(files)
    there = [(name, os.path.join(one, name)) for one in folders for name in sorted(names_in(one or "."))]
    if others := [name for name, path in there if path not in known and _is_image(name)]:
        what = "images beside those that are listed are not used"
        faults.note(data, faults.counted(others, len(there), what))


def _is_image(path: str) -> bool:
    return path.lower().endswith(SUFFIXES)


def of_their_size(split: BoxSplit, skip_bad: bool = False) -> BoxSplit:
    """Returns `split` itself where every image file is as large as its layout says (it opens all headers).

    Raises BadInput that counts the others and names ten; with `skip_bad` it leaves them out. Unreadable files are left
    to `pack`.
    """
    if not split.sizes_said:
        return split
    kept, odd = [], []
    for index, (file, said) in enumerate(zip(split.files.texts, split.sizes.tolist(), strict=True)):
        try:
            found = list(quick_size_of(file))
        except UnreadableImage:
            found = said
        if found == said:
            kept.append(index)
        else:
            odd.append(f"{os.path.basename(file)} ({found[1]} x {found[0]} instead of {said[1]} x {said[0]})")
    place = split.files[0].parent
    faults.refuse(place, odd, len(split), "images are of another size than the annotations say", skip_bad)
    return split.at(np.array(kept)) if odd else split


def _classes(
    documents: Mapping[str, Document], asked: Sequence[str] | None
) -> tuple[dict[int | str, int], tuple[str, ...]]:
    """Returns ({category id: class index}, class names)."""
    first = next(iter(documents.values()))
    known, ids = {}, {}
    for document in documents.values():
        for key, name in document.categories.items():
            if known.setdefault(key, name) != name or ids.setdefault(name, key) != key:
                other = f"{ids[name]}: {name}" if name in ids else f"{key}: {known[key]}"
                said = f'has a category "{key}: {name}", which is "{other}" in another split. Make them agree.'
                raise BadInput(f"{document.path} {said}")
    ids = {known[key]: key for key in sorted(known, key=lambda key: (isinstance(key, str), key))}
    names = tuple(asked or [name for name in first.usual if name in ids] or ids)
    for name in names:
        if name not in ids:
            raise BadInput(f'{first.path} has no category "{name}". {suggestion(name, ids)}')
        if names.count(name) > 1:
            raise BadInput(f'classes must differ, got "{name}" more than once.')
    return {ids[name]: index for index, name in enumerate(names)}, names


def _checked(document: Document, indices: Mapping[int | str, int], skip_bad: bool) -> BoxSplit:
    found = usable(document, indices)
    if not found.files:
        places = f" Looked in {quoted([str(folder) for folder in document.looked])}." if document.looked else ""
        raise BadInput(f"{document.path}: none of its images can be used: {found.faults[0]}.{places}")
    total = len(document.names) + len(document.objects)
    treated = "left out, objects without a box with their images; boxes partly outside are clipped"
    faults.refuse(document.path, found.faults, total, "images or boxes cannot be used", skip_bad, treated)
    if found.repeated:
        faults.note(document.path, f"{found.repeated:,} boxes are given more than once, and taken once.")
    if found.ignored:
        faults.note(document.path, f"{found.ignored:,} boxes of other categories are ignored.", logging.INFO)
    told = found.attributes
    attributes = {
        name: np.array([one.get(name, _UNKNOWN) for one in told])
        for name in sorted({key for one in told for key in one})
    }
    split = BoxSplit(
        found.files, np.arange(len(found.files)), blocks(found.names, found.sizes), found.sizes, found.truths,
        document.says_sizes, attributes=attributes,
    )  # fmt: skip
    if all(first <= second for first, second in itertools.pairwise(map(split_path, found.names))):
        return split
    order = sorted(range(len(split)), key=lambda index: split_path(found.names[index]))
    return split.at(np.array(order))  # the order in which masks of the same images are listed


def _divided(parts: dict[str, BoxSplit], data: Path, seed: int) -> dict[str, BoxSplit]:
    given = np.repeat(list(parts), [len(part) for part in parts.values()])
    groups, sizes = (np.concatenate([getattr(part, name) for part in parts.values()]) for name in ("groups", "sizes"))
    files = [file for part in parts.values() for file in part.files.texts]
    attributes = {
        name: np.concatenate([part.attributes.get(name, np.full(len(part), _UNKNOWN)) for part in parts.values()])
        for name in sorted({name for part in parts.values() for name in part.attributes})
    }
    truths = Truths.of(part.truths for part in parts.values())
    said = any(part.sizes_said for part in parts.values())
    whole = BoxSplit(files, np.arange(len(files)), groups, sizes, truths, said, attributes=attributes)
    drawn = drawn_whole((recording(file.rpartition(".")[0]) for file in files), groups, given == "train")
    places = sampled_blocks(given, drawn, data, seed, files)
    return {split: whole.at(np.flatnonzero(places == split)) for split in SPLITS}
