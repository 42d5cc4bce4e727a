"""A given model says what images it takes: any task on images, any shape, grey, RGB or four channels."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from PIL import Image

from tfmo_drive.base.keras2 import keras
from tfmo_drive.contracts import BadInput
from tfmo_drive.data.detections import grid
from tfmo_drive.scenes.frames import Frames
from tfmo_drive.tasks.classification import Classification, Scenes
from tfmo_drive.tasks.detection.detection import Detection
from tfmo_drive.tasks.distance import DistanceToObject
from tfmo_drive.tasks.lane_keeping.lane_keeping import LaneKeeping
from tfmo_drive.tasks.multi_task import MultiTask
from tfmo_drive.tasks.segmentation.segmentation import Segmentation
from tfmo_drive.training.given_shape import image_shape

layers = keras.layers
FRAMES = Frames(train=16, val=16, test=16)
TASKS = {
    "classification": Classification(scenes=Scenes(train=36, val=36, test=36)),
    "segmentation": Segmentation(scenes=FRAMES),
    "detection": Detection(scenes=FRAMES),
    "lane_keeping": LaneKeeping(scenes=FRAMES),
    "distance": DistanceToObject(scenes=FRAMES, outputs="standardised"),
    "multi_task": MultiTask(parts=(Segmentation(), LaneKeeping()), scenes=FRAMES),
}
SHAPES = ((40, 100, 3), (66, 200, 1), (37, 50, 3))
"""None of them is square, nor made of sides that every network of ours can halve five times."""


def of_task(task, shape: tuple[int, ...]) -> keras.Model:
    """A model as somebody would build it for such images: whatever the task asks of it, and no layer of ours."""
    keras.utils.set_random_seed(0)
    image, ends = keras.Input(shape), []
    for name, wanted in dataclasses.replace(task, image_size=shape[:2]).ends().items():
        if len(wanted) == 1:
            x = layers.Conv2D(4, 5, 2, activation="relu")(image)  # "valid", as PilotNet's
            x = layers.Dense(wanted[0])(layers.GlobalAveragePooling2D()(x))
        else:
            x = layers.Conv2D(wanted[2], 3, 4 if wanted[:2] == grid(shape[:2]) else 1, "same")(image)
        ends.append(layers.Activation("linear", name=name)(x))
    return keras.Model(image, ends if len(ends) > 1 else ends[0])


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", TASKS)
def test_a_task_on_images_takes_the_shape_of_the_model_that_it_is_given(name, shape, tmp_path):
    model = of_task(TASKS[name], shape)
    model.save(tmp_path / "mine.h5")
    task = dataclasses.replace(TASKS[name], baseline=str(tmp_path / "mine.h5"), preprocessing_name="x/127.5-1")
    assert task.shape == shape and task.metadata(model)["input"]["colour_order"] == ("L" if shape[2] == 1 else "RGB")
    pixels, targets = task.examples("val").read(np.arange(3))
    assert pixels.shape == (3, *shape) and pixels.dtype == np.uint8
    built = task.build()
    given = built(task.preprocessing(pixels))
    outputs = dict(zip(task.output_names, given, strict=True)) if isinstance(given, list) else given
    outputs = {key: one.numpy() for key, one in outputs.items()} if isinstance(outputs, dict) else outputs.numpy()
    assert 0 <= task.evaluate(outputs, targets).score <= 1
    assert np.isfinite(task.loss(built)(task.encode(targets), given if not isinstance(given, list) else outputs))
    if name == "multi_task":
        assert {part.shape for part in task.parts} == {shape}


def test_what_is_said_is_taken_and_what_does_not_fit_is_refused_with_what_to_type(tmp_path):
    of_task(TASKS["lane_keeping"], (66, 200, 1)).save(tmp_path / "mine.h5")
    task = dataclasses.replace(TASKS["lane_keeping"], baseline=str(tmp_path / "mine.h5"), preprocessing_name="unit")
    for settings, words in (
        ({"image_size": (64, 128)}, "images of 66x200x1, the task gives 64x128x1. Add --set=task.image_size=66,200.$"),
        (
            {"preprocessing_name": "bgr/255"},
            "66x200x1, the task gives 66x200x3. Say how its L was made, as .*=grey/255",
        ),
        ({"preprocessing_name": "caffe", "image_size": 64}, "the task gives 64x64x3. Add .*=66,200. Say how its L"),
    ):
        with pytest.raises(BadInput, match=words) as refused:
            dataclasses.replace(task, **settings).build()
        assert "\n" not in str(refused.value)
    assert dataclasses.replace(task, image_size=(66, 200), preprocessing_name="grey/255").build().input_shape[3] == 1
    with pytest.raises(BadInput, match="say how its input was made, with .*=NAME, one of none, .*bgr/255"):
        dataclasses.replace(task, preprocessing_name="").build()


def test_a_model_of_four_channels_reads_alpha(tmp_path):
    for split, count in (("train", 12), ("val", 6), ("test", 6)):
        for number in range(count):
            folder = tmp_path / "data" / split / "ab"[number % 2]
            folder.mkdir(parents=True, exist_ok=True)
            pixels = np.random.default_rng([count, number]).integers(0, 256, (24, 40, 4), np.uint8)
            Image.fromarray(pixels).save(folder / f"{number}.png")
    (tmp_path / "data" / "classes.txt").write_text("a\nb\n")
    image = keras.Input((20, 30, 4))
    keras.Model(image, layers.Dense(2)(layers.Flatten()(image))).save(tmp_path / "mine.h5")
    task = Classification(
        data=str(tmp_path / "data"), baseline=str(tmp_path / "mine.h5"), preprocessing_name="bgra/255"
    )
    pixels = task.examples("test").read(np.arange(6))[0]
    assert pixels.shape == (6, 20, 30, 4) and np.ptp(pixels[..., 3])
    np.testing.assert_allclose(task.preprocessing(pixels)[..., [2, 1, 0, 3]], pixels / np.float32(255), rtol=1e-6)
    assert task.build().input_shape == (None, 20, 30, 4)


def shaped(kind: str, shape=(20, 30, 1)) -> keras.Model:
    """The same in every form that Keras 2 knows."""
    image = keras.Input(shape)
    inner = keras.Model(image, layers.Conv2D(2, 3, name="inside")(image), name="inner")
    if kind == "functional":
        return keras.Model(image, layers.Flatten()(inner(layers.Rescaling(2.0)(image))))
    first = {"sequential": [keras.Input(shape)], "without an input": [], "nested first": [inner]}[kind]
    return keras.Sequential([*first, *([] if first else [layers.Conv2D(2, 3, input_shape=shape)]), layers.Flatten()])


@pytest.mark.parametrize("name", ["mine.h5", "mine.keras", "mine"])
@pytest.mark.parametrize("kind", ["functional", "sequential", "without an input", "nested first"])
def test_the_shape_is_read_from_the_description_alone(kind, name, tmp_path):
    shaped(kind).save(tmp_path / name)
    assert image_shape(tmp_path / name) == (20, 30, 1)


def test_files_that_say_no_shape_say_none_and_odd_channels_are_refused(tmp_path):
    shaped("functional").save_weights(tmp_path / "weights.h5")
    assert image_shape(tmp_path / "weights.h5") is None
    shaped("functional", (20, 30, 2)).save(tmp_path / "two.h5")
    with pytest.raises(BadInput, match=r"takes images of 20x30x2; images have 1 channel \(grey\), 3 \(RGB\) or 4"):
        image_shape(tmp_path / "two.h5")
    assert image_shape(tmp_path / "gone.h5") is None


def test_a_model_of_any_size_takes_the_one_that_is_said_and_asks_for_it(tmp_path):
    image = keras.Input((None, None, 1), name="camera")
    x = layers.Conv2D(4, 3, 2, "same")(image)
    ends = [layers.Conv2D(count, 3, 2, "same", name=name)(x) for name, count in (("scores", 6), ("boxes", 4))]
    keras.Model(image, ends).save(tmp_path / "any.h5")
    task = dataclasses.replace(TASKS["detection"], baseline=str(tmp_path / "any.h5"), preprocessing_name="unit")
    with pytest.raises(BadInput, match="say which size of images it was trained on, with --set=task.image_size=HEIGHT"):
        task.build()
    built = dataclasses.replace(task, image_size=(40, 100)).build()
    assert built.input_shape == (None, 40, 100, 1) and built.output_names == ["scores", "boxes"]
    assert built.output_shape == [(None, 10, 25, 6), (None, 10, 25, 4)]
    clip = keras.Input((4, 40, 100, 1))
    flat = layers.Flatten()(clip)
    keras.Model(clip, [layers.Dense(2)(flat), layers.Dense(2)(flat)]).save(tmp_path / "clip.h5")
    with pytest.raises(BadInput, match="It takes clips") as refused:
        dataclasses.replace(task, baseline=str(tmp_path / "clip.h5"), preprocessing_name="").build()
    assert "preprocessing_name" in str(refused.value) and "size of images" not in str(refused.value)


def test_networks_of_ours_are_grey_where_the_preprocessing_is():
    for task in (Classification(scenes=Scenes(train=36, val=36, test=36), image_size=(32, 40)), TASKS["lane_keeping"]):
        one = dataclasses.replace(task, preprocessing_name="(grey-127.5)/127.5")
        model = one.build()
        assert model.input_shape == (None, *one.shape) == (None, *task.size, 1)
        assert one.examples("test").read(np.arange(2))[0].shape == (2, *task.size, 1)
        assert one.identity() != task.identity()
