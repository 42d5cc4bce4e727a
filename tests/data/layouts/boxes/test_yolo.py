"""YOLO's dialects: where data.yaml's paths lead, what labels mean, and what is said of them."""

import pytest
from PIL import Image

from tfmo_drive.contracts import BadInput
from tfmo_drive.data.layouts.boxes.box_listing import layout_of, list_boxes
from tfmo_drive.data.layouts.listing import list_source

SPLITS = ("train", "val", "test")


def written(root, images="images", labels="labels", count=4, line="0 0.5 0.5 0.5 0.5", suffix=".jpg"):
    for split in SPLITS:
        for number in range(count):
            for folder, name in ((images, f"{split}{number}{suffix}"), (labels, f"{split}{number}.txt")):
                place = root / folder.format(split=split)
                place.mkdir(parents=True, exist_ok=True)
                if name.endswith(".txt"):
                    (place / name).write_text(line + "\n")
                else:
                    Image.new("RGB", (20, 10)).save(place / name)
    return root


def counts(listing):
    return [len(listing[split]) for split in SPLITS]


@pytest.mark.parametrize(("images", "labels", "said"), [
    ("{split}/images", "{split}/labels", "../{split}/images"), ("images/{split}", "labels/{split}", "images/{split}"),
    ("image/{split}", "label/{split}", "./image/{split}"),
    ("{split}/images", "{split}/labels", "{root}/{split}/images"),
    ("{split}/images", "{split}/labels", "C:\\data\\mine\\{split}\\images"),
    ("{split}/images", "{split}/labels", "/content/set-3/{split}/images"), ("{split}", "{split}", "{split}"),
    ("deep/images/{split}", "deep/labels/{split}", "/x/y/deep/images/{split}"),
    ("images/{split}", "labels/{split}", "/content/set-3/images/{split}"),
    ("images/{split}", "labels/{split}", "D:\\mine\\images\\{split}"),
])  # fmt: skip
@pytest.mark.parametrize("path", ["", "path: /gone/away\n", "path: .\n", "path: ../{name}\n"])
def test_wherever_a_path_of_data_yaml_leads(tmp_path, images, labels, said, path):
    root = written(tmp_path / "set", images, labels)
    lines = [f"{split}: {said.format(split=split, root=root)}" for split in SPLITS]
    (root / "data.yaml").write_text(path.format(name="set") + "\n".join([*lines, "nc: 1", "names: [car]"]))
    assert counts(list_boxes(root)) == counts(list_boxes(root / "data.yaml")) == [4, 4, 4]
    assert list_boxes(root)["val"].truths[0].boxes.tolist() == [[5, 2.5, 15, 7.5]]


@pytest.mark.parametrize(("images", "labels"), [
    ("data/{split}", "labels/{split}"), ("{split}/images", "labels/{split}"), ("{split}", "{split}_labels"),
    ("Images", "Labels"), ("images", "txt"), ("photos/{split}", "photos/yolo/{split}"),
    ("set/jpg/{split}", "set/txt/{split}"),
    ("images/{split}", "labels_yolo/{split}"), ("{split}/images", "{split}/labelTxt"), ("images", "annotations"),
])  # fmt: skip
def test_wherever_labels_lie(tmp_path, images, labels):
    root = written(tmp_path, images, labels, count=12)
    assert layout_of(root) == "YOLO"
    listing = list_boxes(root)
    assert sum(counts(listing)) == 36 and len(listing["train"].truths[0].boxes) == 1
    if "split" in images:
        assert counts(listing) == [12, 12, 12]


def test_labels_of_another_split_are_none(tmp_path):
    root = written(tmp_path, "data/{split}", "labels/{split}", count=12)
    for number in range(12):
        (root / f"labels/val/val{number}.txt").rename(root / f"labels/train/val{number}.txt")
    (root / "labels/val").rmdir()
    assert not any("val" in file.name for split in list_boxes(root).splits.values() for file in split.files)


@pytest.mark.parametrize(("images", "labels"), [("{split}/images", "{split}/labels"), ("{split}", "{split}")])
@pytest.mark.parametrize("file", ["data.yaml", "classes.txt"])
def test_the_folder_of_one_split_alone_finds_its_classes_above(tmp_path, monkeypatch, caplog, images, labels, file):
    root = written(tmp_path, images, labels, count=12)
    (root / file).write_text("train: ../train/images\nnc: 1\nnames: [car]\n" if file == "data.yaml" else "car\n")
    monkeypatch.chdir(root / "train")
    for data in (root / "train", "."):
        listing = list_boxes(data)
        assert listing.class_names == ("car",) and sum(counts(listing)) == 12


@pytest.mark.parametrize("place", ["images/train", "images"])
def test_images_without_their_labels_are_told_where_those_are(tmp_path, place):
    root = written(tmp_path, "images/{split}", "labels/{split}")
    with pytest.raises(BadInput, match=rf"which holds 4 .jpg. {tmp_path} holds boxes \(YOLO\): name that folder."):
        list_source(root / place)


