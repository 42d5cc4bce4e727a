"""Damaged COCO JSON: every object of an accepted file is there once, with its box, class and crowd flag."""

import json
import unicodedata
from collections import Counter

import numpy as np
import pytest
from damage import damaged_bytes, damaged_json, damaged_text

from tfmo_drive.data.layouts.boxes.box_listing import list_boxes
from tfmo_drive.data.splitting import SPLITS

COUNT = 12


@pytest.fixture(scope="module")
def pool(tmp_path_factory):
    """A folder with the images of all cases, which are never opened."""
    folder = tmp_path_factory.mktemp("pool")
    for number in range(COUNT):
        (folder / f"{number:03}.jpg").write_bytes(b"")
    return folder


def _document(random: np.random.Generator) -> dict:
    categories = [{"id": 3, "name": "car", "supercategory": "thing"}, {"id": 1, "name": "person"}]
    images = [{"id": n, "file_name": f"{n:03}.jpg", "width": 80, "height": 60} for n in range(COUNT)]
    annotations = []
    for key in range(2 * COUNT):
        x, y = random.integers(0, 40, 2).tolist()
        box = [x, y, *random.integers(1, 21, 2).tolist()]
        one = {"id": key, "image_id": key // 2, "category_id": (3, 1)[key % 2], "bbox": box, "area": box[2] * box[3]}
        annotations.append(one | {"iscrowd": int(random.random() < 0.1)})
    return {"images": images, "annotations": annotations, "categories": categories, "info": {"year": 2017}}


def _clipped(box: list, width: float, height: float) -> tuple:
    x, y, w, h = box
    edges = (max(x, 0), max(y, 0), min(x + w, width), min(y + h, height))
    return tuple(np.array(edges, np.float32).tolist())


def _expected(facts: dict) -> dict[str, Counter]:
    """What a reader of types finds: {file: objects}."""
    names = {category["id"]: unicodedata.normalize("NFC", category["name"].strip()) for category in facts["categories"]}
    images = {image["id"]: image for image in facts["images"]}
    assert all(map(_is_id, images))
    found = {image["file_name"].replace("\\", "/").rpartition("/")[2]: Counter() for image in images.values()}
    assert len(found) == len(images) == len(facts["images"])
    for one in facts["annotations"]:
        assert _is_id(one["image_id"]) and _is_id(one["category_id"])
        assert one.get("iscrowd", 0) in (0, 1) and not isinstance(one.get("iscrowd"), str)
        image, box = images[one["image_id"]], one.get("bbox") or _bounds(one["segmentation"])
        assert all(type(side) in (int, float) for side in box)
        objects = found[image["file_name"].replace("\\", "/").rpartition("/")[2]]
        key = (names[one["category_id"]], bool(one.get("iscrowd", 0)), tuple(box))
        objects[(*key, _clipped(box, image["width"], image["height"]))] = 1
    return {name: Counter([(kind, crowd, box) for kind, crowd, _, box in objects]) for name, objects in found.items()}


def _is_id(key) -> bool:
    return type(key) in (int, str) or (type(key) is float and key == int(key))


def _bounds(polygons: list) -> list:
    x, y = ([side for polygon in polygons for side in polygon[start::2]] for start in (0, 1))
    return [min(x), min(y), max(x) - min(x), max(y) - min(y)]


def test_damaged_documents_are_read_right_or_refused(fuzz, pool):
    def attempt(case):
        path, facts = case.folder / "train.json", _document(case.random)
        (case.folder / "images").symlink_to(pool)
        kind = case.random.random()
        data = json.dumps(damaged_json(case.random, facts, most=2) if kind < 0.7 else facts).encode()
        if kind > 0.9:
            data = damaged_bytes(case.random, data, most=2)
        elif kind > 0.8:
            data = damaged_text(case.random, data.decode(), most=2).encode("utf-8", "surrogatepass")
        path.write_bytes(data)
        listing = case.read(case.folder, lambda: list_boxes(path))
        if listing is None:
            return
        expected = _expected(json.loads(data.decode("utf-8-sig")))
        found = {}
        for split in SPLITS:
            part = listing[split]
            for file, truth in zip(part.files, part.truths, strict=True):
                rows = zip(truth.classes.tolist(), truth.crowd.tolist(), truth.boxes.tolist(), strict=True)
                assert file.name not in found
                found[file.name] = Counter((listing.class_names[kind], crowd, tuple(box)) for kind, crowd, box in rows)
        assert found == expected

    fuzz(attempt, cases=300)
