"""Computes gradient x weight on labelled train examples: the loss's change by a first-order Taylor expansion."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from tfmo_drive.base import outputs
from tfmo_drive.base.inputs import count
from tfmo_drive.base.keras2 import keras, tf
from tfmo_drive.contracts import Context

BATCH = 64
"""The number of examples whose gradients are one."""
_HELD = BATCH * 64 * 64 * 3
"""The number of values of inputs whose maps are held at once: 64 images of 64 x 64 pixels, 4 of 256 x 256."""


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
        size = max(1, _HELD // sum(one[0].size for one in outputs.flat(inputs)))
        totals = dict.fromkeys(weights, np.float32(0))
        for place in range(0, count(inputs), size):
            part, wanted = (outputs.at(arrays, slice(place, place + size)) for arrays in (inputs, targets))
            with tf.GradientTape() as tape:
                answers = outputs.named(model, model(task.preprocessing(part), training=False))
                value = loss(task.encode(wanted), answers) * (count(part) / count(inputs))
            for name, gradient in zip(weights, tape.gradient(value, [*weights.values()]), strict=True):
                totals[name] = totals[name] + gradient.numpy()
        yield {name: totals[name] * weight.numpy() for name, weight in weights.items()}