def test_data_yaml_alone_leads_to_images_that_lie_elsewhere(tmp_path):
    written(tmp_path / "photos", "{split}/images", "{split}/labels")
    (tmp_path / "settings").mkdir()
    lines = [f"{split}: ../photos/{split}/images" for split in SPLITS]
    (tmp_path / "settings/my.yaml").write_text("\n".join([*lines, "names:\n  0: no\n"]))
    assert layout_of(tmp_path / "settings") == "YOLO"
    listing = list_boxes(tmp_path / "settings")
    assert counts(listing) == [4, 4, 4] and listing.class_names == ("no",)  # and not False


def test_several_folders_and_lists_of_images_make_one_split(tmp_path, logged):
    root = written(tmp_path, "images/{split}", "labels/{split}")
    (root / "more.txt").write_text("./images/test/test0.jpg\n\nD:\\x\\images\\test\\test1.jpg\n")
    (root / "data.yaml").write_text("train: [images/train, more.txt]\nval: images/val\ntest:\nnames: [car]\n")
    listing = list_boxes(root)
    assert len(listing["train"]) + len(listing["val"]) == 6 and len(listing["test"]) == 4  # val is what is reported


@pytest.mark.parametrize(("val", "test", "told"), [
    ("train", "", "val names the images of train"), ("train", "train", "test names the images of train"),
    ("test", "test", "val names the images of test"), ("train", "test", "val names the images of train"),
])  # fmt: skip
def test_a_split_of_the_very_images_of_another_is_none(tmp_path, caplog, val, test, told):
    root = written(tmp_path, "images/{split}", "labels/{split}", count=12)
    places = {"train": "train", "val": val, "test": test}
    lines = [f"{split}: images/{place}" for split, place in places.items() if place]
    (root / "data.yaml").write_text("\n".join([*lines, "names: [car]"]))
    listing = list_boxes(root)
    assert told in caplog.text
    drawn = {file.name for split in SPLITS for file in listing[split].files if file.name.startswith("train")}
    assert len(drawn) == 12 and min(counts(listing)) > 0
    if test == "test":
        assert {file.name for file in listing["test"].files} == {f"test{number}.jpg" for number in range(12)}


def test_lists_that_share_a_folder_leave_no_label_of_it_over(tmp_path, caplog):
    root = written(tmp_path, count=12)
    for split in SPLITS:
        (root / f"{split}.txt").write_text("".join(f"./images/{split}{number}.jpg\n" for number in range(12)))
    assert counts(list_boxes(root)) == [12, 12, 12] and "belong to no image" not in caplog.text
    (root / "labels/other.txt").write_text("0 0.5 0.5 0.5 0.5\n")
    assert counts(list_boxes(root)) == [12, 12, 12] and "1 label files belong to no image" in caplog.text


def test_images_without_a_label_hold_no_object_and_are_counted(tmp_path, logged):
    root = written(tmp_path, "images/{split}", "labels/{split}")
    (root / "labels/train/train1.txt").unlink()
    (root / "labels/train/train2.txt").write_text("\n")
    (root / "labels/train/other.txt").write_text("0 0.5 0.5 0.5 0.5\n")
    listing = list_boxes(root)
    assert [len(truth) for truth in listing["train"].truths] == [1, 0, 0, 1]
    assert any("of 12 images, 1 have no label file and 1 have an empty label file" in line for line in logged)
    assert any("1 label files belong to no image" in line for line in logged)
    assert any("no file says what the classes are called" in line for line in logged)


def test_a_split_without_any_label_is_refused_or_left_out(tmp_path, logged):
    root = written(tmp_path, "images/{split}", "labels/{split}")
    for file in (root / "labels/test").iterdir():
        file.unlink()
    assert len(list_boxes(root)["test"]) == 4  # those of val
    assert any("none of the 4 images of test has a label" in line for line in logged)
    for file in (root / "labels/train").iterdir():
        file.unlink()
    with pytest.raises(BadInput, match="none of its 4 images of train has a label, looked for in .*labels/train"):
        list_boxes(root)


def test_boxes_in_pixels_are_refused_in_one_line(tmp_path):
    written(tmp_path, line="0 10 5 8 4")
    with pytest.raises(BadInput, match=r"must be shares of the image in 0..1 .*labels/t.*0.txt, line 1: pixels\?"):
        list_boxes(tmp_path)


def test_texts_that_list_the_images_of_splits_are_followed(tmp_path):
    root = written(tmp_path, "images", "labels")
    (root / "labels" / "train").mkdir()
    (root / "labels" / "train" / "classes.txt").write_text("car\n")
    for split in SPLITS:
        (root / f"{split}.txt").write_text("".join(f"./images/{split}{number}.jpg\n" for number in range(3)))
    listing = list_boxes(root)
    assert counts(listing) == [3, 3, 3] and listing.class_names == ("car",)
    assert {file.name[:-5] for file in listing["val"].files} == {"val"}


