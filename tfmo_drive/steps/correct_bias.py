"""Corrects biases: the mean shift that int8 kernels cause in every channel is measured and taken off the bias.

Nagel et al. 2019, "Data-free quantization through weight equalization and bias correction", section 4.2 and appendix D
(the empirical form, from a few images without labels). Only kernels are rounded in the measurement: with activations
rounded too, the int8 logits of a ResNet50 on GTSRB were further from its float ones (22.9 against 23.8 dB).
"""

from __future__ import annotations

import collections
import dataclasses
from unittest import mock

from absl import logging

from tfmo_drive.base.inputs import named
from tfmo_drive.base.keras2 import keras, tf
from tfmo_drive.base.outputs import flat
from tfmo_drive.contracts import Arrays, BadInput, Context
from tfmo_drive.networks import folding, graph
from tfmo_drive.networks.layers import WITH_KERNEL
from tfmo_drive.surgery import rounding
from tfmo_drive.surgery.untrained_step import UntrainedStep

layers = keras.layers


@dataclasses.dataclass(frozen=True)
class CorrectBias(UntrainedStep):
    """Changes biases only, so that every layer has the same mean outputs with int8 kernels as with float ones.

    It goes layer by layer, and each layer reads the outputs of the corrected layers before it for `calibration_images`
    of train. The step belongs last: it corrects what int8 will do to these very kernels, and the float model itself is
    off by as much. It holds what one layer reads and makes in memory, for all images and twice: 13 MB an image of 224 x
    224 in a ResNet50.

    Example:
        >>> import tfmo_drive as td
        >>> td.CorrectBias(calibration_images=256).name
        'correct_bias'
    """

    calibration_images: int = 100

    preserves = ("sparsity", "clusters")

    def __post_init__(self):
        if self.calibration_images < 1:
            raise BadInput(f"CorrectBias.calibration_images must be at least 1, got {self.calibration_images}.")

    def idle(self, model: keras.Model) -> str:
        kernels = [layer for layer in graph.flat_layers(model) if type(layer) in WITH_KERNEL]
        return "" if kernels else "it has no convolution and no dense layer to round. Leave CorrectBias out."

    def changed(self, model: keras.Model, context: Context) -> keras.Model:
        images = context.task.preprocessing(context.calibration(self.calibration_images))
        return corrected(graph.flat(model), images)


def corrected(model: keras.Model, inputs: Arrays) -> keras.Model:
    """Returns a copy of a flat model with other biases (or BatchNorm means), from preprocessed `inputs` [n, ...].

    A layer without either, or called more than once, keeps its own, and the log says so.
    """
    made = graph.copied(model)
    rounded = {layer.name: layer for layer in made.layers if type(layer) in WITH_KERNEL}
    kernels = {name: layer.get_weights()[0] for name, layer in rounded.items()}
    for layer in rounded.values():
        layer.weights[0].assign(rounding.rounded_kernel(layer))
    walk = _Walk(model, made, inputs)
    for node in graph.calls(model):
        if node.layer.name in rounded:
            walk.correct(node)
        else:
            walk.follow(node)
    for name, kernel in kernels.items():
        rounded[name].weights[0].assign(kernel)
    return made


class _Walk:
    """Sends the same images through the float model and through its rounded copy, one call at a time."""

    def __init__(self, model: keras.Model, made: keras.Model, inputs: Arrays):
        self.made, readers = made, graph.only_reader(made)
        self.norms = {
            name: norm
            for name, norm in folding.foldable(made).items()
            if norm is readers.get(name) and isinstance(norm, layers.BatchNormalization)
        }
        nodes = list(graph.calls(model))
        self.times = collections.Counter(node.layer.name for node in nodes)
        self.unread = collections.Counter(one for node in nodes for one in set(node.flat_input_ids))
        given = zip(flat(named(model)), flat(inputs), strict=True)
        self.exact = {str(id(tensor)): tf.constant(one) for tensor, one in given}
        self.rough = dict(self.exact)

    def follow(self, node) -> None:
        """Calls a layer without a kernel to round."""
        twin = self.made.get_layer(node.layer.name)
        self._keep(node, *(_called(one, node, tensors) for one, tensors in self._both(node.layer, twin)))

    def correct(self, node) -> None:
        """Calls a convolution or dense layer; the mean difference before its activation goes to the bias."""
        twin = self.made.get_layer(node.layer.name)
        exact, rough = (_linear(one, node, tensors) for one, tensors in self._both(node.layer, twin))
        shift = tf.reduce_mean(rough - exact, axis=list(range(len(rough.shape) - 1)))
        once = self.times[twin.name] == 1
        if once and twin.use_bias:
            twin.bias.assign_sub(shift)
            rough -= shift
        elif once and twin.name in self.norms:
            self.norms[twin.name].moving_mean.assign_add(shift)
        else:
            why = "no bias and no BatchNorm of its own" if once else "more than one call"
            logging.info("%s keeps its mean shift: it has %s", twin.name, why)
        self._keep(node, node.layer.activation(exact), twin.activation(rough))

    def _both(self, layer, twin):
        return (layer, self.exact), (twin, self.rough)

    def _keep(self, node, exact, rough) -> None:
        """Remembers the outputs and forgets what nobody will read again."""
        for kept, outputs in ((self.exact, exact), (self.rough, rough)):
            kept |= zip(node.flat_output_ids, tf.nest.flatten(outputs), strict=True)
        for one in set(node.flat_input_ids):
            self.unread[one] -= 1
            if not self.unread[one]:
                del self.exact[one], self.rough[one]


def _called(layer: layers.Layer, node, tensors: dict[str, tf.Tensor]):
    args, kwargs = graph.arguments(node, tensors)
    return layer(*args, **kwargs)


def _linear(layer: layers.Layer, node, tensors: dict[str, tf.Tensor]) -> tf.Tensor:
    with mock.patch.object(layer, "activation", keras.activations.linear):
        return _called(layer, node, tensors)
