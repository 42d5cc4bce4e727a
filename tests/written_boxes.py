"""Writes a tiny set of images with boxes in every layout that is read, so that tests can walk them all by one table."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from written_pictures import NAMES, SIZE, Picture, Thing, image, of, pictures, text
from written_tables import (
    csv_boxes,
    csv_of_centres,
    csv_of_clips,
    csv_of_crowdai,
    csv_of_lisa,
    csv_of_roboflow,
    csv_of_shares,
    csv_of_sizes,
    csv_of_tensorflow,
    csv_of_udacity,
    csv_without_header,
)

__all__ = ["NAMES", "SIZE", "Layout", "pictures", "known", "listed", "without_crowds"]


def _coco_facts(some: Sequence[Picture]) -> dict:
    facts = {"images": [], "annotations": [], "categories": [{"id": 5 + i, "name": n} for i, n in enumerate(NAMES)]}
    for one in some:
        facts["images"].append({"id": one.number, "file_name": f"{one.stem}.jpg", "height": SIZE[0], "width": SIZE[1]})
        for thing in one.things:
            x0, y0, x1, y1 = thing.box
            facts["annotations"].append(
                {"image_id": one.number, "category_id": 5 + NAMES.index(thing.name), "bbox": [x0, y0, x1 - x0, y1 - y0],
                 "iscrowd": int(thing.crowd)}
            )  # fmt: skip
    return facts


def coco(root: Path, all_: Sequence[Picture]) -> None:
    for split in ("train", "val", "test"):
        text(root / f"annotations/instances_{split}2017.json", [json.dumps(_coco_facts(of(all_, split)))])
        for one in of(all_, split):
            image(root / f"{split}2017/{one.stem}.jpg")


def coco_of_roboflow(root: Path, all_: Sequence[Picture]) -> None:
    for split, folder in (("train", "train"), ("val", "valid"), ("test", "test")):
        facts = _coco_facts(of(all_, split))
        for category in facts["categories"]:
            category["supercategory"] = "things"
        facts["categories"].insert(0, {"id": 0, "name": "things", "supercategory": "none"})
        text(root / folder / "_annotations.coco.json", [json.dumps(facts)])
        for one in of(all_, split):
            image(root / folder / f"{one.stem}.jpg")


def _line(thing: Thing) -> str:
    x0, y0, x1, y1 = thing.box
    height, width = SIZE
    sides = (x0 + x1) / 2 / width, (y0 + y1) / 2 / height, (x1 - x0) / width, (y1 - y0) / height
    return f"{NAMES.index(thing.name)} " + " ".join(f"{side:.7f}" for side in sides)


def _polygon(thing: Thing) -> str:
    x0, y0, x1, y1 = (side / SIZE[1 - place % 2] for place, side in enumerate(thing.box))
    return f"{NAMES.index(thing.name)} {x0:.7f} {y0:.7f} {x1:.7f} {y0:.7f} {(x0 + x1) / 2:.7f} {y1:.7f}"


def yolo(root: Path, all_: Sequence[Picture], line: Callable[[Thing], str] = _line, path: str = ".") -> None:
    """Ultralytics' tree; every other image without an object has no label file."""
    for one in all_:
        image(root / f"images/{one.split}/{one.stem}.jpg")
        if one.things or one.number % 2:
            text(root / f"labels/{one.split}/{one.stem}.txt", [line(thing) for thing in one.things])
    names = "".join(f"\n  {key}: {name}" for key, name in enumerate(NAMES))
    places = [f"{split}: images/{split}" for split in ("train", "val", "test")]
    text(root / "data.yaml", [f"path: {path}", *places, f"names:{names}"])


def yolo_polygons(root: Path, all_: Sequence[Picture]) -> None:
    yolo(root, all_, _polygon, "/content/somewhere/data")


def yolo_of_roboflow(root: Path, all_: Sequence[Picture]) -> None:
    folders = {"train": "train", "val": "valid", "test": "test"}
    for one in all_:
        image(root / folders[one.split] / "images" / f"{one.stem}.jpg")
        text(root / folders[one.split] / "labels" / f"{one.stem}.txt", [_line(thing) for thing in one.things])
    places = [f"{split}: ../{folder}/images" for split, folder in folders.items()]
    text(root / "data.yaml", [*places, "nc: 3", f"names: {list(NAMES)}"])


def yolo_without_settings(root: Path, all_: Sequence[Picture]) -> None:
    """One folder of images, `image/`, with the classes' names as labelImg writes them."""
    for one in all_:
        image(root / f"image/{one.stem}.jpg")
        text(root / f"labels/{one.stem}.txt", [_line(thing) for thing in one.things])
    text(root / "labels/classes.txt", NAMES)


