"""What is peculiar to Pascal VOC, KITTI, BDD100K, Cityscapes and CSV files of boxes."""

import json
import shutil

import numpy as np
import pytest
import written_boxes
from written_boxes import pictures

from tfmo_drive.contracts import BadInput
from tfmo_drive.data.layouts.boxes.box_listing import layout_of, list_boxes
from tfmo_drive.data.layouts.listing import list_source

SPLITS = ("train", "val", "test")


@pytest.fixture
def every():
    return pictures(np.random.default_rng(2))


def of_stem(listing, stem):
    return next(
        (listing[split], index)
        for split in SPLITS
        for index, file in enumerate(listing[split].files)
        if stem in file.stem
    )


@pytest.mark.parametrize("layout", written_boxes.LAYOUTS, ids=lambda layout: layout.write.__name__)
def test_no_layout_of_boxes_is_taken_for_folders_of_classes(tmp_path, every, layout):
    layout.write(tmp_path, every)
    with pytest.raises(BadInput, match="--experiment=detection and those like it read that"):
        list_source(tmp_path)


def test_the_first_layout_counts_where_a_folder_shows_several(tmp_path, every, logged):
    written_boxes.voc(tmp_path, every)
    written_boxes.yolo_without_settings(tmp_path, every)
    assert layout_of(tmp_path) == "Pascal VOC"
    assert any("boxes as Pascal VOC and as YOLO; Pascal VOC is read" in line for line in logged)


def test_pixels_of_the_challenge_itself_begin_at_one(tmp_path, every):
    written_boxes.voc(tmp_path, every)
    path = tmp_path / "Annotations/000000.xml"
    path.write_text(
        path.read_text().replace("<size>", "<source><annotation>PASCAL VOC2012</annotation></source><size>")
    )
    split, index = of_stem(list_boxes(tmp_path), "000000")
    x0, y0, x1, y1 = every[0].things[0].box
    assert split.truths[index].boxes[0].tolist() == [x0 - 1, y0 - 1, x1, y1]


def test_images_of_equal_names_in_two_cities_are_two(tmp_path, every):
    written_boxes.cityscapes(tmp_path, every)
    for kind in ("leftImg8bit", "gtFine"):
        for path in sorted((tmp_path / kind).rglob("*_000019_*")):
            number = int(path.name.split("_")[1])
            place = path.parent.parent / ("aachen", "ulm")[number % 2]
            place.mkdir(exist_ok=True)
            path.rename(place / path.name.replace(f"aachen_{number:06}", f"frame_{number // 2:06}"))
    listing = list_boxes(tmp_path)
    for one in every:
        place = f"{one.split}/{('aachen', 'ulm')[one.number % 2]}/frame_{one.number // 2:06}_000019_leftImg8bit.png"
        (row,) = (row for row, file in enumerate(listing[one.split].files) if file.as_posix().endswith(place))
        assert len(listing[one.split].truths[row]) == len(one.things)


def test_every_folder_of_xml_files_below_annotations_is_read(tmp_path, every, logged):
    written_boxes.voc_without_sets(tmp_path, every)
    for one in every[8:]:
        for folder, suffix in (("annotations", "xml"), ("images", "png")):
            (tmp_path / folder / "more").mkdir(exist_ok=True)
            (tmp_path / folder / f"{one.stem}.{suffix}").rename(tmp_path / folder / "more" / f"{one.stem}.{suffix}")
    assert sum(len(list_boxes(tmp_path)[split]) for split in SPLITS) == 12


@pytest.mark.parametrize("form", ["{}.jpg", "./JPEGImages/{}.jpg ./Annotations/{}.xml", "C:\\a\\{}.JPG"])
@pytest.mark.parametrize("inner", ["", "front/"])
@pytest.mark.parametrize("place", ["ImageSets/Main", "ImageSets", ""])
def test_however_lists_of_voc_name_images(tmp_path, every, form, inner, place):
    written_boxes.voc(tmp_path, every)
    for folder in ("JPEGImages", "Annotations") if inner else ():
        (tmp_path / folder).rename(tmp_path / "moved")
        (tmp_path / folder).mkdir()
        (tmp_path / "moved").rename(tmp_path / folder / inner)
    (tmp_path / "ImageSets").rename(tmp_path.parent / f"{tmp_path.name}_lists")
    (tmp_path / place).mkdir(parents=True, exist_ok=True)
    for split in SPLITS:
        stems = [f"{inner}{one.stem}" for one in every if one.split == split]
        (tmp_path / place / f"{split}.txt").write_text("".join(f"{form}\n".format(stem, stem) for stem in stems))
    listing = list_boxes(tmp_path)
    assert {file.stem: split for split in SPLITS for file in listing[split].files} == {
        one.stem: one.split for one in every
    }


