"""The feature pyramid: which maps of a backbone it takes, and one fine grid that has seen them all."""

from __future__ import annotations

import numpy as np
import pytest

from tfmo_drive.base.keras2 import keras, tf
from tfmo_drive.contracts import BadInput
from tfmo_drive.networks.backbones import MobileNetV2, ResNet, SmallCNN
from tfmo_drive.networks.decoders import feature_maps, pyramid

SMALL = ResNet(blocks=(1, 1, 1, 1), width=0.125)


@pytest.mark.parametrize("topology", ["v1", "v1.5"])
def test_the_map_of_every_stride_of_a_resnet_is_its_stages_end(topology):
    backbone = ResNet(blocks=(1, 2, 1, 1), width=0.125, topology=topology).backbone((64, 96))
    maps = feature_maps(backbone)
    ends = {4: "conv2_block1_out", 8: "conv3_block2_out", 16: "conv4_block1_out", 32: "conv5_block1_out"}
    for stride, name in ends.items():  # v1.5 has a 1x1 convolution of the next stage on the same grid
        assert maps[stride] is backbone.get_layer(name).output
    assert list(maps) == [4, 8, 16, 32] and maps[32] is backbone.output
    assert [tuple(one.shape[1:3]) for one in maps.values()] == [(16, 24), (8, 12), (4, 6), (2, 3)]


def test_mobilenet_and_shallow_networks_have_maps_too():
    assert list(feature_maps(MobileNetV2(width=0.35).backbone((64, 64)))) == [4, 8, 16, 32]
    assert list(feature_maps(ResNet(blocks=(1,), width=0.125).backbone((20, 36)))) == [4]


@pytest.mark.parametrize(
    ("network", "size"),
    [(SMALL, (64, 100)), (SMALL, (48, 96)), (SmallCNN(), (64, 96))],
)
def test_sizes_that_do_not_divide_and_networks_without_a_fine_map_are_refused(network, size):
    with pytest.raises(BadInput, match="task.image_size must be multiples .*, got 4?6?[48] x ") as refused:
        feature_maps(network.backbone(size))
    assert "\n" not in str(refused.value)


def test_the_finest_map_has_seen_all_of_the_backbones():
    backbone = SMALL.backbone((64, 96))
    fine = pyramid(backbone, 8, "seen")
    assert fine.shape[1:] == (16, 24, 8)
    maps = feature_maps(backbone)
    model = keras.Model(list(maps.values()), fine)
    inputs = [tf.Variable(tf.random.stateless_uniform((1, *one.shape[1:]), [0, stride]))
              for stride, one in maps.items()]  # fmt: skip
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(model(inputs, training=False) ** 2)
    for gradient in tape.gradient(total, inputs):
        assert np.abs(gradient).max() > 0
    assert all(name.startswith(("seen_", "input_")) for name in (layer.name for layer in model.layers))
