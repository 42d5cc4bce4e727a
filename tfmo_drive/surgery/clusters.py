"""Shares weights: every weight of a kernel is one of a few values (Han, Mao & Dally 2016, "Deep Compression").

The values learn as under tfmot's clustering with averaged gradients (its `GradientAggregation.AVG`): after each step of
the optimizer, a shared value moves by the mean of its weights' moves. Averaging projects the gradient on what can still
move, so a learning rate keeps its meaning. A weight may also change its value: the part of its own moves that rounding
takes away is kept beside the kernel, is added back before the next rounding, and the weight then takes the value that
is nearest. Under plain gradient descent the numbers are tfmot's; momentum is each weight's own.

tfmot's wrapper compares every weight with every value in each forward pass, and keeps 8 bytes of index per weight in
the model (189 MB for ResNet50). Here the kernel itself always holds shared values, and the rounding is a binary search.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable

import numpy as np
from tensorflow_model_optimization.python.core.clustering.keras.cluster_config import CentroidInitialization
from tensorflow_model_optimization.python.core.clustering.keras.clustering_centroids import CentroidsInitializerFactory

from tfmo_drive.base.keras2 import keras, tf

STARTS = {kind.name.lower(): kind for kind in CentroidInitialization if kind is not CentroidInitialization.RANDOM}
"""tfmot's initialisations by name, without the random one, which no seed repeats."""
MOST = 255
"""The number of values that a symmetric int8 range tells apart (-127 to 127)."""


class SharedKernel:
    """Holds a kernel while its weights are shared: the values, and which of them each weight has.

    Args:
        kernel: The layer's kernel variable.
        values: The values that its weights share.
        free: Whether weights choose their value anew after every step, instead of keeping the one they have.
        zeros: Whether weights that are zero now, and the value that is zero, stay so.
    """

    def __init__(self, kernel: tf.Variable, values: np.ndarray, free: bool, zeros: bool):
        self.kernel, self.free, self.zeros = kernel, free, zeros
        weights = self._flat()
        self.alive = weights != 0 if zeros else tf.ones_like(weights, tf.bool)
        self.values = tf.Variable(values, trainable=False)
        self._round = _rounding(len(values))
        chosen, shared, rest = self._round(weights, tf.zeros_like(weights), self.values, self.alive)
        self.chosen = tf.Variable(chosen, trainable=False)
        self.rest = tf.Variable(rest, trainable=False) if free else None
        self._put(shared)

    @property
    def variables(self) -> tuple[tf.Variable, ...]:
        """Returns what the next step depends on beside the kernel.

        Which value each weight has follows from kernel and values.
        """
        return (self.values, self.rest) if self.free else (self.values,)

    def choose(self) -> None:
        """Finds which value each weight of the kernel holds."""
        weights = self._flat()
        self.chosen.assign(self._round(weights, tf.zeros_like(weights), self.values, self.alive)[0])

    def share(self) -> None:
        """Puts shared values back into the kernel after an optimizer's step, which moved every weight on its own."""
        moved, before, chosen = self._flat(), self.values.read_value(), self.chosen.read_value()
        values = before + self._means(moved - _given(before, chosen), chosen)
        if self.zeros:
            values = tf.where(before == 0, 0.0, values)
        if self.free:
            values = tf.sort(values)
            chosen, shared, rest = self._round(moved, self.rest, values, self.alive)
            self.chosen.assign(chosen)
            self.rest.assign(rest)
        else:
            shared = _given(values, chosen)
        self.values.assign(values)
        self._put(shared)

    def _means(self, ways: tf.Tensor, chosen: tf.Tensor) -> tf.Tensor:
        """Returns, [count], the mean over the weights of each value.

        It sums by rows, so that no thread decides the order of a sum.
        """
        rows, count = [-1, self.kernel.shape[-1]], self.values.shape[0]
        chosen = tf.reshape(chosen, rows)
        sums = tf.raw_ops.DenseBincount(input=chosen, size=count, weights=tf.reshape(ways, rows))
        members = tf.raw_ops.DenseBincount(input=chosen, size=count, weights=tf.zeros([0]))
        return tf.reduce_sum(sums, 0) / tf.maximum(tf.reduce_sum(members, 0), 1)

    def _flat(self) -> tf.Tensor:
        return tf.reshape(self.kernel, [-1])

    def _put(self, shared: tf.Tensor) -> None:
        self.kernel.assign(tf.reshape(shared, self.kernel.shape))