@pytest.mark.parametrize("line", [".", "/", "..", "none.jpg"])
def test_a_line_of_a_list_of_voc_that_names_no_image_is_counted(tmp_path, every, line):
    written_boxes.voc(tmp_path, every)
    path = tmp_path / "ImageSets/Main/train.txt"
    path.write_text(f"{path.read_text()}{line}\n")
    with pytest.raises(BadInput, match="1 of 13 "):
        list_boxes(tmp_path)


@pytest.mark.parametrize("name", ["gtFine/{}/aachen/_polygons.json", "leftImg8bit/{}/aachen/_leftImg8bit.png"])
def test_a_file_of_cityscapes_that_is_called_by_its_ending_alone_is_no_traceback(tmp_path, every, name):
    written_boxes.cityscapes(tmp_path, every)
    path = tmp_path / name.format("train")
    shutil.copy(min(path.parent.iterdir()), path)
    if path.suffix == ".png":
        assert sum(len(list_boxes(tmp_path)[split]) for split in SPLITS) == 12
    else:
        with pytest.raises(BadInput, match="1 of 17 images or boxes cannot be used"):
            list_boxes(tmp_path)


def test_no_image_of_voc_is_taken_from_the_masks(tmp_path, every):
    written_boxes.voc(tmp_path, every)
    (tmp_path / "JPEGImages").rename(tmp_path / "SegmentationClass")
    with pytest.raises(BadInput, match="none of its images can be used: .* is missing"):
        list_boxes(tmp_path)


def test_lists_of_voc_say_which_images_count(tmp_path, every, logged):
    written_boxes.voc(tmp_path, every)
    lists = tmp_path / "ImageSets/Main"
    (lists / "val.txt").unlink()
    (lists / "train.txt").rename(lists / "trainval.txt")
    listing = list_boxes(tmp_path)
    assert sum(len(listing[split]) for split in SPLITS) == 8 and len(listing["test"]) == 4
    assert any("4 of 12 XML files are in no list of ImageSets, and not used: 000001" in line for line in logged)
    (tmp_path / "Annotations/000000.xml").unlink()
    with pytest.raises(BadInput, match=r"image JPEGImages/000000.jpg \(.*000000.xml cannot be read: No such file"):
        list_boxes(tmp_path)


@pytest.mark.parametrize(("old", "new", "said"), [
    ("<xmin>", "<xmin>x", "no bndbox with a number for \"xmin\""), ("<name>bus", "<name>", "object 1 (no name"),
    ("<difficult>0", "<difficult>2", 'difficult "2" is not 0 or 1'), ("<annotation>", "<!DOCTYPE a><annotation>", ""),
    ("</annotation>", "", "is not an annotation of Pascal VOC"), ("annotation>", "page>", "but <page>"),
    ("<annotation>", '<!DOCTYPE a [<!ENTITY b "c">]><annotation>', "EntitiesForbidden"),
])  # fmt: skip
def test_an_xml_file_that_cannot_be_meant_is_named(tmp_path, every, old, new, said):
    written_boxes.voc(tmp_path, every)
    path = tmp_path / "Annotations/000000.xml"
    path.write_text(path.read_text().replace(old, new))
    if not said:
        list_boxes(tmp_path)
        return
    with pytest.raises(BadInput) as error:
        list_boxes(tmp_path)
    assert said in str(error.value) and "000000.xml" in str(error.value)
    assert sum(len(list_boxes(tmp_path, skip_bad=True)[split]) for split in SPLITS) == 11


def test_where_nobody_looked_is_a_crowd_of_every_class(tmp_path, every):
    written_boxes.kitti(tmp_path, every)
    path = tmp_path / "training/label_2/000000.txt"
    path.write_text(path.read_text() + "DontCare -1 -1 -10 1.00 2.00 6.00 7.00 -1 -1 -1 -1000 -1000 -1000 -10\n")
    listing = list_boxes(tmp_path)
    split, index = of_stem(listing, "000000")
    truth = split.truths[index]
    assert listing.class_names == ("bus", "car", "person") and len(truth) == 6
    assert truth.boxes[truth.crowd].tolist() == [[1, 2, 6, 7]] * 3 and sorted(truth.classes[truth.crowd]) == [0, 1, 2]


