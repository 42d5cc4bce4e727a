"""`look` says what data hold, of every kind, draws their truth, and refuses in one line what no task reads."""

import json
import re

import numpy as np
import pytest
from absl import flags
from absl.testing import flagsaver
from PIL import Image

from tfmo_drive.commands import catalogue, experiment_flags, look
from tfmo_drive.contracts import BadInput

pytestmark = pytest.mark.slow  # whole commands


@pytest.fixture
def looked(tmp_path, capsys, monkeypatch):
    """looked(words) -> what was printed."""
    monkeypatch.setenv("TFMO_DRIVE_CACHE", str(tmp_path / "cache"))
    if not flags.FLAGS.is_parsed():
        flags.FLAGS(["look"])

    def run(*words, **settings):
        with flagsaver.flagsaver(out=str(tmp_path / "seen"), **settings):
            assert look.main(["look", *map(str, words)]) == 0
        return capsys.readouterr().out

    return run


def noise(seed, side=40):
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (side, side, 3), np.uint8))


@pytest.fixture
def classes(tmp_path):
    for number in range(24):
        folder = tmp_path / "signs" / ("stop", "yield")[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        noise(number).save(folder / f"{number}.png")
    return tmp_path / "signs"


def test_folders_of_classes(looked, classes, tmp_path):
    said = looked(classes)
    assert "folders of classes: 16 train, 4 val and 4 test images; val and test are drawn" in said
    assert "All are 40 x 40 pixels" in said and "stop 8/2/2, yield 8/2/2" in said
    assert "No image of val or test looks like one of another split" in said
    with Image.open(tmp_path / "seen" / "signs_post_training.png") as sheet:
        assert min(sheet.size) > 300 and len(sheet.getcolors(1 << 24)) > 1000


def test_boxes_that_are_small_for_the_model_and_alike_images_are_said(looked, tmp_path):
    folder = tmp_path / "boxes"
    images, annotations = [], []
    for number in range(60):
        name = f"{'train' if number < 40 else 'test'}/{number}.png"
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        noise(number % 50, 192).save(folder / name)
        images.append({"id": number, "file_name": f"{number}.png", "width": 192, "height": 192})
        side = 8 if number % 2 else 60
        annotations.append({"id": number, "image_id": number, "category_id": 1, "bbox": [9, 9, side, side]})
    for split, part in (("train", slice(0, 40)), ("test", slice(40, 60))):
        facts = {"images": images[part], "annotations": annotations[part], "categories": [{"id": 1, "name": "car"}]}
        (folder / split / "_annotations.coco.json").write_text(json.dumps(facts))
    said = looked(folder)
    assert "--experiment=detection" in said and "50% of the boxes have a side under 8 pixels at 128 x 96" in said
    assert sum(map(int, re.findall(r"(\d+) of test like one of", said))) == 10 and "val is drawn" in said
    assert "have a side under" not in looked(folder, set=["task.image_size=256"])


def test_masks_are_said_by_their_pixels(looked, tmp_path):
    for number in range(12):
        for folder, ids in (("images", None), ("masks", np.repeat(np.uint8([0, 0, 0, 1]), 10))):
            (tmp_path / "road" / folder).mkdir(parents=True, exist_ok=True)
            made = noise(number) if ids is None else Image.fromarray(np.tile(ids, (40, 1)))
            made.save(tmp_path / "road" / folder / f"{number}.png")
    (tmp_path / "road" / "classes.txt").write_text("road\nsky\n")
    assert "2 classes, in pixels of 12 masks: road 75.00%, sky 25.00%." in looked(tmp_path / "road")


def test_a_region_that_no_class_cares_about_is_counted_once(looked, tmp_path):
    for folder in ("image_2", "label_2"):
        (tmp_path / "drive" / "training" / folder).mkdir(parents=True)
    place = "0 0 0 5 5 30 30 1 1 1 1 1 9 0"
    for number in range(30):
        noise(number).save(tmp_path / f"drive/training/image_2/{number:06}.png")
        lines = [f"{('Car', 'Van')[number % 2]} {place}", f"DontCare {place.replace('30', '20')}"]
        (tmp_path / f"drive/training/label_2/{number:06}.txt").write_text("\n".join(lines))
    assert "30 boxes are marked as crowd" in looked(tmp_path / "drive")


def test_rows_are_said_by_columns_and_target(looked, tmp_path):
    rows = [f"{number},{number % 7},{('go', 'stop')[number % 2]},{number // 10}" for number in range(120)]
    (tmp_path / "rows.csv").write_text("\n".join(["speed,gear,target,drive", *rows]))
    said = looked(tmp_path / "rows.csv")
    assert re.search(r"a table of rows: \d+ train, \d+ val and \d+ test rows, in 12 groups \(column .drive.\)", said)
    assert "2 columns are inputs: speed, gear." in said and 'the column "target", a class.' in said
    said = looked(tmp_path / "rows.csv", set=["task.predicts=number", "task.columns.target=gear",
                                              "task.columns.ignore=target"])  # fmt: skip
    assert "a number; in train 0 to 6, mean" in said


def test_without_data_the_built_in_ones_are_shown(looked, tmp_path):
    assert look._data(["look", "scenes"]) is None
    said = looked(experiment="segmentation", set=["task.shown=lanes"])
    assert "Built-in data, for --experiment=segmentation" in said and "1,000 train, 100 val and 300 test images" in said
    assert "All are 128 x 96 pixels" in said and "2 classes: no lane line, lane line." in said
    with Image.open(tmp_path / "seen" / "scenes_segmentation.png") as sheet:
        assert sheet.size[0] > 6 * 320 and len(sheet.getcolors(1 << 24)) > 1000


def test_every_experiment_has_built_in_data_that_can_be_looked_at():
    tasks = [experiment_flags.experiment(name).task for name, _ in catalogue.LISTS["experiments"]()]
    seen = {}
    for task in tasks:
        parts = tuple(type(part) for part in getattr(task, "parts", ()))
        seen.setdefault((type(task), parts), task)
    assert len(seen) >= 10
    for task in seen.values():
        assert next(task.data_sentences())
        if hasattr(task, "scenes"):
            assert len(look._few(task, "test")[1].read(np.arange(2))[0]) == 2


@pytest.mark.parametrize("words", [("nowhere",), ("one", "two")])
def test_what_cannot_be_looked_at_is_refused(looked, words):
    with pytest.raises(BadInput, match="Name one folder or file|There is no nowhere"):
        looked(*words)


def test_a_folder_that_no_task_reads_is_refused_with_the_first_reason(looked, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadInput, match="No images in folders of classes under .*empty. Expected"):
        looked(tmp_path / "empty")


def test_a_folder_that_holds_data_beside_something_else_says_which_to_name(looked, tmp_path):
    for folder in ("annotations", "images"):
        (tmp_path / "all" / "mine" / folder).mkdir(parents=True)
    (tmp_path / "all" / "mine" / "annotations" / "boxes.json").write_text('{"images": [')
    (tmp_path / "all" / "README.md").touch()
    with pytest.raises(BadInput, match="shows no layout itself. .*mine holds boxes .COCO JSON.: name that folder."):
        looked(tmp_path / "all")


def test_the_folder_that_a_zip_put_around_the_data_is_walked_through(looked, classes, tmp_path):
    (tmp_path / "zip" / "of").mkdir(parents=True)
    (tmp_path / "zip" / "__MACOSX").mkdir()
    classes.rename(tmp_path / "zip" / "of" / "signs")
    assert "zip/of/signs, for --experiment=" in looked(tmp_path / "zip")


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("1.jpg", "holds 1 .jpg. Make a folder for each class"),
        ("1.zip", "Unpack the archive"),
        ("1.mp4", "Save frames of the videos as images first"),
        ("1.txt", "holds 1 .txt. Expected one folder per class"),
    ],
)
def test_a_folder_without_classes_is_refused_with_what_to_do_with_what_it_holds(looked, tmp_path, name, advice):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / name).write_bytes(b"1")
    with pytest.raises(BadInput, match=advice):
        looked(tmp_path / "data")


