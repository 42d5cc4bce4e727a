"""Equalizes across layers: scales channels against one another so that int8 rounds all alike, with outputs as before.

Nagel et al. 2019, "Data-free quantization through weight equalization and bias correction", section 4.1, for what a
TensorFlow Lite file rounds. Its kernels have a scale per output channel, so the first kernel of a pair never suffers;
what does is the tensor between (one scale for all channels) and the second kernel's input channels (one scale for all).
These two are balanced, the tensor by its range on calibration images, as SmoothQuant does (Xiao et al. 2023).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np

from tfmo_drive.base.inputs import pieces
from tfmo_drive.base.keras2 import keras, tf
from tfmo_drive.base.outputs import each
from tfmo_drive.contracts import Arrays, BadInput, Context
from tfmo_drive.networks import graph
from tfmo_drive.networks.layers import MAKERS, input_axis
from tfmo_drive.surgery.channel_scales import ChannelScales
from tfmo_drive.surgery.untrained_step import UntrainedStep

ROUNDS = 100
SETTLED = 0.01
"""The largest change of any factor in the last round: 1 %, where a step of int8 is 0.8 % of the range."""


@dataclasses.dataclass(frozen=True)
class Equalize(UntrainedStep):
    """Scales the channels of every ReLU network so that int8 costs activations and weights alike; nothing is trained.

    Ranges come from `calibration_images` of train, without labels. Channels around a layer through which a scale does
    not pass (ReLU6, sigmoid, a product) keep theirs; the log names them.

    Example:
        >>> import tfmo_drive as td
        >>> td.Equalize().name
        'equalize'
    """

    calibration_images: int = 100

    preserves = ("sparsity",)

    def __post_init__(self):
        if self.calibration_images < 1:
            raise BadInput(f"Equalize.calibration_images must be at least 1, got {self.calibration_images}.")

    def idle(self, model: keras.Model) -> str:
        scales = ChannelScales(graph.flat(model))
        why = "".join(f"; {name}: {reason}" for name, reason in list(scales.untouched.items())[:2])
        return "" if scales.free.any() else f"no channel's scale is free{why}. Leave Equalize out."

    def changed(self, model: keras.Model, context: Context) -> keras.Model:
        scales = ChannelScales(graph.flat(model))
        images = context.task.preprocessing(context.calibration(self.calibration_images))
        return scales.rescaled(balanced(scales, channel_ranges(scales, images)))

    def skipped_layers(self, model: keras.Model) -> dict[str, str]:
        return ChannelScales(graph.flat(model)).untouched


def channel_ranges(scales: ChannelScales, inputs: Arrays, batch: int = 16) -> np.ndarray:
    """Returns the largest absolute value of each channel on preprocessed `inputs`, wherever it is carried.

    It is float64 [channel numbers], 0 for a channel that is nowhere active or in none of `scales.tensors`.
    """
    ranges = np.zeros(len(scales.free))
    if not scales.tensors:
        return ranges
    probe = keras.Model(scales.model.inputs, [tensor for tensor, _ in scales.tensors])

    @tf.function(input_signature=[each(lambda one: tf.TensorSpec([None, *one.shape[1:]], tf.float32), inputs)])
    def largest(pixels):
        found = tf.nest.flatten(probe(pixels, training=False))
        return [tf.reduce_max(tf.abs(one), axis=list(range(len(one.shape) - 1))) for one in found]

    for piece in pieces(inputs, batch):
        for (_, numbers), values in zip(scales.tensors, largest(piece), strict=True):
            np.maximum.at(ranges, numbers, values.numpy())
    return ranges


def balanced(scales: ChannelScales, ranges: np.ndarray) -> np.ndarray:
    """Returns factors under which each channel is as large among its tensors as among its readers.

    They are float64 [channel numbers]. Sizes are logarithms, above the mean of the tensors that carry the channel and
    of the kernels that read it. A channel's range is the largest that it has anywhere: one that a branch of a residual
    stage leaves near zero is not small in their sum. A channel without a range gets its factor from the kernels alone.
    """
    logs, kernels = np.zeros(len(scales.free)), list(_kernels(scales))
    for _ in range(ROUNDS):
        tensors, readers = _Mean(len(logs)), _Mean(len(logs))
        for _, numbers in scales.tensors:
            tensors.add(numbers, _log(ranges[numbers]) + logs[numbers])
        for numbers, taps in kernels:
            shares = taps * np.exp(-logs[numbers], dtype=np.float32)[:, None]
            shares /= np.maximum(shares.max(axis=0), np.finfo(np.float32).tiny)
            readers.add(numbers, _log(np.sqrt(np.mean(shares**2, axis=1))))
        sides = np.maximum(tensors.known.astype(int) + readers.known, 1)
        step = np.where(scales.free, (readers() - tensors()) / sides, 0.0)
        logs += step
        if np.abs(step).max() < SETTLED:
            break
    return np.exp(logs)


class _Mean:
    """Averages, by channel number, how several tensors (or kernels) rank their channels against one another."""

    def __init__(self, count: int):
        self.total, self.count = np.zeros(count), np.zeros(count)

    @property
    def known(self) -> np.ndarray:
        return self.count > 0

    def add(self, numbers: np.ndarray, sizes: np.ndarray) -> None:
        """Adds logarithms of sizes; those that are minus infinity do not count."""
        known = np.isfinite(sizes)
        if known.any():
            # Behind a Flatten a channel is read at many places: together they count once.
            weight = known / np.bincount(numbers, minlength=len(self.count))[numbers]
            relative = np.where(known, sizes - sizes[known].mean(), 0.0)
            np.add.at(self.total, numbers, relative * weight)
            np.add.at(self.count, numbers, weight)

    def __call__(self) -> np.ndarray:
        """Returns the mean, 0 where nothing is known."""
        return self.total / np.where(self.known, self.count, 1.0)


def _kernels(scales: ChannelScales) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yields (numbers read [c_in], largest absolute taps float32 [c_in, c_out]) of the kernels that mix channels."""
    for layer in graph.flat_layers(scales.model):
        if type(layer) in MAKERS and scales.free[scales.reads[layer.name]].any():
            kernel = np.moveaxis(np.abs(layer.get_weights()[0]), input_axis(layer), -2)
            yield scales.reads[layer.name], kernel.max(axis=tuple(range(kernel.ndim - 2)))


def _log(values: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore"):
        return np.log(values.astype(np.float64))
