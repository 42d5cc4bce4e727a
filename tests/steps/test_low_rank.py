"""Low rank as a step: budgets, what is left alone, what the file counts, and what it composes with."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from tfmo_drive.base.keras2 import keras
from tfmo_drive.base.overrides import override
from tfmo_drive.contracts import BadInput
from tfmo_drive.experiment import Experiment
from tfmo_drive.networks import macs
from tfmo_drive.networks.backbones import ResNet
from tfmo_drive.networks.networks import build
from tfmo_drive.steps.low_rank import LowRank
from tfmo_drive.steps.prune import Prune
from tfmo_drive.steps.quantize_aware import QuantizeAware
from tfmo_drive.steps.train import Train
from tfmo_drive.targets.litert import LiteRTFloat32, LiteRTInt8
from tfmo_drive.training import scoring

layers = keras.layers
both_methods = pytest.mark.parametrize("method", ["tucker", "spatial"])


@pytest.fixture(scope="module")
def deeper(tiny_task, context):
    """Two blocks: kernels enough that a budget is met closely."""
    keras.utils.set_random_seed(0)
    model = build(ResNet(blocks=(1, 1), width=0.25), tiny_task.image_size, len(tiny_task.class_names))
    return Train(epochs=8, learning_rate=0.05, batch_size=32)(model, context(baseline=model))


@pytest.fixture(scope="module")
def halves(deeper, context):
    """halves[method, error] -> the two blocks at half of its multiply-accumulates, not trained since."""
    kinds = [("tucker", "outputs"), ("tucker", "kernel"), ("spatial", "outputs")]
    steps = {kind: LowRank(macs=0.5, multiple=1, epochs=0, method=kind[0], error=kind[1]) for kind in kinds}
    return {kind: step(deeper, context()) for kind, step in steps.items()}


def outputs_of(model: keras.Model, task) -> np.ndarray:
    return model(task.preprocessing(task.examples("test").read(np.arange(64))[0]), training=False).numpy()


@both_methods
def test_a_budget_of_multiply_accumulates_is_met_and_used(method, halves, deeper):
    assert 0.47 < macs.of_model(halves[method, "outputs"]) / macs.of_model(deeper) <= 0.5


@both_methods
def test_a_budget_that_cannot_be_met_says_the_smallest_that_can(method, deeper, context):
    step = LowRank(macs=0.001, method=method, error="kernel", epochs=0)
    with pytest.raises(BadInput, match=r"macs=0.001 cannot be met .* 0\.\d+ is the smallest") as refused:
        step.structure(deeper, context())
    smallest = float(str(refused.value).split(": ")[1].split()[0])
    made = dataclasses.replace(step, macs=smallest).structure(deeper, context())
    assert smallest - 0.0001 < macs.of_model(made) / macs.of_model(deeper) <= smallest


@both_methods
def test_multiply_accumulates_are_those_that_the_file_counts(method, halves, tiny_task, context, tmp_path):
    artifact = LiteRTFloat32()(halves[method, "outputs"], tmp_path, context())
    folded = tiny_task.image_size**2 * 9  # the channel order and mean, as a 1x1 convolution
    assert artifact.macs() - macs.of_model(halves[method, "outputs"]) in (0, folded)


def test_the_error_of_the_outputs_is_smaller_when_it_is_what_is_made_small(halves, deeper, tiny_task):
    expected = outputs_of(deeper, tiny_task)
    errors = {error: np.mean((outputs_of(halves["tucker", error], tiny_task) - expected) ** 2)
              for error in ("outputs", "kernel")}  # fmt: skip
    assert errors["outputs"] < errors["kernel"]


def test_a_layer_where_nothing_is_gained_is_left_alone(context):
    inputs = keras.Input((32, 32, 3))
    x = layers.Conv2D(16, 3, name="low")(inputs)
    x = layers.Conv2D(16, 3, name="full", activation="relu")(x)
    model = keras.Model(inputs, layers.Dense(9, name="logits")(layers.GlobalAveragePooling2D(name="pool")(x)))
    low = model.get_layer("low")
    thin = np.random.default_rng(0).normal(size=(3, 3, 3, 2)) @ np.random.default_rng(1).normal(size=(2, 16))
    low.set_weights([thin, np.ones(16)])
    made = LowRank(energy=0.999, multiple=2, error="kernel", epochs=0)(model, context())
    assert [layer.name for layer in made.layers[1:]] == ["low_1", "low", "full", "pool", "logits"]
    batch = np.random.default_rng(2).normal(size=(2, 32, 32, 3)).astype(np.float32)
    np.testing.assert_allclose(made(batch), model(batch), rtol=1e-4, atol=1e-5)
    assert made.output_names == model.output_names == ["logits"]
    assert made.get_layer("low").use_bias and not made.get_layer("low_1").use_bias


def test_all_the_energy_is_the_model_itself(deeper, context):
    for settings in ({"energy": 1.0}, {"macs": 1.0}):
        made = LowRank(error="kernel", epochs=0, **settings).structure(deeper, context())
        assert [layer.name for layer in made.layers] == [layer.name for layer in deeper.layers]


def test_less_energy_is_fewer_multiply_accumulates(deeper, context):
    found = [
        macs.of_model(LowRank(energy=energy, multiple=1, error="kernel").structure(deeper, context()))
        for energy in (0.99, 0.9, 0.7, 0.4)
    ]
    assert found == sorted(set(found), reverse=True)


def test_ranks_are_multiples(deeper, context):
    made = LowRank(energy=0.5, multiple=4, error="kernel", epochs=0).structure(deeper, context())
    names = {layer.name for layer in deeper.layers}
    new = [layer.filters for layer in made.layers if layer.name not in names]
    assert new and all(count % 4 == 0 for count in new)


def test_skipped_layers_stay_whole(deeper, context):
    step = LowRank(energy=0.5, multiple=4, error="kernel", skip=("conv2_block1_2_conv",), epochs=0)
    with pytest.raises(BadInput, match='LowRank.skip: no layer .* Did you mean "conv2_block1_2_conv"'):
        dataclasses.replace(step, skip=("conv2_block1_2_cnov",))(deeper, context())
    made = step.structure(deeper, context())
    np.testing.assert_array_equal(
        made.get_layer("conv2_block1_2_conv").kernel, deeper.get_layer("conv2_block1_2_conv").kernel
    )
    assert len(made.layers) > len(deeper.layers)


def test_a_nested_backbone_is_opened_and_two_heads_stay_as_they_are(context):
    backbone = keras.Sequential([keras.Input((32, 32, 3)), layers.Conv2D(16, 3, strides=2), layers.Conv2D(16, 3)])
    inputs = keras.Input((32, 32, 3))
    features = backbone(inputs)
    boxes = layers.Conv2D(4, 3, padding="same", name="boxes")(features)
    classes = layers.Dense(9, name="classes")(layers.GlobalAveragePooling2D()(features))
    model = keras.Model(inputs, [layers.ReLU(name="positive")(boxes), classes])
    made = LowRank(macs=0.6, multiple=1, epochs=0).structure(model, context())
    assert made.output_names == ["positive", "classes"]
    assert made.output_shape == model.output_shape
    assert macs.of_model(made) <= 0.6 * macs.of_model(model)
    for name in ("boxes", "classes"):
        np.testing.assert_array_equal(made.get_layer(name).kernel, model.get_layer(name).kernel)


def test_it_can_be_done_again(halves, deeper, context):
    step = LowRank(macs=0.7, multiple=1, error="kernel", epochs=0)
    again = step.structure(halves["tucker", "kernel"], context())
    assert macs.of_model(again) <= 0.35 * macs.of_model(deeper)


def test_the_factors_train_and_can_be_quantised(tiny_task, deeper, context, tmp_path):
    place = context()
    thin = LowRank(macs=0.4, multiple=4, epochs=3, batch_size=32)(deeper, place)
    losses = json.loads((place.workdir / "curves.json").read_text())["loss"]
    assert losses[-1] < losses[0]
    quantized = QuantizeAware(epochs=0, calibration_images=64)(thin, context())
    assert scoring.score(quantized, tiny_task, "train") > 0.8 * scoring.score(thin, tiny_task, "train")
    artifact = LiteRTInt8()(quantized, tmp_path, context())
    QuantizeAware().check_artifact(artifact)
    folded = tiny_task.image_size**2 * 9
    assert artifact.macs() - macs.of_model(thin) in (0, folded)


def test_zeros_come_after_factorisation(tiny_task):
    with pytest.raises(BadInput, match="Put LowRank first"):
        Experiment(task=tiny_task, recipe=(Prune(), LowRank()))
    Experiment(task=tiny_task, recipe=(LowRank(), Prune()))


def test_it_is_set_on_the_command_line():
    changed = override(LowRank(), ["macs=0.5", "method=spatial", "skip=conv1_conv,logits"])
    assert (changed.macs, changed.method, changed.skip) == (0.5, "spatial", ("conv1_conv", "logits"))
