import json
import shutil

import numpy as np
import pytest
from PIL import Image

from tfmo_drive.contracts import BadInput
from tfmo_drive.data.detections import padded
from tfmo_drive.data.layouts.boxes.box_listing import list_boxes, of_their_size
from tfmo_drive.data.splitting import SPLITS

CATEGORIES = [{"id": 7, "name": "car"}, {"id": 2, "name": "person"}]


def box(key, image, category=7, bbox=(10, 20, 30, 40), **more):
    return {"id": key, "image_id": image, "category_id": category, "bbox": list(bbox), **more}


def frame(key, name, size=(60, 80)):
    return {"id": key, "file_name": name, "height": size[0], "width": size[1]}


def written(path, images, annotations, categories=CATEGORIES, folder=None):
    """The JSON file, and an empty file for every image in `folder` (or beside the JSON)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}))
    for image in images:
        file = (folder or path.parent) / image["file_name"]
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"")
    return path


def drive(count, prefix="a_"):
    """`count` frames of one recording with one box each."""
    images = [frame(i, f"{prefix}{i:04}.png") for i in range(count)]
    return images, [box(i, i, (7, 2)[i % 2]) for i in range(count)]


@pytest.fixture
def three(tmp_path):
    """A folder with train, val and test, made in the layout of COCO."""
    for split in SPLITS:
        path = tmp_path / "annotations" / f"instances_{split}2017.json"
        written(path, *drive(4, f"{split}_"), folder=tmp_path / f"{split}2017")
    return tmp_path


def test_classes_are_the_categories_by_rising_id_and_empty_images_stay(tmp_path):
    images, annotations = drive(30)
    path = written(tmp_path / "train.json", images, annotations[:20])
    listing = list_boxes(path)
    assert listing.class_names == ("person", "car")
    found = {file.name: truth for s in SPLITS for file, truth in zip(listing[s].files, listing[s].truths, strict=True)}
    assert [found[f"a_{i:04}.png"].classes.tolist() for i in (0, 1, 25)] == [[1], [0], []]
    split = listing["train"]
    assert split.sizes.tolist() == [[60, 80]] * len(split) and split.sizes.dtype == np.int64
    assert split.labels.tolist() == list(range(len(split))) and split.groups.dtype == np.int64


def test_images_that_no_file_lists_are_counted(three, logged):
    list_boxes(three)
    assert not any("not used" in line for line in logged)
    for name in ("x.jpg", "y.WEBP", "notes.txt"):
        (three / "train2017" / name).write_bytes(b"")
    assert len(list_boxes(three)["train"]) == 4
    assert any("2 of 15 images beside those that are listed are not used: x.jpg, y.WEBP." in line for line in logged)


def test_the_layout_of_coco_is_found(three):
    for other in ("captions_train2017", "person_keypoints_val2017", "image_info_test2017"):
        (three / "annotations" / f"{other}.json").write_text("{}")
    listing = list_boxes(three)
    for split in SPLITS:
        assert [file.parent.name for file in listing[split].files] == [f"{split}2017"] * 4
    groups = [set(listing[split].groups.tolist()) for split in SPLITS]
    assert len(set.union(*groups)) == sum(map(len, groups)) == 12


def test_equal_names_in_two_splits_are_never_mixed_up(tmp_path):
    for split in SPLITS:
        written(tmp_path / f"{split}.json", *drive(3), folder=tmp_path / split)
    assert [list_boxes(tmp_path)[split].files[0].parent.name for split in SPLITS] == list(SPLITS)
    (tmp_path / "masks").mkdir()
    (tmp_path / "val" / "a_0001.png").rename(tmp_path / "masks" / "a_0001.png")  # train has one of that name, too
    with pytest.raises(BadInput, match=r"image 1 \(a_0001.png is missing\)"):
        list_boxes(tmp_path)


@pytest.mark.parametrize("split", SPLITS)
def test_a_split_without_an_object_is_refused_and_crowds_are_none(three, split):
    path = three / "annotations" / f"instances_{split}2017.json"
    facts = json.loads(path.read_text())
    crowds = [one | {"iscrowd": int(one["category_id"] == 7)} for one in facts["annotations"]]
    path.write_text(json.dumps(facts | {"annotations": crowds}))
    assert len(list_boxes(three)[split]) == 4
    with pytest.raises(
        BadInput, match=f'{split} must hold an object of "car" that is no crowd.*--set=task.classes=FILE'
    ):
        list_boxes(three, ("car",))


def test_a_class_of_crowds_alone_is_named_as_not_to_be_learned(three, logged):
    path = three / "annotations/instances_train2017.json"
    facts = json.loads(path.read_text())
    crowds = [one | {"iscrowd": int(one["category_id"] == 7)} for one in facts["annotations"]]
    path.write_text(json.dumps(facts | {"annotations": crowds}))
    list_boxes(three)
    assert any('no training box of class "car"' in line for line in logged)


def test_files_can_be_named(three, tmp_path):
    shutil.copy(three / "annotations/instances_train2017.json", three / "annotations/boxes_train.json")
    shutil.move(three / "annotations/instances_test2017.json", three / "held_out.json")
    listing = list_boxes(three, annotations={"test": "held_out.json", "train": "annotations/boxes_train.json"})
    assert [len(listing[split]) for split in SPLITS] == [4, 4, 4]
    with pytest.raises(BadInput, match='no split "tset". Did you mean "test"'):
        list_boxes(three, annotations={"tset": "held_out.json"})
    with pytest.raises(
        BadInput, match=r"task.annotations.test names .* the data is one file, .*held_out.json. Add --data="
    ):
        list_boxes(three / "held_out.json", annotations={"test": "held_out.json"})
    shutil.move(three / "annotations/instances_train2017.json", three / "annotations/old_train.json")
    with pytest.raises(BadInput, match=r"one COCO JSON file for train, got .*--set=task.annotations.train=FILE"):
        list_boxes(three)


def test_without_test_val_is_what_is_reported(tmp_path, logged):
    written(tmp_path / "train.json", *drive(200, "t_"), folder=tmp_path / "train")
    written(tmp_path / "val.json", *drive(5, "v_"), folder=tmp_path / "val")
    listing = list_boxes(tmp_path)
    assert {file.name[0] for file in listing["test"].files} == {"v"} and len(listing["test"]) == 5
    assert [len(listing[split]) for split in ("train", "val")] == [170, 30]
    assert any("val is the test split" in line for line in logged)


def test_splits_are_drawn_in_whole_blocks_by_the_seed(tmp_path):
    path = written(tmp_path / "all.json", *drive(400))
    listing = list_boxes(path, seed=1)
    assert [len(listing[split]) for split in SPLITS] == [280, 60, 60]
    numbers = np.array([int(file.stem[2:]) for file in listing["test"].files])
    assert (np.bincount(numbers // 20, minlength=20) % 20 == 0).all()
    assert len(set(listing["test"].groups.tolist())) == 3
    assert listing["test"].files == list_boxes(tmp_path, seed=1)["test"].files
    assert listing["test"].files != list_boxes(tmp_path, seed=2)["test"].files


def test_classes_can_be_chosen_and_ordered(three, logged):
    assert list_boxes(three, ("car", "person"))["train"].truths[0].classes.tolist() == [0]
    listing = list_boxes(three, ("person",))
    assert listing.class_names == ("person",)
    assert [truth.classes.tolist() for truth in listing["train"].truths] == [[], [0], [], [0]]
    assert sum("2 boxes of other categories are ignored" in line for line in logged) == 3
    with pytest.raises(BadInput, match='no category "persn". Did you mean "person"'):
        list_boxes(three, ("persn",))
    with pytest.raises(BadInput, match='"car" more than once'):
        list_boxes(three, ("car", "car"))


def test_a_class_without_training_boxes_is_named(tmp_path, logged):
    written(tmp_path / "all.json", drive(30)[0], [box(i, i) for i in range(30)])
    list_boxes(tmp_path)
    assert any('no training box of class "person"' in line for line in logged)


@pytest.mark.parametrize(("old", "new", "said"), [
    ('"person"', '"people"', '"2: people", which is "2: person" in'),
    ('"id": 2', '"id": 9', '"9: person", which is "2: person" in'),
])  # fmt: skip
def test_what_a_split_calls_a_category_another_does_not_call_otherwise(three, old, new, said):
    path = three / "annotations/instances_val2017.json"
    facts = json.loads(path.read_text())
    facts["categories"] = json.loads(json.dumps(facts["categories"]).replace(old, new))
    path.write_text(json.dumps(facts))
    with pytest.raises(BadInput, match=f"instances_val2017.json has a category {said}"):
        list_boxes(three)


def test_a_split_may_list_only_the_categories_that_it_shows(three):
    path, whole = three / "annotations/instances_val2017.json", list_boxes(three)
    facts = json.loads(path.read_text())
    facts["annotations"] = [annotation for annotation in facts["annotations"] if annotation["category_id"] != 2]
    facts["categories"] = [category for category in facts["categories"] if category["id"] != 2]
    path.write_text(json.dumps(facts))
    listing = list_boxes(three)
    assert listing.class_names == whole.class_names == ("person", "car")
    assert np.unique(listing["val"].truths.whole.classes).tolist() == [1]


def test_what_cannot_be_used_is_refused_or_left_out(tmp_path, logged):
    images, annotations = drive(3)
    annotations.append(box(9, 0, bbox=(70, 50, 30, 40)))
    path = written(tmp_path / "all.json", [*images, frame(7, "gone.png")], [*annotations, box(10, 7)])
    (tmp_path / "gone.png").unlink()
    with pytest.raises(BadInput) as error:
        list_boxes(path)
    assert str(error.value) == (
        f"{path}: 2 of 9 images or boxes cannot be used: image 7 (gone.png is missing), "
        "annotation 9 (box [70, 50, 100, 90] outside its image of 80 x 60). "
        "Mend or remove them, or skip them with --set=task.skip_bad=True."
    )
    listing = list_boxes(path, skip_bad=True)
    truths = {file.name: t for s in SPLITS for file, t in zip(listing[s].files, listing[s].truths, strict=True)}
    assert truths["a_0000.png"].boxes.tolist() == [[10, 20, 40, 60], [70, 50, 80, 60]] and len(truths) == 3
    assert any("annotation 9 (box" in line and "partly outside are clipped" in line for line in logged)


def test_ten_faults_are_named_and_all_are_counted(tmp_path):
    images, annotations = drive(1200)
    path = written(tmp_path / "all.json", images, [a | {"bbox": [0, 0, 0, 0]} for a in annotations[5:]] + [box(0, 0)])
    with pytest.raises(BadInput) as error:
        list_boxes(path)
    text = ": 1,195 of 2,396 images or boxes cannot be used: annotation 5 (box of 0 x 0, no area), annotation 6 ("
    assert text in str(error.value)
    assert "annotation 14 (" in str(error.value) and "annotation 15 (" not in str(error.value)
    assert " and 1,185 more." in str(error.value)


def test_folders_without_annotations_are_refused(tmp_path):
    with pytest.raises(BadInput, match="There is no .*gone. Expected a folder or a file that holds boxes"):
        list_boxes(tmp_path / "gone")
    with pytest.raises(BadInput, match="holds no boxes in a layout that is known. Those that are read are COCO JSON"):
        list_boxes(tmp_path)
    path = written(tmp_path / "gone.json", *drive(3))
    for file in tmp_path.glob("*.png"):
        file.unlink()
    with pytest.raises(BadInput, match=r"none of its images can be used: image 0 \(a_0000.png is missing\). Looked in"):
        list_boxes(path, skip_bad=True)
    with pytest.raises(BadInput, match="no images for val, out of 2. Sampling a split needs at least 3 blocks"):
        list_boxes(written(tmp_path / "all.json", *drive(2)))


def test_one_file_in_two_splits_is_refused(tmp_path):
    for split in SPLITS:
        written(tmp_path / f"{split}.json", *drive(3))
    with pytest.raises(BadInput, match="a_0000.png is in train and in val"):
        list_boxes(tmp_path)


def test_images_of_another_size_than_the_json_says_are_refused_or_left_out(tmp_path, logged):
    images, annotations = drive(12)
    path = written(tmp_path / "all.json", images, annotations)
    for image in images:
        Image.new("RGB", (80, 60)).save(tmp_path / image["file_name"])
    split = list_boxes(path)["train"]
    assert of_their_size(split) is split
    Image.new("RGB", (60, 80)).save(split.files[2])
    with pytest.raises(
        BadInput, match=rf": 1 of 8 images are .* say: {split.files[2].name} \(60 x 80 instead of 80 x 60\)"
    ):
        of_their_size(split)
    left = of_their_size(split, skip_bad=True)
    assert left.files == [*split.files[:2], *split.files[3:]] and len(left.truths) == len(split) - 1
    assert left.labels.tolist() == list(range(len(left)))
    assert (left.truths[2].boxes == split.truths[3].boxes).all() and left.groups[2] == split.groups[3]
    split.files[2].write_bytes(b"")
    assert of_their_size(split) is split  # unreadable, which `pack` says


def test_what_is_packed_says_the_boxes(three, tmp_path):
    """So that a pack's key and fingerprint change with them."""

    def packed():
        return padded(list_boxes(three)["train"].truths)

    before = packed()
    assert before.tobytes() == packed().tobytes()
    path = three / "annotations/instances_train2017.json"
    path.write_text(path.read_text().replace("[10, 20, 30, 40]", "[10, 20, 30, 39]", 1))
    assert before.tobytes() != packed().tobytes()