def test_of_a_drive_s_log_the_reason_is_that_of_rows(looked, tmp_path):
    (tmp_path / "drive").mkdir()
    np.savez(tmp_path / "drive" / "segment.npz", **{"CAN.speed.t": np.arange(9.0)})
    with pytest.raises(BadInput, match="the log of a drive has no classes. Add --set=task.predicts=number"):
        looked(tmp_path / "drive")


def test_an_archive_is_refused(looked, tmp_path):
    (tmp_path / "signs.tar.gz").write_bytes(b"1")
    with pytest.raises(BadInput, match="signs.tar.gz is an archive. Unpack it"):
        looked(tmp_path / "signs.tar.gz")


def test_images_that_cannot_be_read_are_counted_after_all_that_is_known(looked, classes, tmp_path, capsys):
    for file in sorted(classes.rglob("*.png"))[::8]:
        file.write_bytes(b"no image")
    with pytest.raises(BadInput, match="3 of 24 images or their masks cannot be used"):
        looked(classes)
    assert "stop 8/2/2" in capsys.readouterr().out and (tmp_path / "seen" / "signs_post_training.png").exists()
    assert "Of 24 images that were opened, 3 or their masks" in looked(classes, set=["task.skip_bad=True"])


def test_the_only_table_of_a_folder_is_looked_at_by_its_columns(looked, classes):
    rows = [f"{file.relative_to(classes)},{number * 0.5}" for number, file in enumerate(sorted(classes.rglob("*.png")))]
    (classes / "list.csv").write_text("\n".join(["file,distance", *rows]))
    said = looked(classes)
    assert "list.csv, for --experiment=distance" in said and "in train: 0 to" in said


def test_an_empty_cell_is_a_fault_where_images_have_a_class_each_and_no_label_where_they_have_labels(looked, classes):
    files = sorted(file.relative_to(classes) for file in classes.rglob("*.png"))

    def listed(*cells):
        rows = [f"{file},{cells[number % len(cells)]}" for number, file in enumerate(files)]
        (classes / "list.csv").write_text("\n".join(["file,label", *rows]))

    listed("1", "0", "")
    with pytest.raises(BadInput, match='cells of the column "label" are empty: line 4'):
        looked(classes)
    listed("0;1", "1", "")
    assert "list.csv, for --experiment=labels_post_training" in looked(classes)


def test_of_a_table_without_images_the_reason_is_that_of_rows(looked, tmp_path):
    (tmp_path / "rows.csv").write_text("speed,gear\n1,2\n3,4\n")
    with pytest.raises(BadInput, match="has no column for the target.*task.columns.target=NAME"):
        looked(tmp_path / "rows.csv")
    rows = [f"{number},{number / 7:.3f}" for number in range(120)]
    (tmp_path / "rows.csv").write_text("\n".join(["speed,target", *rows]))
    with pytest.raises(BadInput, match="no classes. Add --set=task.predicts=number"):
        looked(tmp_path / "rows.csv")
