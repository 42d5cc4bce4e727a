"""Computes gradient x weight on labelled train examples: the loss's change by a first-order Taylor expansion."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from tfmo_drive.base import outputs
from tfmo_drive.base.keras2 import keras, tf
from tfmo_drive.contracts import Context

BATCH = 64


def products(
    model: keras.Model, weights: Mapping[str, tf.Variable], context: Context, images: int
) -> Iterator[dict[str, np.ndarray]]:
    """Yields, by name and batch by batch, gradient x weight of the task's loss in inference mode.

    Each is float32 of the weight's shape.

    Args:
        model: The model.
        weights: The variables by name.
        context: Gives the task and the seed.
        images: The number of seeded train examples.
    """
    task = context.task
    examples, loss = task.examples("train"), task.loss(model)
    indices = np.random.default_rng([context.seed, 0x7A7]).permutation(len(examples))[:images]
    for start in range(0, len(indices), BATCH):
        inputs, targets = examples.read(np.sort(indices[start : start + BATCH]))
        with tf.GradientTape() as tape:
            answers = outputs.named(model, model(task.preprocessing(inputs), training=False))
            value = loss(task.encode(targets), answers)
        gradients = tape.gradient(value, [*weights.values()])
        yield {
            name: (gradient * weight).numpy()
            for (name, weight), gradient in zip(weights.items(), gradients, strict=True)
        }
