"""A given model's numbers: brought to the task's unit, and refused with both ranges where they cannot be in it."""

from __future__ import annotations

import csv
import dataclasses
import json

import numpy as np
import pytest
from PIL import Image

from tfmo_drive.base.keras2 import keras
from tfmo_drive.contracts import BadInput, Context
from tfmo_drive.networks import number_scale, own_model
from tfmo_drive.networks.backbones import ResNet
from tfmo_drive.pack.example import lines
from tfmo_drive.runtimes import interpreters
from tfmo_drive.targets.litert import LiteRTFloat32
from tfmo_drive.tasks.lane_keeping.lane_keeping import LaneKeeping
from tfmo_drive.tasks.sensor_rows.sensor_rows import SensorRows
from tfmo_drive.training import scoring, teacher
from tfmo_drive.training.distillation import SoftLabels

layers = keras.layers


@pytest.mark.parametrize(
    ("scale", "offset", "noise", "odd"),
    [
        (1.0, 0.0, 0.0, False), (1.0, 0.0, 0.5, False), (0.6, 0.1, 0.2, False), (0.0, 0.3, 0.0, False),
        (0.3, 0.0, 1.0, False), (25.0, 0.0, 0.0, True), (0.4363, 0.0, 0.1, True), (-1.0, 0.0, 0.1, True),
        (25.0, 0.0, 30.0, True), (1.0, 100.0, 0.0, True), (0.0, 300.0, 0.0, True), (0.2, 0.0, 0.2, False),
    ],
)  # fmt: skip
def test_answers_of_another_scale_are_odd_and_poor_ones_are_not(scale, offset, noise, odd):
    generator = np.random.default_rng(0)
    truth = generator.uniform(-1, 1, 200)
    answers = scale * truth + offset + noise * generator.uniform(-1, 1, 200)
    assert number_scale.fit(answers, truth).odd == odd


def test_too_few_or_constant_truth_says_nothing():
    assert not number_scale.fit(np.full(7, 100.0), np.arange(7.0)).odd
    assert not number_scale.fit(np.full(70, 100.0), np.ones(70)).odd
    generator = np.random.default_rng(0)
    assert not any(number_scale.fit(*generator.normal(size=(2, 12)) / 2).odd for _ in range(200)), "chance is no sign"


@pytest.mark.parametrize("ending", ["dense", "no bias", "tanh", "operator"])
def test_a_rescaled_output_is_the_old_one_times_scale_plus_offset(ending):
    inputs = keras.Input((3,))
    last = {
        "dense": layers.Dense(1), "no bias": layers.Dense(1, use_bias=False), "tanh": layers.Dense(1, "tanh"),
        "operator": lambda x: 2.0 * layers.Dense(1)(x),
    }[ending]  # fmt: skip
    model = keras.Model(inputs, last(inputs))
    values = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    before = model(values).numpy()
    made = number_scale.rescaled(model, model.output_names[0], 0.25, 3.0)
    np.testing.assert_allclose(made(values), before * 0.25 + 3, rtol=1e-5, atol=1e-6)
    assert (len(made.layers) == len(model.layers)) == (ending == "dense"), "no layer more where one can take it"


