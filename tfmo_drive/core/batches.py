"""Batches for training and scoring: seeded order, stateless augmentation, constant memory.

Everything is a function of (seed, epoch, index), so that a run interrupted after any epoch continues with the batches
it would have seen (no generator state to save), and parallel maps cannot change them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator

import numpy as np

from tfmo_drive.contracts import Context, Task
from tfmo_drive.core.augmentation import randoms
from tfmo_drive.core.keras2 import tf


@dataclasses.dataclass(frozen=True)
class Attached:
    """Per-example numbers that ride along with the targets (a teacher's cached logits), by augmented view.

    With `views`, epoch e uses the augmentation of view e % views, so that what was computed once stays right.
    """

    views: int
    width: int = 0
    read: Callable[[int, np.ndarray], np.ndarray] = lambda view, indices: np.zeros([len(indices), 0], np.float32)
    """(view, indices) to float32 [b, width]."""


def order(count: int, seed: int, epoch: int) -> np.ndarray:
    """The epoch's permutation of 0..count-1."""
    return np.random.default_rng([seed, epoch, 0x0BDE6]).permutation(count)


def steps_per_epoch(count: int, batch_size: int) -> int:
    """Whole batches only (a last short batch would retrace the graph); a set smaller than a batch is one batch."""
    return max(1, count // batch_size)


def training_epoch(context: Context, batch_size: int, epoch: int, attached: Attached | None = None) -> tf.data.Dataset:
    """One epoch of (inputs, targets): preprocessed float32 [b, ...] and what `task.loss` takes.

    With `attached`, targets are {"hard": targets, "soft": float32 [b, width]}.
    """
    task, examples = context.task, context.task.examples("train")
    view = epoch if attached is None else epoch % attached.views
    table = randoms(context.seed, view, len(examples), task.randoms)
    steps = steps_per_epoch(len(examples), batch_size)
    batches = order(len(examples), context.seed, epoch)[: steps * batch_size].reshape(steps, -1)
    inputs, targets = examples.read(batches[0][:1])

    def read(step):
        indices = batches[step]
        raw, hard = examples.read(indices)
        soft = attached.read(view, indices) if attached else np.zeros([len(indices), 0], np.float32)
        return raw, hard, table[indices], soft

    def prepare(step):
        types = (inputs.dtype, targets.dtype, tf.float32, tf.float32)
        raw, hard, random, soft = tf.numpy_function(read, [step], types)
        size = batches.shape[1]
        raw.set_shape([size, *inputs.shape[1:]])
        hard.set_shape([size, *targets.shape[1:]])
        random.set_shape([size, table.shape[1]])
        soft.set_shape([size, attached.width if attached else 0])
        augmented, hard = task.augment(tf.cast(raw, tf.float32), hard, random)
        return preprocess(task, augmented), ({"hard": hard, "soft": soft} if attached else hard)

    # Nothing is left to tune, and an iterator that has lived for a minute waits half a minute for its tuner to end.
    options = tf.data.Options()
    options.autotune.enabled = False
    dataset = (
        tf.data.Dataset.range(steps)
        .map(prepare, num_parallel_calls=1, deterministic=True)
        .prefetch(2)
        .with_options(options)
    )
    return dataset.apply(tf.data.experimental.assert_cardinality(steps))


def view_batches(context: Context, view: int, batch_size: int = 64) -> Iterator[np.ndarray]:
    """The whole train split in order, augmented as `training_epoch` augments this view: preprocessed float32."""
    task, examples = context.task, context.task.examples("train")
    table = randoms(context.seed, view, len(examples), task.randoms)

    @tf.function(reduce_retracing=True)
    def prepare(raw, targets, random):
        return preprocess(task, task.augment(tf.cast(raw, tf.float32), targets, random)[0])

    for start in range(0, len(examples), batch_size):
        indices = np.arange(start, min(start + batch_size, len(examples)))
        yield prepare(*examples.read(indices), table[indices]).numpy()


def preprocess(task: Task, raw):
    """TensorFlow's side of contracts.Preprocessing."""
    rule = task.preprocessing
    return tf.gather(raw, rule.order, axis=-1) * tf.constant(rule.scale) + tf.constant(rule.offset)


def scoring_batches(task: Task, split: str, indices: np.ndarray | None = None, size: int = 64) -> Iterator:
    """Raw (inputs, targets) of a split in order, as every artifact's `predict` takes them."""
    examples = task.examples(split)
    indices = np.arange(len(examples)) if indices is None else indices
    for start in range(0, len(indices), size):
        yield examples.read(indices[start : start + size])
