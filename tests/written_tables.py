"""Writes a tiny set of images with boxes as the usual CSV files have them."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from written_pictures import SIZE, Picture, image, of, text


def _rows(all_: Sequence[Picture], name: Callable[[Picture], str], sides: Callable = lambda box: box) -> list[list]:
    """A row an object: name, the four numbers of its box, class, crowd; of an image without any the name alone."""
    boxed = [[name(one), *sides(thing.box), thing.name, int(thing.crowd)] for one in all_ for thing in one.things]
    return boxed + [[name(one), *[""] * 6] for one in all_ if not one.things]


def _csv(path: Path, rows: Sequence[Sequence], delimiter: str = ",") -> None:
    made = io.StringIO()
    csv.writer(made, delimiter=delimiter, lineterminator="\n").writerows(rows)
    text(path, made.getvalue().splitlines())


def csv_boxes(root: Path, all_: Sequence[Picture]) -> None:
    """A header, a column of splits, and paths of Windows."""
    rows = _rows(all_, lambda one: f"C:\\Users\\me\\data\\images\\{one.stem}.jpg")
    splits = {one.stem: one.split for one in all_}
    rows = [[*row[:1], splits[row[0][-10:-4]], *row[1:6]] for row in rows]
    _csv(root / "boxes.csv", [["Filename", "split", "x_min", "y_min", "x_max", "y_max", "class"], *rows], ";")
    for one in all_:
        image(root / f"images/{one.stem}.jpg")


def csv_without_header(root: Path, all_: Sequence[Picture]) -> None:
    _csv(root / "boxes.csv", [row[:6] for row in _rows(all_, lambda one: f"{one.stem}.jpg")])
    for one in all_:
        image(root / f"{one.stem}.jpg")


def csv_of_tensorflow(root: Path, all_: Sequence[Picture]) -> None:
    """One CSV a split, in which width and height are the images'."""
    for split in ("train", "val", "test"):
        rows = [[r[0], SIZE[1], SIZE[0], r[5], *r[1:5]] for r in _rows(of(all_, split), lambda one: f"{one.stem}.jpg")]
        _csv(
            root / f"{split}_labels.csv",
            [["filename", "width", "height", "class", "xmin", "ymin", "xmax", "ymax"], *rows],
        )
    for one in all_:
        image(root / f"images/{one.stem}.jpg")


def csv_of_sizes(root: Path, all_: Sequence[Picture]) -> None:
    """Ids in place of file names, upper left corners and sizes, and images in a folder of any name."""
    rows = _rows(all_, lambda one: str(int(one.stem)), lambda box: (*box[:2], box[2] - box[0], box[3] - box[1]))
    _csv(root / "objects.csv", [["image_id", "x", "y", "w", "h", "kind"], *(row[:6] for row in rows)])
    for one in all_:
        image(root / f"camera/{one.stem}.jpg")


def csv_of_shares(root: Path, all_: Sequence[Picture]) -> None:
    """Open Images: ids, corners in shares of the image, and what is a group."""
    rows = _rows(all_, lambda one: one.stem, lambda box: np.divide(box, [*SIZE[::-1], *SIZE[::-1]]).tolist())
    _csv(root / "boxes.csv", [["ImageID", "XMin", "YMin", "XMax", "YMax", "LabelName", "IsGroupOf"], *rows])
    for one in all_:
        image(root / f"{one.stem}.jpg")


def csv_of_centres(root: Path, all_: Sequence[Picture]) -> None:
    """Centres and sizes in pixels."""

    def centre(box: Sequence[int]) -> tuple[float, ...]:
        return (box[0] + box[2]) / 2, (box[1] + box[3]) / 2, box[2] - box[0], box[3] - box[1]

    rows = _rows(all_, lambda one: f"{one.stem}.jpg", centre)
    _csv(
        root / "boxes.csv",
        [["filename", "x_center", "y_center", "width", "height", "category"], *(row[:6] for row in rows)],
    )
    for one in all_:
        image(root / f"images/{one.stem}.jpg")


def csv_of_roboflow(root: Path, all_: Sequence[Picture]) -> None:
    for split, folder in (("train", "train"), ("val", "valid"), ("test", "test")):
        rows = [[r[0], SIZE[1], SIZE[0], r[5], *r[1:5]] for r in _rows(of(all_, split), lambda one: f"{one.stem}.jpg")]
        header = ["filename", "width", "height", "class", "xmin", "ymin", "xmax", "ymax"]
        _csv(root / folder / "_annotations.csv", [header, *rows])
        for one in of(all_, split):
            image(root / folder / f"{one.stem}.jpg")


def csv_of_lisa(root: Path, all_: Sequence[Picture]) -> None:
    """The LISA Traffic Sign Dataset, whose header has a comma in a name."""
    rows = _rows(all_, lambda one: f"vid0/frameAnnotations-vid_cmp2.avi_annotations/{one.stem}.png")
    sides = [f"{corner} corner {axis}" for corner in ("Upper left", "Lower right") for axis in "XY"]
    more = ["Occluded,On another road", "Origin file", "Origin frame number", "Origin track"]
    made = [[row[0], row[5], *row[1:5], "0,0", "vid0/vid_cmp2.avi", 7, "stop_1"] for row in rows]
    _csv(root / "allAnnotations.csv", [["Filename", "Annotation tag", *sides, *more], *made], ";")
    for one in all_:
        image(root / f"vid0/frameAnnotations-vid_cmp2.avi_annotations/{one.stem}.png")


def csv_of_udacity(root: Path, all_: Sequence[Picture]) -> None:
    """Spaces between the cells, no header, and a cell more where there is a traffic light."""
    rows = _rows(all_, lambda one: f"{one.stem}.jpg")
    lines = [" ".join([str(cell) for cell in row[:5]] + ["0", f'"{row[5]}"']) for row in rows if row[5]]
    text(root / "labels.csv", [*lines[:3], f'{lines[3]} "Red"', *lines[4:], *(row[0] for row in rows if not row[5])])
    for one in all_:
        image(root / f"{one.stem}.jpg")


def csv_of_crowdai(root: Path, all_: Sequence[Picture]) -> None:
    """A header that names the numbers in another order than they stand in."""
    rows = [[*row[1:5], row[0], row[5], "http://host/0"] for row in _rows(all_, lambda one: f"{one.stem}.jpg")]
    _csv(root / "labels_crowdai.csv", [["xmin", "xmax", "ymin", "ymax", "Frame", "Label", "Preview URL"], *rows])
    for one in all_:
        image(root / f"{one.stem}.jpg")


def csv_of_clips(root: Path, all_: Sequence[Picture]) -> None:
    """The LISA Traffic Light Dataset, with a file for every clip, and another for the bulbs alone."""
    sides = [f"{corner} corner {axis}" for corner in ("Upper left", "Lower right") for axis in "XY"]
    for clip, some in (("dayClip1", all_[:6]), ("dayClip2", all_[6:])):
        rows = [[row[0], row[5], *row[1:5], 7] for row in _rows(some, lambda one: f"dayTraining/{one.stem}.jpg")]
        for kind, shown in (("BOX", rows), ("BULB", rows[:1])):
            path = root / f"Annotations/dayTrain/{clip}/frameAnnotations{kind}.csv"
            _csv(path, [["Filename", "Annotation tag", *sides, "Origin frame number"], *shown], ";")
        for one in some:
            image(root / f"dayTrain/dayTrain/{clip}/frames/{one.stem}.jpg")
