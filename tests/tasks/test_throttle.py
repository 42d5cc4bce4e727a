"""Angle and throttle, the two answers of a pilot: a donkeycar tub, and given models that name nothing."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from tfmo_drive.base.keras2 import keras
from tfmo_drive.contracts import BadInput
from tfmo_drive.data.layouts.donkey_tub import read_tub
from tfmo_drive.data.layouts.steering_log import list_log
from tfmo_drive.data.splitting import SPLITS
from tfmo_drive.networks.own_model import Signature, read_model
from tfmo_drive.tasks.lane_keeping.lane_keeping import LaneKeeping
from tfmo_drive.tasks.multi_task import MultiTask
from tfmo_drive.tasks.throttle import Throttle

layers = keras.layers
COUNT, DELETED = 480, [3, 4, 300]


@pytest.fixture(scope="module")
def tub(tmp_path_factory):
    """A tub of 24 s at 20 Hz in two catalogs."""
    root = tmp_path_factory.mktemp("tub")
    (root / "images").mkdir()
    records = []
    for index in range(COUNT):
        name = f"{index}_cam_image_array_.jpg"
        Image.fromarray(np.full((16, 32, 3), index % 250, np.uint8)).save(root / "images" / name)
        records.append({
            "_index": index, "_session_id": "26-01-01_0", "_timestamp_ms": 1000 + 50 * index, "cam/image_array": name,
            "user/angle": (index % 9 - 4) / 4, "user/throttle": (index % 11) / 10,
        })  # fmt: skip
    for place, part in enumerate((records[:200], records[200:])):
        lines = "".join(json.dumps(record) + "\n" for record in part)
        (root / f"catalog_{place}.catalog").write_text(lines)
    catalogs = {"paths": ["catalog_0.catalog", "catalog_1.catalog"], "current_index": COUNT, "max_len": 200}
    lines = ["[]", "[]", "{}", "{}", json.dumps(catalogs | {"deleted_indexes": DELETED})]
    (root / "manifest.json").write_text("\n".join(lines) + "\n")
    return root


def test_a_tub_gives_angle_and_throttle_of_the_same_frames(tub):
    angle, throttle = list_log(tub), list_log(tub, values=("throttle",))
    assert sum(len(angle[split]) for split in SPLITS) == COUNT - len(DELETED)
    for split in SPLITS:
        assert angle[split].files == throttle[split].files and len(angle[split])
        indices = np.array([int(file.name.partition("_")[0]) for file in angle[split].files])
        np.testing.assert_allclose(angle[split].labels[:, 0], (indices % 9 - 4) / 4)
        np.testing.assert_allclose(throttle[split].labels[:, 0], (indices % 11) / 10, rtol=1e-6)
        assert not set(indices) & set(DELETED)
        assert len(np.unique(indices // 100)) <= len(np.unique(angle[split].groups)) * 2, "blocks of about 5 s by time"


@pytest.mark.parametrize(
    ("file", "text", "words"),
    [
        ("manifest.json", "[]\n[", "manifest.json is not the manifest of a donkeycar tub"),
        ("manifest.json", '{"paths": ["../x.catalog"], "deleted_indexes": []}', "lies in another folder"),
        ("catalog_1.catalog", '{"_index": 200}\n{"_index', r"catalog_1.catalog is not .*\(see line 2\)"),
        ("catalog_1.catalog", "[1, 2]\n", r"is not a catalog, .*\(see line 1\)"),
    ],
)
def test_a_damaged_tub_is_one_line(file, text, words, tub):
    kept = (tub / file).read_text()
    (tub / file).write_text(text)
    try:
        with pytest.raises(BadInput, match=words) as refused:
            read_tub(tub)
        assert "\n" not in str(refused.value)
    finally:
        (tub / file).write_text(kept)


def pilot(end):
    keras.utils.set_random_seed(0)
    image = keras.Input((16, 32, 3))
    x = layers.Dense(8, "relu")(layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3, 2, activation="relu")(image)))
    return keras.Model(image, end(x))


def inside(x):
    inner = keras.Input((8,))
    return keras.Model(inner, [layers.Dense(1, name=f"n_outputs{number}")(inner) for number in (0, 1)])(x)


ENDS = {
    "donkeycar's two": lambda x: [layers.Dense(1, name=f"n_outputs{number}")(x) for number in (0, 1)],
    "two in a model inside": inside,
    "two of the task's names": lambda x: [layers.Dense(1, name=name)(x) for name in ("throttle", "steering")],
    "one of two numbers": lambda x: layers.Dense(2, "tanh")(x),
    "means of bins": lambda x: [
        layers.Dense(1, use_bias=False, name=f"n_outputs{place}")(layers.Dense(bins, "softmax")(x))
        for place, bins in enumerate((15, 20))
    ],
}


@pytest.mark.parametrize("order", [("steering", "throttle"), ("throttle", "steering")])
@pytest.mark.parametrize("end", ENDS)
def test_outputs_are_what_the_user_says_in_the_models_order(end, order, tmp_path):
    model = pilot(ENDS[end])
    model.save(tmp_path / "pilot.h5", include_optimizer=False)
    images = np.random.default_rng(0).uniform(0, 1, (3, 16, 32, 3)).astype(np.float32)
    said = model(images)
    numbers = dict(zip(order, np.split(said, 2, -1) if end == "one of two numbers" else said, strict=True))
    signature = Signature((16, 32, 3), {"steering": (1,), "throttle": (1,)}, order=order)
    found = read_model(tmp_path / "pilot.h5", signature)
    assert found.output_names == list(order)
    for name, one in zip(order, found(images), strict=True):
        np.testing.assert_allclose(one, numbers[name], atol=1e-6)


@pytest.mark.parametrize("end", ["one of two numbers", "donkeycar's two", "means of bins"])
def test_outputs_that_nobody_names_are_asked_and_a_pilot_answers_both(end, tub, tmp_path):
    task = MultiTask(
        parts=(LaneKeeping(), Throttle(outputs="raw")), data=str(tub), image_size=(16, 32), preprocessing_name="unit",
        baseline=str(tmp_path / "pilot.h5"),
    )  # fmt: skip
    words = "--set=task.given_outputs=steering,throttle"
    model = pilot(ENDS[end])
    model.save(tmp_path / "pilot.h5", include_optimizer=False)
    with pytest.raises(BadInput, match=words):
        task.build()
    with pytest.raises(BadInput, match="given_outputs must name steering, throttle, each once"):
        MultiTask(parts=task.parts, given_outputs=("steering", "gas"))
    ours = MultiTask(parts=task.parts, data=task.data, image_size=task.image_size, preprocessing_name="unit",
                     baseline=task.baseline, given_outputs=("steering", "throttle"))  # fmt: skip
    baseline = ours.build()
    raw, truth = ours.examples("test").read(np.arange(6))
    said = dict(zip(baseline.output_names, baseline(ours.preprocessing(raw)).copy(), strict=True))
    judged = ours.evaluate({name: one.numpy() for name, one in said.items()}, truth)
    assert set(judged.parts) == {"lane_keeping", "throttle"} and 0 <= judged.score <= 1
    answers = model(raw / np.float32(255))
    throttle = np.asarray(answers)[:, 1:] if end == "one of two numbers" else answers[1].numpy()
    wrong = np.abs(throttle - truth["throttle"]).mean()
    assert judged.more["throttle_mean_absolute_error"] == pytest.approx(wrong, rel=1e-4)
    assert {name: part["outputs"] for name, part in ours.metadata(baseline)["parts"].items()} == {
        "lane_keeping": ["steering"],
        "throttle": ["throttle"],
    }