@pytest.mark.parametrize("end", ["linear", "tanh", "no bias", "read again"])
def test_of_several_outputs_only_one_is_rescaled_and_all_keep_their_names(end):
    inputs = keras.Input((3,))
    steering = layers.Dense(1, "tanh" if end == "tanh" else None, use_bias=end != "no bias", name="steering")(inputs)
    more = layers.Concatenate()([inputs, steering]) if end == "read again" else inputs
    model = keras.Model(inputs, [steering, layers.Dense(2, name="more")(more)])
    values = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    before = [one.numpy() for one in model(values)]
    made = number_scale.rescaled(model, "steering", 0.25, 3.0)
    assert made.output_names == ["steering", "more"]
    for found, expected in zip(made(values), (before[0] * 0.25 + 3, before[1]), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


LIMIT = 25.0


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    """A task on a log in degrees, of frames that are the redder, the further they are steered to the right."""
    folder, generator = tmp_path_factory.mktemp("log"), np.random.default_rng(0)
    (folder / "IMG").mkdir()
    with open(folder / "driving_log.csv", "w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["center", "steering", "split"])
        for index in range(48):
            steering = float(generator.uniform(-1, 1))
            pixels = np.full((32, 32, 3), 128, np.uint8)
            pixels[..., 0] = round(127.5 + 127.5 * steering)
            Image.fromarray(pixels).save(folder / "IMG" / f"{index}.png")
            rows.writerow([f"IMG/{index}.png", f"{steering * LIMIT:.4f}", ("train", "val", "test")[index % 3]])
    network = ResNet(blocks=(1, 1), width=0.25)
    return LaneKeeping(data=str(folder), image_size=(32, 32), limit=LIMIT, preprocessing_name="unit", network=network)


def steered(full_lock: float, ending: str = "dense") -> keras.Model:
    """Answers right in the unit in which full lock to the right is `full_lock`."""
    image = keras.Input((32, 32, 3))
    pooled = layers.GlobalAveragePooling2D()(image)
    last = layers.Dense(1, name="steering")
    answer = last(pooled)
    last.set_weights([np.float32([[2], [0], [0]]) * full_lock, np.float32([-full_lock])])
    return keras.Model(image, answer if ending == "dense" else layers.ReLU(negative_slope=1.0)(answer))


def given(task, model, folder, **settings):
    model.save(folder / "mine.h5", include_optimizer=False)
    return dataclasses.replace(task, baseline=str(folder / "mine.h5"), **settings)


def test_what_a_model_answers_at_full_lock_is_asked_where_the_logs_unit_is_another(log, tmp_path):
    with pytest.raises(BadInput, match="--set=task.full_lock=25 .*log's unit.* or --set=task.full_lock=1 "):
        given(log, steered(1.0), tmp_path).build()


@pytest.mark.parametrize(
    ("full_lock", "ending"), [(1.0, "dense"), (LIMIT, "dense"), (float(np.deg2rad(25)), "relu"), (-LIMIT, "relu")]
)
def test_every_unit_that_is_said_is_right_in_the_score_the_file_and_predict(full_lock, ending, log, tmp_path):
    task = given(log, steered(full_lock, ending), tmp_path, full_lock=full_lock)
    model = task.build()
    assert scoring.score(model, task, "test") > 0.98
    target = LiteRTFloat32()
    artifact = target(model, tmp_path, Context(task, model, (target,), tmp_path, 0))
    pixels, targets = task.examples("test").read(np.arange(4))
    facts = task.metadata(model)
    for answer, truth in zip(interpreters.load(artifact.path).predict(pixels), targets["steering"], strict=True):
        (said,) = lines({"steering": answer}, facts)
        assert float(said.split()[0]) == pytest.approx(float(truth[0]) * 25, abs=0.2)


@pytest.mark.parametrize(
    ("answers", "taken", "advice"),
    [
        (25.0, 1.0, "25"), (0.4363, 1.0, "0.4363"), (1.0, 25.0, "1"), (-1.0, 1.0, "-1"), (-25.0, 25.0, "-25"),
        (7.0, 1.0, "6.99"),
    ],
)  # fmt: skip
def test_another_unit_than_said_is_refused_with_both_ranges_and_what_to_type(answers, taken, advice, log, tmp_path):
    with pytest.raises(
        BadInput, match=rf"where the truth is -2.* of at most 25.*task.full_lock={advice}\.$"
    ) as refused:
        given(log, steered(answers), tmp_path, full_lock=taken).build()
    assert str(refused.value).startswith("task.baseline: ") and "\n" not in str(refused.value)


def test_a_teachers_unit_is_the_same_question(log, tmp_path):
    task = dataclasses.replace(log, full_lock=LIMIT)
    steered(LIMIT).save(tmp_path / "degrees.h5")
    steered(1.0).save(tmp_path / "share.h5")
    place = Context(task, steered(1.0), (), tmp_path, 0)
    read = teacher.attached(SoftLabels(augmented_copies=1, teacher=str(tmp_path / "degrees.h5")), place).read(
        0, np.arange(16)
    )
    assert 0.5 < np.abs(read).max() <= 1.05
    with pytest.raises(BadInput, match="^distill.teacher: .*full_lock=1"):
        teacher.model(SoftLabels(teacher=str(tmp_path / "share.h5")), place)


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """A task on rows whose target, about 300 of some unit, is 40 a + 20 b + 300."""
    path, generator = tmp_path_factory.mktemp("rows") / "rows.csv", np.random.default_rng(0)
    values = generator.normal(size=(240, 2))
    splits = np.array(["train", "val", "test"])[np.arange(240) // 80]
    lines = [f"{a:.6f},{b:.6f},{40 * a + 20 * b + 300:.6f},{s}" for (a, b), s in zip(values, splits, strict=True)]
    path.write_text("a,b,target,split\n" + "\n".join(lines) + "\n")
    return SensorRows(data=str(path), predicts="number")


def numbers(scale: float, offset: float, use_bias: bool = True) -> keras.Model:
    row = keras.Input((2,))
    last = layers.Dense(1, name="answer")
    model = keras.Model(row, last(row))
    last.set_weights([np.float32([[40], [20]]) * scale, np.float32([300 * scale + offset])])
    return model


def test_raw_numbers_and_standardised_ones_are_both_right_once_said(table, tmp_path):
    mean, deviation = float(table._summary.mean[-1]), float(table._summary.deviation[-1])
    with pytest.raises(BadInput, match="--set=task.outputs=raw .* or standardised"):
        given(table, numbers(1, 0), tmp_path, standardise="none").build()
    for model, outputs in ((numbers(1, 0), "raw"), (numbers(1 / deviation, -mean / deviation), "standardised")):
        task = given(table, model, tmp_path, standardise="none", outputs=outputs)
        made = task.build()
        assert scoring.score(made, task, "test") > 0.99
        rows, truth = task.examples("test").read(np.arange(5))
        decode = task.metadata(made)["decode"]
        said = made(task.preprocessing(rows)).numpy()
        np.testing.assert_allclose(said * decode["scale"] + decode["offset"], truth, rtol=1e-3)


def test_numbers_of_another_reading_are_refused_with_the_right_one(table, tmp_path):
    mean, deviation = float(table._summary.mean[-1]), float(table._summary.deviation[-1])
    with pytest.raises(BadInput, match="Add --set=task.outputs=raw.$"):
        given(table, numbers(1, 0), tmp_path, standardise="none", outputs="standardised").build()
    with pytest.raises(BadInput, match="Add --set=task.outputs=standardised.$"):
        model = numbers(1 / deviation, -mean / deviation)
        given(table, model, tmp_path, standardise="none", outputs="raw").build()
    with pytest.raises(BadInput, match="Check task.outputs, task.standardise, and the order of the columns"):
        given(table, numbers(1000, 0), tmp_path, standardise="none", outputs="raw").build()


def test_a_stage_of_another_unit_is_refused_and_of_the_same_taken_without_a_question(log, table, tmp_path):
    for task, other, model in ((log, {"scale": 30.0}, steered(1.0)), (table, {"scale": 2.0}, numbers(1, 0))):
        model.save(tmp_path / "model.h5", include_optimizer=False)
        own = own_model.units(task.metadata(model))
        assert set(other) <= set(own)
        task = dataclasses.replace(task, baseline=str(tmp_path / "model.h5"))
        for units in (own | other, own):
            (tmp_path / "stage.json").write_text(json.dumps({"units": units}))
            if units == own:
                task.build()
            else:
                with pytest.raises(BadInput, match="was trained to give numbers of another unit"):
                    task.build()
