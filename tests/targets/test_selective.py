"""Which layers stay in float: what feeds a worst layer, and the fewest that bring the decisions back."""

from __future__ import annotations

import numpy as np
import pytest

from tfmo_drive.base.keras2 import keras
from tfmo_drive.contracts import Preprocessing
from tfmo_drive.conversion import conversion
from tfmo_drive.conversion.calibration import MINMAX
from tfmo_drive.conversion.freezing import freeze
from tfmo_drive.runtimes import tflite_file
from tfmo_drive.runtimes.flatbuffer_edit import unpack
from tfmo_drive.runtimes.tflite_file import layer_name
from tfmo_drive.targets import selective

layers = keras.layers
IMAGES = np.random.default_rng(0).integers(0, 256, (40, 8, 8, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def frozen():
    """Two heads; 50 of the 64 channels between `wide` and `narrow` are a thousandth of the others."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((8, 8, 3))
    stem = layers.Conv2D(8, 1, activation="relu", name="stem")(inputs)
    x = layers.Conv2D(64, 3, activation="relu", name="wide")(stem)
    narrow = layers.Conv2D(8, 3, name="narrow")(
        layers.MaxPooling2D(2, 1, name="largest")(layers.ZeroPadding2D(1, name="frame")(x))
    )
    pooled = layers.GlobalAveragePooling2D(name="pool")(narrow)
    model = keras.Model(inputs, [layers.Dense(6, name="one")(pooled), layers.Dense(3, name="two")(pooled)])
    scales = np.where(np.arange(64) < 50, 1e-3, 1.0)
    for layer, factors in ((model.get_layer("wide"), scales), (model.get_layer("narrow"), 1 / scales[:, None])):
        kernel, bias = layer.get_weights()
        layer.set_weights([kernel * factors, bias])
    return freeze(model, Preprocessing("none"))


def test_what_feeds_a_layer_goes_up_to_the_operator_that_rounds_it(frozen):
    graph = unpack(conversion.float32(frozen))
    names = {layer_name(o.outputs[0].name): o.outputs[0].name for o in
             tflite_file.read(conversion.float32(frozen)).operators}  # fmt: skip
    feeding = {layer_name(name) for name in selective._feeding(graph, [names["narrow"]])}
    assert feeding == {"wide", "frame", "largest"}
    assert selective._feeding(graph, [names["stem"]]) == set()


def test_the_fewest_worst_layers_bring_the_decisions_back(frozen):
    integer = conversion.int8(frozen, IMAGES)
    wanted = selective._decisions(conversion.float32(frozen), IMAGES)
    assert wanted.shape == (40, 2)
    assert np.mean(selective._decisions(integer, IMAGES) == wanted) < 0.5
    found = selective.mixed(frozen, IMAGES, MINMAX, drop=0.1)
    assert found.agreement == np.mean(selective._decisions(found.content, IMAGES) == wanted) >= 0.9
    assert [error.layer for error in found.worst] == ["narrow"] and found.worst[0].sqnr_db < 5
    assert [layer_name(name) for name in found.feeding] == ["frame", "largest", "wide"]
    assert tflite_file.float_operators(found.content)["CONV_2D"] == 2
    stored = {layer: values.dtype for layer, values in tflite_file.weights(found.content).items()}
    assert stored["wide/kernel"] == stored["narrow/kernel"] == np.float32
    assert stored["stem/kernel"] == stored["one/kernel"] == np.int8


def test_with_every_layer_in_float_every_decision_is_the_float_files(frozen):
    found = selective.mixed(frozen, IMAGES, MINMAX, drop=0.0)
    assert found.agreement == 1
