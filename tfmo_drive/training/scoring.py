"""Computes the task's score of a Keras model itself, float or fake-quantised.

An artifact's score is measures/accuracy.py's.
"""

from __future__ import annotations

import numpy as np

from tfmo_drive.base import finite, inputs, outputs
from tfmo_drive.base.keras2 import keras, tf
from tfmo_drive.contracts import Arrays, Task
from tfmo_drive.data import batches
from tfmo_drive.networks import graph


class Scorer:
    """Computes the task's score of a Keras model (fake-quantised where it is).

    It is traced once, however often it is asked.
    """

    def __init__(self, model: keras.Model, task: Task):
        self.model, self.task = model, task
        raw = task.preprocessing.of_each(
            lambda rule, tensor: tf.TensorSpec([None, *tensor.shape[1:]], rule.dtype), inputs.named(model)
        )

        @tf.function(input_signature=[raw], autograph=False)
        def answers(raw):
            found = model(batches.preprocess(task, _float32(raw)), training=False)
            return outputs.named(model, found)

        self.answers = answers

    def said(self, split: str, indices: np.ndarray | None = None) -> tuple[Arrays, Arrays]:
        """Returns outputs and targets [n, ...] of all examples of the split, or of those at `indices`.

        Raises BadInput where an output is not finite, naming the layer.
        """
        found = [
            (outputs.each(lambda tensor: tensor.numpy(), self.answers(x)), y)
            for x, y in batches.scoring_batches(self.task, split, indices)
        ]
        answers, targets = (outputs.joined(parts) for parts in zip(*found, strict=True))
        bad = finite.not_finite(answers)
        if len(bad):
            first = bad[0] if indices is None else indices[bad[0]]
            layer = self._overflowing(self.task.examples(split).read(np.array([first]))[0])
            advice = f"The first layer that does so is {layer}: lower learning_rate, or give other weights."
            finite.refuse_answers(answers, f"{self.model.name} in Keras, of {split}", advice)
        return answers, targets

    def _overflowing(self, raw: Arrays) -> str:
        """Returns the first layer whose outputs for raw inputs are not finite.

        The model's name where none is seen alone.
        """
        made = [(node.layer.name, one) for node in graph.calls(self.model) for one in tf.nest.flatten(node.outputs)]
        given = batches.preprocess(self.task, _float32(raw))
        values = keras.Model(self.model.inputs, [one for _, one in made])(given, training=False)
        odd = (name for (name, _), value in zip(made, outputs.flat(values), strict=True)
               if not np.isfinite(value.numpy()).all())  # fmt: skip
        return next(odd, self.model.name)

    def __call__(self, split: str, indices: np.ndarray | None = None) -> float:
        """Returns the score, in [0, 1], over the same examples."""
        return self.task.score(*self.said(split, indices))

    def selection_score(self, split: str) -> float:
        """Returns the number by which training keeps its best epoch; it is `val_score` in curves, stages and logs."""
        return self.task.selection_score(*self.said(split))


def _float32(raw):
    return outputs.each(lambda one: tf.cast(one, tf.float32), raw)


def score(model: keras.Model, task: Task, split: str) -> float:
    """Returns the score of a model on a split, where only one is asked; see `Scorer`."""
    return Scorer(model, task)(split)
