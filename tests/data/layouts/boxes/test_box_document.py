import json
from pathlib import Path

import numpy as np
import pytest
from pycocotools import mask as run_lengths

from tfmo_drive.contracts import BadInput
from tfmo_drive.data.layouts.boxes.box_document import EVERY, usable
from tfmo_drive.data.layouts.boxes.coco_objects import Facts, document_of, name_of, read
from tfmo_drive.data.layouts.boxes.gathered import Gathered, documents_of


def box(key, image, category=7, bbox=(10, 20, 30, 40), **more):
    return {"id": key, "image_id": image, "category_id": category, "bbox": list(bbox), **more}


def frame(key, name, size=(60, 80)):
    return {"id": key, "file_name": name, "height": size[0], "width": size[1]}


def checked(images, annotations, indices=None, categories=None):
    names = [name_of(image) for image in images]
    files = {name: None if name == "gone.png" else Path("images", name) for name in names}
    facts = Facts(Path("all.json"), images, annotations, categories or {2: "person", 7: "car"})
    return usable(document_of(facts, files), indices or {2: 0, 7: 1})


IMAGES = [frame(i, f"x{i}.png") for i in range(3)]
GOOD = [box(100, 0), box(101, 1), box(102, 2)]


def test_boxes_become_edges_and_categories_classes():
    annotations = [box(1, 2, 7, (10, 20, 30, 39.5), area=900.5), box(2, 0, 2, iscrowd=1), box(3, 2, 2, (0, 0, 80, 60))]
    found = checked(IMAGES, annotations)
    assert found.files == [f"images/x{i}.png" for i in range(3)]
    assert found.sizes.tolist() == [[60, 80]] * 3 and found.faults == [] and found.ignored == 0
    crowd, empty, full = found.truths
    assert full.boxes.tolist() == [[10, 20, 40, 59.5], [0, 0, 80, 60]] and full.classes.tolist() == [1, 0]
    assert full.areas.tolist() == [900.5, 4800] and full.crowd.tolist() == [False, False]
    assert crowd.crowd.tolist() == [True] and empty.boxes.shape == (0, 4)
    types = [array.dtype for array in (full.boxes, full.classes, full.crowd, full.areas)]
    assert types == [np.float32, np.int64, bool, np.float32]


def test_other_categories_are_ignored_and_counted():
    found = checked(IMAGES, [*GOOD, box(1, 0, 2), box(2, 1, 2)], {7: 0})
    assert found.ignored == 2 and [truth.classes.tolist() for truth in found.truths] == [[0]] * 3


@pytest.mark.parametrize(
    ("annotation", "fault", "left"),
    [
        (box(1, 0, bbox=(-5, 0, 30, 40)), "box [-5, 0, 25, 40] outside its image of 80 x 60", [0, 0, 25, 40]),
        (box(1, 0, bbox=(70, 50, 30, 40)), "box [70, 50, 100, 90] outside its image of 80 x 60", [70, 50, 80, 60]),
        (box(1, 0, bbox=(90, 50, 30, 40)), "box [90, 50, 120, 90] outside its image of 80 x 60", None),
        (box(1, 0, bbox=(5, 5, 0, 40)), "box of 0 x 40, no area", None),
        (box(1, 0, bbox=(5, 5, 9, -4)), "box of 9 x -4, no area", None),
        (box(1, 0, category=8), "no category 8", None),
        (box(1, 77), "no image 77", None),
    ],
)
def test_bad_boxes_are_named_and_left_out(annotation, fault, left):
    found = checked(IMAGES, [*GOOD, annotation])
    assert found.faults == [f"annotation {annotation['id']} ({fault})"]
    assert found.truths[0].boxes.tolist() == [[10, 20, 40, 60], *([left] if left else [])]


CORNERS = {"segmentation": [[5, 6, 25, 6, 9, 30.5], [40, 8, 50, 8, 50, 9, 40, 9]]}


def unboxed(key, image, category=7, **more):
    return {name: value for name, value in box(key, image, category, **more).items() if name != "bbox"}


