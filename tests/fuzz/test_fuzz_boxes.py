"""Damaged files of every layout of boxes: every object of what is accepted is there once, with box, class and crowd."""

import csv
import io
import json
import os
import re
import shutil
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from damage import damaged_json, mostly_damaged, pick, text_in
from written_boxes import LAYOUTS, NAMES, SIZE, known, pictures, without_crowds

from tfmo_drive.data.layouts.boxes.box_listing import list_boxes
from tfmo_drive.data.splitting import SPLITS

CHOSEN = [layout for layout in LAYOUTS if layout.write.__name__ in (
    "yolo", "yolo_polygons", "yolo_of_roboflow", "darknet", "voc", "kitti", "kitti_sequences", "bdd100k",
    "bdd100k_of_files", "cityscapes", "csv_boxes", "csv_without_header",
    "csv_of_sizes", "csv_of_shares", "csv_of_centres", "kitti_of_tao", "voc_of_fiftyone", "csv_of_udacity",
)]  # fmt: skip
IMAGES = (".jpg", ".png")


def _name(text: str) -> str:
    return unicodedata.normalize("NFC", text.strip())


def _yolo(path: Path, text: str) -> Iterator[tuple]:
    height, width = SIZE
    for line in filter(str.strip, text.split("\n")):
        label, *sides = map(float, line.split())
        if len(sides) in (4, 5):
            x, y, w, h = sides[:4]
            box = x - w / 2, y - h / 2, x + w / 2, y + h / 2
        else:
            box = min(sides[::2]), min(sides[1::2]), max(sides[::2]), max(sides[1::2])
        yield path.stem, NAMES[int(label)], tuple(np.array(box) * [width, height, width, height]), False


def _voc(path: Path, text: str) -> Iterator[tuple]:
    for one in ElementTree.fromstring(text).findall("object"):
        box = [float(one.find("bndbox").findtext(side)) for side in ("xmin", "ymin", "xmax", "ymax")]
        yield path.stem, _name(one.findtext("name")), tuple(box), one.findtext("difficult", "").strip() in ("1", "true")


def _kitti_line(stem: str, words: list[str], classes: tuple[str, ...]) -> Iterator[tuple]:
    box = tuple(map(float, words[4:8]))
    for name in classes if words[0] == "DontCare" else [_name(words[0])]:
        yield stem, name, box, words[0] == "DontCare"


def _kitti(path: Path, text: str, classes: tuple[str, ...]) -> Iterator[tuple]:
    for line in filter(str.strip, text.split("\n")):
        yield from _kitti_line(path.stem, line.split(), classes)


def _sequence(path: Path, text: str, classes: tuple[str, ...]) -> Iterator[tuple]:
    for line in filter(str.strip, text.split("\n")):
        frame, _, *words = line.split()
        yield from _kitti_line(f"{int(frame):06}", words, classes)


def _bdd(path: Path, text: str) -> Iterator[tuple]:
    facts = json.loads(text)
    frames = facts if isinstance(facts, list) else [{"name": path.name, "labels": facts["frames"][0].get("objects")}]
    for frame in frames:
        for label in frame.get("labels") or []:
            if label.get("box2d") is not None:
                told, box = label.get("attributes"), tuple(label["box2d"][side] for side in ("x1", "y1", "x2", "y2"))
                crowd = isinstance(told, dict) and told.get("crowd") is True
                yield Path(frame["name"]).stem, _name(label["category"]), box, crowd


def _cityscapes(path: Path, text: str) -> Iterator[tuple]:
    for one in json.loads(text)["objects"]:
        if not one.get("deleted"):
            x, y = zip(*one["polygon"], strict=True)
            crowd = one["label"].endswith("group") and one["label"] != "group"
            name = _name(one["label"].removesuffix("group") if crowd else one["label"])
            yield path.name.split("_")[1], name, (min(x), min(y), max(x), max(y)), crowd


def _csv(text: str, header: bool) -> Iterator[tuple]:
    first = text.lstrip().split("\n")[0]
    delimiter = max(",;\t", key=first.count)
    rows = [row for row in csv.reader(io.StringIO(text), delimiter=delimiter) if any(c.strip() for c in row)]
    for row in rows[header:]:
        name, *sides, label = [cell.strip() for cell in (row[:1] + row[2:] if header else row)]
        if label.lower() not in ("", "nan", "n/a", "#n/a", "<na>", "null"):
            yield Path(name.replace("\\", "/")).stem, _name(label), tuple(map(float, sides)), False


def _spaced(text: str) -> Iterator[tuple]:
    for line in filter(str.strip, text.split("\n")):
        name, *words = (word.strip('"') for word in re.findall(r'"[^"]*"|\S+', line))
        if words and words[5].strip():
            yield Path(name).stem, _name(words[5]), tuple(map(float, words[:4])), False


FORMS = {
    "csv_of_sizes": ("imageid x y w h kind", lambda x, y, w, h: (x, y, x + w, y + h)),
    "csv_of_centres": (
        "filename xcenter ycenter width height category",
        lambda x, y, w, h: (x - w / 2, y - h / 2, x + w / 2, y + h / 2),
    ),
    "csv_of_shares": ("imageid xmin ymin xmax ymax labelname isgroupof", lambda *box: box),
}
"""The headers of tables whose boxes are no corners in pixels, and what makes corners of their numbers."""


