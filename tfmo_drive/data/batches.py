"""Makes batches for training and scoring: seeded order, stateless augmentation, constant memory.

Everything is a function of (seed, epoch, index), so that a run interrupted after any epoch continues with the batches
it would have seen (no generator state to save), and parallel maps cannot change them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator

import numpy as np

from tfmo_drive.base.keras2 import tf
from tfmo_drive.base.outputs import each
from tfmo_drive.contracts import Arrays, Context, Preprocessing, Task
from tfmo_drive.data.augmentation import randoms


@dataclasses.dataclass(frozen=True)
class Attached:
    """Holds per-example arrays that accompany the targets (a teacher's cached logits), one set for each augmented copy.

    Epoch e uses the augmentation of copy e % `augmented_copies`, so that what was computed once stays right.
    """

    augmented_copies: int
    read: Callable[[int, np.ndarray], Arrays] = lambda copy, indices: np.zeros([len(indices), 0], np.float32)
    """(copy, indices) to float32 [b, ...]."""


def order(count: int, seed: int, epoch: int) -> np.ndarray:
    """Returns the epoch's permutation of 0..count-1, int64 [count]."""
    return np.random.default_rng([seed, epoch, 0x0BDE6]).permutation(count)


def shown(task: Task, seed: int, epoch: int) -> np.ndarray:
    """Returns the indices of the train examples that an epoch shows: the task's own choice, or all in `order`."""
    chosen = task.order(seed, epoch)
    return order(len(task.examples("train")), seed, epoch) if chosen is None else chosen


def steps_per_epoch(count: int, batch_size: int) -> int:
    """Returns the number of whole batches; a set smaller than a batch is one batch.

    A last short batch is left out, because it would retrace the graph.
    """
    return max(1, count // batch_size)


def training_epoch(context: Context, batch_size: int, epoch: int, attached: Attached | None = None) -> tf.data.Dataset:
    """Returns one epoch of batches (inputs, targets), augmented and preprocessed.

    Args:
        context: Gives the task and the seed.
        batch_size: The number of examples in a batch.
        epoch: The number of the epoch, from 0.
        attached: Arrays that accompany the targets.

    Returns:
        A dataset of inputs float32 [b, ...] and what `task.loss` takes; with `attached`, targets are {"hard": those,
            "soft": what is attached}.
    """
    task, examples = context.task, context.task.examples("train")
    copy = epoch if attached is None else epoch % attached.augmented_copies
    table = randoms(context.seed, copy, len(examples), task.randoms)
    steps = steps_per_epoch(len(examples), batch_size)
    batches = shown(task, context.seed, epoch)[: steps * batch_size].reshape(steps, -1)

    def read(indices):
        soft = attached.read(copy, indices) if attached else ()
        return *examples.read(indices), table[indices], soft

    example = read(batches[0][:1])

    def prepare(step):
        arrays = tf.numpy_function(
            lambda step: tf.nest.flatten(read(batches[step])),
            [step],
            [array.dtype for array in tf.nest.flatten(example)],
        )
        for array, like in zip(arrays, tf.nest.flatten(example), strict=True):
            array.set_shape([batches.shape[1], *like.shape[1:]])
        raw, targets, random, soft = tf.nest.pack_sequence_as(example, arrays)
        augmented, hard = prepared(task, raw, targets, random)
        return augmented, ({"hard": hard, "soft": soft} if attached else hard)

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


def prepared(task: Task, raw, targets, randoms) -> tuple:
    """Returns inputs augmented and preprocessed for the model, and targets encoded for its loss, in graph code.

    Args:
        task: The task.
        raw: Inputs as they are read, [b, ...].
        targets: Targets as they are read.
        randoms: float32 [b, task.randoms] in [0, 1).
    """
    augmented, targets = task.augment(each(lambda one: tf.cast(one, tf.float32), raw), targets, randoms)
    return preprocess(task, augmented), task.encode(targets)


def augmented_batches(context: Context, copy: int, batch_size: int = 64) -> Iterator[Arrays]:
    """Yields the whole train split in order, preprocessed, float32 [b, ...].

    It is augmented as `training_epoch` augments the copy of number `copy`.
    """
    task, examples = context.task, context.task.examples("train")
    table = randoms(context.seed, copy, len(examples), task.randoms)

    @tf.function(reduce_retracing=True)
    def inputs(raw, targets, random):
        return prepared(task, raw, targets, random)[0]

    for start in range(0, len(examples), batch_size):
        indices = np.arange(start, min(start + batch_size, len(examples)))
        yield each(lambda one: one.numpy(), inputs(*examples.read(indices), table[indices]))


def preprocess(task: Task, raw):
    """Applies the task's preprocessing to raw inputs [..., channels] in TensorFlow, as Preprocessing does in numpy."""
    return task.preprocessing.of_each(_preprocessed, raw)


def _preprocessed(rule: Preprocessing, raw):
    if rule.mixing:
        raw = tf.tensordot(raw, tf.constant(rule.mixing), [[-1], [1]])
    return tf.gather(raw, rule.channel_order, axis=-1) * tf.constant(rule.scale) + tf.constant(rule.offset)


def scoring_batches(task: Task, split: str, indices: np.ndarray | None = None, size: int = 64) -> Iterator:
    """Yields raw (inputs, targets), `size` at a time, of a split in order or of its examples at `indices`."""
    examples = task.examples(split)
    indices = np.arange(len(examples)) if indices is None else indices
    for start in range(0, len(indices), size):
        yield examples.read(indices[start : start + size])
