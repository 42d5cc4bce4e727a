"""Finds which channels of a network belong together, and builds the network without some of them.

Every channel of every tensor gets a number; what a layer does to its channels says which numbers must be equal (an Add
ties its inputs, a grouped convolution each of its groups), follow one another (Concatenate) or go elsewhere
(`moved_channels`). Numbers that are equal stay or go together: the dependency graph of DepGraph (Fang et al. 2023),
kept per channel, so that a sum of concatenations needs no rule.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np

from tfmo_drive.base.keras2 import keras, tf
from tfmo_drive.networks import graph, macs
from tfmo_drive.networks.layers import MAKERS, WITH_KERNEL, input_axis, output_axes
from tfmo_drive.networks.operator_layers import symbol
from tfmo_drive.surgery import moved_channels

layers = keras.layers
Layer = layers.Layer

PASSING = (
    layers.BatchNormalization, layers.ReLU, layers.LeakyReLU, layers.ELU, layers.ThresholdedReLU, layers.Dropout,
    layers.SpatialDropout2D, layers.GaussianNoise, layers.GaussianDropout, layers.AlphaDropout, layers.MaxPooling2D,
    layers.AveragePooling2D, layers.GlobalAveragePooling2D, layers.GlobalMaxPooling2D, layers.ZeroPadding2D,
    layers.Cropping2D, layers.CenterCrop, layers.UpSampling2D, layers.Resizing, layers.Rescaling, layers.Normalization,
    layers.PReLU, layers.Activation, layers.ActivityRegularization,
)  # fmt: skip
"""The layers that do the same to each channel, with settings and weights of its own or of none."""
TYING = (layers.Add, layers.Subtract, layers.Multiply, layers.Average, layers.Maximum, layers.Minimum)
_TOGETHER = (layers.LayerNormalization, layers.GroupNormalization, layers.UnitNormalization, layers.Softmax)
"""The layers in which every channel depends on all others, or on many."""
_OPERATORS = (
    "image.resize", "nn.max_pool2d", "nn.avg_pool2d", "nn.max_pool", "nn.avg_pool", "nn.gelu", "math.abs", "math.exp",
    "math.sqrt", "math.rsqrt",
)  # fmt: skip
"""TensorFlow's functions, as Keras names them, that do the same to each channel."""
_OVER_AXES = ("math.reduce_mean", "math.reduce_sum", "math.reduce_max", "math.reduce_min")


@dataclasses.dataclass(frozen=True)
class ChannelGroup:
    """Groups channels made by the same layers: each index stays or goes in all of them at once."""

    makers: tuple[str, ...]
    """The names of the layers whose outputs these channels are, in graph order."""
    channels: np.ndarray
    """Channel numbers int64 [n], in the order of the first maker's outputs."""
    each: int = 1
    """How many channels of the first maker have one number: all of one group, where a grouped convolution reads."""

    @property
    def width(self) -> int:
        """Returns the number of channels that the first maker makes of these."""
        return len(self.channels) * self.each

    @property
    def name(self) -> str:
        """Returns the makers' names, which no other group of the same network has."""
        return " ".join(self.makers)

    def __str__(self) -> str:
        shown = ", ".join(self.makers[:4]) + (f" and {len(self.makers) - 4} more" if len(self.makers) > 4 else "")
        return f"{self.width} channels of {shown}"