def darknet(root: Path, all_: Sequence[Picture]) -> None:
    """Lists of images, as another machine had them, and labels beside the images."""
    for one in all_:
        image(root / f"obj_train_data/{one.stem}.jpg")
        text(root / f"obj_train_data/{one.stem}.txt", [_line(thing) for thing in one.things])
    for split, word in (("train", "train"), ("val", "valid"), ("test", "test")):
        text(root / f"{word}.txt", [f"data/obj_train_data/{one.stem}.jpg" for one in of(all_, split)])
    places = [f"{word} = data/{word}.txt" for word in ("train", "valid", "test")]
    text(root / "obj.names", NAMES)
    text(root / "obj.data", ["classes = 3", *places, "names = data/obj.names", "backup = backup/"])


def yolo_beside_images(root: Path, all_: Sequence[Picture]) -> None:
    """As labelImg leaves a folder."""
    for one in all_:
        image(root / f"{one.stem}.jpg")
        text(root / f"{one.stem}.txt", [_line(thing) for thing in one.things])
    text(root / "classes.txt", NAMES)


def coco_of_another_machine(root: Path, all_: Sequence[Picture]) -> None:
    """One JSON file, whose images are named by their absolute paths under Windows."""
    facts = _coco_facts(all_)
    for one in facts["images"]:
        one["file_name"] = f"C:\\Users\\me\\{one['file_name']}"
    text(root / "labels.json", [json.dumps(facts)])
    for one in all_:
        image(root / f"images/{one.stem}.jpg")


def _xml(one: Picture) -> str:
    things = ""
    for thing in one.things:
        sides = "".join(f"<{k}>{v}</{k}>" for k, v in zip(("xmin", "ymin", "xmax", "ymax"), thing.box, strict=True))
        named = f"<name>{thing.name}</name><difficult>{int(thing.crowd)}</difficult>"
        things += f"<object>{named}<bndbox>{sides}</bndbox></object>"
    size = f"<size><width>{SIZE[1]}</width><height>{SIZE[0]}</height><depth>3</depth></size>"
    return f"<annotation><filename>{one.stem}.jpg</filename>{size}{things}</annotation>"


def voc(root: Path, all_: Sequence[Picture], base: str = ".") -> None:
    for one in all_:
        image(root / base / f"JPEGImages/{one.stem}.jpg")
        text(root / base / f"Annotations/{one.stem}.xml", [_xml(one)])
    for split in ("train", "val", "test"):
        text(root / base / f"ImageSets/Main/{split}.txt", [one.stem for one in of(all_, split)])
        text(root / base / f"ImageSets/Main/car_{split}.txt", [f"{one.stem} -1" for one in of(all_, split)])


def voc_devkit(root: Path, all_: Sequence[Picture]) -> None:
    """Two years, in which the same numbers are different images."""
    for year, some in (("VOC2007", all_[:6]), ("VOC2012", all_[6:])):
        voc(root, some, f"VOCdevkit/{year}")


def voc_of_roboflow(root: Path, all_: Sequence[Picture]) -> None:
    for one in all_:
        folder = {"train": "train", "val": "valid", "test": "test"}[one.split]
        image(root / folder / f"{one.stem}.jpg")
        text(root / folder / f"{one.stem}.xml", [_xml(one)])


def voc_without_sets(root: Path, all_: Sequence[Picture]) -> None:
    for one in all_:
        image(root / f"images/{one.stem}.png")
        text(root / f"annotations/{one.stem}.xml", [_xml(one).replace(f"<width>{SIZE[1]}", "<width>0")])


def voc_elsewhere(root: Path, all_: Sequence[Picture]) -> None:
    """Folders of splits inside those of all images and of all annotations, and images in capitals."""
    for one in all_:
        image(root / f"Images/{one.split}/{one.stem}.JPG")
        text(root / f"Annotations/{one.split}/xmls/{one.stem}.XML", [f'<?xml version="1.0"?>\n{_xml(one)}'])


def voc_of_fiftyone(root: Path, all_: Sequence[Picture]) -> None:
    for one in all_:
        image(root / f"data/{one.stem}.jpg")
        text(root / f"labels/{one.stem}.xml", [_xml(one)])


def _kitti_line(thing: Thing) -> str:
    return f"{thing.name} 0.00 0 -1.57 {' '.join(f'{side:.2f}' for side in thing.box)} 1.5 1.6 3.9 1.0 1.7 12.0 -1.5"


def kitti(root: Path, all_: Sequence[Picture]) -> None:
    for one in all_:
        image(root / f"training/image_2/{one.stem}.png")
        text(root / f"training/label_2/{one.stem}.txt", [_kitti_line(thing) for thing in one.things])
    for split in ("train", "val", "test"):
        text(root / f"ImageSets/{split}.txt", [one.stem for one in of(all_, split)])


