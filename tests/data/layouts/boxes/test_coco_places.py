"""Where the images of a COCO JSON file are looked for, and where never."""

import json
import shutil

import pytest
from PIL import Image

from tfmo_drive.contracts import BadInput
from tfmo_drive.data.layouts.boxes.box_listing import list_boxes
from tfmo_drive.data.splitting import SPLITS

NAMES = [f"a_{number:04}.png" for number in range(30)]


def boxed(path, folder, names=NAMES, prefix=""):
    """A JSON file with one box in each image, whose name it writes behind `prefix`; and the images, empty, in
    `folder`."""
    images = [{"id": i, "file_name": prefix + name, "height": 60, "width": 80} for i, name in enumerate(names)]
    annotations = [{"id": i, "image_id": i, "category_id": 1, "bbox": [1, 2, 30, 40]} for i in range(len(names))]
    facts = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "car"}]}
    for place in (path.parent, folder):
        place.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(facts))
    for name in names:
        (folder / name).write_bytes(b"")
    return path


def folders(listing):
    return [file.parent.name for split in SPLITS for file in listing[split].files]


@pytest.mark.parametrize(
    "places",
    [
        {split: (f"boxes_{split}.json", split) for split in SPLITS},
        {"train": ("train/_a.json", "train"), "val": ("valid/_a.json", "valid"), "test": ("test/_a.json", "test")},
        {split: (f"{split}.json", "images") for split in SPLITS},
        {split: (f"{split}.json", f"images/{split}") for split in SPLITS},
        {split: (f"labels/{split}.json", "data") for split in SPLITS},
        {split: (f"{split}/annotations/instances_default.json", f"{split}/images") for split in SPLITS},
        {split: (f"mine-json/{split}.json", split) for split in SPLITS},
        {"train": ("trainval.json", "images"), "val": ("val.json", "images"), "test": ("test.json", "images")},
    ],
)
def test_other_usual_layouts_are_found(tmp_path, places):
    for split, (path, folder) in places.items():
        boxed(tmp_path / path, tmp_path / folder, [f"{split}_{number}.png" for number in range(3)])
    listing = list_boxes(tmp_path)
    for split, (_, folder) in places.items():
        assert {file.parent for file in listing[split].files} == {tmp_path / folder}


@pytest.mark.parametrize(
    ("file", "images", "masks"),
    [
        ("boxes.json", "images", "masks"),
        ("boxes.json", "photos", "masks"),
        ("boxes.json", "images", "depth"),
        ("train.json", "train", "train_labels"),
    ],
)
def test_a_missing_image_is_never_taken_from_the_masks(tmp_path, file, images, masks):
    boxed(tmp_path / file, tmp_path / images)
    shutil.copytree(tmp_path / images, tmp_path / masks)
    assert folders(list_boxes(tmp_path)) == [images] * 30
    (tmp_path / images / NAMES[7]).unlink()
    with pytest.raises(BadInput, match=rf"{file}: 1 of 60 .*: image 7 \({NAMES[7]} is missing\)"):
        list_boxes(tmp_path)
    assert folders(list_boxes(tmp_path, skip_bad=True)) == [images] * 29


def test_two_folders_of_other_names_that_may_both_hold_the_images_are_refused(tmp_path):
    boxed(tmp_path / "boxes.json", tmp_path / "photos")
    shutil.copytree(tmp_path / "photos", tmp_path / "depth")
    with pytest.raises(BadInput, match=r"those in .*depth or those in .*photos\? Move them to .*images"):
        list_boxes(tmp_path)
    for number, name in enumerate(NAMES):  # each is in one of them alone
        (tmp_path / ("photos", "depth")[number % 2] / name).unlink()
    assert sorted(folders(list_boxes(tmp_path))) == ["depth"] * 15 + ["photos"] * 15


def test_names_written_under_windows_are_found(tmp_path):
    path = boxed(tmp_path / "all.json", tmp_path / "deep", prefix="deep\\")
    assert folders(list_boxes(path)) == ["deep"] * 30


def test_names_that_no_file_can_have_are_missing(tmp_path):
    path = boxed(tmp_path / "all.json", tmp_path / "images")
    facts = json.loads(path.read_text())
    odd = ["x" * 400, "x" * 400 + "/a.png", "a\0.png", "a\0/b.png"]
    for number, name in enumerate(odd):
        facts["images"].append({"id": 30 + number, "file_name": name, "height": 60, "width": 80})
    path.write_text(json.dumps(facts))
    with pytest.raises(BadInput, match=r"4 of 64 .*xxx is missing"):
        list_boxes(path)


@pytest.mark.parametrize(
    "facts", [{"images": []}, {"annotations": []}, {"images": [], "annotations": [], "categories": []}]
)
def test_a_split_that_nobody_has_labelled_is_left_out(tmp_path, facts, logged):
    paths = {split: boxed(tmp_path / f"{split}.json", tmp_path / split) for split in SPLITS}
    paths["test"].write_text(json.dumps(json.loads(paths["test"].read_text()) | facts))
    lacking = "images" if facts.get("images") == [] else "annotations"
    assert {*folders(list_boxes(tmp_path))} == {"train", "val"}
    assert any(f"test.json: no {lacking}, so test is left out." in line for line in logged)
    paths["train"].write_text(paths["test"].read_text())
    with pytest.raises(BadInput, match=f"train.json: no {lacking}. Name another file"):
        list_boxes(tmp_path)


@pytest.mark.parametrize("named", ["file_name", "coco_url"])
def test_images_of_the_internet_and_of_no_size_are_found_here(tmp_path, named):
    path = boxed(tmp_path / "Annotations" / "Instances_train.JSON", tmp_path / "Images")
    facts = json.loads(path.read_text())
    for image in facts["images"]:
        image[named] = f"https://host/data/{image.pop('file_name')}?signature=0#1"
        del image["height"], image["width"]
        Image.new("RGB", (80, 60)).save(tmp_path / "Images" / image[named].rpartition("/")[2].partition("?")[0])
    path.write_text(json.dumps(facts))
    (path.parent / "settings.json").write_text('{"version": 1}')
    listing = list_boxes(tmp_path)
    assert len(folders(listing)) == len(NAMES) and listing["train"].sizes.tolist()[0] == [60, 80]