class ChannelGraph:
    """Numbers the channels of a flat functional model with channels last.

    Attributes:
        reads: By layer's name, the channel numbers (int64) of its first input.
        makes: By layer's name, the channel numbers (int64) of its output, or of all of them, one after the other.
        untouched: By layer's name, why its channels all stay.
        groups: The groups of channels that may be removed, in graph order.
    """

    def __init__(self, model: keras.Model):
        self.model = model
        self._inside: set[str] = set()  # grouped convolutions that lose channels inside their groups
        reads, makes = self._walked()
        if wholly := self._tied_wholly(makes):  # their groups could only go all at once
            self._inside = wholly
            reads, makes = self._walked()
        self.reads = {name: self._roots(numbers) for name, numbers in reads.items()}
        self.makes = {name: self._roots(numbers) for name, numbers in makes.items()}
        self._fixed = {self._root(number) for number in self._fixed}
        self.groups = self._grouped()

    def without(self, removed: np.ndarray) -> keras.Model:
        """Returns the model, in new variables, without some channels.

        `removed` are their numbers, int64 [n], all of them in groups.
        """
        gone = self._gone(removed)
        changed = {}
        for name, node in self._calls.items():
            read, keep = ~gone[self.reads[name]], ~gone[self.makes[name]]
            if keep.all() and read.all():
                continue
            if moved_channels.names_counts(node.layer):
                changed[name] = moved_channels.narrowed(node, read, keep)
            elif node.layer.weights or type(node.layer) in (layers.Rescaling, layers.Normalization):
                changed[name] = _narrowed(node.layer, read, keep)
        made = graph.rebuilt(self.model, lambda layer: [changed[layer.name]] if layer.name in changed else None)
        for name, layer in changed.items():
            if isinstance(layer, Layer) and layer.weights:
                read, keep = ~gone[self.reads[name]], ~gone[self.makes[name]]
                layer.set_weights(_sliced(self._calls[name].layer, read, keep))
        return made

    def unread(self, removed: np.ndarray) -> dict[str, np.ndarray]:
        """Returns, by layer's name, the kernels with zeros wherever they read a channel in `removed`.

        With them the whole model computes what `without` these channels the smaller one does.
        """
        gone, found = self._gone(removed), {}
        for name, node in self._calls.items():
            reads = gone[self.reads[name]]
            if type(node.layer) in MAKERS and reads.any():
                groups = getattr(node.layer, "groups", 1)
                kernel = node.layer.kernel.numpy()
                axes = input_axis(node.layer), output_axes(node.layer)[0]
                parts = np.split(np.moveaxis(kernel, axes, (0, 1)), groups, axis=1)
                for weights, silent in zip(parts, reads.reshape(groups, -1), strict=True):
                    weights[silent] = 0
                found[name] = kernel
        return found

    def macs(self, removed: np.ndarray | tuple = ()) -> int:
        """Returns the multiply-accumulates of one example without the channels in `removed`."""
        gone = self._gone(removed)
        total = 0
        for layer in graph.flat_layers(self.model):
            read, made = ~gone[self.reads[layer.name]], ~gone[self.makes[layer.name]]
            total += macs.of_layer(layer, int(read.sum()), int(made.sum()), _groups(layer, read))
        return total

    def parameters(self, removed: np.ndarray | tuple = ()) -> int:
        """Returns the count of weights and moving averages without the channels in `removed`."""
        gone = self._gone(removed)
        total = 0
        for layer in graph.flat_layers(self.model):
            made = 1 - np.mean(gone[self.makes[layer.name]])
            reads = ~gone[self.reads[layer.name]]
            groups = getattr(layer, "groups", 1) / _groups(layer, reads)
            read = np.mean(reads) * groups if type(layer) in MAKERS else 1.0
            # The first weight of a maker is its kernel; all others hold so many numbers per channel made.
            sizes = [
                math.prod(weight.shape) * made * (read if not count else 1)
                for count, weight in enumerate(layer.weights)
            ]
            total += sum(round(size) for size in sizes)
        return total

    def _gone(self, removed: np.ndarray | tuple) -> np.ndarray:
        """Returns, bool [all channel numbers], which are removed."""
        gone = np.zeros(len(self._parent), bool)
        gone[np.asarray(removed, np.int64)] = True
        return gone

    def _walked(self) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """Returns the channel numbers that each layer reads and makes, before it is known which are the same."""
        self._parent: list[int] = []
        self._fixed: set[int] = set()
        self._calls: dict[str, Any] = {}
        self.untouched: dict[str, str] = {}
        tensors: dict[str, np.ndarray] = {}
        reads: dict[str, np.ndarray] = {}
        makes: dict[str, np.ndarray] = {}
        for tensor in self.model.inputs:
            tensors[str(id(tensor))] = self._fix(self._new(tensor.shape[-1]))
        for node in graph.calls(self.model):
            layer = node.layer
            inputs = [tensors[one] for one in node.flat_input_ids]
            made = self._through(node, inputs)
            numbers = np.concatenate(made, -1)
            if layer.name in makes and (layer.weights or moved_channels.names_counts(layer)):
                self._tie(makes[layer.name], numbers)  # called more than once: the same settings see both
                self._tie(reads[layer.name], inputs[0])
            makes[layer.name], reads[layer.name], self._calls[layer.name] = numbers, inputs[0], node
            tensors |= zip(node.flat_output_ids, made, strict=True)
        for tensor in self.model.outputs:
            self._fix(tensors[str(id(tensor))])
        return reads, makes

    def _through(self, node, inputs: list[np.ndarray]) -> list[np.ndarray]:
        """Returns the numbers of each output of a layer's call.

        Where the layer is not understood its inputs stay, with the reason noted.
        """
        layer, outputs = node.layer, tf.nest.flatten(node.outputs)
        if moved_channels.moves(layer):
            made = moved_channels.moved(node, inputs[0])
            made = made if isinstance(made, str) else [self._rectangle(one) for one in made]
        else:
            made = self._made(node, [self._last_axis(one) for one in inputs], outputs[0])
        if not isinstance(made, str):
            return made
        self.untouched[layer.name] = made
        for one in inputs:
            self._fix(one)
        return [self._fix(self._new(one.shape[-1] if len(one.shape) > 1 and one.shape[-1] else 1)) for one in outputs]

    def _made(self, node, inputs: list[np.ndarray], output) -> list[np.ndarray] | str:
        """Returns the numbers of a layer's only output, or why they are not known.

        Args:
            node: A call of a layer that computes.
            inputs: The numbers of its inputs, each along one axis.
            output: Its first output.
        """
        layer, first = node.layer, inputs[0]
        kind = type(layer)
        if kind is layers.Concatenate and isinstance(layer.axis, int) and len({*map(len, inputs)}) == 1:
            if layer.axis % len(output.shape) != len(output.shape) - 1:
                return [self._tied(inputs)]
        reason = _objection(layer, node)
        if reason:
            return reason
        width = output.shape[-1]
        if kind in MAKERS:
            made = self._new(width)
            if layer.activation is keras.activations.softmax:  # which looks at all of its channels together
                self._fix(made)
            if getattr(layer, "groups", 1) > 1:
                self._tie_groups(layer, first.reshape(layer.groups, -1), made.reshape(layer.groups, -1))
            return [made]
        if kind is layers.DepthwiseConv2D:
            return [np.repeat(first, layer.depth_multiplier)]
        if kind in PASSING or symbol(layer) in (*_OPERATORS, *_OVER_AXES):
            return [first]
        if kind in TYING and {*map(len, inputs)} <= {1, width}:
            for one in inputs:
                if len(one) != width:  # one channel that meets all others
                    self._fix(one)
            return [self._tied([one for one in inputs if len(one) == width])]
        if kind is layers.Concatenate:
            return [np.concatenate(inputs)]
        return f"{symbol(layer) or kind.__name__} is not understood here"

    def _tie_groups(self, layer: Layer, read: np.ndarray, made: np.ndarray) -> None:
        """Ties what each group of a convolution reads and makes, or else every channel to those at its place in others.

        `read` and `made` are numbers by group, [groups, channels of each].
        """
        if layer.name in self._inside:
            self._tied(list(read))
            self._tied(list(made))
        else:
            for one, other in zip(read, made, strict=True):
                self._tied([*one[:, None], *other[:, None]])

    def _tied_wholly(self, makes: dict[str, np.ndarray]) -> set[str]:
        """Returns the grouped convolutions whose groups have become one number, by each other, that may go."""
        found = {
            name: self._roots(makes[name])
            for name, node in self._calls.items()
            if type(node.layer) in MAKERS and getattr(node.layer, "groups", 1) > 1
        }
        fixed = {self._root(number) for number in self._fixed}
        return {name for name, roots in found.items() if len({*roots.tolist()} | fixed) == len(fixed) + 1}

    def _tied(self, several: list[np.ndarray]) -> np.ndarray:
        for other in several[1:]:
            self._tie(several[0], other)
        return several[0]

    def _last_axis(self, numbers: np.ndarray) -> np.ndarray:
        """Returns numbers along the last axis alone; what lies along others before it becomes one."""
        return self._tied(list(numbers.reshape(-1, numbers.shape[-1])))

    def _rectangle(self, numbers: np.ndarray) -> np.ndarray:
        """Returns the same numbers, tied so that what stays of them is a rectangle: whole rows, or whole columns."""
        rows = self._roots(numbers.reshape(-1)).reshape(len(numbers), -1)
        if numbers.ndim > 1 and (rows != rows[:, :1]).any():
            self._last_axis(numbers)
        return numbers

    def _grouped(self) -> tuple[ChannelGroup, ...]:
        makers: dict[int, list[str]] = {}
        for layer in graph.flat_layers(self.model):
            if type(layer) in MAKERS:
                for number in dict.fromkeys(self.makes[layer.name].tolist()):
                    makers.setdefault(number, []).append(layer.name)
        members: dict[tuple[str, ...], list[int]] = {}
        for number, names in makers.items():
            if number not in self._fixed:
                members.setdefault(tuple(names), []).append(number)
        found = []
        for names, numbers in members.items():
            made = np.isin(self.makes[names[0]], numbers).sum()
            found.append(ChannelGroup(names, np.array(numbers), max(1, int(made) // len(numbers))))
        return tuple(found)

    def _new(self, count: int) -> np.ndarray:
        start = len(self._parent)
        self._parent.extend(range(start, start + count))
        return np.arange(start, start + count)

    def _fix(self, numbers: np.ndarray) -> np.ndarray:
        self._fixed.update(numbers.reshape(-1).tolist())
        return numbers

    def _tie(self, some: np.ndarray, others: np.ndarray) -> None:
        for one, other in zip(some.reshape(-1).tolist(), others.reshape(-1).tolist(), strict=True):
            self._parent[self._root(other)] = self._root(one)

    def _root(self, number: int) -> int:
        while self._parent[number] != number:
            self._parent[number] = self._parent[self._parent[number]]
            number = self._parent[number]
        return number

    def _roots(self, numbers: np.ndarray) -> np.ndarray:
        every, places = np.unique(numbers, return_inverse=True)
        return np.array([self._root(number) for number in every.tolist()], np.int64)[places].reshape(numbers.shape)


def _objection(layer: Layer, node) -> str:
    """Returns why the channels around a layer cannot be followed, or ""."""
    if isinstance(node.outputs, list | tuple):
        return f"{type(layer).__name__} has several outputs"
    if getattr(layer, "data_format", "channels_last") != "channels_last":
        return "its channels come first"
    if (
        type(layer) in _TOGETHER
        or getattr(layer, "activation", None) is keras.activations.softmax
        and (type(layer) is layers.Activation)
    ):
        return "it looks at all channels together"
    if (getattr(layer, "noise_shape", None) or (1,))[-1] not in (1, None):
        return "its noise has the shape of all channels"
    last = len(node.outputs.shape) - 1
    axis = getattr(layer, "axis", -1)
    if symbol(layer) in _OVER_AXES:
        last = len(node.input_shapes) - 1
        axis = node.call_kwargs.get("axis", node.call_args[1] if len(node.call_args) > 1 else None)
        axes = range(last + 1) if axis is None else np.atleast_1d(axis)
        return "it looks at all channels together" if last in {int(one) % (last + 1) for one in axes} else ""
    if [one % (last + 1) for one in np.atleast_1d(axis).astype(int)] not in ([last], []):
        return "it works along another axis than the channels"
    return ""


def _groups(layer: Layer, read: np.ndarray) -> int:
    """Returns how many groups of a convolution are left of which some channel is read; 1 of any other layer."""
    groups = getattr(layer, "groups", 1) if type(layer) in MAKERS else 1
    return max(1, int(read.reshape(groups, -1).any(1).sum()))


def _narrowed(layer: Layer, read: np.ndarray, keep: np.ndarray) -> Layer:
    """Returns a layer of the same settings that makes the kept channels only; depthwise ones follow what they read."""
    settings = layer.get_config()
    for key in ("filters", "units"):
        if key in settings:
            settings[key] = int(keep.sum())
    if "groups" in settings and type(layer) in MAKERS:
        settings["groups"] = _groups(layer, read)
    for key in ("scale", "offset", "mean", "variance"):  # of a Rescaling or Normalization: a number for each channel
        if np.ndim(settings.get(key)) == 1 and len(settings[key]) == len(keep):
            settings[key] = np.compress(keep, settings[key]).tolist()
    return type(layer).from_config(settings)


def _sliced(layer: Layer, read: np.ndarray, keep: np.ndarray) -> list[np.ndarray]:
    """Returns the layer's weights for the channels that stay, in `get_weights` order."""
    values = layer.get_weights()
    if type(layer) not in WITH_KERNEL:  # a number for each channel, along the last axis, or one for all
        return [np.compress(keep, one, -1) if one.shape[-1:] == keep.shape else one for one in values]
    kernel, *rest = values
    if type(layer) in MAKERS and getattr(layer, "groups", 1) > 1:  # alike in every group that is left
        inside = read.reshape(layer.groups, -1)
        kernel = np.compress(inside[inside.any(1)][0], kernel, input_axis(layer))
    else:
        kernel = np.compress(read, kernel, input_axis(layer))
    if type(layer) is not layers.DepthwiseConv2D:  # which makes its channels out of one each; others, by number
        kernel = np.compress(keep, kernel, output_axes(layer)[0])
    return [kernel, *(one[keep] for one in rest)]
