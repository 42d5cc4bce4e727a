"""Wraps a model and its task's loss for Keras's `fit`, whatever the number of outputs.

Keras's own losses go by the names of output layers, which tfmot's wrappers change; here a task's loss sees all outputs
at once, by the names that they keep.
"""

from __future__ import annotations

from typing import Any

from tfmo_drive.base.keras2 import keras, tf
from tfmo_drive.base.outputs import named
from tfmo_drive.contracts import Task


class Learner(keras.Model):
    """Trains `model` on (preprocessed inputs, encoded targets) by `task.loss`; its variables are the model's own."""

    def __init__(self, model: keras.Model, task: Task):
        super().__init__(name=f"learning_{model.name}")
        self.model, self.task_loss = model, task.loss(model)
        self.built = True  # as the model is; Keras would trace it once to find that out
        self.loss_metric = keras.metrics.Mean(name="loss")

    def call(self, inputs, training=None):
        """Returns the model's outputs for preprocessed inputs."""
        return self.model(inputs, training=training)

    @property
    def metrics(self):
        """Returns the metrics that Keras resets at each epoch's start: the mean loss."""
        return [self.loss_metric]

    @property
    def learnt(self) -> list[tf.Variable]:
        """Returns the variables that the optimizer changes, in its order."""
        return self.model.trainable_variables

    def hard_loss(self, targets: Any, outputs: Any) -> tf.Tensor:
        """Computes the task's loss of the model's outputs, plus the losses that its layers add (regularisers)."""
        return tf.add_n([self.task_loss(targets, outputs), *self.model.losses])

    def loss_of(self, inputs: tf.Tensor, targets: Any) -> tf.Tensor:
        """Computes the loss of one batch, in training mode."""
        return self.hard_loss(targets, named(self.model, self.model(inputs, training=True)))

    @tf.autograph.experimental.do_not_convert  # tfmot's quantisers, converted from here, now and then lose their `self`
    def train_step(self, data):
        """Takes one step of the optimizer."""
        inputs, targets = data
        with tf.GradientTape() as tape:
            loss = self.loss_of(inputs, targets)
        self.optimizer.minimize(loss, self.learnt, tape=tape)
        self.loss_metric.update_state(loss)
        return {"loss": self.loss_metric.result()}
