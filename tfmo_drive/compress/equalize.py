"""Cross-layer equalization: channels scaled against one another so that int8 rounds all alike, outputs as before.

Nagel et al. 2019, "Data-free quantization through weight equalization and bias correction", section 4.1, for what a
TensorFlow Lite file rounds. Its kernels have a scale per output channel, so the first kernel of a pair never suffers;
what does is the tensor between (one scale for all channels) and the second kernel's input channels (one scale for all).
These two are balanced, the tensor by its range on calibration images, as SmoothQuant does (Xiao et al. 2023).
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
from absl import logging

from tfmo_drive.contracts import BadInput, Context, Step
from tfmo_drive.core import graph
from tfmo_drive.core.channel_scales import ChannelScales
from tfmo_drive.core.channels import MAKERS
from tfmo_drive.core.fake_quant import refuse_quantize_aware
from tfmo_drive.core.keras2 import keras, tf

ROUNDS = 100
SETTLED = 0.01
"""Largest change of any factor in the last round: 1 %, where a step of int8 is 0.8 % of the range."""


@dataclasses.dataclass(frozen=True)
class Equalize(Step):
    """Scale the channels of every ReLU network so that activations and weights lose alike to int8; nothing is trained.

    Ranges come from `calibration_images` of train, without labels. Channels around a layer through which a scale does
    not pass (ReLU6, sigmoid, a product) keep theirs; the log names them.
    """

    calibration_images: int = 100

    keeps = ("sparsity",)

    def __post_init__(self):
        if self.calibration_images < 1:
            raise BadInput(f"Equalize.calibration_images must be at least 1, got {self.calibration_images}.")

    def __call__(self, model: keras.Model, context: Context) -> keras.Model:
        refuse_quantize_aware(model, "Equalize")
        scales = ChannelScales(graph.flat(model))
        for name, reason in scales.untouched.items():
            logging.info("channels around %s keep their scale: %s", name, reason)
        images = context.task.preprocessing(context.calibration(self.calibration_images))
        return scales.rescaled(balanced(scales, largest_values(scales, images)))

    def reload(self, model: keras.Model, weights: Path, context: Context) -> keras.Model:
        made = graph.copied(model)
        made.load_weights(str(weights))
        return made


def largest_values(scales: ChannelScales, inputs: np.ndarray, batch: int = 16) -> list[np.ndarray]:
    """float32 [c] for each of `scales.tensors`: the largest absolute value of each channel on preprocessed `inputs`."""
    if not scales.tensors:
        return []
    probe = keras.Model(scales.model.inputs, [tensor for tensor, _ in scales.tensors])

    @tf.function(input_signature=[tf.TensorSpec([None, *inputs.shape[1:]], tf.float32)])
    def largest(pixels):
        found = tf.nest.flatten(probe(pixels, training=False))
        return [tf.reduce_max(tf.abs(one), axis=list(range(len(one.shape) - 1))) for one in found]

    parts = [largest(inputs[start : start + batch]) for start in range(0, len(inputs), batch)]
    return [np.max(part, axis=0) for part in zip(*parts, strict=True)]


def balanced(scales: ChannelScales, largest: list[np.ndarray]) -> np.ndarray:
    """float64 [channel numbers]: the factors under which each channel is as far above its tensor's mean as above its
    kernels' (in logarithms, averaged over all tensors and kernels that know it).

    A channel that is never active has no range: its factor comes from the kernels that read it alone.
    """
    logs, kernels = np.zeros(len(scales.free)), list(_kernels(scales))
    for _ in range(ROUNDS):
        votes = _Votes(len(logs))
        for (_, numbers), values in zip(scales.tensors, largest, strict=True):
            votes.add(numbers, -_log(values) - logs[numbers])
        for numbers, taps in kernels:
            shares = taps * np.exp(-logs[numbers], dtype=np.float32)[:, None]
            shares /= np.maximum(shares.max(axis=0), np.finfo(np.float32).tiny)
            votes.add(numbers, _log(np.sqrt(np.mean(shares**2, axis=1))))
        step = np.where(scales.free, votes.mean(), 0.0)
        logs += step
        if np.abs(step).max() < SETTLED:
            break
    return np.exp(logs)


class _Votes:
    """The mean of what several tensors and kernels say of each channel, relative to their own means."""

    def __init__(self, count: int):
        self.total, self.count = np.zeros(count), np.zeros(count)

    def add(self, numbers: np.ndarray, values: np.ndarray) -> None:
        known = np.isfinite(values)
        if known.any():
            # Behind a Flatten a channel is read at many places: together they have one vote.
            weight = known / np.bincount(numbers, minlength=len(self.count))[numbers]
            centred = np.where(known, values - values[known].mean(), 0.0)
            np.add.at(self.total, numbers, centred * weight)
            np.add.at(self.count, numbers, weight)

    def mean(self) -> np.ndarray:
        return self.total / np.maximum(self.count, np.finfo(float).tiny)


def _kernels(scales: ChannelScales):
    """(numbers read [c_in], largest absolute taps float32 [c_in, c_out]) of the kernels that mix channels."""
    for layer in graph.flat_layers(scales.model):
        if type(layer) in MAKERS and scales.free[scales.reads[layer.name]].any():
            kernel = np.abs(layer.get_weights()[0])
            taps = kernel.max(axis=tuple(range(kernel.ndim - 2)))
            yield scales.reads[layer.name], taps.T if type(layer) is keras.layers.Conv2DTranspose else taps


def _log(values: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore"):
        return np.log(values.astype(np.float64))
