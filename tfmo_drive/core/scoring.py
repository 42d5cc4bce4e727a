"""The task's score of a Keras model itself, float or fake-quantised; an artifact's score is measures/accuracy.py's."""

from __future__ import annotations

import numpy as np

from tfmo_drive.contracts import Task
from tfmo_drive.core import batches
from tfmo_drive.core.keras2 import keras, tf


class Scorer:
    """The task's score of the Keras model itself (fake-quantised where it is); traced once, as often as it is asked."""

    def __init__(self, model: keras.Model, task: Task):
        self.task = task
        raw = tf.TensorSpec([None, *model.input_shape[1:]], task.preprocessing.dtype)

        @tf.function(input_signature=[raw])
        def outputs(raw):
            return model(batches.preprocess(task, tf.cast(raw, tf.float32)), training=False)

        self.outputs = outputs

    def __call__(self, split: str, indices: np.ndarray | None = None) -> float:
        """In [0, 1], over all examples of the split, or those at `indices`."""
        found = [(self.outputs(x).numpy(), y) for x, y in batches.scoring_batches(self.task, split, indices)]
        judgement = self.task.judge(np.concatenate([f[0] for f in found]), np.concatenate([f[1] for f in found]))
        return float(np.mean(judgement.values))


def score(model: keras.Model, task: Task, split: str) -> float:
    """`Scorer` for a single question."""
    return Scorer(model, task)(split)
