"""Layers with a kernel, every kind: where channels lie in it, and what it multiplies, by hand and as a file does."""

from __future__ import annotations

import numpy as np
import pytest

from tfmo_drive.base.keras2 import keras
from tfmo_drive.networks import macs
from tfmo_drive.networks.backbones import MobileNetV2
from tfmo_drive.networks.layers import WITH_KERNEL, along_inputs, along_outputs
from tfmo_drive.targets.litert import LiteRTFloat32

layers = keras.layers
BY_HAND = (
    (lambda: layers.Conv2D(5, 3), 6 * 6 * 9 * 4 * 5),
    (lambda: layers.Conv2D(6, (3, 1), 2, "same", groups=2), 4 * 4 * 3 * 2 * 6),
    (lambda: layers.DepthwiseConv2D(3, depth_multiplier=2), 6 * 6 * 9 * 8),
    (lambda: layers.Conv2DTranspose(5, 2, strides=2), 8 * 8 * 4 * 4 * 5),
    (lambda: layers.Dense(5), 8 * 8 * 4 * 5),
)


def alone(layer) -> keras.Model:
    inputs = keras.Input((8, 8, 4))
    return keras.Model(inputs, layer(inputs))


@pytest.mark.parametrize(("kind", "expected"), BY_HAND)
def test_multiply_accumulates_by_hand(kind, expected):
    assert macs.of_model(alone(kind())) == expected


def test_every_kind_is_counted_by_hand():
    assert {type(kind()) for kind, _ in BY_HAND} == set(WITH_KERNEL)


@pytest.mark.parametrize("kind", [kind for kind, _ in BY_HAND if getattr(kind(), "groups", 1) == 1])
def test_factors_of_channels_meet_their_weights(kind):
    """Inputs divided and outputs multiplied by the factors of their channels, all in the kernel."""
    layer, generator = kind(), np.random.default_rng(0)
    model = alone(layer)
    layer.set_weights([generator.normal(size=value.shape) for value in layer.get_weights()])
    images = generator.normal(size=(2, 8, 8, 4)).astype(np.float32)
    kernel, bias = layer.get_weights()
    read, made = generator.uniform(0.5, 2, 4), generator.uniform(0.5, 2, len(bias))
    expected = model(images) * made.astype(np.float32)
    layer.set_weights([kernel * along_outputs(layer, made) / along_inputs(layer, read), bias * made])
    np.testing.assert_allclose(model(images * read.astype(np.float32)), expected, rtol=1e-4, atol=1e-5)


def test_a_mobilenet_multiplies_what_its_file_does(tiny_task, context, tmp_path):
    """Its depthwise convolutions are a tenth of it."""
    model = tiny_task.build(MobileNetV2(width=0.35))
    artifact = LiteRTFloat32()(model, tmp_path, context())
    folded = tiny_task.image_size**2 * 9  # the channel order and mean, as a 1x1 convolution
    assert artifact.macs() - macs.of_model(model) in (0, folded)
