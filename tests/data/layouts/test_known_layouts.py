"""Layouts of boxes, masks and logs are named, and never trained on as folders of classes called images and labels."""

import pytest
from PIL import Image

from tfmo_drive.contracts import BadInput
from tfmo_drive.data.layouts.boxes import box_listing
from tfmo_drive.data.layouts.known_layouts import BOXES, KINDS, MASKS, layouts, unwrapped
from tfmo_drive.data.layouts.listing import list_folder, list_source
from tfmo_drive.data.layouts.masks import mask_listing
from tfmo_drive.data.splitting import SPLITS

OTHERS = {
    "detection": ("train/0.jpg", "train/_annotations.coco.json", "valid/1.jpg", "valid/_annotations.coco.json"),
    "detection ": ("train2017/0.jpg", "annotations/instances_train2017.json"),
    "detection  ": ("train/images/0.jpg", "train/labels/0.txt", "valid/images/1.jpg", "data.yaml"),
    "detection   ": ("images/train/0.jpg", "labels/train/0.txt", "data.yaml"),
    "detection    ": ("images/0.jpg", "labels/0.txt"),
    "detection     ": ("JPEGImages/0.jpg", "Annotations/0.xml", "ImageSets/Main/train.txt"),
    "detection      ": ("VOCdevkit/VOC2012/JPEGImages/0.jpg", "VOCdevkit/VOC2012/Annotations/0.xml"),
    "detection       ": ("training/image_2/0.png", "training/label_2/0.txt"),
    "detection        ": ("images/100k/train/0.jpg", "labels/det_20/det_train.json"),
    "segmentation": ("images/0.png", "masks/0.png"),
    "segmentation ": ("train/0.png", "trainannot/0.png"),
    "segmentation  ": ("train/images/0.png", "train/masks/0.png"),
    "segmentation   ": ("leftImg8bit/train/ulm/0.png", "gtFine/train/ulm/0.png"),
    "segmentation    ": ("images/10k/train/0.jpg", "labels/sem_seg/masks/train/0.png"),
    "segmentation     ": ("JPEGImages/0.jpg", "SegmentationClass/0.png"),
    "segmentation      ": ("clips/0601/1/20.jpg", "label_data_0601.json"),
    "segmentation       ": ("driver_23_30frame/1.MP4/0.jpg", "driver_23_30frame/1.MP4/0.lines.txt"),
    "segmentation        ": ("0.jpg", "0_mask.png"),
    "lane": ("IMG/0.jpg", "driving_log.csv"),
    "lane  ": ("0_cam-image_array_.jpg", "record_0.json", "meta.json"),
    "lane ": ("images/0_cam_image_array_.jpg", "catalog_0.catalog", "manifest.json"),
}


def written(root, names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        if name.endswith((".jpg", ".png")):
            Image.new("RGB", (8, 8)).save(root / name)
        else:
            (root / name).write_text("0 0.5 0.5 0.2 0.2\n")
    return root


@pytest.mark.parametrize("layout", OTHERS)
def test_another_tasks_layout_is_named_with_the_experiment_that_reads_it(tmp_path, layout):
    written(tmp_path, OTHERS[layout])
    with pytest.raises(BadInput, match=f"--experiment={layout.strip()} and those like it read that"):
        list_folder(tmp_path)


@pytest.mark.parametrize("layout", OTHERS)
def test_a_layout_is_found_in_what_a_zip_put_around_it(tmp_path, layout):
    written(tmp_path / "archive" / "data (1)", OTHERS[layout])
    written(tmp_path, ["__MACOSX/._data (1)"])
    below = unwrapped(tmp_path)
    assert tmp_path / "archive" in below.parents
    shown, plain = ([layouts(place, kind) for kind in KINDS] for place in (below, tmp_path / "archive" / "data (1)"))
    assert any(shown) and shown == plain


WRAPPED = {
    "a/train/stop/0.png": "a", "train/stop/0.png": "", "a/train/train/stop/0.png": "a/train", "stop/0.png": "",
    "a/rows.csv": "a", "a/b/drive.npz": "a/b", "a/0.png": "", "images/stop/0.png": "images",
}  # fmt: skip


@pytest.mark.parametrize("path", WRAPPED)
def test_folders_of_splits_and_of_one_class_are_no_wrapping(tmp_path, path):
    written(tmp_path, [path])
    assert unwrapped(tmp_path) == tmp_path / WRAPPED[path]


@pytest.mark.parametrize("name", ["images", "Labels", "JPEGImages", "annotations", "ColorImage", "rgb_anon", "GT",
                                  "train_masks"])  # fmt: skip
def test_a_folder_of_everything_is_no_class_unless_a_file_says_so(tmp_path, name):
    written(tmp_path, [f"{folder}/{n}.png" for folder in (name, "car") for n in range(4)])
    with pytest.raises(BadInput, match="is called as a folder of all images or labels, not as a class"):
        list_folder(tmp_path)
    assert list_folder(tmp_path, (name, "car")).class_names == (name, "car")


def test_folders_of_masks_or_of_drives_below_are_no_classes(tmp_path):
    town = [f"{town}/{kind}/{n}.png" for town in "ab" for kind in ("CameraRGB", "CameraSeg") for n in range(4)]
    written(tmp_path / "towns", town)
    with pytest.raises(BadInput, match="a/CameraSeg is called as a folder of all images or labels"):
        list_folder(tmp_path / "towns")
    written(tmp_path / "drives", [f"{drive}/{name}" for drive in "ab" for name in ("driving_log.csv", "IMG/0.jpg")])
    with pytest.raises(BadInput, match=r"drives/a holds a record of driving \(a driving log\): name that folder"):
        list_folder(tmp_path / "drives")


def test_sets_are_splits_and_folders_below_a_class_are_of_it(tmp_path):
    names = ("training_set", "Test-Set", "valid images")
    written(
        tmp_path, [f"{split}/{kind}/images/{n}.png" for split in names for kind in ("car", "bus") for n in range(4)]
    )
    listing = list_folder(tmp_path)
    assert [len(listing[split]) for split in SPLITS] == [8, 8, 8] and listing.class_names == ("bus", "car")


def test_classes_beside_other_files_are_classes(tmp_path):
    written(tmp_path, [f"{folder}/{n}.png" for folder in ("masks", "no_masks") for n in range(4)])
    written(tmp_path, ["readme.txt", "labels.txt", "data.yaml", "masks/0.txt"])
    assert list_source(tmp_path).class_names == ("masks", "no_masks")


def test_every_layout_that_is_recognised_is_read():
    assert set(KINDS[BOXES].signs) == set(box_listing.READERS)
    assert set(KINDS[MASKS].signs) == set(mask_listing.READERS)
