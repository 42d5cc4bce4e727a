import shutil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tfmo_drive.contracts import BadInput
from tfmo_drive.data.layouts.csv_listing import list_csv
from tfmo_drive.data.layouts.label_listing import list_labels
from tfmo_drive.data.layouts.listing import list_folder, list_source
from tfmo_drive.data.splitting import SPLITS, Rows, assemble


@pytest.fixture
def root(tmp_path):
    return tmp_path / "signs"


def folders(root, layout):
    for name, count in layout.items():
        (root / name).mkdir(parents=True)
        for index in range(count):
            (root / name / f"{index}.png").write_bytes(b"")
    return root


def table(root, lines, name="index.csv", make=True):
    root.mkdir(parents=True, exist_ok=True)
    (root / name).write_text("\n".join(lines) + "\n")
    if make:
        for line in lines[1:]:
            (root / line.split(",")[0].split(";")[0]).write_bytes(b"")
    return root / name


def test_given_splits_are_kept(root):
    folders(root, {f"{split}/{c}": 2 for split in ("train", "valid", "test") for c in ("car", "bus")})
    listing = list_folder(root)
    assert listing.class_names == ("bus", "car")
    for split, folder in (("train", "train"), ("val", "valid"), ("test", "test")):
        assert [file.parts[-3] for file in listing[split].files] == [folder] * 4
        assert listing[split].labels.tolist() == [0, 0, 1, 1]
        assert listing[split].labels.dtype == listing[split].groups.dtype == np.int64


def test_a_folder_of_classes_is_split_in_proportion_and_by_seed(root):
    folders(root, {"car": 40, "bus": 20})
    listing = list_folder(root, seed=1)
    assert [np.bincount(listing[s].labels).tolist() for s in SPLITS] == [[14, 28], [3, 6], [3, 6]]
    assert listing["test"].files == list_folder(root, seed=1)["test"].files
    assert listing["test"].files != list_folder(root, seed=2)["test"].files


def test_a_missing_val_comes_out_of_train(root):
    folders(root, {"train/car": 20, "train/bus": 20, "test/car": 3, "test/bus": 3})
    listing = list_folder(root)
    assert [len(listing[s]) for s in SPLITS] == [34, 6, 6]
    assert {file.parts[-3] for file in listing["val"].files} == {"train"}


def test_numbered_folders_are_in_the_order_of_their_numbers(root):
    folders(root, {str(number): 3 for number in (10, 2, 0, 1)})
    assert list_folder(root).class_names == ("0", "1", "2", "10")


def test_declared_class_names_give_the_order(root):
    folders(root, {"car": 5, "bus": 5})
    listing = list_folder(root, class_names=("car", "bus"))
    train = listing["train"]
    assert [file.parent.name == "bus" for file in train.files] == train.labels.astype(bool).tolist()
    with pytest.raises(BadInput, match='"bus" is not a class. Did you mean "buss"'):
        list_folder(root, class_names=("car", "buss"))


def test_class_names_in_the_folder_are_never_passed_over(root):
    folders(root, {"car": 5, "bus": 5})
    (root / "classes.txt").write_text("car\nbus\n")
    assert list_source(root).class_names == ("car", "bus")


def test_numbered_folders_are_ids_of_declared_names(root):
    folders(root, {"00000": 5, "00001": 5})
    train = list_folder(root, class_names=("stop", "yield"))["train"]
    assert [int(file.parent.name) for file in train.files] == train.labels.tolist()
    with pytest.raises(BadInput, match=r"00001: labels must be in 0..0 \(1 classes\), got 00001"):
        list_folder(root, class_names=("stop",))


def test_folders_that_hold_no_data_are_refused(root):
    with pytest.raises(BadInput, match="There is no .*signs. Expected a folder of classes"):
        list_source(root)
    root.mkdir()
    with pytest.raises(BadInput, match="No images in folders of classes under .*signs. Expected one folder"):
        list_source(root)
    folders(root, {"val/car": 1})
    with pytest.raises(BadInput, match="no images for val, out of 1"):
        list_source(root)
    (root / "train").mkdir()
    with pytest.raises(BadInput, match="No images in folders of classes under .*train"):
        list_source(root)