def test_images_are_in_the_order_of_their_names_whatever_the_jsons_is(three):
    path = three / "annotations/instances_train2017.json"
    facts = json.loads(path.read_text())
    path.write_text(json.dumps(facts | {"images": facts["images"][::-1]}))
    split = list_boxes(three)["train"]
    assert [file.name for file in split.files] == [f"train_{i:04}.png" for i in range(4)]
    assert [truth.classes.tolist() for truth in split.truths] == [[1], [0], [1], [0]] and len(set(split.groups)) == 4


@pytest.mark.real
def test_camvid_boxes_are_listed(shared):
    listing = list_boxes(shared / "data" / "camvid")
    assert listing.class_names == ("car", "pedestrian", "bicyclist")
    assert len(listing["train"]) + len(listing["val"]) == 367 and len(listing["test"]) == 101
    assert {file.parent.name for file in listing["test"].files} == {"val"}
    boxes = [sum(len(truth) for truth in listing[split].truths) for split in SPLITS]
    assert boxes[0] + boxes[1] == 2357 and boxes[2] == 543
    assert 0.1 < len(listing["val"]) / 367 < 0.2
    assert len(set(listing["test"].groups.tolist())) >= 20
    assert of_their_size(listing["test"]) is listing["test"]


@pytest.mark.real
def test_a_single_coco_file_is_listed(shared):
    listing = list_boxes(shared / "data" / "coco_road", ("person", "car"))
    assert sum(len(listing[split]) for split in SPLITS) == 72
    assert sum(len(truth) for split in SPLITS for truth in listing[split].truths) == 300
    assert len({int(g) for split in SPLITS for g in listing[split].groups}) == 72  # photographs, each of its own
