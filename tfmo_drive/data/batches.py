"""Makes batches for training and scoring: seeded order, stateless augmentation, constant memory.

Everything is a function of (seed, epoch, index), so that a run interrupted after any epoch continues with the batches
it would have seen (no generator state to save), and parallel maps cannot change them.
"""

from __future__ import annotations

import dataclasses
import functools
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


class TrainingBatches:
    """Makes each epoch's batches (inputs, targets), augmented and preprocessed; all epochs share one traced graph."""

    def __init__(self, context: Context, batch_size: int, attached: Attached | None = None):
        """Traces nothing yet.

        Args:
            context: Gives the task and the seed.
            batch_size: The number of examples in a batch.
            attached: Arrays that accompany the targets.
        """
        self._context, self._attached = context, attached
        self._examples = context.task.examples("train")
        self.steps = steps_per_epoch(len(self._examples), batch_size)
        self._batch_size = batch_size
        self._plan = functools.lru_cache(maxsize=2)(self._planned)  # of a prefetched batch and of one that is read
        self._graph = tf.function(self._prepared)

    def epoch(self, number: int) -> tf.data.Dataset:
        """Returns one epoch of `steps` batches.

        Args:
            number: The number of the epoch, from 0.

        Returns:
            A dataset of inputs float32 [b, ...] and what `task.loss` takes; with `attached`, targets are {"hard":
                those, "soft": what is attached}.
        """
        which = tf.constant(number, tf.int64)
        # Nothing is left to tune, and an iterator that has lived for a minute waits half a minute for its tuner to end.
        options = tf.data.Options()
        options.autotune.enabled = False
        options.experimental_optimization.apply_default_optimizations = False
        dataset = (
            tf.data.Dataset.range(self.steps)
            .map(lambda step: self._graph(which, step), num_parallel_calls=1, deterministic=True)
            .prefetch(2)
            .with_options(options)
        )
        return dataset.apply(tf.data.experimental.assert_cardinality(self.steps))

    def _planned(self, epoch: int) -> tuple[int, np.ndarray, np.ndarray]:
        """Returns the epoch's augmented copy, its random numbers by example, and its indices [steps, b]."""
        task, seed = self._context.task, self._context.seed
        copy = epoch if self._attached is None else epoch % self._attached.augmented_copies
        table = randoms(seed, copy, len(self._examples), task.randoms)
        return copy, table, shown(task, seed, epoch)[: self.steps * self._batch_size].reshape(self.steps, -1)

    def _read(self, epoch: int, step: int, most: int | None = None) -> tuple:
        """Returns one batch, or its first `most` examples: (inputs, targets, random numbers, attached arrays or ())."""
        copy, table, batches = self._plan(int(epoch))
        indices = batches[step][:most]
        soft = self._attached.read(copy, indices) if self._attached else ()
        return *self._examples.read(indices), table[indices], soft

    def _prepared(self, epoch, step):
        example = self._read(0, 0, most=1)
        arrays = tf.numpy_function(
            lambda epoch, step: tf.nest.flatten(self._read(epoch, step)),
            [epoch, step],
            [array.dtype for array in tf.nest.flatten(example)],
        )
        size = self._plan(0)[2].shape[1]
        for array, like in zip(arrays, tf.nest.flatten(example), strict=True):
            array.set_shape([size, *like.shape[1:]])
        raw, targets, random, soft = tf.nest.pack_sequence_as(example, arrays)
        augmented, hard = prepared(self._context.task, raw, targets, random)
        return augmented, ({"hard": hard, "soft": soft} if self._attached else hard)


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

    It is augmented as `TrainingBatches` augments the copy of number `copy`.
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