def test_a_class_absent_from_train_is_named(root):
    folders(root, {"train/car": 5, "train/bus": 0, "test/bus": 2, "test/car": 2})
    with pytest.raises(BadInput, match='no training image of class "bus"'):
        list_folder(root)
    listing = list_folder(root, ("car", "bus", "tram"))
    assert listing.class_names == ("car", "bus", "tram") and 1 in listing["test"].labels


def test_too_few_images_to_split_are_refused(root):
    folders(root, {"car": 2, "bus": 1})
    with pytest.raises(BadInput, match="no images for val"):
        list_folder(root)


def test_other_files_are_not_images(root, caplog):
    folders(root, {"car": 5, "bus": 5})
    for name in ("notes.txt", ".hidden.png"):
        (root / "car" / name).write_bytes(b"")
    (root / "car" / "deep").mkdir()
    (root / "car" / "deep" / "UPPER.JPG").write_bytes(b"")
    assert sum(len(split) for split in list_folder(root).splits.values()) == 11
    assert 'images in folders below those of classes count for the class, 1 in all: "car/deep".' in caplog.text


def test_a_csv_is_read_by_its_column_names(root):
    (root / "images").mkdir(parents=True)
    splits = ["train"] * 4 + ["Validation"] * 2 + ["test"] * 2
    rows = [f"{i}.png;{'car' if i % 2 else 'bus'};{split}" for i, split in enumerate(splits)]
    table(root, ["Filename;Class;Split", *rows], make=False)
    for i in range(8):
        (root / "images" / f"{i}.png").write_bytes(b"")
    listing = list_source(root)
    assert listing.class_names == ("bus", "car")
    assert [file.name for file in listing["val"].files] == ["4.png", "5.png"]
    assert listing["test"].labels.tolist() == [0, 1]


def test_class_names_beside_the_csv_give_the_labels(root):
    path = table(root, ["file,label,split", "a.png,1,train", "b.png,0,train", "c.png,1,val", "d.png,0,test"])
    assert list_csv(path).class_names == ("0", "1")
    (root / "classes.json").write_text('{"stop": 1, "yield": 0}')
    assert list_csv(path).class_names == ("yield", "stop")
    assert list_csv(path, class_names=("x", "y")).class_names == ("x", "y")
    assert list_csv(path, class_names=("1", "0"))["train"].labels.tolist() == [0, 1]  # the names themselves are numbers


def test_groups_never_cross_drawn_splits(root):
    lines = [f"{c}_{t}_{f}.png,{c},{t}" for c in "ab" for t in range(9) for f in range(4)]
    listing = list_csv(table(root, ["file,class,track", *lines]), seed=3)
    tracks = [{file.name.rpartition("_")[0] for file in listing[s].files} for s in SPLITS]
    assert not tracks[0] & tracks[1] and not tracks[0] & tracks[2] and not tracks[1] & tracks[2]
    assert len(set.union(*tracks)) == 18
    # The numbers may be drives that pass several classes: without given splits to say otherwise they stay whole.
    assert sum(len(np.unique(listing[s].groups)) for s in SPLITS) == 9


@pytest.mark.parametrize("word", ["", "nan", "NULL"])
def test_rows_of_no_group_are_groups_of_their_own(root, word):
    listing = list_csv(table(root, ["file,class,track", *(f"{n}.png,{'ab'[n % 2]},{word}" for n in range(40))]))
    assert sum(len(np.unique(listing[split].groups)) for split in SPLITS) == 40


def test_group_numbers_that_restart_per_class_are_other_groups(root):
    lines = ["a.png,car,0,train", "b.png,bus,0,test", "c.png,bus,1,train", "d.png,car,1,val"]
    listing = list_csv(table(root, ["file,class,track,split", *lines]))
    assert len(set(np.concatenate([listing[s].groups for s in SPLITS]).tolist())) == 4


