"""Classification of real images: classes that the model knows and the data lacks."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from PIL import Image

from tfmo_drive.base.keras2 import keras, tf
from tfmo_drive.contracts import BadInput
from tfmo_drive.data.splitting import SPLITS

KNOWN = ("arrow", "disc", "square", "triangle")


@pytest.fixture(scope="module")
def task(tiny_task, tmp_path_factory):
    """A task whose data shows the second and the third of four classes, which a file lists."""
    folder, generator = tmp_path_factory.mktemp("signs"), np.random.default_rng(0)
    for split in SPLITS:
        for name in KNOWN[1:3]:
            (folder / split / name).mkdir(parents=True)
            for index in range(4):
                pixels = generator.integers(0, 255, (32, 32, 3), np.uint8)
                Image.fromarray(pixels).save(folder / split / name / f"{index}.png")
    (folder / "classes.txt").write_text("\n".join(KNOWN))
    return dataclasses.replace(tiny_task, data=str(folder), preprocessing_name="unit")


def given(task, outputs: int, folder, **settings):
    keras.utils.set_random_seed(0)
    image = keras.Input((32, 32, 3))
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(8, 5, 4, activation="relu")(image))
    keras.Model(image, keras.layers.Dense(outputs)(x)).save(folder / "model.h5")
    return dataclasses.replace(task, baseline=str(folder / "model.h5"), **settings)


def test_classes_that_the_data_lacks_are_judged_by_nothing_and_disturb_no_loss(task, tmp_path):
    ours = given(task, 4, tmp_path)
    model = ours.build()
    raw, labels = ours.examples("test").read(np.arange(8))
    outputs = model(ours.preprocessing(raw)).numpy()
    judged, right = ours.evaluate(outputs, labels), outputs.argmax(-1) == labels
    assert set(judged.per_class) == set(KNOWN[1:3]), "the others are not 0 %: they have no examples"
    assert judged.more["score_macro"] == np.mean([right[labels == label].mean() for label in (1, 2)])
    by_hand = -tf.nn.log_softmax(outputs).numpy()[np.arange(8), labels].mean()
    assert float(ours.loss(model)(labels, outputs)) == pytest.approx(by_hand, rel=1e-5)
    assert ours.trivial(8).outputs.shape == (8, 4) and ours.metadata(model)["labels"] == list(KNOWN)


def test_what_is_said_of_a_model_of_more_outputs_works(task, tmp_path):
    (tmp_path / "two.txt").write_text("disc\nsquare\n")
    with pytest.raises(BadInput, match=r"knows 4 classes, name all .* --set=task.classes=classes.txt"):
        given(task, 4, tmp_path, classes=str(tmp_path / "two.txt")).build()
    (tmp_path / "four.txt").write_text("\n".join(KNOWN))
    assert given(task, 4, tmp_path, classes=str(tmp_path / "four.txt")).build().output_shape == (None, 4)
    with pytest.raises(BadInput, match="gives outputs of shape .3,., the data has 4 classes. Give the data"):
        given(task, 3, tmp_path).build()


def test_a_class_of_test_alone_is_taken_from_a_model_that_knows_it(task, tmp_path):
    lines = [f"test/disc/{index}.png,disc,test\ntest/square/{index}.png,arrow,test" for index in range(4)]
    lines += [f"{split}/{name}/{index}.png,{name},{split}" for split in ("train", "val") for name in KNOWN[1:3]
              for index in range(4)]  # fmt: skip
    table = tmp_path / "list.csv"
    table.write_text("\n".join(["file,label,split", *(f"{task.data}/{line}" for line in "\n".join(lines).split("\n"))]))
    settings = {"data": str(table), "classes": str(tmp_path / "four.txt")}
    (tmp_path / "four.txt").write_text("\n".join(KNOWN))
    with pytest.raises(BadInput, match='no training image of class "arrow", which test shows'):
        dataclasses.replace(task, **settings).examples("train")
    assert set(given(task, 4, tmp_path, **settings).examples("test").labels) == {0, 1}
