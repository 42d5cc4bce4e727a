"""What `fit` is called on: the task's loss of all outputs by name, and nothing of its own that is learnt."""

from __future__ import annotations

import numpy as np
import pytest

from tfmo_drive.base.keras2 import keras, tf
from tfmo_drive.training.learner import Learner


class Halves:
    """A task whose loss is |a - target| + 10 |b - target|."""

    def loss(self, model):
        return lambda targets, outputs: tf.reduce_mean(
            tf.abs(outputs["a"] - targets["both"]) + 10 * tf.abs(outputs["b"] - targets["both"])
        )


def model(penalty=0.0):
    inputs = keras.Input((1,))
    regularizer = keras.regularizers.L1(penalty) if penalty else None
    ends = [
        keras.layers.Dense(1, use_bias=False, kernel_initializer="ones", kernel_regularizer=regularizer, name=name)
        for name in ("quant_b", "a")
    ]
    return keras.Model(inputs, [end(inputs) for end in ends], name="pair")


def compiled(one):
    learner = Learner(one, Halves())
    learner.compile(keras.optimizers.legacy.SGD(0.1))
    return learner


INPUTS, TARGETS = np.float32([[1], [2]]), {"both": np.float32([[0], [0]])}


def test_the_loss_sees_all_outputs_by_their_own_names_in_any_order():
    learner = compiled(model())
    assert learner.train_on_batch(INPUTS, TARGETS) == pytest.approx(11 * 1.5)
    b, a = (float(one.numpy().squeeze()) for one in learner.model.trainable_variables)
    assert a == pytest.approx(1 - 0.1 * 1.5) and b == pytest.approx(1 - 0.1 * 15)


def test_what_layers_add_is_in_the_loss():
    assert compiled(model(0.25)).train_on_batch(INPUTS, TARGETS) == pytest.approx(11 * 1.5 + 2 * 0.25)


def test_its_variables_are_the_models_own():
    one = model()
    learner = compiled(one)
    assert [id(v) for v in learner.trainable_variables] == [id(v) for v in one.trainable_variables]
    assert [id(v) for v in learner.learnt] == [id(v) for v in one.trainable_variables]
    assert learner.name == "learning_pair"


def test_the_reported_loss_is_the_mean_over_batches():
    learner = compiled(model())
    learner.optimizer.learning_rate = 0.0
    dataset = tf.data.Dataset.from_tensor_slices((INPUTS, TARGETS)).batch(1)
    assert learner.fit(dataset, verbose=0).history["loss"] == [pytest.approx(11 * 1.5)]