@pytest.mark.parametrize(
    ("annotation", "fault"),
    [
        (box(1, 0, bbox=(5, 5, 9)), "bbox [5, 5, 9] is not x, y, width, height"),
        (box(1, 0, bbox=(5, 5, 9, float("nan"))), "bbox [5, 5, 9, nan] is not x, y, width, height"),
        (box(1, 0, bbox=(5, 5, 9, True)), "bbox [5, 5, 9, True] is not x, y, width, height"),
        (box(1, 0, bbox=(10**400, 5, 9, 9)), f"bbox [1{'0' * 27}..{'0' * 19}, 5, 9, 9] is not x, y, width, height"),
        (unboxed(1, 0, segmentation={"counts": "x", "size": [60, 80]}), "no bbox, and no outline"),
        (unboxed(1, 0, segmentation=[[1, 2, 3, 4]]), "no bbox, and no outline"),
        (box(1, 0, bbox=()), "no bbox, and no outline"),
    ],
)
def test_an_image_with_an_object_whose_box_nobody_knows_is_left_out(annotation, fault):
    found = checked(IMAGES, [annotation, *GOOD])
    assert found.faults == [f"annotation 1 ({fault})"]
    assert found.names == ["x1.png", "x2.png"] and [len(truth) for truth in found.truths] == [1, 1]


def test_without_a_bbox_polygons_say_it():
    found = checked(IMAGES, [unboxed(1, 0, **CORNERS), box(2, 1, bbox=(), **CORNERS), box(3, 2, **CORNERS)])
    assert found.faults == [] and [truth.boxes.tolist() for truth in found.truths] == [
        [[5, 6, 50, 30.5]], [[5, 6, 50, 30.5]], [[10, 20, 40, 60]],
    ]  # fmt: skip


def test_annotations_need_no_id_and_are_then_named_by_their_place():
    good, bad = ({k: v for k, v in box(0, 0, bbox=side).items() if k != "id"} for side in ((1, 2, 3, 4), (1, 2, 0, 4)))
    found = checked(IMAGES, [good, good | {"bbox": [2, 2, 3, 4]}, bad])
    assert found.faults == ["annotation at place 2 (box of 0 x 4, no area)"] and len(found.truths[0]) == 2


def test_an_object_given_twice_counts_once_and_is_counted():
    again = [box(100, 0), box(7, 0), box(8, 0, 2), box(9, 0, bbox=(10, 20, 30, 41)), box(10, 0, iscrowd=1)]
    found = checked(IMAGES, [*GOOD, *again, box(11, 0, area=3)])
    assert found.repeated == 3 and found.faults == []
    assert found.truths[0].classes.tolist() == [1, 0, 1, 1] and found.truths[0].crowd.tolist() == [0, 0, 0, 1]


@pytest.mark.parametrize(("key", "value", "fault"), [
    ("iscrowd", "0", 'iscrowd "0" is not 0 or 1'), ("iscrowd", "1", 'iscrowd "1" is not'),
    ("iscrowd", 2, "iscrowd 2"),
    ("iscrowd", None, "iscrowd nothing"), ("iscrowd", [], "iscrowd []"), ("iscrowd", 0.5, "iscrowd 0.5"),
    ("area", "900", 'area "900" is no number'), ("area", True, "area True"), ("area", [], "area []"),
    ("image_id", "0", 'no image "0"'), ("image_id", 0.5, "no image 0.5"), ("image_id", False, "no image False"),
    ("image_id", None, "no image nothing"), ("image_id", [0], "no image [0]"), ("image_id", {}, "no image {}"),
    ("category_id", "7", 'no category "7"'), ("category_id", 7.5, "no category 7.5"),
    ("category_id", None, "no category"),
    ("category_id", True, "no category True"), ("bbox", ["10", 20, 30, 40], "bbox ['10', 20"),
    ("bbox", "x", 'bbox "x"'),
    ("bbox", 0, "bbox 0"), ("bbox", False, "bbox False"), ("bbox", {}, "bbox {}"), ("bbox", [[1, 2, 3, 4]], "bbox [["),
])  # fmt: skip
def test_a_value_of_another_type_is_named_and_never_taken_for_what_python_makes_of_it(key, value, fault):
    found = checked(IMAGES, [*GOOD, box(1, 0, bbox=(1, 2, 3, 4)) | {key: value}])
    assert len(found.faults) == 1 and found.faults[0].startswith(f"annotation 1 ({fault}")
    kept = dict(zip(found.names, found.truths, strict=True))
    assert "x0.png" not in kept or kept["x0.png"].boxes.tolist() == [[10, 20, 40, 60]]