def test_a_named_group_is_one_group_whatever_its_class(root):
    lines = ["a.png,car,drive_7,train", "b.png,bus,drive_7,test", "c.png,bus,d1,train", "d.png,car,d2,val"]
    with pytest.raises(BadInput, match='line 3: group "drive_7" is in train and in test'):
        list_csv(table(root, ["file,class,track,split", *lines]))


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["file,class_id", "a.png,7", "b.png,0"], r"line 2: labels must be in 0..1 \(2 classes\), got 7"),
        (["file,class_id", "a.png,-1", "b.png,0"], "got -1"),
        (["file,class_id", "a.png,stopp", "b.png,yield"], 'line 2: "stopp" is not a class. Did you mean "stop"'),
        (["file,clas_id", "a.png,0"], 'no column for the label; it has "file", "clas_id". Did you mean "clas_id"'),
        (["file,label,split", "a.png,0,trian"], 'line 2: there is no split "trian". Did you mean "train"'),
        (["file,label,split", "a.png,0"], "line 2: 3 columns expected"),
        (["file,label"], "No rows in"),
        (["file,label,split", "a.png,0,train", "a.png,0,test", "b.png,1,val"], "a.png is in train and in test"),
    ],
)
def test_bad_tables_are_refused(root, lines, message):
    path = table(root, lines)
    (root / "classes.txt").write_text("yield\nstop\n")
    with pytest.raises(BadInput, match=message):
        list_csv(path)


def test_ids_with_gaps_need_class_names(root):
    with pytest.raises(BadInput, match=r"labels must be 0..1 without gaps \(2 classes\), got 1..900000000"):
        list_csv(table(root, ["file,label", "a.png,1", "b.png,900000000"]))


def test_missing_files_are_counted_and_the_first_named(root):
    path = table(root, ["file,label", *(f"{i}.png,0" for i in range(1205))], make=False)
    with pytest.raises(
        BadInput, match="1,205 of 1,205 images are missing in .*signs and the folders in it: 0.png, .* 1,195 more"
    ):
        list_csv(path)


def test_columns_can_be_said(root):
    path = table(root, ["file,label,sign", *(f"{i}.png,9,{'ab'[i % 2]}" for i in range(8))])
    assert list_csv(path, columns={"label": "sign"}).class_names == ("a", "b")
    with pytest.raises(BadInput, match='has no column "sgn". Did you mean "sign"'):
        list_csv(path, columns={"label": "sgn"})


def test_the_source_is_recognised(root):
    folders(root, {"car": 5, "bus": 5})
    assert list_source(root).class_names == ("bus", "car")
    table(root, ["file,label", *(f"{i}.png,{i % 2}" for i in range(8))], name="one.csv")
    assert list_source(root).class_names == list_source(root / "one.csv").class_names == ("0", "1")
    shutil.rmtree(root / "car")
    shutil.rmtree(root / "bus")
    (root / "two.csv").write_text("file,label\n0.png,1\n")
    (root / "images").mkdir()
    with pytest.raises(BadInput, match='2 CSV files: "one.csv", "two.csv"'):
        list_source(root)
    (root / "two.csv").unlink()
    (root / "one.csv").rename(root / "One.CSV")
    assert list_source(root).class_names == ("0", "1")
    with pytest.raises(BadInput, match="not a folder of classes and not a .csv"):
        list_source(root / "0.png")


