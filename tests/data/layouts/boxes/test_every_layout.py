"""One tiny set of images and boxes, written in every layout, gives equal listings."""

import numpy as np
import pytest
from written_boxes import LAYOUTS, NAMES, SIZE, known, listed, pictures, without_crowds

from tfmo_drive.contracts import BadInput
from tfmo_drive.data.layouts.boxes.box_listing import READERS, layout_of, list_boxes
from tfmo_drive.data.layouts.known_layouts import BOXES, KINDS, layouts

SPLITS = ("train", "val", "test")
EACH = pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.write.__name__)


@pytest.fixture
def every():
    return pictures(np.random.default_rng(1))


def test_every_layout_that_is_known_is_read_and_tried():
    assert set(READERS) == set(KINDS[BOXES].signs) == {layout.name for layout in LAYOUTS}


@EACH
def test_equal_content_gives_equal_listings(tmp_path, every, layout):
    layout.write(tmp_path, without_crowds(every, layout))
    assert layouts(tmp_path, BOXES) == [layout.name] and layout_of(tmp_path) == layout.name
    listing = list_boxes(tmp_path)
    assert listed(listing, layout.splits) == known(every, layout)
    assert set(listing.class_names) == set(NAMES)
    for split in SPLITS:
        assert (listing[split].sizes == SIZE).all()
        assert [file.is_file() for file in listing[split].files] == [True] * len(listing[split])


def test_a_folder_that_holds_a_layout_beside_something_else_says_where(tmp_path, every):
    LAYOUTS[0].write(tmp_path / "mine" / "coco", every)
    (tmp_path / "README.md").touch()
    with pytest.raises(BadInput, match=f"{tmp_path / 'mine' / 'coco'} holds boxes .COCO JSON.: name that folder."):
        list_boxes(tmp_path)


@EACH
def test_what_a_zip_put_around_data_changes_nothing(tmp_path, every, layout):
    layout.write(tmp_path / "archive (1)" / "data set", without_crowds(every, layout))
    for junk in (".DS_Store", "__MACOSX/._data set"):
        (tmp_path / junk).parent.mkdir(exist_ok=True)
        (tmp_path / junk).touch()
    assert listed(list_boxes(tmp_path), layout.splits) == known(every, layout)


EMPTY = {
    "coco": "annotations/instances_{}2017.json", "coco_of_roboflow": "{}/_annotations.coco.json",
    "csv_of_tensorflow": "{}_labels.csv", "voc": "", "cityscapes": "", "bdd100k": "", "csv_boxes": "",
}  # fmt: skip
"""Layouts that tell splits, and what their writers make of one without an image."""


@pytest.mark.parametrize(
    "layout", [one for one in LAYOUTS if one.write.__name__ in EMPTY], ids=lambda one: one[1].__name__
)
def test_where_no_split_is_called_train_all_are_drawn_from_the_one_there_is(tmp_path, every, layout, caplog):
    layout.write(tmp_path, [one._replace(split="val") for one in without_crowds(every, layout)])
    for split in ("train", "test") if EMPTY[layout.write.__name__] else ():
        (tmp_path / EMPTY[layout.write.__name__].format(split)).unlink()
    found = list_boxes(tmp_path)
    things, told = (
        {stem: one for stem, (_, one) in listing.items()} for listing in (listed(found, False), known(every, layout))
    )
    assert things == told and found.sampled == ("val", "test")
    assert "no split is called train, so val is taken for it." in caplog.text


@EACH
def test_classes_can_be_chosen_in_every_layout(tmp_path, every, layout):
    layout.write(tmp_path, without_crowds(every, layout))
    whole = known(every, layout)
    found = listed(list_boxes(tmp_path, ("person", "bus")), layout.splits)
    assert found == {stem: (split, [t for t in things if t[0] != "car"]) for stem, (split, things) in whole.items()}


@EACH
def test_a_missing_image_is_counted_and_named_or_left_out_in_every_layout(tmp_path, every, layout):
    layout.write(tmp_path, without_crowds(every, layout))
    (lost,) = (file for file in tmp_path.rglob("*000003*") if file.suffix.lower() in (".png", ".jpg"))
    lost.unlink()
    if layout.name == "YOLO" and layout.write.__name__ != "darknet":  # there, images say what there is
        assert len(listed(list_boxes(tmp_path), layout.splits)) == len(every) - 1
        return
    with pytest.raises(
        BadInput, match=r"1 of \d+ images or boxes cannot be used: .*(000003.*| 3) is missing.*skip_bad=True"
    ):
        list_boxes(tmp_path)
    left = known(every, layout)
    del left["000003"]
    assert listed(list_boxes(tmp_path, skip_bad=True), layout.splits) == left


@EACH
def test_an_empty_folder_of_images_is_one_line_in_every_layout(tmp_path, every, layout):
    layout.write(tmp_path, without_crowds(every, layout))
    for file in tmp_path.rglob("*"):
        if file.suffix.lower() in (".png", ".jpg"):
            file.unlink()
    with pytest.raises(BadInput) as error:
        list_boxes(tmp_path)
    assert str(tmp_path) in str(error.value) and "\n" not in str(error.value)