@pytest.mark.parametrize("flag", [0, 1, 0.0, 1.0, True, False])
def test_crowds_are_said_by_numbers_or_by_true_and_false(flag):
    found = checked(IMAGES, [box(1, 0, iscrowd=flag)])
    assert found.faults == [] and found.truths[0].crowd.tolist() == [bool(flag)]


@pytest.mark.parametrize("key", [True, 1.0, None, [1], {}])
def test_ids_of_images_are_whole_numbers_or_texts(key):
    found = checked([*IMAGES, frame(key, "x3.png")], GOOD)
    assert len(found.faults) == 1 and "id" in found.faults[0] and found.names == ["x0.png", "x1.png", "x2.png"]


def test_a_group_of_classes_that_no_object_has_is_no_class(tmp_path):
    categories = [{"id": 0, "name": "sign", "supercategory": "none"},
                  {"id": 1, "name": "stop", "supercategory": "sign"},
                  {"id": 2, "name": "sign", "supercategory": "sign"}]  # fmt: skip
    facts = {"images": [frame(1, "a.png")], "annotations": [box(1, 1, 2)], "categories": categories}
    (tmp_path / "a.json").write_text(json.dumps(facts))
    assert read(tmp_path / "a.json").categories == {1: "stop", 2: "sign"}
    alone = [{"id": 1, "name": "person", "supercategory": "person"}, {"id": 2, "name": "car"}]
    (tmp_path / "a.json").write_text(json.dumps(facts | {"categories": alone}))
    assert read(tmp_path / "a.json").categories == {1: "person", 2: "car"}  # as COCO itself has it
    odd = [{"id": [1], "name": "sign"}, *categories[1:2]]
    (tmp_path / "a.json").write_text(json.dumps(facts | {"categories": odd}))
    with pytest.raises(BadInput, match="every category must have an id"):
        read(tmp_path / "a.json")


