"""Where the images of a COCO JSON file are looked for, and where never."""

import json
import shutil

import pytest

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