def test_a_table_for_every_split_is_read_as_one(root, caplog):
    """Test images without classes, as Kaggle has them, are in no table that is read, which is said."""
    for split, count in (("train", 6), ("valid", 4)):
        lines = [f"{split}{n}.png,{'ab'[n % 2]},all" for n in range(count)]
        table(root, ["id,sign,split", *lines], f"{split}.csv", make=False)
        folders(root, {"images": 0} if split == "train" else {})
        for line in lines:
            (root / "images" / line.split(",")[0]).write_bytes(b"")
    table(root, ["id", "x.png"], "test.csv")
    listing = list_source(root)
    assert listing.class_names == ("a", "b") and len(listing["val"]) == 4 and len(listing["train"]) == 4
    assert 'not read: "test.csv", whose columns are not those of train.' in caplog.text
    (root / "valid.csv").write_text("id,sign,split\nvalid0.png,a,b\nvalid1.png,,b\n")
    said = r"signs/\*.csv: 1 of 8 cells of the column .sign. are empty: .*valid.csv, line 3"
    with pytest.raises(BadInput, match=said):
        list_source(root)


def test_columns_of_ones_are_classes_where_each_row_has_one(root):
    for split, count in (("train", 9), ("valid", 3), ("test", 3)):
        lines = [f"{n}.jpg, {int(n % 3 == 0)}, {int(n % 3 == 1)}, {int(n % 3 == 2)}" for n in range(count)]
        path = table(root / split, ["filename, stop, yield, limit", *lines], "_classes.csv")
    listing = list_source(root)
    assert listing.class_names == ("limit", "stop", "yield") and listing["val"].labels.tolist() == [1, 2, 0]
    assert [{file.parent.name for file in listing[split].files} for split in SPLITS] == [{"train"}, {"valid"}, {"test"}]
    path.write_text("filename, stop, yield, limit\n0.jpg, 1, 1, 0\n1.jpg, 0, 1, 0\n2.jpg, 0, 0, 1\n")
    with pytest.raises(BadInput, match=r"test/_classes.csv, line 2: it has 2 labels.*--experiment=labels_post"):
        list_source(root)
    labels = list_labels(root)
    assert labels.class_names == ("stop", "yield", "limit") and labels["test"].labels.sum(0).tolist() == [1, 2, 1]


def test_of_several_tables_the_one_that_names_classes_is_read(root):
    folders(root, {"train": 30, "test": 5})
    table(root, ["id,breed", *(f"{n},{'abc'[n % 3]}" for n in range(5, 30))], "labels.csv", make=False)
    table(root, ["id,breed", "0,a", "1,b"], "sample_submission.csv", make=False)
    table(root, ["id,w", "1,2"], "sizes.csv", make=False)
    assert list_source(root).class_names == ("a", "b", "c")


def test_tables_beside_folders_of_classes_are_said_to_be_left_out(root, caplog):
    folders(root, {"train/car": 9, "train/bus": 9, "Test": 3, "Meta": 1})
    for name in ("Train.csv", "Test.csv"):
        table(root, ["file,label", "Test/0.png,1"], name=name)
    assert sum(len(list_source(root)[split]) for split in SPLITS) == 18
    assert 'not read: "Test.csv", "Train.csv", as there are folders of classes' in caplog.text


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(3, 12), min_size=1, max_size=5), st.integers(0, 9), st.data())
def test_every_image_is_in_one_split_with_its_group(groups_per_class, seed, data):
    labels, groups = [], []
    for label, count in enumerate(groups_per_class):
        for _ in range(count):
            frames = data.draw(st.integers(1, 4))
            group = len(set(groups))
            labels += [label] * frames
            groups += [group] * frames
    names = tuple(map(str, range(len(groups_per_class))))
    files = [f"{i}.png" for i in range(len(labels))]
    rows = Rows("data", names, files, np.array(labels), np.array(groups), np.full(len(labels), "", "<U5"))
    listing = assemble(rows, seed)
    assert sorted(str(file) for s in SPLITS for file in listing[s].files) == sorted(files)
    kept = [set(listing[s].groups.tolist()) for s in SPLITS]
    assert len(set.union(*kept)) == sum(map(len, kept)) == len(set(groups))
    assert all(set(listing[s].labels.tolist()) == set(range(len(names))) for s in SPLITS)


def test_unknown_split_gets_a_suggestion(root):
    folders(root, {"car": 5})
    with pytest.raises(BadInput, match='no split "vall". Did you mean "val"'):
        list_folder(root)["vall"]
