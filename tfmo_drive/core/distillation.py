"""The distillation loss and its custom train_step: Hinton, Vinyals & Dean 2015. Every trained step may learn by it.

A single output is a number, which a softmax says nothing of: there the student learns the teacher's answer itself.
"""

from __future__ import annotations

import dataclasses

from tfmo_drive.contracts import BadInput
from tfmo_drive.core.keras2 import keras, tf


@dataclasses.dataclass(frozen=True, kw_only=True)
class SoftLabels:
    """A teacher beside the labels: the loss is (1 - alpha) hard + alpha T^2 soft.

    `alpha` in [0, 1]; 0 is no teacher at all (the control, which then sees the same views). `views`: the teacher's
    logits are computed once for this many augmentations of each image, and the epochs cycle through them. `teacher`:
    the path of a Keras 2 model with the baseline's inputs and outputs; "" is the baseline itself. `temperature` is not
    read where the task predicts a number.
    """

    temperature: float = 4.0
    alpha: float = 0.9
    views: int = 3
    teacher: str = ""

    def __post_init__(self):
        if not 0 < self.temperature <= 100:
            raise BadInput(f"SoftLabels.temperature must be in (0, 100], got {self.temperature}.")
        if not 0 <= self.alpha <= 1:
            raise BadInput(f"SoftLabels.alpha must be in [0, 1], got {self.alpha}.")
        if self.views < 1:
            raise BadInput(f"SoftLabels.views must be at least 1, got {self.views}.")


def ends_in_softmax(model: keras.Model) -> bool:
    """Whether the model's outputs are probabilities: its last layer is, or has, a softmax."""
    last = model.layers[-1]
    last = getattr(last, "layer", last)
    activation = getattr(last, "activation", None)
    activation = getattr(activation, "activation", activation)  # tfmot wraps it while it quantises
    return isinstance(last, keras.layers.Softmax) or getattr(activation, "__name__", "") == "softmax"


def logits_of(outputs: tf.Tensor, probabilities: bool) -> tf.Tensor:
    """Logits [b, classes] from a model's outputs: the logarithms serve where these are probabilities."""
    return tf.math.log(tf.maximum(outputs, 1e-7)) if probabilities else outputs


def soft_loss(student: tf.Tensor, teacher: tf.Tensor, temperature: float) -> tf.Tensor:
    """T^2 x mean cross-entropy of softened logits [b, classes]; T^2 keeps its gradient on the hard loss's scale.

    Of numbers [b, 1], half the mean squared difference, which is what the former tends to for high temperatures
    (Hinton et al., section 2.1; Ba & Caruana 2014, "Do deep nets really need to be deep?", eq. 1).
    """
    if student.shape[-1] == 1:
        return tf.reduce_mean(tf.square(student - teacher)) / 2
    return temperature**2 * tf.reduce_mean(
        tf.nn.softmax_cross_entropy_with_logits(tf.nn.softmax(teacher / temperature), student / temperature)
    )


class Distiller(keras.Model):
    """Trains `student` on (inputs, {"hard": targets, "soft": teacher logits}); its weights are the student's.

    `probabilities`: whether the student's outputs are probabilities rather than logits.
    """

    def __init__(self, student: keras.Model, labels: SoftLabels, probabilities: bool = False):
        super().__init__(name=f"distilled_{student.name}")
        self.student, self.labels, self.probabilities = student, labels, probabilities
        self.build(student.input_shape)
        self.loss_metric = keras.metrics.Mean(name="loss")

    def call(self, inputs, training=None):
        return self.student(inputs, training=training)

    @property
    def metrics(self):
        return [self.loss_metric]

    def train_step(self, data):
        """One step of (1 - alpha) hard + alpha T^2 soft."""
        inputs, targets = data
        hard, alpha = targets["hard"], self.labels.alpha
        with tf.GradientTape() as tape:
            outputs = self.student(inputs, training=True)
            loss = self.compiled_loss(hard, outputs, regularization_losses=self.losses)
            if alpha:
                soft = soft_loss(logits_of(outputs, self.probabilities), targets["soft"], self.labels.temperature)
                loss = (1 - alpha) * loss + alpha * soft
        self.optimizer.minimize(loss, self.student.trainable_variables, tape=tape)
        self.loss_metric.update_state(loss)
        return {"loss": self.loss_metric.result()}
