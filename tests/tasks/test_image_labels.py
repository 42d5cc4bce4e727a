"""Several labels an image: lists of them, the score, and given models."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from PIL import Image

from tfmo_drive.base.keras2 import keras, tf
from tfmo_drive.contracts import BadInput
from tfmo_drive.data.layouts.label_listing import list_labels
from tfmo_drive.data.splitting import SPLITS
from tfmo_drive.scores import evaluation
from tfmo_drive.tasks.image_labels import Labels

NAMES = ("car", "rain", "sign")
TRUTH = np.random.default_rng(0).integers(0, 2, (24, 3))


@pytest.fixture
def table(tmp_path):
    """Writes a list of 24 images, 8 in each split, from functions of a row's truth to its cells."""
    for index in range(len(TRUTH)):
        pixels = np.random.default_rng(index).integers(0, 255, (32, 48, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{index}.png")

    def write(header: str, cells) -> str:
        rows = [f"{index}.png,{SPLITS[index // 8]},{cells(own)}" for index, own in enumerate(TRUTH)]
        (tmp_path / "list.csv").write_text("\n".join([f"image,split,{header}", *rows]) + "\n")
        return str(tmp_path / "list.csv")

    return write


def names_of(own, separator: str = ";") -> str:
    return separator.join(name for name, there in zip(NAMES, own, strict=True) if there)


@pytest.mark.parametrize(
    ("header", "cells"),
    [
        ("labels", names_of),
        ("Tags", lambda own: names_of(own[::1], " | ")),
        ("car,rain,sign", lambda own: ",".join(map(str, own))),
        ("car,rain,speed,sign", lambda own: f"{own[0]}.0,{own[1]},{17.5 + own[0]},{own[2]}"),
    ],
)
def test_labels_are_read_from_one_column_of_names_or_one_of_each(header, cells, table):
    listing = list_labels(table(header, cells))
    assert listing.class_names == NAMES
    for split, part in zip(SPLITS, np.split(TRUTH, 3), strict=True):
        np.testing.assert_array_equal(listing[split].labels, part)
        assert listing[split].labels.dtype == np.float32
    known = list_labels(table(header, cells), ("sign", "snow", "rain", "car"))
    assert not known["train"].labels[:, 1].any(), "a label that a model knows and the data lacks"
    np.testing.assert_array_equal(known["test"].labels[:, [3, 2, 0]], TRUTH[16:])


@pytest.mark.parametrize(
    ("header", "cells", "words"),
    [
        ("speed", lambda own: "17.5", 'no column of labels .* it has "image", "split", "speed"'),
        ("car,rain", lambda own: f"{own[0]},{'yes' if own.all() else own[1]}", "neither 0 nor 1 .*: line .*yes"),
        ("labels", lambda own: "", "no image of train has a label"),
        ("labels", lambda own: "car;sign", "all images of train have the same labels"),
        ("labels", lambda own: "two\x01" + names_of(own), "class 0 may not be called|may not be called"),
    ],
)
def test_lists_without_labels_are_one_line(header, cells, words, table):
    with pytest.raises(BadInput, match=words) as refused:
        list_labels(table(header, cells))
    assert "\n" not in str(refused.value)


def test_names_that_are_no_label_are_told_with_their_line(table):
    with pytest.raises(BadInput, match='list.csv, line .*: "car" is not a class'):
        list_labels(table("labels", names_of), ("cat", "rain", "sign"))


def test_the_score_is_the_area_under_the_curve_by_hand_and_labels_that_tell_nothing_apart_do_not_count():
    truth = np.float32([[1, 0, 1], [1, 1, 1], [0, 0, 1], [0, 1, 1]])
    sure = np.float32([[0.9, 0.2, 0.1], [0.4, 0.8, 0.1], [0.6, 0.1, 0.7], [np.nan, 0.5, 0.2]])
    judged = evaluation.of_labels(sure, truth, NAMES, 0.5)
    # car: three of four pairs are in order; rain: all; every image has sign.
    assert judged.score == pytest.approx((3 / 4 + 1) / 2)
    assert judged.per_class == {
        "car": {"score": 0.75, "examples": 2},
        "rain": {"score": 1.0, "examples": 2},
    }
    # Car is found first and third, rain first and second. At the threshold car has one hit, one false and one missed,
    # rain two hits, and sign one hit of four.
    assert judged.more == {
        "average_precision": pytest.approx(((1 + 2 / 3) / 2 + 1) / 2),
        "f1_macro": pytest.approx((2 / 4 + 1 + 2 / 5) / 3),
        "exact_match": 0.0,
    }
    np.testing.assert_allclose(judged.values, [1 / 2, 1 / 3, 1 / 2, 1 / 2])
    some = np.float64([[1, 0, 0, 0], [1, 0, 0, 1], [0, 1, 1, 0], [2, 1, 1, 0]])
    np.testing.assert_allclose(judged.scores(some), [np.nan, (1 + 1) / 2, (0 + 1) / 2, (2 / 3 + 1) / 2])
    equal = evaluation.of_labels(np.ones((4, 3)), truth, NAMES, 0.5)
    assert equal.score == 0.5 and equal.constant and not judged.constant
    assert judged.captions == {
        "truth": ["car, sign", "car, rain, sign", "sign", "rain, sign"],
        "says": ["car", "rain", "car, sign", "rain"],
    }


def test_an_order_that_knows_nothing_scores_a_half_and_choices_score_as_if_they_were_all_there_is():
    random = np.random.default_rng(1)
    truth = random.random((200, 4)) < np.float64([0.02, 0.3, 0.7, 0.97])
    sure = np.round(random.random((200, 4)), 1) + 0.2 * truth * [0, 0, 1, 1]
    judged = evaluation.of_labels(sure, truth, ("a", "b", "c", "d"), 0.5)
    for column, name in enumerate("abcd"):
        having, lacking = sure[truth[:, column], column], sure[~truth[:, column], column]
        pairs = np.sign(having[:, None] - lacking[None])
        assert judged.per_class[name]["score"] == pytest.approx((pairs.mean() + 1) / 2)
    chances = [evaluation.of_labels(random.random((64, 4)), truth[:64], tuple("abcd"), 0.5).score for _ in range(400)]
    assert np.mean(chances) == pytest.approx(0.5, abs=0.02)
    chosen = np.sort(random.integers(0, 200, 200))
    again = evaluation.of_labels(sure[chosen], truth[chosen], ("a", "b", "c", "d"), 0.5)
    assert judged.scores(np.bincount(chosen, minlength=200)[None].astype(float))[0] == pytest.approx(again.score)


def given(table, end, folder, **settings):
    keras.utils.set_random_seed(0)
    image = keras.Input((32, 48, 3))
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(8, 5, 4, activation="relu")(image))
    model = keras.Model(image, end(keras.layers.Dense(3)(4.0 * x)))
    model.save(folder / "mine.h5")
    (folder / "classes.txt").write_text("\n".join(NAMES))
    known = {"image_size": (32, 48), "baseline": str(folder / "mine.h5"), "preprocessing_name": "unit"} | settings
    return model, Labels(data=table("labels", names_of), **known)


@pytest.mark.parametrize(
    ("end", "settings"),
    [
        (tf.sigmoid, {}),
        (keras.layers.Activation("sigmoid", name="labels"), {"outputs": "sigmoids"}),
        (lambda x: x, {}),
        (lambda x: tf.maximum(x, -20.0), {"outputs": "logits"}),
    ],
)
def test_given_sigmoids_and_logits_answer_alike_and_lose_what_is_lost_by_hand(end, settings, table, tmp_path):
    model, task = given(table, end, tmp_path, **settings)
    baseline = task.build()
    raw, truth = task.examples("test").read(np.arange(8))
    said = model(raw / np.float32(255)).numpy()
    sure = said if end is tf.sigmoid or isinstance(end, keras.layers.Layer) else 1 / (1 + np.exp(-said))
    found = baseline(task.preprocessing(raw)).numpy()
    np.testing.assert_allclose(found, sure, atol=1e-5)
    by_hand = -(truth * np.log(sure) + (1 - truth) * np.log(1 - sure)).mean()
    assert float(task.loss(baseline)(truth, found)) == pytest.approx(by_hand, rel=1e-3)
    assert task.metadata(baseline)["decode"]["kind"] == "labels"


def test_a_softmax_and_what_nobody_says_are_refused(table, tmp_path):
    with pytest.raises(BadInput, match="is a softmax, by which one label excludes all others"):
        given(table, tf.nn.softmax, tmp_path)[1].build()
    with pytest.raises(BadInput, match="Say it: --set=task.outputs="):
        given(table, lambda x: tf.maximum(x, -20.0), tmp_path)[1].build()
    with pytest.raises(BadInput, match="is sigmoids, as its last layers tell, and not logits. Drop task.outputs"):
        given(table, tf.sigmoid, tmp_path, outputs="logits")[1].build()


def test_frames_have_the_kinds_of_things_that_can_be_seen(streets):
    task = Labels(**streets)
    frames = task.scenes.packed("train", task.size).read(np.arange(8))[1]
    for own, kinds, crowd in zip(task.examples("train").read(np.arange(8))[1], frames["classes"], frames["crowd"],
                                 strict=True):  # fmt: skip
        assert set(np.flatnonzero(own)) == {kind for kind, hidden in zip(kinds, crowd, strict=True)
                                            if kind >= 0 and not hidden}  # fmt: skip
    assert dataclasses.replace(task, threshold=0.9).trivial(2).outputs.all()