def test_one_text_that_lists_images_hides_no_other_split(tmp_path):
    root = written(tmp_path, "images/100k/{split}", "labels/100k/{split}")
    (root / "train.txt").write_text("images/100k/train/train0.jpg\n")
    assert counts(list_boxes(root)) == [4, 4, 4]


def test_settings_may_lie_in_a_folder_of_their_own(tmp_path):
    root = written(tmp_path, "images/{split}", "labels/{split}", suffix=".JPG")
    for label in root.rglob("*.txt"):
        label.rename(label.with_suffix(".TXT"))
    lines = ["path: ../", *(f"{split}: images/{split}" for split in SPLITS), "names: [car]"]
    (root / "config").mkdir()
    (root / "config" / "data.yaml").write_text("\n".join(lines))
    listing = list_boxes(root)
    assert counts(listing) == [4, 4, 4] and listing.class_names == ("car",)
    with pytest.raises(BadInput, match=f"{root} holds boxes .YOLO.: name that folder."):
        list_boxes(root / "images" / "val")


def test_how_sure_a_detector_was_is_no_part_of_its_box(tmp_path):
    root = written(tmp_path, "{split}", "{split}", line="0 0.5 0.5 0.5 0.5 0.91")
    (root / "train" / "_darknet.labels").write_text("car\n")
    listing = list_boxes(root)
    assert listing.class_names == ("car",) and listing["val"].truths[0].boxes.tolist() == [[5, 2.5, 15, 7.5]]


@pytest.mark.parametrize(("line", "said"), [
    ("0 0.5 0.5 0.5", "4 numbers, and not class"), ("0 0.5 0.5 0.5 0.5 7", "6 numbers, and not class"),
    ("car 0.5 0.5 0.5 0.5", '"car 0.5 0.5 0.5 0.5" is not numbers'), ("0.5 0.5 0.5 0.5 0.5", '"0.5" is no id'),
    ("-1 0.5 0.5 0.5 0.5", '"-1" is no id'), ("7 0.5 0.5 0.5 0.5", "no category 7"),
    ("0 nan 0.5 0.5 0.5", "is not x, y, width, height"), ("0 0.5 0.5 0 0.5", "box of 0 x 5, no area"),
    ("0 1.2 0.5 0.1 0.5", "box [23, 2.5, 25, 7.5] outside its image of 20 x 10"),
])  # fmt: skip
def test_a_line_that_is_none_is_named_with_its_file(tmp_path, line, said):
    root = written(tmp_path, "images/{split}", "labels/{split}")
    (root / "classes.txt").write_text("car\n")
    (root / "labels/train/train1.txt").write_text(f"0 0.5 0.5 0.2 0.2\n{line}\n")
    with pytest.raises(BadInput) as error:
        list_boxes(root)
    assert f"labels/train/train1.txt, line 2 ({said}" in str(error.value).replace("bbox [nan, 2.5, nan, 5] ", "")


@pytest.mark.parametrize(("text", "said"), [
    ("train: gone/images\nnames: [car]\n", "train is gone/images, which is not there"),
    ("train: images/train\nnames: [car]\nnc: 2\n", "nc says 2 classes, names 1"),
    ("train: images/train\nnames: {a: car}\n", "names must be a list of names or {id: name}"),
    ("train: images/train\nnames: [[car]]\n", "names must be a list of names or {id: name}"),
    ("train: {a: b}\nnames: [car]\n", "train must be a path or a list of paths"),
    ("train: images/train\nnames: [car, car]\n", '"car" more than once'),
    ("train: [\nnames: x\n", "is not a data.yaml"), ("train: /other/images\nnames: [car]\n", "which is not there"),
])  # fmt: skip
def test_a_data_yaml_that_cannot_be_meant_is_one_line(tmp_path, text, said):
    root = written(tmp_path, "images/{split}", "labels/{split}")
    (root / "data.yaml").write_text(text)
    with pytest.raises(BadInput, match=said.replace("[", r"\[").replace("{", r"\{")) as error:
        list_boxes(root)
    assert "data.yaml" in str(error.value) and "\n" not in str(error.value)


def test_an_image_that_cannot_be_read_is_named_or_left_out(tmp_path):
    root = written(tmp_path, "images/{split}", "labels/{split}")
    (root / "images/train/train1.jpg").write_bytes(b"x")
    with pytest.raises(BadInput, match=r"image images/train/train1.jpg \(cannot be read: not an image"):
        list_boxes(root)
    assert counts(list_boxes(root, skip_bad=True)) == [3, 4, 4]