def kitti_as_unpacked(root: Path, all_: Sequence[Picture]) -> None:
    for one in all_:
        image(root / f"data_object_image_2/training/image_2/{one.stem}.png")
        place = root / f"data_object_label_2/training/label_2/{one.stem}.txt"
        text(place, [_kitti_line(thing) for thing in one.things])


def kitti_of_tao(root: Path, all_: Sequence[Picture]) -> None:
    """NVIDIA's TAO, whose detections have a score behind; the folders could be YOLO's."""
    for one in all_:
        image(root / f"{one.split}/images/{one.stem}.jpg")
        text(root / f"{one.split}/labels/{one.stem}.txt", [f"{_kitti_line(thing)} 0.9" for thing in one.things])


def kitti_sequences(root: Path, all_: Sequence[Picture]) -> None:
    for sequence in (0, 1):
        some = [one for one in all_ if one.number % 2 == sequence]
        for one in some:
            image(root / f"training/image_02/{sequence:04}/{one.stem}.png")
        lines = [f"{one.number} 7 {_kitti_line(thing)}" for one in some for thing in one.things]
        text(root / f"training/label_02/{sequence:04}.txt", lines)


def _bdd_frame(one: Picture) -> dict:
    labels = []
    for thing in one.things:
        box = dict(zip(("x1", "y1", "x2", "y2"), thing.box, strict=True))
        labels.append({"category": thing.name, "attributes": {"crowd": thing.crowd, "occluded": False}, "box2d": box})
    told = {"weather": ("clear", "rainy")[one.number % 2], "timeofday": "night", "scene": "city street"}
    return {"name": f"{one.stem}.jpg", "attributes": told} | ({"labels": labels} if labels else {})


def bdd100k(root: Path, all_: Sequence[Picture]) -> None:
    for split in ("train", "val", "test"):
        text(root / f"labels/det_20/det_{split}.json", [json.dumps([_bdd_frame(one) for one in of(all_, split)])])
        for one in of(all_, split):
            image(root / f"images/100k/{split}/{one.stem}.jpg")


def bdd100k_of_old(root: Path, all_: Sequence[Picture]) -> None:
    """Lanes and areas, which have no box, stand of the objects; one image folder below another."""
    lane = {"category": "lane", "poly2d": [{"vertices": [[0, 0], [5, 5]], "types": "LL", "closed": False}]}
    for split in ("train", "val", "test"):
        frames = [_bdd_frame(one) for one in of(all_, split)]
        for frame in frames:
            frame["labels"] = [*frame.get("labels", []), lane]
        text(root / f"bdd100k/labels/bdd100k_labels_images_{split}.json", [json.dumps(frames)])
        for one in of(all_, split):
            image(root / f"bdd100k/images/100k/{split}/{one.stem}.jpg")


def bdd100k_of_kaggle(root: Path, all_: Sequence[Picture]) -> None:
    """Labels and images in archives of their own."""
    bdd100k_of_old(root / "bdd100k_labels_release", all_)
    (root / "bdd100k").mkdir()
    (root / "bdd100k_labels_release/bdd100k/images").rename(root / "bdd100k/images")


def bdd100k_of_scalabel(root: Path, all_: Sequence[Picture]) -> None:
    """Files of any name, known by what they hold."""
    for split in ("train", "val", "test"):
        frames = {"frames": [_bdd_frame(one) for one in of(all_, split)], "config": {"categories": []}}
        text(root / f"annotations/{split}.json", [json.dumps(frames)])
        for one in of(all_, split):
            image(root / f"images/{split}/{one.stem}.jpg")


def bdd100k_of_files(root: Path, all_: Sequence[Picture]) -> None:
    """A JSON file for each image."""
    for one in all_:
        frame = _bdd_frame(one)
        facts = {"name": one.stem, "attributes": frame["attributes"], "frames": [{"objects": frame.get("labels", [])}]}
        text(root / f"labels/100k/{one.split}/{one.stem}.json", [json.dumps(facts)])
        image(root / f"images/100k/{one.split}/{one.stem}.jpg")


def cityscapes(root: Path, all_: Sequence[Picture]) -> None:
    road = {"label": "road", "polygon": [[0, 0], [9, 0], [9, 9]]}
    for one in all_:
        place, name = f"{one.split}/aachen", f"aachen_{one.stem}_000019"
        objects = [road]
        for thing in one.things:
            x0, y0, x1, y1 = thing.box
            label = f"{thing.name}group" if thing.crowd else thing.name
            objects.append({"label": label, "polygon": [[x0, y0], [x1, y0], [x1, y1], [x0, y1]]})
        facts = {"imgHeight": SIZE[0], "imgWidth": SIZE[1], "objects": objects}
        image(root / f"leftImg8bit/{place}/{name}_leftImg8bit.png")
        text(root / f"gtFine/{place}/{name}_gtFine_polygons.json", [json.dumps(facts)])


