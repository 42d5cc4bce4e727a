"""Images that look alike across splits are found however they were saved, and others are not."""

import numpy as np
import pytest
from PIL import Image

from tfmo_drive.data import near_duplicates as module
from tfmo_drive.data.near_duplicates import near_duplicates
from tfmo_drive.data.splitting import SPLITS, Split


@pytest.fixture
def splits(tmp_path, monkeypatch):
    """splits({split: {name: image}}) as listed files."""
    monkeypatch.setenv("TFMO_DRIVE_CACHE", str(tmp_path / "cache"))

    def make(**images):
        listed = {}
        for split in SPLITS:
            files = []
            for name, image in images.get(split, {}).items():
                files.append(tmp_path / f"{split}_{name}")
                image.save(files[-1])
            listed[split] = Split(tuple(files), np.zeros(len(files), np.int64), np.arange(len(files)))
        return listed

    return make


def scenery(seed, side=96):
    """A picture of large shapes, as photographs have them, and little noise."""
    small = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), np.uint8)
    return Image.fromarray(small).resize((side, side), Image.Resampling.BICUBIC)


ALTERED = {
    "saved_again.jpg": lambda image: image,
    "scaled.png": lambda image: image.resize((57, 57)),
    "darker.png": lambda image: image.point(lambda level: 0.8 * level),
    "moved.png": lambda image: image.crop((1, 1, 96, 96)),
    "deep.png": lambda image: Image.fromarray(np.asarray(image.convert("L"), np.uint16) * 257),
}


@pytest.mark.parametrize("name", ALTERED)
def test_an_altered_copy_in_another_split_is_found(splits, name):
    found = near_duplicates(splits(
        train={"0.png": scenery(0), "1.png": scenery(1)}, val={"2.png": scenery(2)},
        test={name: ALTERED[name](scenery(1))},
    ))  # fmt: skip
    assert [(one.split, one.other_split) for one in found.near] == [("test", "train")]
    assert found.near[0].other_file.endswith("train_1.png") and found.compared == {"train": 2, "val": 1, "test": 1}


def test_others_are_not_and_those_of_one_split_do_not_count(splits):
    many = {f"{seed}.png": scenery(seed) for seed in range(40)}
    listed = splits(
        train=many | {"again.png": scenery(3)}, test={f"{seed}.png": scenery(seed) for seed in range(50, 90)}
    )
    assert not near_duplicates(listed).near


def test_plain_and_unreadable_images_say_nothing(splits, tmp_path):
    listed = splits(train={"0.png": Image.new("RGB", (20, 20))}, test={"0.png": Image.new("RGB", (20, 20))})
    (tmp_path / "train_0.png").write_bytes(b"no image")
    assert near_duplicates(listed) == module.Found({"train": 0, "val": 0, "test": 0}, ())


def test_more_than_the_most_are_sampled_and_the_result_is_kept(splits, monkeypatch):
    monkeypatch.setattr(module, "MOST", 5)
    listed = splits(train={f"{seed}.png": scenery(seed) for seed in range(6)}, test={"9.png": scenery(9)})
    first = near_duplicates(listed)
    assert sum(first.compared.values()) == 5
    monkeypatch.setattr(module, "_hash", lambda file: pytest.fail("hashed again"))
    assert near_duplicates(listed) == first
