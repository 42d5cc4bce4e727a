"""Kernels as chains: known singular values by hand, and chains that are whole leave every output as it was."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tfmo_drive.base.keras2 import keras
from tfmo_drive.networks import macs
from tfmo_drive.surgery import factors
from tfmo_drive.surgery.factors import Split, Tucker, Weighting

layers = keras.layers


def alone(layer: layers.Layer, *shape: int) -> keras.Model:
    """A model of this layer only, with random weights."""
    inputs = keras.Input(shape)
    model = keras.Model(inputs, layer(inputs))
    generator = np.random.default_rng(0)
    layer.set_weights([generator.normal(size=value.shape) for value in layer.get_weights()])
    return model


def through(model: keras.Model, found: factors.Factors, ranks: tuple[int, ...]) -> keras.Model:
    name = found.layer.name
    return factors.replaced(model, {name: found.chain(ranks, {layer.name for layer in model.layers})})


def assert_equal(ours: keras.Model, theirs: keras.Model):
    batch = np.random.default_rng(1).normal(size=(2, *theirs.input_shape[1:])).astype(np.float32)
    expected = theirs(batch).numpy()
    np.testing.assert_allclose(ours(batch), expected, atol=2e-5 * max(1.0, np.abs(expected).max()))


def test_a_kernel_of_rank_one_is_two_vectors():
    """(1, 2, 2) times (3, 4): norms 3 and 5, so the one singular value is 15."""
    dense = layers.Dense(2, name="a")
    model = alone(dense, 3)
    dense.set_weights([np.float32([[3, 4], [6, 8], [6, 8]]), np.float32([1, -1])])
    found = Split(dense)
    np.testing.assert_allclose(found.spectrum, [225, 0], atol=1e-9)
    assert found.ranks(energy=0.999, multiple=1) == (1,)
    thin = through(model, found, (1,))
    first, second = thin.layers[1:]
    root = np.sqrt(15)  # the same length for both
    np.testing.assert_allclose(first.kernel, np.float32([[1], [2], [2]]) / 3 * root, rtol=1e-6)
    np.testing.assert_allclose(second.kernel, np.float32([[3, 4]]) / 5 * root, rtol=1e-6)
    np.testing.assert_array_equal(second.bias, [1, -1])
    assert [first.use_bias, first.name, second.name] == [False, "a_1", "a"]
    assert found.macs((1,)) == macs.of_model(thin) == 3 + 2


@pytest.mark.parametrize(
    ("energy", "multiple", "rank"),
    [(0.6, 1, 1), (9 / 14, 1, 1), (0.65, 1, 2), (0.95, 1, 3), (1.0, 1, 3), (0.0, 1, 1), (0.0, 2, 2), (0.95, 2, 4),
     (0.95, 8, 4)],
)  # fmt: skip
def test_the_rank_is_the_least_that_keeps_the_energy(energy, multiple, rank):
    """Singular values 3, 2, 1, 0: squared 9, 4, 1, 0 of 14."""
    assert factors.rank(np.float64([9, 4, 1, 0]), energy, multiple) == rank


def test_a_kernel_of_zeros_has_the_least_rank():
    assert factors.rank(np.zeros(16), 0.9, 8) == 8


def test_singular_values_of_both_channel_modes_are_known():
    """One tap, one input channel to one output channel each: 3, 2 and 1 in both modes; the other two taps are zero."""
    conv = layers.Conv2D(3, (1, 3))
    alone(conv, 4, 4, 3)
    kernel = np.zeros((1, 3, 3, 3), np.float32)
    kernel[0, 1] = np.diag([1, 3, 2])
    conv.set_weights([kernel, np.zeros(3)])
    found = Tucker(conv)
    np.testing.assert_allclose(found.read_spectrum, [9, 4, 1])
    np.testing.assert_allclose(found.made_spectrum, [9, 4, 1])
    np.testing.assert_allclose(found.reads, np.eye(3)[:, [1, 2, 0]], atol=1e-12)


def test_a_separable_kernel_is_a_column_and_a_row():
    conv = layers.Conv2D(1, 3, use_bias=False)
    model = alone(conv, 5, 5, 1)
    conv.set_weights([np.outer([1, 2, 1], [1, 0, -1]).reshape(3, 3, 1, 1)])  # Sobel's
    thin = through(model, found := Split(conv), (1,))
    assert [layer.kernel_size for layer in thin.layers[1:]] == [(3, 1), (1, 3)]
    np.testing.assert_allclose(found.spectrum, [12, 0, 0], atol=1e-9)
    assert_equal(thin, model)


CONVOLUTIONS = st.fixed_dictionaries({
    "size": st.tuples(st.integers(1, 4), st.integers(1, 4)),
    "steps": st.sampled_from([((1, 1), (1, 1)), ((2, 2), (1, 1)), ((1, 2), (1, 1)), ((3, 1), (1, 1)),
                              ((1, 1), (2, 2)), ((1, 1), (1, 2))]),
    "padding": st.sampled_from(["same", "valid"]), "bias": st.booleans(),
    "read": st.integers(2, 5), "made": st.integers(2, 5), "few": st.tuples(st.integers(1, 4), st.integers(1, 4)),
})  # fmt: skip


def of_low_rank(sampled: dict) -> tuple[keras.Model, layers.Conv2D, tuple[int, int]]:
    """A convolution of images 9 x 8 whose kernel has the ranks that come last in its two channel modes."""
    strides, dilation = sampled["steps"]
    read, made = sampled["read"], sampled["made"]
    few = min(sampled["few"][0], read), min(sampled["few"][1], made)
    layer = layers.Conv2D(
        made, sampled["size"], strides, sampled["padding"], dilation_rate=dilation, use_bias=sampled["bias"],
        activation="relu" if sampled["bias"] else None,
    )  # fmt: skip
    model = alone(layer, 9, 8, read)
    generator = np.random.default_rng(0)
    core = generator.normal(size=(*sampled["size"], *few))
    kernel = generator.normal(size=(read, few[0])) @ core @ generator.normal(size=(few[1], made))
    layer.set_weights([kernel, *layer.get_weights()[1:]])
    return model, layer, few


@given(sampled=CONVOLUTIONS)
@settings(max_examples=30, deadline=None)
def test_chains_that_leave_nothing_out_leave_the_outputs_as_they_were(sampled):
    model, layer, few = of_low_rank(sampled)
    read, made = layer.kernel.shape[2:]
    found = Tucker(layer)
    for ranks in itertools.product({few[0], read}, {few[1], made}):
        thin = through(model, found, ranks)
        assert found.macs(ranks) == macs.of_model(thin)
        assert_equal(thin, model)
    assert found.macs(found.ranks(1 - 1e-12, 1)) <= macs.of_layer(layer)
    found = Split(layer)
    least = found.ranks(1 - 1e-12, 1)
    assert least[0] <= min(layer.kernel_size[0] * few[0], layer.kernel_size[1] * few[1])
    for ranks in (least, (len(found.spectrum),)):
        thin = through(model, found, ranks)
        assert found.macs(ranks) == macs.of_model(thin)
        assert_equal(thin, model)


@given(seed=st.integers(0, 1000), places=st.sampled_from([(), (7,), (3, 4)]), bias=st.booleans())
@settings(max_examples=10, deadline=None)
def test_dense_layers_on_any_rank_keep_their_outputs(seed, places, bias):
    generator = np.random.default_rng(seed)
    dense = layers.Dense(int(generator.integers(1, 6)), use_bias=bias, activation="tanh")
    model = alone(dense, *places, int(generator.integers(1, 6)))
    found = Split(dense)
    thin = through(model, found, (len(found.spectrum),))
    assert found.macs((len(found.spectrum),)) == macs.of_model(thin)
    assert_equal(thin, model)


@pytest.mark.parametrize("size", [1, 3])
def test_a_weighting_changes_what_is_left_out_and_nothing_else(size):
    conv = layers.Conv2D(4, size, padding="same")
    model = alone(conv, 5, 5, 3)
    generator = np.random.default_rng(0)
    root = np.linalg.cholesky(np.cov(generator.normal(size=(3, 50)), bias=True))
    weighting = Weighting(root, generator.uniform(0.1, 10, 4))
    for kind in (Split, Tucker):
        found = kind(conv, weighting)
        whole = (3, 4) if kind is Tucker else (len(found.spectrum),)
        assert_equal(through(model, found, whole), model)


def test_the_weighted_error_is_that_of_the_outputs():
    """Two channels, passed on: the larger weight is kept, unless what it reads or what reads it says otherwise."""
    dense = layers.Dense(2, use_bias=False)
    model = alone(dense, 2)
    dense.set_weights([np.float32([[1, 0], [0, 2]])])
    kept = {
        "kernel": Split(dense),
        "inputs": Split(dense, Weighting(np.diag([10.0, 1.0]), np.ones(2))),
        "outputs": Split(dense, Weighting(np.eye(2), np.float64([10, 1]))),
    }
    found = {
        name: np.linalg.multi_dot([*through(model, one, (1,)).get_weights(), np.eye(2)]) for name, one in kept.items()
    }
    np.testing.assert_allclose(found["kernel"], [[0, 0], [0, 2]], atol=1e-6)
    np.testing.assert_allclose(found["inputs"], [[1, 0], [0, 0]], atol=1e-6)
    np.testing.assert_allclose(found["outputs"], [[1, 0], [0, 0]], atol=1e-6)


def test_weightings_are_second_moments_and_the_scale_of_the_batch_norm_behind():
    inputs = keras.Input((2, 2, 2))
    conv = layers.Conv2D(2, 1, name="a")
    model = keras.Model(inputs, layers.BatchNormalization(epsilon=0.0, name="norm")(conv(inputs)))
    model.get_layer("norm").set_weights([np.float32(x) for x in ([6, -1], [0, 0], [0, 0], [4, 0.25])])
    values = np.random.default_rng(0).normal(size=(40, 2, 2, 2)).astype(np.float32)
    found = factors.weightings(model, ["a"], values)["a"]
    second = np.einsum("nhwi,nhwj->ij", values, values) / len(values)
    expected = second + factors.RIDGE * np.trace(second) / 2 * np.eye(2)
    np.testing.assert_allclose(found.root @ found.root.T, expected, rtol=1e-5)
    np.testing.assert_allclose(found.scale, [3, 2])


def test_equal_kernels_give_equal_signs():
    left = np.float64([[1, -2], [-3, 1]])
    np.testing.assert_array_equal(left * factors._signs(left), [[-1, 2], [3, -1]])


def test_names_that_are_there_already_are_not_taken_again():
    inputs = keras.Input((4,))
    model = keras.Model(inputs, layers.Dense(3, name="a_1")(layers.Dense(5, name="a")(inputs)))
    thin = through(model, Split(model.get_layer("a")), (2,))
    assert [layer.name for layer in thin.layers[1:]] == ["a_1_2", "a", "a_1"]


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        (layers.Dense(4), True), (layers.Conv2D(4, 3), True), (layers.Conv2D(4, 3, groups=2), False),
        (layers.DepthwiseConv2D(3), False), (layers.SeparableConv2D(4, 3), False), (layers.ReLU(), False),
        (layers.Conv2DTranspose(4, 3), False), (layers.Conv2D(4, 3, data_format="channels_first"), False),
    ],
)  # fmt: skip
def test_only_layers_whose_outputs_read_all_inputs_can_be_factorised(layer, expected):
    assert factors.factorable(layer) == expected
