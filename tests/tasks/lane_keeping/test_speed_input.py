"""Steering by the camera and the speed: two inputs from the log, or the scenes, to the model and its file."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from PIL import Image

from tfmo_drive.base.keras2 import keras, tf
from tfmo_drive.contracts import BadInput, Context
from tfmo_drive.data.augmentation import Augmentation
from tfmo_drive.measures.temporal import Temporal
from tfmo_drive.networks.backbones import PilotNet
from tfmo_drive.runtimes import artifact_metadata
from tfmo_drive.scenes.scenes import draw
from tfmo_drive.targets.litert import LiteRTInt8
from tfmo_drive.tasks.lane_keeping.lane_keeping import LaneKeeping, LogColumns
from tfmo_drive.tasks.multi_task import MultiTask
from tfmo_drive.tasks.segmentation.segmentation import Segmentation
from tfmo_drive.training import scoring

BOTH = ("image", "speed")
SIZE = (32, 64)


@pytest.fixture(scope="module")
def task(streets):
    return LaneKeeping(inputs=BOTH, **streets)


@pytest.fixture(scope="module")
def drive(tmp_path_factory):
    """A log whose steering its speed alone tells: half lock at 40."""
    folder = tmp_path_factory.mktemp("drive")
    names = [f"center_2018_07_16_17_{i // 60:02}_{i % 60:02}_000.png" for i in range(60)]
    for name in names:
        Image.new("RGB", (64, 32), (90, 120, 150)).save(folder / name)
    lines = [f"{name},{speed / 80},{speed}" for name, speed in zip(names, np.linspace(0, 40, 60), strict=True)]
    (folder / "driving_log.csv").write_text("\n".join(["center,steering,mph", *lines]) + "\n")
    return folder


def of_drive(drive, **changes) -> LaneKeeping:
    settings = {"inputs": BOTH, "image_size": SIZE, "columns": LogColumns(speed="mph"), "preprocessing_name": "unit"}
    return LaneKeeping(data=str(drive), **settings | changes)


def own(name: str = "speed") -> keras.Model:
    """Somebody's own model, which steers by the raw speed alone, as the log does."""
    speed, image = keras.Input((1,), name=name), keras.Input((*SIZE, 3), name="image")
    seen = keras.layers.GlobalAveragePooling2D()(image)
    joined = keras.layers.Dense(1, name="angle")(keras.layers.Concatenate()([speed, seen]))
    model = keras.Model([speed, image], joined)
    model.get_layer("angle").set_weights([np.float32([[1 / 80], [0], [0], [0]]), np.zeros(1, np.float32)])
    return model


def test_a_driven_scene_is_the_same_picture_and_needs_more_steering_the_faster_it_goes(task):
    still = dataclasses.replace(task, inputs=("image",))
    inputs, targets = task.examples("train").read(np.arange(32))
    pixels, truth = still.examples("train").read(np.arange(32))
    np.testing.assert_array_equal(inputs["image"], pixels)
    assert inputs["speed"].shape == (32, 1) and inputs["speed"].dtype == np.float32
    assert 2 <= inputs["speed"].min() < 10 < 22 < inputs["speed"].max() <= 30
    free = (np.abs(targets["steering"]) < 1) & (np.abs(truth["steering"]) > 1e-3)
    factor = 1 + (inputs["speed"] / 22) ** 2
    np.testing.assert_allclose(targets["steering"][free], (truth["steering"] * factor)[free], rtol=1e-4)
    road = draw(0, 0, SIZE).layout.road
    assert road.steering() == road.steering(0.0) == draw(0, 0, SIZE).steering


def test_networks_of_ours_see_speeds_in_standard_deviations_and_augment_images_alone(task):
    ready = task.preprocessing(task.examples("train").read(np.arange(32))[0])["speed"]
    assert task.build().input_names == ["image", "speed"] and abs(ready.mean()) < 1e-3 and abs(ready.std() - 1) < 0.05
    mirrored = dataclasses.replace(task, augmentation=Augmentation(flip=True, shift=0.0, zoom=0.0, shear_degrees=0.0))
    raw, targets = mirrored.examples("train").read(np.arange(8))
    floats = {name: tf.cast(one, tf.float32) for name, one in raw.items()}
    randoms = tf.constant(np.random.default_rng(0).random((8, task.randoms)), tf.float32)
    found, moved = mirrored.augment(floats, targets, randoms)
    np.testing.assert_array_equal(found["speed"], raw["speed"])
    assert np.abs(found["image"] - raw["image"]).max() > 1 and (moved["steering"] != targets["steering"]).numpy().any()


def test_a_model_of_ones_own_takes_the_logs_speed_as_it_is_through_every_file(drive, tmp_path):
    own().save(tmp_path / "own.h5")
    task = of_drive(drive, baseline=str(tmp_path / "own.h5"))
    model = task.build()
    assert scoring.score(model, task, "test") > 0.999
    context = Context(task, model, (), tmp_path, 0)
    artifact = LiteRTInt8(calibration_images=40)(model, tmp_path, context)
    raw, targets = task.examples("test").read(np.arange(8))
    np.testing.assert_allclose(artifact.predict(raw), targets["steering"], atol=0.01)
    facts = artifact_metadata.read(artifact.path)
    assert facts["inputs"]["speed"]["columns"] == ["speed"] and "log" in facts["inputs"]["speed"]["feed"]
    assert Temporal()(artifact, artifact, context) == {}, "nobody says how fast a clip is driven"


def refusals(drive, tmp_path):
    own().save(tmp_path / "own.h5")
    own("pace").save(tmp_path / "pace.h5")
    alone = keras.Input((*SIZE, 3))
    keras.Model(alone, keras.layers.Dense(1)(keras.layers.GlobalAveragePooling2D()(alone))).save(tmp_path / "one.h5")
    given = {name: str(tmp_path / f"{name}.h5") for name in ("own", "pace", "one")}
    return {
        "2 inputs and 1 outputs; the task takes one input .*Lane keeping takes a speed too: --set=task.inputs=image,s":
            lambda: of_drive(drive, inputs=("image",), columns=LogColumns(), baseline=given["own"]).build(),
        r"takes {'pace': \(1,\), .*, the task {'image': .*Name and shape its inputs so":
            lambda: of_drive(drive, baseline=given["pace"]).build(),
        r"has 1 inputs and 1 outputs; the task takes 2 inputs": lambda: of_drive(drive, baseline=given["one"]).build(),
        "LaneKeeping.inputs must be image or image,speed, got speed": lambda: of_drive(drive, inputs=("speed",)),
        "parts share one input, the image. Leave inputs=image,speed out":
            lambda: MultiTask(parts=(Segmentation(), LaneKeeping(inputs=BOTH))),
        "has no column .*speed": lambda: of_drive(drive, columns=LogColumns()).examples("train"),
    }  # fmt: skip


def test_what_does_not_fit_is_refused_in_one_line(drive, tmp_path):
    for said, given in refusals(drive, tmp_path).items():
        with pytest.raises(BadInput, match=said):
            given()


def test_an_image_too_small_is_told_with_a_speed_as_without():
    with pytest.raises(BadInput, match="at least 61 pixels"):
        LaneKeeping(inputs=BOTH, network=PilotNet(), image_size=SIZE).build()