@pytest.mark.parametrize(("text", "said"), [
    ("[" * 100_000, "nested|recursion"), ('{"images": [], "images": []}', 'has the key "images" twice'),
    ('{"images": ' + "1" * 5000 + "}", "digits"), ("\udcff", "not UTF-8"),
])  # fmt: skip
def test_json_that_python_would_choke_on_or_pass_over_is_one_line(tmp_path, text, said):
    (tmp_path / "a.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(BadInput, match=f"a.json is not a COCO JSON file: .*({said})"):
        read(tmp_path / "a.json")


def test_what_is_wrong_with_other_categories_is_no_fault():
    odd = [box(1, 0, 2, (5, 5, 0, 40)), unboxed(2, 1, 2), box(3, 77, 2)]
    found = checked(IMAGES, [*GOOD, *odd], {7: 0})
    assert found.faults == [] and found.ignored == 3 and len(found.names) == 3


def test_boxes_that_are_shares_of_the_image_are_refused():
    with pytest.raises(
        BadInput, match=r"all.json: boxes must be .* in pixels, got none above 1: .* \[0.1, 0.2, 0.5, 1\]"
    ):
        checked(IMAGES, [box(1, 0, bbox=(0.1, 0.2, 0.5, 1)), box(2, 1, 2, (0, 0, 0.1, 0.1)), box(3, 1, bbox=[0] * 4)])
    assert checked(IMAGES, [box(1, 0, bbox=(0.1, 0.2, 0.5, 1)), *GOOD]).faults == []


def test_a_box_that_is_a_pixel_too_wide_is_clipped_without_a_word():
    found = checked(IMAGES, [box(1, 0, bbox=(70, 50, 11, 10.01))])
    assert found.faults == [] and found.truths[0].boxes.tolist() == [[70, 50, 80, 60]]


def test_areas_that_say_nothing_are_those_of_the_box():
    for area, found in ((0, 1200), (None, 1200), (float("nan"), 1200), (7, 7), (10**400, 1200), (float("inf"), 1200)):
        assert checked(IMAGES, [box(1, 0, area=area)]).truths[0].areas.tolist() == [found]


def test_of_a_clipped_box_the_area_is_clipped_alike():
    found = checked(IMAGES, [box(1, 0, bbox=(-10, 0, 40, 40), area=800), box(2, 0, bbox=(70, 50, 20, 20))])
    assert found.truths[0].areas.tolist() == [600, 100]
    assert found.truths[0].boxes.tolist() == [[0, 0, 30, 40], [70, 50, 80, 60]]


def test_whole_sides_may_be_written_as_fractions_and_names_with_backslashes():
    found = checked([frame(0, "a\\x0.png", (60.0, 80.0))], [box(1, 0)])
    assert found.names == ["a/x0.png"] and found.files == ["images/a/x0.png"] and found.faults == []
    assert found.sizes.tolist() == [[60, 80]] and found.sizes.dtype == np.int64


@pytest.mark.parametrize(
    ("image", "fault"),
    [
        (frame(9, "gone.png"), "image 9 (gone.png is missing)"),
        (frame(1, "other.png"), "image 1 (id 1 or file other.png twice)"),
        (frame(9, "x1.png"), "image 9 (id 9 or file x1.png twice)"),
        (frame(9, "x3.png", (0, 80)), "image 9 (x3.png has height 0 and width 80)"),
        (frame(9, "x3.png", (60.5, 80)), "image 9 (x3.png has height 60.5 and width 80)"),
        (frame(9, "x3.png", (60, 10**400)), f"image 9 (x3.png has height 60 and width 1{'0' * 28}..{'0' * 29})"),
        ({"id": 9, "file_name": "x3.png"}, "image 9 (x3.png has height nothing and width nothing)"),
        ({"id": 9, "height": 5, "width": 5}, "image 9 (no id or no file_name)"),
    ],
)
def test_bad_images_are_named_and_left_out_with_their_boxes(image, fault):
    found = checked([*IMAGES, image], [*GOOD, box(1, 9) if image["id"] == 9 else box(1, 0)])
    assert found.faults == [fault]
    assert found.names == ["x0.png", "x1.png", "x2.png"] and len(found.truths) == 3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not a COCO JSON file"),
        ("[1, 2]", "expected COCO's images, annotations and categories"),
        ('{"images": [], "annotations": {}, "categories": []}', "expected COCO's images"),
        ('{"images": [{}], "annotations": [{}], "categories": []}', "every category must have an id"),
        ('{"images": [{}], "annotations": [{}], "categories": [{"id": 1, "name": "a"}, {"id": 1, "name": "b"}]}',
         'categories must differ in their id, got "1" more than once'),
        ('{"images": [{}], "annotations": [{}], "categories": [{"id": 1, "name": "a"}, {"id": 2, "name": "a"}]}',
         'class names must differ, got "a" more than once'),
    ],
)  # fmt: skip
def test_what_is_not_coco_is_refused(tmp_path, text, message):
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(BadInput, match=message):
        read(tmp_path / "a.json")
    with pytest.raises(BadInput, match="cannot be read: No such file"):
        read(tmp_path / "b.json")


def test_ids_may_be_texts_or_whole_numbers_written_as_fractions():
    images = [frame("a", "x0.png"), frame(1.0, "x1.png")]
    found = checked(images, [box(1, "a", "car"), box(2, 1, 3.0)], {"car": 0, 3: 1}, {"car": "car", 3: "bus"})
    assert found.faults == [] and [truth.classes.tolist() for truth in found.truths] == [[0], [1]]
    assert checked(images, [box(2, 1, "3")], {3: 0}, {3: "bus"}).faults == ['annotation 2 (no category "3")']


def _runs(mask):
    return {"size": list(mask.shape), "counts": run_lengths.encode(np.asfortranarray(mask))["counts"].decode()}


def test_run_lengths_say_the_box_where_no_bbox_does():
    mask = np.zeros((60, 80), np.uint8)
    mask[5:20, 30:70] = 1
    changes = np.flatnonzero(np.diff(mask.T.ravel(), prepend=0))
    counts = np.diff([0, *changes.tolist(), mask.size]).tolist()
    for runs in (_runs(mask), {"size": [60, 80], "counts": counts}):
        found = checked(IMAGES, [unboxed(1, 0, segmentation=runs, iscrowd=1)])
        assert found.faults == [] and found.truths[0].boxes.tolist() == [[30, 5, 70, 20]]


