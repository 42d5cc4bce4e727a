"""Equal images across splits and under two classes are counted and said, once everything is decoded."""

import dataclasses

import numpy as np
import pytest
from PIL import Image

from tfmo_drive.contracts import BadInput
from tfmo_drive.data.splitting import SPLITS
from tfmo_drive.networks.backbones import ResNet
from tfmo_drive.tasks.classification import Classification


@pytest.fixture
def task(tmp_path):
    """task(copies) with two classes of noise; `copies` are {file: other file}, of the same pixels."""

    def make(copies):
        random = np.random.default_rng(0)
        for split in SPLITS:
            for name in ("stop", "yield"):
                (tmp_path / split / name).mkdir(parents=True)
                for number in range(3):
                    pixels = random.integers(0, 256, (20, 20, 3), np.uint8)
                    Image.fromarray(pixels).save(tmp_path / split / name / f"{number}.png")
        for copy, source in copies.items():
            with Image.open(tmp_path / source) as image:
                image.save(tmp_path / copy)
        return Classification(data=str(tmp_path), image_size=16, network=ResNet(blocks=(1,), width=0.25))

    return make


def test_test_images_of_train_are_counted(task, caplog):
    found = task({"test/stop/0.bmp": "train/stop/0.png", "test/stop/1.tif": "train/stop/1.png"})
    assert len(found.examples("test")) == 8
    assert "2 of 8 images of test are those of train, pixel by pixel" in caplog.text and "val are" not in caplog.text


def test_one_picture_under_two_classes_is_counted(task, caplog):
    task({"train/stop/8.ppm": "train/yield/0.png"}).examples("train")
    assert '2 of 19 images are, pixel by pixel, under two classes or more, such as "stop" and "yield"' in caplog.text


def test_one_class_is_nothing_to_tell_apart(tmp_path):
    (tmp_path / "signs").mkdir()
    for number in range(12):
        Image.new("RGB", (8, 8)).save(tmp_path / "signs" / f"{number}.png")
    with pytest.raises(BadInput, match='all images are of one class, "signs".* name it with --data='):
        Classification(data=str(tmp_path), image_size=16).class_names  # noqa: B018


def test_of_different_images_nothing_is_said(task, caplog):
    task({}).examples("train")
    assert "pixel by pixel" not in caplog.text


def test_what_test_shows_too_is_left_out_of_train_where_asked(task, caplog):
    found = dataclasses.replace(task({"test/stop/0.bmp": "train/stop/0.png"}), duplicates="drop")
    train = found.examples("train")
    assert len(train) == 5 and "1 of 6 images are left out of train" in caplog.text
    assert train.read(np.arange(5))[1].tolist() == train.labels.tolist() == [0, 0, 1, 1, 1]
    assert "pixel by pixel: their score" not in caplog.text
    assert train.fingerprint != dataclasses.replace(found, duplicates="keep").examples("train").fingerprint
    with pytest.raises(BadInput, match='duplicates must be "keep" or "drop", got "both"'):
        dataclasses.replace(found, duplicates="both")