def test_what_is_told_of_frames_becomes_attributes(tmp_path, every):
    written_boxes.bdd100k(tmp_path, every)
    path = tmp_path / "labels/det_20/det_train.json"
    frames = json.loads(path.read_text())
    del frames[1]["attributes"]
    path.write_text(json.dumps(frames))
    listing = list_boxes(tmp_path)
    assert listing["train"].attributes["weather"].tolist() == ["clear", "unknown", "clear", "rainy"]
    assert set(listing["val"].attributes) == {"weather", "timeofday", "scene"}
    alone = list_boxes(path)
    assert sum(len(alone[split]) for split in SPLITS) == 4 and "weather" in alone["test"].attributes


def test_a_split_of_cityscapes_that_shows_no_object_is_left_out(tmp_path, every, logged):
    written_boxes.cityscapes(tmp_path, every)
    for path in (tmp_path / "gtFine/test").rglob("*.json"):
        path.write_text(json.dumps(json.loads(path.read_text()) | {"objects": []}))
    listing = list_boxes(tmp_path)
    assert listing.class_names == ("person", "car", "bus") and len(listing["test"]) == 4
    assert any("no polygon of gtFine/test is of an object" in line for line in logged)
    assert list_boxes(tmp_path, ("car", "road")).class_names == ("car", "road")


def test_rows_of_a_csv_that_are_none_are_named_with_their_lines(tmp_path, every):
    written_boxes.csv_without_header(tmp_path, every)
    path = tmp_path / "boxes.csv"
    lines = path.read_text().splitlines()
    cells = lines[0].split(",")
    path.write_text("\n".join([*lines, ",".join([*cells[:5], ""]), ",".join([cells[0], "x", *cells[2:]])]) + "\n")
    with pytest.raises(BadInput) as error:
        list_boxes(tmp_path)
    for said in (
        f"boxes.csv, line {len(lines) + 1} (no class)",
        f'boxes.csv, line {len(lines) + 2} ("x" is no number)',
    ):
        assert said in str(error.value)


def test_an_image_of_a_csv_in_two_splits_is_refused(tmp_path, every):
    written_boxes.csv_boxes(tmp_path, every)
    path = tmp_path / "boxes.csv"
    row = next(line for line in path.read_text().splitlines() if ";train;" in line)
    path.write_text(path.read_text() + row.replace(";train;", ";test;") + "\n")
    with pytest.raises(BadInput, match="is in train and in test"):
        list_boxes(tmp_path)


def test_names_of_classes_beside_a_csv_give_numbers_a_meaning(tmp_path, every):
    written_boxes.csv_without_header(tmp_path, every)
    path = tmp_path / "boxes.csv"
    text = path.read_text()
    for number, name in enumerate(("person", "bus", "car")):
        text = text.replace(f",{name}\n", f",{number}\n")
    path.write_text(text)
    assert list_boxes(tmp_path).class_names == ("0", "1", "2")
    (tmp_path / "classes.txt").write_text("person\nbus\ncar\n")
    listing = list_boxes(tmp_path)
    split, index = of_stem(listing, "000000")
    assert listing.class_names == ("person", "bus", "car") and split.truths[index].classes.tolist() == [1, 2, 0]


def test_why_no_image_has_an_object_is_told(tmp_path, every):
    written_boxes.kitti_as_unpacked(tmp_path, every)
    for path in tmp_path.rglob("*.txt"):
        path.write_bytes(b"\xff")
    with pytest.raises(BadInput, match=r"none of its 12 images has an object. Of .*000000.*0xff, which is not UTF-8"):
        list_boxes(tmp_path)


def rows_of_objects(folder, every):
    """Writes boxes.csv without a header and its images; returns its layout and the cells of every box's line."""
    layout = next(one for one in written_boxes.LAYOUTS if one.write is written_boxes.csv_without_header)
    layout.write(folder, written_boxes.without_crowds(every, layout))
    lines = (folder / "boxes.csv").read_text().splitlines()
    return layout, [line.split(",") for line in lines if not line.endswith(",")]


def test_images_in_no_line_of_gt_txt_hold_no_sign(tmp_path, every):
    layout, rows = rows_of_objects(tmp_path, every)
    (tmp_path / "boxes.csv").unlink()
    (tmp_path / "gt.txt").write_text("\n".join(map(";".join, rows)))
    assert written_boxes.listed(list_boxes(tmp_path), False) == written_boxes.known(every, layout)


