"""Penalties by hand, what they do to a network, and that they end with the step."""

from __future__ import annotations

import numpy as np
import pytest

from tfmo_drive.base.keras2 import keras, tf
from tfmo_drive.base.recipe import refuse_model
from tfmo_drive.contracts import BadInput
from tfmo_drive.networks import layers
from tfmo_drive.steps.regularize import Regularize


@pytest.mark.parametrize(
    ("penalty", "expected"), [("l1", 3 + 4 + 5 + 12), ("l2", 9 + 16 + 25 + 144), ("group_lasso", 2**0.5 * (5 + 13))]
)
def test_penalties_by_hand(penalty, expected):
    kernel = tf.Variable(np.float32([[3, -5], [-4, 12]]))  # two filters: (3, -4) and (-5, 12)
    assert float(Regularize(penalty=penalty).of(kernel)) == pytest.approx(expected, rel=1e-5)


def test_batch_norm_scale_is_penalised_alone_and_skipped_by_name(tiny_baseline):
    found = Regularize(penalty="bn_scale").penalised(tiny_baseline)
    assert found and all("gamma" in variable.name for variable in found)
    fewer = Regularize(penalty="bn_scale", skip=("conv1_bn",)).penalised(tiny_baseline)
    assert len(fewer) == len(found) - 1
    assert float(Regularize(penalty="bn_scale").of(tf.Variable([1.0, -2.0]))) == 3


TRAINING = {"epochs": 2, "batch_size": 32, "learning_rate": 0.02}
WITHOUT = Regularize(weight=0.0, **TRAINING)
PENALISED = {
    penalty: Regularize(penalty=penalty, weight=weight, **TRAINING)
    for penalty, weight in {"l1": 0.02, "l2": 0.1, "group_lasso": 0.05, "bn_scale": 1.0}.items()
}


@pytest.mark.parametrize("penalty", PENALISED)
def test_what_is_penalised_shrinks_against_the_same_training_without(penalty, finished):
    sizes = []
    for step in (WITHOUT, PENALISED[penalty]):
        trained = finished(step)
        measured = PENALISED[penalty]
        sizes.append(sum(float(measured.of(variable)) for variable in measured.penalised(trained)))
        assert trained.losses == []
    assert sizes[1] < 0.9 * sizes[0]


def test_l1_leaves_more_weights_near_zero(finished):
    small = [
        np.mean([np.mean(np.abs(kernel.variable.numpy()) < 0.01) for kernel in layers.kernels(finished(step))])
        for step in (WITHOUT, PENALISED["l1"])
    ]
    assert small[1] > 1.5 * small[0]


def test_a_model_without_batch_norm_cannot_be_slimmed():
    inputs = keras.Input((32, 32, 3))
    plain = keras.Model(inputs, keras.layers.Dense(9, name="logits")(keras.layers.GlobalAveragePooling2D()(inputs)))
    with pytest.raises(BadInput, match='no BatchNorm with a scale.* Use penalty="l1"'):
        refuse_model((Regularize(penalty="bn_scale"),), plain, None)
