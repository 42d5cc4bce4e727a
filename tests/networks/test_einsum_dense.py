"""EinsumDense becomes a dense layer where it is one, and answers as before."""

from __future__ import annotations

import numpy as np
import pytest

from tfmo_drive.base.keras2 import keras
from tfmo_drive.networks import einsum_dense, plain_layers
from tfmo_drive.networks.layers import kernels

layers = keras.layers
INPUTS = np.random.default_rng(0).normal(size=(2, 4, 4, 6)).astype(np.float32)
COMMON = {
    "dense": lambda x: layers.EinsumDense("abcd,de->abce", (4, 4, 5), bias_axes="e", name="last")(x),
    "dense of any rank": lambda x: layers.EinsumDense("...x,xy->...y", 5, "swish", name="last")(x),
    "to heads": lambda x: layers.EinsumDense("abcd,def->abcef", (4, 4, 2, 3), bias_axes="ef", name="last")(x),
    "to heads, a bias for each": lambda x: layers.EinsumDense(
        "abcd,def->abcef", (4, 4, 2, 3), bias_axes="f", name="last"
    )(x),
    "from heads": lambda x: layers.EinsumDense("abcd,cde->abe", (4, 5), name="last")(x),
}
OTHERS = {
    "an axis in the middle": lambda x: layers.EinsumDense("abcd,ce->abed", (4, 5, 6))(x),
    "another order": lambda x: layers.EinsumDense("abcd,de->abec", (4, 5, 4))(x),
    "a kernel for each place": lambda x: layers.EinsumDense("abcd,bde->abce", (4, 4, 5))(x),
}


@pytest.mark.parametrize("name", [*COMMON, *OTHERS])
def test_answers_stay_the_same_and_only_what_a_dense_layer_computes_is_replaced(name):
    image = keras.Input((4, 4, 6))
    model = keras.Model(image, (COMMON | OTHERS)[name](image))
    generator = np.random.default_rng(1)
    model.set_weights([generator.normal(size=weight.shape) for weight in model.get_weights()])
    made = einsum_dense.as_dense(model)
    assert (made is model) == (name in OTHERS)
    assert made.output_names == model.output_names
    np.testing.assert_allclose(made(INPUTS), model(INPUTS), rtol=1e-5, atol=1e-5)


def test_every_step_sees_the_kernel_of_an_einsum_and_its_activation_is_a_layer():
    image = keras.Input((4, 4, 6))
    model = keras.Model(image, COMMON["dense of any rank"](image))
    made = plain_layers.split(model)
    assert [kernel.variable.shape.as_list() for kernel in kernels(made)] == [[6, 5]]
    assert [type(layer) for layer in made.layers[1:]] == [layers.Dense, layers.Activation]
    np.testing.assert_allclose(made(INPUTS), model(INPUTS), rtol=1e-5, atol=1e-5)
