"""Frozen graphs eat raw pixels, are made once per set of weights, and do not keep models alive."""

from __future__ import annotations

import dataclasses
import gc
import weakref

import numpy as np
import pytest

from tfmo_drive.base.keras2 import keras, tf
from tfmo_drive.contracts import BadInput, Preprocessing
from tfmo_drive.conversion.freezing import freeze
from tfmo_drive.networks.fake_quant import is_quantize_aware

IDENTITY = Preprocessing("none")
SCALED = Preprocessing("odd", (1, 2, 0), (0.5, 2.0, 0.25), (-3.0, 4.0, 5.0))
MIXED = dataclasses.replace(SCALED, mixing=((0.3, 0.6, 0.1), (-0.5, 0.75, -0.25), (0.0, 0.5, 1.0)))


def network(outputs: int = 1) -> keras.Model:
    image = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(4, 3, name="stem")(image)
    # Names in an order that is not the alphabet's.
    heads = [keras.layers.Dense(3 + i, name=f"{'zyx'[i]}_head")(keras.layers.Flatten()(x)) for i in range(outputs)]
    return keras.Model(image, heads if outputs > 1 else heads[0])


def pixels(count: int = 1) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, 8, 8, 3), dtype=np.uint8)


def run(frozen, images):
    """Through the frozen graph alone, as a converter reads it."""
    graph = tf.compat.v1.wrap_function(lambda: tf.import_graph_def(frozen.graph_def, name=""), [])
    outputs = graph.prune(frozen.function.inputs[0].name, list(frozen.graph_outputs))(tf.constant(images, tf.float32))
    return [output.numpy() for output in outputs]


def operators(frozen) -> list[str]:
    return [node.op for node in frozen.graph_def.node]


@pytest.mark.parametrize("preprocessing", [IDENTITY, SCALED, MIXED], ids=lambda value: value.name)
def test_graph_eats_raw_pixels(preprocessing):
    model = network()
    said = run(freeze(model, preprocessing), pixels())[0]
    assert np.allclose(said, model(preprocessing(pixels())), rtol=1e-4, atol=1e-3)


def test_mixing_comes_before_order_scale_and_offset_and_bounds_hold_every_pixel():
    raw = pixels()[0].reshape(-1, 3).astype(np.float64)
    wanted = (raw @ np.transpose(MIXED.mixing))[:, [1, 2, 0]] * MIXED.scale + MIXED.offset
    np.testing.assert_allclose(MIXED(raw), wanted, rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(raw @ MIXED.matrix + MIXED.offset, wanted, rtol=1e-9, atol=1e-9)
    corners = MIXED(np.stack(np.meshgrid(*[(0, 255)] * 3), -1).reshape(-1, 3))
    np.testing.assert_allclose(MIXED.bounds, (corners.min(), corners.max()), rtol=1e-5)
    assert SCALED.bounds == (-3.0, 514.0) and not MIXED.is_identity


def test_identity_preprocessing_adds_nothing_and_others_one_convolution():
    model = network()
    assert operators(freeze(model, IDENTITY)).count("Conv2D") == 1
    assert operators(freeze(model, SCALED)).count("Conv2D") == 2


def test_several_outputs_keep_the_models_order_and_names():
    model = network(outputs=3)
    frozen = freeze(model, IDENTITY)
    assert frozen.outputs == ("z_head", "y_head", "x_head")
    for ours, theirs in zip(run(frozen, pixels()), model(pixels().astype(np.float32)), strict=True):
        assert np.allclose(ours, theirs, atol=1e-2)


def test_any_batch_can_be_asked_for():
    model = network()
    assert run(freeze(model, IDENTITY, batch=None), pixels(5))[0].shape == (5, 3)
    assert freeze(model, IDENTITY).shape == (1, 8, 8, 3)


def test_freezing_twice_is_freezing_once_until_a_weight_changes():
    model = network()
    first = freeze(model, SCALED)
    assert freeze(model, SCALED) is first
    assert freeze(model, IDENTITY) is not first
    model.get_layer("z_head").bias.assign([1.0, 2.0, 3.0])
    second = freeze(model, SCALED)
    assert second is not first
    assert np.allclose(run(second, pixels())[0] - run(first, pixels())[0], [[1.0, 2.0, 3.0]], atol=1e-4)


def test_cache_does_not_keep_a_model_alive():
    model = network()
    freeze(model, IDENTITY)
    watch = weakref.ref(model)
    del model
    keras.backend.clear_session()
    gc.collect()
    assert watch() is None


def test_graph_has_no_variables_and_no_dropout():
    image = keras.Input((8, 8, 3))
    x = keras.layers.Dropout(0.5)(keras.layers.BatchNormalization()(image))
    model = keras.Model(image, keras.layers.Dense(2)(keras.layers.Flatten()(x)))
    frozen = freeze(model, IDENTITY)
    assert not {"VarHandleOp", "ReadVariableOp", "RandomUniform"} & set(operators(frozen))
    assert np.array_equal(run(frozen, pixels()), run(frozen, pixels()))


def test_quantize_aware_models_are_recognised_even_nested():
    import tensorflow_model_optimization as tfmot

    plain = network()
    aware = tfmot.quantization.keras.quantize_model(network())
    assert not is_quantize_aware(plain) and is_quantize_aware(aware)
    assert is_quantize_aware(keras.Sequential([aware]))
    assert "FakeQuantWithMinMaxArgs" in operators(freeze(aware, SCALED))


@pytest.mark.parametrize("shape", [(None, None, 3), (8, 8, 1), (12,)])
def test_inputs_that_are_no_image_of_known_size_are_refused(shape):
    image = keras.Input(shape)
    with pytest.raises(BadInput, match="one image input of fixed size"):
        freeze(keras.Model(image, keras.layers.ReLU()(image)), IDENTITY)