def test_makesenses_rows_begin_with_the_class_and_have_no_header(tmp_path, every):
    layout, rows = rows_of_objects(tmp_path, every)
    lines = [[kind, x, y, str(float(right) - float(x)), str(float(bottom) - float(y)), file, "99", "99"]
             for file, x, y, right, bottom, kind in rows]  # fmt: skip
    (tmp_path / "boxes.csv").write_text("\n".join(map(",".join, lines)))
    whole = {stem: told for stem, told in written_boxes.known(every, layout).items() if told[1]}
    assert written_boxes.listed(list_boxes(tmp_path), False) == whole


def test_a_csv_of_train_and_val_together_is_not_read_beside_them(tmp_path, every, logged):
    written_boxes.csv_of_tensorflow(tmp_path, every)
    texts = [(tmp_path / f"{split}_labels.csv").read_text() for split in ("train", "val")]
    (tmp_path / "trainval_labels.csv").write_text(texts[0] + texts[1].partition("\n")[2])
    assert [len(list_boxes(tmp_path)[split]) for split in SPLITS] == [4, 4, 4]
    assert any('not read beside those of train and val: "trainval_labels.csv"' in line for line in logged)


@pytest.mark.parametrize("place", ["", "data/"])
@pytest.mark.parametrize("images", ["{}", "images/{}"])
def test_each_csv_of_a_split_has_the_images_of_its_own_folder(tmp_path, every, place, images):
    written_boxes.csv_of_tensorflow(tmp_path, every)
    (tmp_path / place).mkdir(exist_ok=True)
    for one in every:
        (tmp_path / images.format(one.split)).mkdir(parents=True, exist_ok=True)
        path = tmp_path / f"images/{one.stem}.jpg"
        path.rename(tmp_path / images.format(one.split) / f"{one.number // 3:06}.jpg")
    for split in SPLITS:
        path = tmp_path / f"{split}_labels.csv"
        lines = path.read_text().splitlines()
        rows = [f"{int(line[:6]) // 3:06}{line[6:]}" for line in lines[1:]]
        path.rename(tmp_path / place / path.name).write_text("\n".join([lines[0], *rows]))
    listing = list_boxes(tmp_path)
    assert {(file.parent.name, split) for split in SPLITS for file in listing[split].files} == {(s, s) for s in SPLITS}


def test_a_line_of_another_number_of_words_is_named(tmp_path, every):
    written_boxes.csv_of_udacity(tmp_path, every)
    path = tmp_path / "labels.csv"
    path.write_text(f"{path.read_text()}0.jpg 1 2 3\n")
    with pytest.raises(BadInput, match=r"labels.csv, line \d+: 8 cells expected \(file, xmin, .*\), got 4"):
        list_boxes(tmp_path)


def test_a_table_calls_images_by_frame_and_classes_by_name_beside_ids_of_both(tmp_path, every):
    layout, rows = rows_of_objects(tmp_path, every)
    ids = [[str(number), *row, str("abc".find(row[5][0]))] for number, row in enumerate(rows)]
    lines = [["id", "frame", "xmin", "ymin", "xmax", "ymax", "class_name", "class_id"], *ids]
    (tmp_path / "boxes.csv").write_text("\n".join(map(",".join, lines)))
    whole = {stem: told for stem, told in written_boxes.known(every, layout).items() if told[1]}
    assert written_boxes.listed(list_boxes(tmp_path), False) == whole


def test_lists_of_kitti_may_name_files(tmp_path, every):
    written_boxes.kitti(tmp_path, every)
    for path in (tmp_path / "ImageSets").iterdir():
        path.write_text(path.read_text().replace("\n", ".png\n"))
    assert [len(list_boxes(tmp_path)[split]) for split in SPLITS] == [4, 4, 4]


def test_a_text_that_lists_no_xml_file_is_no_list_of_voc(tmp_path, every):
    written_boxes.voc_without_sets(tmp_path, every)
    (tmp_path / "train.txt").write_text("see the readme\n")
    assert sum(len(list_boxes(tmp_path)[split]) for split in SPLITS) == 12


@pytest.mark.parametrize("cell", ['34"""', '3"4', '"34', '"3"4', '"3 4"5"'])
def test_a_stray_quote_between_spaces_is_named(tmp_path, every, cell):
    written_boxes.csv_of_udacity(tmp_path, every)
    path = tmp_path / "labels.csv"
    lines = path.read_text().split("\n")
    path.write_text("\n".join([*lines[:3], f'000000.jpg {cell} 1 9 9 0 "car"', *lines[3:]]))
    with pytest.raises(BadInput, match="line 4 holds a quote that does not stand around a whole cell"):
        list_boxes(tmp_path)
