"""Kernels that stand for a compressed layer compute what the compressed layer would."""

from __future__ import annotations

import numpy as np
import pytest

from tfmo_drive.base.keras2 import keras
from tfmo_drive.commands.sensitivity import probes
from tfmo_drive.networks import graph, layers, macs
from tfmo_drive.networks.backbones import ResNet
from tfmo_drive.networks.networks import build
from tfmo_drive.surgery import factors
from tfmo_drive.surgery.channel_graph import ChannelGraph
from tfmo_drive.surgery.importance import L2


@pytest.fixture(scope="module")
def network():
    keras.utils.set_random_seed(0)
    model = build(ResNet(blocks=(1, 1), width=0.25), 32, 5)
    generator = np.random.default_rng(0)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.set_weights([generator.uniform(0.5, 1.5, one.shape) for one in layer.get_weights()])
    return model


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(1).normal(size=(8, 32, 32, 3)).astype(np.float32)


def changed(model, kernels):
    found = graph.copied(model)
    for name, kernel in kernels.items():
        found.get_layer(name).kernel.assign(kernel)
    return found


def test_a_pruned_part_has_the_zeros_and_nothing_else_changes(network, images):
    parts = probes.zeros(network, images)
    assert set(parts) == {kernel.name for kernel in layers.kernels(network)}
    ((name, kernel),) = parts["conv1_conv"].opened()(0.75).items()
    assert name == "conv1_conv"
    assert np.mean(kernel == 0) == pytest.approx(0.75, abs=1e-3)
    before = network.get_layer(name).kernel.numpy()
    np.testing.assert_array_equal(kernel[kernel != 0], before[kernel != 0])


def test_unread_channels_give_the_outputs_of_the_network_without_them(network, images):
    known = ChannelGraph(network)
    parts = probes.channels(network, images)
    assert list(parts) == [group.name for group in known.groups]
    for group in known.groups:
        gone = group.channels[np.argsort(L2()(known, group), kind="stable")[: len(group.channels) // 2]]
        expected = known.without(gone)(images).numpy()
        found = changed(network, parts[group.name].opened()(0.5))(images).numpy()
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_the_product_of_factors_is_what_their_chain_does(network, images):
    parts = probes.ranks(network, images)
    assert "conv1_conv" in parts and not graph.last(network, factors.factorable) & set(parts)
    for name in ("conv1_conv", "conv2_block1_2_conv", "conv2_block1_1_conv"):
        layer = network.get_layer(name)
        found = factors.decompose(layer, weighting=factors.weightings(network, [name], images)[name])
        chain = factors.replaced(network, {name: found.chain(found.ranks(0.8, 1), set())})
        assert macs.of_model(chain) != macs.of_model(network)
        kernels = parts[name].opened()(0.2)
        np.testing.assert_allclose(changed(network, kernels)(images), chain(images), rtol=1e-3, atol=1e-3)


def test_few_bits_are_few_values(network, images):
    kernel = probes.bits(network, images)["conv1_conv"].opened()(3)["conv1_conv"]
    assert all(len(np.unique(kernel[..., channel])) <= 7 for channel in range(kernel.shape[-1]))


@pytest.mark.parametrize("name", probes.METHODS)
def test_the_least_strength_asked_for_changes_less_than_the_most(network, images, name):
    method = probes.METHODS[name]
    part = next(iter(method.parts(network, images).values())).opened()
    errors = []
    for strength in (method.strengths[0], method.strengths[-1]):
        kernels = part(strength)
        errors.append(sum(np.sum((network.get_layer(key).kernel.numpy() - one) ** 2) for key, one in kernels.items()))
    assert 0 < errors[0] < errors[1]