class ShareWeights(keras.callbacks.Callback):
    """Shares the weights again after every step of training.

    So kernels hold shared values whenever somebody looks.
    """

    def __init__(self, shared: Iterable[SharedKernel]):
        super().__init__()
        self.shared = tuple(shared)
        self.share = tf.function(lambda: [kernel.share() for kernel in self.shared])

    @property
    def variables(self) -> tuple[tf.Variable, ...]:
        """Returns what the next step depends on beside the kernels, to be saved with an interrupted training."""
        return tuple(variable for kernel in self.shared for variable in kernel.variables)

    def on_epoch_begin(self, epoch, logs=None):
        """Finds the chosen values again, because the kernels may have been read back since."""
        for kernel in self.shared:
            if kernel.free:
                kernel.choose()

    def on_train_batch_end(self, batch, logs=None):
        """Puts shared values back into all kernels."""
        self.share()


def nearest(weights: tf.Tensor, values: tf.Tensor) -> tf.Tensor:
    """Returns, int32 [n], the position in `values` (ascending) nearest to each of `weights` [n].

    The lower one among equals.
    """
    halvings = (values.shape[0] - 1).bit_length()
    beyond = tf.fill([2**halvings - values.shape[0]], np.float32(np.inf))
    edges = tf.concat([(values[1:] + values[:-1]) / 2, beyond], 0)
    position = tf.zeros_like(weights, tf.int32)
    for half in (2**power for power in reversed(range(halvings))):
        position = tf.where(weights > tf.gather(edges, position + half - 1), position + half, position)
    return position


# Compiled to one loop each, once per size; as separate operations over all weights they take six times as long.
_WEIGHTS, _POSITIONS = tf.TensorSpec([None]), tf.TensorSpec([None], tf.int32)


@tf.function(jit_compile=True, input_signature=[_WEIGHTS, _POSITIONS])
def _given(values: tf.Tensor, chosen: tf.Tensor) -> tf.Tensor:
    return tf.gather(values, chosen)


@functools.cache
def _rounding(count: int) -> Callable[..., tuple[tf.Tensor, ...]]:
    """Returns a TensorFlow function that rounds weights to the nearest of `count` values.

    It gives the position of the value that each weight would take without earlier rounding, the value itself, and what
    this rounding takes away.
    """

    @tf.function(
        jit_compile=True,
        input_signature=[_WEIGHTS, _WEIGHTS, tf.TensorSpec([count]), tf.TensorSpec([None], tf.bool)],
    )
    def rounded(moved: tf.Tensor, rest: tf.Tensor, values: tf.Tensor, alive: tf.Tensor) -> tuple[tf.Tensor, ...]:
        wanted = tf.where(alive, moved + rest, 0.0)
        chosen = nearest(wanted, values)
        shared = tf.gather(values, chosen)
        return chosen, shared, wanted - shared

    return rounded


def found_values(kernel: np.ndarray) -> np.ndarray | None:
    """Returns the values that a kernel's weights share, ascending, or None where they do not share any."""
    values = np.unique(kernel)
    return values if 1 < len(values) <= MOST and len(values) < kernel.size else None


def first_values(kernel: np.ndarray, count: int, start: str, zero: bool) -> np.ndarray:
    """Returns the values to begin with, float32 [count] ascending.

    They start as tfmot starts them, then move until each is the mean of the weights nearest to it (Lloyd's k-means, as
    in Deep Compression).

    Args:
        kernel: The kernel, of any shape.
        count: The number of values.
        start: One of STARTS.
        zero: Whether one of the values is 0 and stays there.
    """
    weights = np.sort(kernel.reshape(-1))
    distinct = np.unique(np.append(weights, 0) if zero else weights).astype(np.float32)
    if len(distinct) <= count:
        return np.pad(distinct, (0, count - len(distinct)), mode="edge")
    kind = CentroidsInitializerFactory.get_centroid_initializer(STARTS[start])
    values = np.sort(kind(tf.constant(weights), count, preserve_sparsity=zero).get_cluster_centroids().numpy())
    return _settled(weights, values.astype(np.float64), zero).astype(np.float32)


def _settled(weights: np.ndarray, values: np.ndarray, zero: bool, rounds: int = 100) -> np.ndarray:
    """Runs Lloyd's k-means on sorted weights: a cluster is a slice, so a round costs a few binary searches."""
    sums = np.append(0, np.cumsum(weights, dtype=np.float64))
    for _ in range(rounds):
        edges = np.searchsorted(weights, (values[1:] + values[:-1]) / 2, side="right")
        edges = np.concatenate([[0], edges, [len(weights)]])
        members = np.diff(edges)
        means = np.where(members > 0, np.diff(sums[edges]) / np.maximum(members, 1), values)
        if zero:
            means[values == 0] = 0
        if np.array_equal(means, values):
            break
        values = means
    return values