@pytest.mark.parametrize("runs", [
    {"size": [60, 80], "counts": "P"}, {"size": [60, 80], "counts": "oooooooo0"},
    {"size": [60, 80], "counts": "\u00e9"},
    {"size": [0, 80], "counts": "11"}, {"size": [60], "counts": "11"}, {"size": [60, 80], "counts": [5, -1]},
    {"size": [60, 80], "counts": [5, 10]}, {"size": [60, 80]},
    {"size": [60, 80], "counts": _runs(np.ones((99, 99), "u1"))["counts"]},
])  # fmt: skip
def test_run_lengths_that_are_none_are_told(runs):
    found = checked(IMAGES, [*GOOD, unboxed(1, 0, segmentation=runs)])
    assert found.faults == ["annotation 1 (no bbox, and no outline)"] and found.names == ["x1.png", "x2.png"]


@pytest.fixture
def gathered(tmp_path):
    """Three images in a folder, as a layout's reader gathers them, without an object."""
    found = Gathered()
    for number in range(3):
        (tmp_path / f"x{number}.png").write_bytes(b"")
        found.image(f"x{number}.png", tmp_path / f"x{number}.png", source=f"{number}.txt, line")
        found.size(60, 80)
    return found


def test_an_object_of_every_class_is_a_crowd_of_each(gathered):
    for image in range(3):
        gathered.object("car", (10, 20, 40, 60), 1, image=image)
    gathered.object(EVERY, (1, 1, 10, 10), 2, crowd=True, image=0)
    document = documents_of(Path("labels"), gathered, {2: "person", 7: "car"})["train"]
    found = usable(document, {2: 0, 7: 1})
    assert found.faults == [] and found.truths[0].classes.tolist() == [1, 0, 1]
    assert found.truths[0].crowd.tolist() == [False, True, True]
    assert [truth.classes.tolist() for truth in usable(document, {7: 0}).truths] == [[0, 0], [0], [0]]


def test_what_a_reader_could_not_read_is_told_as_it_calls_it(gathered):
    gathered.image("y.png", None)
    gathered.broken[gathered.image("z.png", "z.png")] = "truncated"
    gathered.object("car", (10, 20, 40, 60), 1)
    gathered.fault("3 numbers", 4, image=0)
    for image in (1, 2):
        gathered.object("car", (10, 20, 40, 60), 1, image=image)
    gathered.object("bus", (10, 20, 40, 60), 2, image=2)
    found = usable(documents_of(Path("labels"), gathered, {7: "car"})["train"], {7: 0})
    assert found.faults == [
        "image y.png is missing", "image z.png (truncated)", "0.txt, line 4 (3 numbers)",
        '2.txt, line 2 (no category "bus")',
    ]  # fmt: skip
    assert found.names == ["x1.png", "x2.png"] and [len(truth) for truth in found.truths] == [1, 1]


def test_a_file_that_two_names_lead_to_is_taken_once(gathered):
    gathered.image("again.png", gathered.files[1])
    gathered.size(60, 80)
    gathered.object("car", (10, 20, 40, 60), 1)
    found = usable(documents_of(Path("labels"), gathered)["train"], {0: 0})
    assert found.faults == ["image again.png (it is x1.png once more)"] and len(found.names) == 3


def test_what_is_gathered_by_several_is_as_if_by_one(gathered):
    parts = [Gathered(), Gathered()]
    for number, part in enumerate(parts):
        part.broken[part.image(f"y{number}.png", "gone")] = "torn"
        part.attributes[part.image(f"z{number}.png", gathered.files[number])] = {"weather": "dry"}
        part.object(("car", "bus")[number], (1, 2, 30, 40), 1)
        part.fault("no class", 2)
        part.objects(np.zeros(2, int), np.array([5, 4]), np.ones((2, 4)), np.arange(2))
        gathered.extend(part)
    assert [gathered.called(gathered.images[place], gathered.numbers[place])[-2:] for place in (0, 1, 6)] == [
        " 1", " 2", " 0",
    ]  # fmt: skip
    assert list(gathered.images) == [4, 4, 3, 3, 6, 6, 5, 5] and gathered.unread == {1: "no class", 5: "no class"}
    words = list(gathered.words)
    assert [words[label] for label in gathered.labels] == ["car", EVERY, 5, 4, "bus", EVERY, 5, 4]
    assert gathered.broken == {3: "torn", 5: "torn"} and set(gathered.attributes) == {4, 6}
