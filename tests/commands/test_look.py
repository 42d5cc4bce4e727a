"""`look` says what data hold, of every kind, draws their truth, and refuses in one line what no task reads."""

import json
import re

import numpy as np
import pytest
from absl import flags
from absl.testing import flagsaver
from PIL import Image

from tfmo_drive.commands import look
from tfmo_drive.contracts import BadInput


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


@pytest.mark.parametrize("words", [(), ("nowhere",), ("one", "two")])
def test_what_cannot_be_looked_at_is_refused(looked, words):
    with pytest.raises(BadInput, match="Name one folder or file|There is no nowhere"):
        looked(*words)


def test_a_folder_that_no_task_reads_is_refused_with_the_first_reason(looked, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadInput, match="No images under|holds no|No folder"):
        looked(tmp_path / "empty")