def cityscapes_as_unpacked(root: Path, all_: Sequence[Picture]) -> None:
    cityscapes(root, all_)
    for name in ("leftImg8bit", "gtFine"):
        (root / f"{name}_trainvaltest").mkdir()
        (root / name).rename(root / f"{name}_trainvaltest" / name)


class Layout(NamedTuple):
    """A way to write boxes: the layout's name, what writes it, and whether it tells splits and crowds."""

    name: str
    write: Callable[[Path, Sequence[Picture]], None]
    splits: bool = True
    crowds: bool = True


LAYOUTS = [
    Layout("COCO JSON", coco), Layout("COCO JSON", coco_of_roboflow),
    Layout("COCO JSON", coco_of_another_machine, splits=False),
    Layout("YOLO", yolo, crowds=False), Layout("YOLO", yolo_polygons, crowds=False),
    Layout("YOLO", yolo_of_roboflow, crowds=False), Layout("YOLO", yolo_without_settings, splits=False, crowds=False),
    Layout("YOLO", darknet, crowds=False), Layout("YOLO", yolo_beside_images, splits=False, crowds=False),
    Layout("Pascal VOC", voc), Layout("Pascal VOC", voc_devkit), Layout("Pascal VOC", voc_of_roboflow),
    Layout("Pascal VOC", voc_without_sets, splits=False), Layout("Pascal VOC", voc_elsewhere),
    Layout("Pascal VOC", voc_of_fiftyone, splits=False),
    Layout("KITTI", kitti, crowds=False), Layout("KITTI", kitti_as_unpacked, splits=False, crowds=False),
    Layout("KITTI", kitti_sequences, splits=False, crowds=False), Layout("KITTI", kitti_of_tao, crowds=False),
    Layout("BDD100K", bdd100k), Layout("BDD100K", bdd100k_of_old), Layout("BDD100K", bdd100k_of_files),
    Layout("BDD100K", bdd100k_of_kaggle), Layout("BDD100K", bdd100k_of_scalabel),
    Layout("Cityscapes", cityscapes), Layout("Cityscapes", cityscapes_as_unpacked),
    Layout("a CSV of boxes", csv_boxes, crowds=False),
    Layout("a CSV of boxes", csv_without_header, splits=False, crowds=False),
    Layout("a CSV of boxes", csv_of_tensorflow, crowds=False),
    Layout("a CSV of boxes", csv_of_roboflow, crowds=False),
    Layout("a CSV of boxes", csv_of_lisa, splits=False, crowds=False),
    Layout("a CSV of boxes", csv_of_sizes, splits=False, crowds=False),
    Layout("a CSV of boxes", csv_of_shares, splits=False),
    Layout("a CSV of boxes", csv_of_centres, splits=False, crowds=False),
    Layout("a CSV of boxes", csv_of_udacity, splits=False, crowds=False),
    Layout("a CSV of boxes", csv_of_crowdai, splits=False, crowds=False),
    Layout("a CSV of boxes", csv_of_clips, splits=False, crowds=False),
]  # fmt: skip


def known(all_: Sequence[Picture], layout: Layout) -> dict[str, tuple[str, list]]:
    """What a layout can tell: {stem: (split, objects)}."""
    found = {}
    for one in all_:
        kept = [thing for thing in one.things if layout.crowds or not thing.crowd]
        found[one.stem] = (one.split if layout.splits else "", sorted((t.name, *t.box, t.crowd) for t in kept))
    return found


def without_crowds(all_: Sequence[Picture], layout: Layout) -> list[Picture]:
    """The images as a layout can write them."""
    return [one._replace(things=[t for t in one.things if layout.crowds or not t.crowd]) for one in all_]


def listed(listing, splits: bool) -> dict[str, tuple[str, list]]:
    """What a listing tells, as `known` says it; boxes are rounded to a tenth of a pixel."""
    found = {}
    for split in ("train", "val", "test"):
        part = listing[split]
        for file, truth in zip(part.files, part.truths, strict=True):
            rows = zip(truth.classes.tolist(), truth.boxes.tolist(), truth.crowd.tolist(), strict=True)
            things = sorted((listing.class_names[k], *(round(s, 1) for s in box), crowd) for k, box, crowd in rows)
            found["_".join(file.stem.split("_")[1:2]) or file.stem] = (split if splits else "", things)
    return found
