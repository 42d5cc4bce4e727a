"""Knows by which names tables call their columns: of images, classes, splits, and of boxes in three forms.

file, xmin, ymin, xmax, ymax, class    file, xc, yc, width, height, class    image_id, x, y, w, h, label
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

COLUMNS = {
    "file": ("file", "path", "filename", "filepath", "image", "image_path", "image_name", "image_id", "img", "id"),
    "label": ("class_id", "label", "class", "class_name", "label_id"),
    "split": ("split", "set", "subset"),
    "group": ("group", "track", "group_id", "track_id", "sequence"),
}
"""The usual names of each kind's column."""
Sides = tuple[float, float, float, float]
_SIZES = ("w h", "width height", "bboxw bboxh", "bboxwidth bboxheight", "boxw boxh", "boxwidth boxheight")
_FORMS: Mapping[str, Sequence[str]] = {
    "corners": (
        "xmin ymin xmax ymax", "x1 y1 x2 y2", "x0 y0 x1 y1", "left top right bottom", "bboxx1 bboxy1 bboxx2 bboxy2",
        "bboxxmin bboxymin bboxxmax bboxymax", "xtl ytl xbr ybr",
        "upperleftcornerx upperleftcornery lowerrightcornerx lowerrightcornery",
    ),
    "centre": tuple(
        f"{place} {size}"
        for place in ("xc yc", "cx cy", "xcenter ycenter", "xcentre ycentre", "centerx centery", "centrex centrey")
        for size in _SIZES
    ),
    "corner": tuple(
        f"{place} {size}"
        for place in ("x y", "xmin ymin", "x1 y1", "left top", "bboxx bboxy", "boxx boxy", "bboxleft bboxtop")
        for size in _SIZES
    ),
}  # fmt: skip
"""The forms of a box to the usual names of their four columns, in lower case, without spaces and signs; beside corners,
width and height are most often those of the image."""
CORNERS: Mapping[str, Callable[[Sides], Sides]] = {
    "corners": lambda box: box,
    "centre": lambda box: (box[0] - box[2] / 2, box[1] - box[3] / 2, box[0] + box[2] / 2, box[1] + box[3] / 2),
    "corner": lambda box: (box[0], box[1], box[0] + box[2], box[1] + box[3]),
}
"""The forms of a box to what turns their four numbers into x0, y0, x1, y1."""
_WHOLE = ("bbox", "box", "boundingbox", "bndbox", "bboxes")
EXPECTED = "xmin, ymin, xmax, ymax; or x, y, width, height; or xc, yc, width, height"
"""The columns of a box, as messages name them."""
FILES = (*(name for name in COLUMNS["file"] if name != "id"), "img_path", "frame", "frame_id", "id", "name")
CLASSES = (
    *COLUMNS["label"], "category", "category_name", "label_name", "kind", "type", "annotation_tag", "tag", "object",
    "object_name", "name",
)  # fmt: skip
"""The usual names of the columns of images and of classes."""
UNNAMED = ("file", "xmin", "ymin", "xmax", "ymax", "class")
_MAKE_SENSE = ("class", "x", "y", "width", "height", "file", "image_width", "image_height")
"""The columns of boxes in files without a header: the usual ones, and those of makesense.ai."""
_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]*)?")


def plain(name: str) -> str:
    """Returns the name of a column as it is compared: in lower case, letters and digits alone."""
    return re.sub("[^a-z0-9]", "", name.lower())


def sides_in(header: Sequence[str]) -> tuple[str, tuple[str, ...]]:
    """Returns the form of a box whose columns a header has, and their four plain names; "" and () where it has none."""
    there = {plain(name) for name in header}
    found = ((form, choice.split()) for form, choices in _FORMS.items() for choice in choices)
    return next(((form, tuple(names)) for form, names in found if there.issuperset(names)), ("", ()))


def unnamed_in(cells: Sequence[str]) -> tuple[str, ...]:
    """Returns the names of the columns of a line that is a box in a file without a header; () where it is none."""
    for names in (UNNAMED, _MAKE_SENSE):
        known = dict(zip(names, cells, strict=False)) if len(names) == len(cells) else {}
        if "." in known.get("file", "") and all(
            _NUMBER.fullmatch(cell) for name, cell in known.items() if name not in ("file", "class")
        ):
            return names
    return ()


def whole_box_in(header: Sequence[str]) -> str:
    """Returns the name of a column that holds a whole box in each cell, whose form nobody can know; "" for none."""
    return next((name for name in header if plain(name) in _WHOLE), "")