def _form(kind: str, text: str) -> list[tuple] | None:
    """The objects of such a table; None where its header is another now."""
    rows = [row for row in csv.reader(io.StringIO(text)) if any(cell.strip() for cell in row)]
    names, corners = FORMS[kind]
    if " ".join(re.sub("[^a-z0-9]", "", name.lower()) for name in rows[0]) != names:
        return None
    found = []
    for name, *sides, label, crowd in ([*row, ""][:7] for row in rows[1:]):
        if label.strip().lower() not in ("", "nan", "n/a", "#n/a", "<na>", "null"):
            stem = Path(name.strip().replace("\\", "/")).stem
            stem = f"{int(stem):06}" if stem.isdigit() else stem
            crowd = kind == "csv_of_shares" and crowd.strip().lower() in ("1", "true", "yes")
            found.append((stem, _name(label), corners(*map(float, map(str.strip, sides))), crowd))
    if 2 * sum(max(box) > 1 for _, _, box, _ in found) <= len(found):
        found = [
            (stem, name, tuple(np.multiply(box, [*SIZE[::-1], *SIZE[::-1]])), crowd) for stem, name, box, crowd in found
        ]
    return found


def _objects(kind: str, path: Path, text: str, classes: tuple[str, ...]) -> list[tuple] | None:
    """What a plain reader finds in a file of boxes: (stem, class, box, crowd); None where it cannot know."""
    if kind in FORMS:
        return _form(kind, text)
    if kind == "csv_of_udacity":
        return list(_spaced(text))
    if kind.startswith("csv"):
        return list(_csv(text, kind == "csv_boxes"))
    if kind.startswith("kitti"):
        return list((_sequence if kind == "kitti_sequences" else _kitti)(path, text, classes))
    plain = {"voc": _voc, "bdd100k": _bdd, "cityscapes": _cityscapes}.get(kind.partition("_of_")[0], _yolo)
    return list(plain(path, text))


def _clipped(box: tuple) -> tuple:
    height, width = SIZE
    return tuple(np.clip(np.array(box, np.float64), 0, [width, height, width, height]))


def _same(found: list, expected: list) -> None:
    left = list(found)
    for name, box, crowd in expected:
        places = [place for place, (other, sides, flag) in enumerate(left)
                  if other == name and flag == crowd and np.allclose(sides, box, atol=0.02)]  # fmt: skip
        assert places, f"{name} {box} {crowd} is not among {left}"
        left.pop(places[0])
    assert not left


@pytest.fixture(scope="module")
def masters(tmp_path_factory):
    """The undamaged sets, each written once."""
    every, made = pictures(np.random.default_rng(5)), {}
    for layout in CHOSEN:
        root = tmp_path_factory.mktemp("written")
        layout.write(root, without_crowds(every, layout))
        made[layout] = root, {stem: things for stem, (_, things) in known(every, layout).items()}
    return made


@pytest.mark.parametrize("layout", CHOSEN, ids=lambda layout: layout.write.__name__)
def test_damaged_files_are_read_right_or_refused(fuzz, masters, layout):
    master, whole = masters[layout]
    files = sorted(path for path in master.rglob("*") if path.is_file() and path.suffix not in IMAGES)
    boxes = [path for path in files if _holds_boxes(path, master)]

    def attempt(case):
        root = case.folder / "data"
        shutil.copytree(master, root, copy_function=os.link)
        chosen = pick(case.random, boxes if case.random.random() < 0.8 else files)
        path, text = root / chosen.relative_to(master), chosen.read_text()
        if path.suffix == ".json" and case.random.random() < 0.7:
            data = json.dumps(damaged_json(case.random, json.loads(text), most=2)).encode()
        else:
            data = mostly_damaged(case.random, text, most=2)
        path.unlink()
        path.write_bytes(data)
        listing = case.read(root, lambda: list_boxes(root))
        if listing is None:
            return
        expected = {stem: [(name, tuple(box), crowd) for name, *box, crowd in things] for stem, things in whole.items()}
        if chosen in boxes:
            new = text_in(data) if path.suffix == ".csv" else data.decode("utf-8-sig")
            said = _objects(layout.write.__name__, path, _text(new), listing.class_names)
            before = _objects(layout.write.__name__, path, text, listing.class_names)
            if said is None:
                return
            for stem in {stem for stem, *_ in said + before}:
                things = dict.fromkeys(one[1:] for one in said if one[0] == stem and one[1] in listing.class_names)
                expected[stem] = [(name, _clipped(box), crowd) for name, box, crowd in things]
        seen = set()
        for split in SPLITS:
            for file, truth in zip(listing[split].files, listing[split].truths, strict=True):
                stem = "_".join(file.stem.split("_")[1:2]) or file.stem
                assert stem not in seen
                seen.add(stem)
                names = [listing.class_names[kind] for kind in truth.classes]
                things = list(zip(names, truth.boxes.tolist(), truth.crowd.tolist(), strict=True))
                if chosen not in boxes:  # classes may be called otherwise
                    things = [("", box, crowd) for _, box, crowd in things]
                    _same(things, [("", box, crowd) for _, box, crowd in expected[stem]])
                else:
                    _same(things, expected[stem])

    fuzz(attempt, cases=25)


def _holds_boxes(path: Path, root: Path) -> bool:
    """Whether a file says boxes, and not where images are or what classes are called."""
    inside = path.relative_to(root).as_posix()
    return path.suffix in (".xml", ".json", ".csv") or "label" in inside or "obj_train_data" in inside


def _text(text: str) -> str:
    return text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
