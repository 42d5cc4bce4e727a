"""Finds which channels of a network belong together, and builds the network without some of them.

Every channel of every tensor gets a number; what a layer does to its channels says which numbers must be equal (an Add
ties its inputs), follow one another (Concatenate) or repeat (Flatten). Numbers that are equal stay or go together: the
dependency graph of DepGraph (Fang et al. 2023), kept per channel, so that a sum of concatenations needs no rule.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from tfmo_drive.base.keras2 import keras
from tfmo_drive.networks import graph, macs
from tfmo_drive.networks.layers import MAKERS, WITH_KERNEL, input_axis, output_axes

layers = keras.layers
Layer = layers.Layer

PASSING = (
    layers.BatchNormalization, layers.ReLU, layers.LeakyReLU, layers.ELU, layers.ThresholdedReLU, layers.Dropout,
    layers.SpatialDropout2D, layers.GaussianNoise, layers.GaussianDropout, layers.AlphaDropout, layers.MaxPooling2D,
    layers.AveragePooling2D, layers.GlobalAveragePooling2D, layers.GlobalMaxPooling2D, layers.ZeroPadding2D,
    layers.Cropping2D, layers.UpSampling2D, layers.Resizing,
)  # fmt: skip
TYING = (layers.Add, layers.Subtract, layers.Multiply, layers.Average, layers.Maximum, layers.Minimum)


@dataclasses.dataclass(frozen=True)
class ChannelGroup:
    """Groups channels made by the same layers: each index stays or goes in all of them at once."""

    makers: tuple[str, ...]
    """The names of the layers whose outputs these channels are, in graph order."""
    channels: np.ndarray
    """Channel numbers int64 [n], in the order of the first maker's outputs."""

    @property
    def name(self) -> str:
        """Returns the makers' names, which no other group of the same network has."""
        return " ".join(self.makers)

    def __str__(self) -> str:
        shown = ", ".join(self.makers[:4]) + (f" and {len(self.makers) - 4} more" if len(self.makers) > 4 else "")
        return f"{len(self.channels)} channels of {shown}"


class ChannelGraph:
    """Numbers the channels of a flat functional model with channels last.

    Attributes:
        reads: By layer's name, the channel numbers (int64) of its input.
        makes: By layer's name, the channel numbers (int64) of its output.
        untouched: By layer's name, why its channels all stay.
        groups: The groups of channels that may be removed, in graph order.
    """

    def __init__(self, model: keras.Model):
        self.model = model
        self._parent: list[int] = []
        self._fixed: set[int] = set()
        self.untouched: dict[str, str] = {}
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
        keep = {name: ~gone[numbers] for name, numbers in self.makes.items()}
        read = {name: ~gone[numbers] for name, numbers in self.reads.items()}
        changed = {
            layer.name: _narrowed(layer, keep[layer.name])
            for layer in graph.flat_layers(self.model)
            if (layer.weights or type(layer) is layers.Reshape)
            and not (keep[layer.name].all() and read[layer.name].all())
        }
        made = graph.rebuilt(self.model, lambda layer: [changed[layer.name]] if layer.name in changed else None)
        for name, layer in changed.items():
            if layer.weights:
                layer.set_weights(_sliced(self.model.get_layer(name), read[name], keep[name]))
        return made

    def macs(self, removed: np.ndarray | tuple = ()) -> int:
        """Returns the multiply-accumulates of one example without the channels in `removed`."""
        gone = self._gone(removed)
        return sum(
            macs.of_layer(layer, int((~gone[self.reads[layer.name]]).sum()), int((~gone[self.makes[layer.name]]).sum()))
            for layer in graph.flat_layers(self.model)
        )

    def parameters(self, removed: np.ndarray | tuple = ()) -> int:
        """Returns the count of weights and moving averages without the channels in `removed`."""
        gone = self._gone(removed)
        total = 0
        for layer in graph.flat_layers(self.model):
            made = 1 - np.mean(gone[self.makes[layer.name]])
            read = 1 - np.mean(gone[self.reads[layer.name]]) if type(layer) in MAKERS else 1.0
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
        tensors: dict[str, np.ndarray] = {}
        reads: dict[str, np.ndarray] = {}
        makes: dict[str, np.ndarray] = {}
        for tensor in self.model.inputs:
            tensors[str(id(tensor))] = self._fix(self._new(tensor.shape[-1]))
        for node in graph.calls(self.model):
            layer, inputs = node.layer, [tensors[one] for one in node.flat_input_ids]
            output = node.outputs if not isinstance(node.outputs, (list, tuple)) else None
            numbers = self._through(layer, inputs, output)
            if layer.name in makes and layer.weights:  # called more than once: the same weights see both
                self._tie(makes[layer.name], numbers)
                self._tie(reads[layer.name], inputs[0])
            makes[layer.name], reads[layer.name] = numbers, inputs[0]
            tensors |= dict.fromkeys(node.flat_output_ids, numbers)
        for tensor in self.model.outputs:
            self._fix(tensors[str(id(tensor))])
        return reads, makes

    def _through(self, layer: Layer, inputs: list[np.ndarray], output) -> np.ndarray:
        """Returns the numbers of the layer's output channels.

        Where the layer is not understood they stay, with the reason noted.
        """
        kind, first = type(layer), inputs[0]
        reason = _objection(layer, output)
        if not reason:
            width = output.shape[-1]
            if kind in MAKERS:  # a softmax looks at all of its channels together
                made = self._new(width)
                return self._fix(made) if layer.activation is keras.activations.softmax else made
            if kind is layers.DepthwiseConv2D:
                return np.repeat(first, layer.depth_multiplier)
            if kind in PASSING or kind is layers.Activation:
                return first
            if kind in TYING and all(len(one) == width for one in inputs):
                for other in inputs[1:]:
                    self._tie(first, other)
                return first
            if kind is layers.Concatenate:
                return np.concatenate(inputs)
            if kind is layers.Flatten:
                return np.tile(first, width // len(first))
            if kind is layers.Reshape and width == len(first):
                return first
            reason = f"{kind.__name__} is not understood here"
        self.untouched[layer.name] = reason
        for one in inputs:
            self._fix(one)
        return self._fix(self._new(output.shape[-1] if output is not None and len(output.shape) > 1 else 1))

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
        return tuple(ChannelGroup(names, np.array(numbers)) for names, numbers in members.items())

    def _new(self, count: int) -> np.ndarray:
        start = len(self._parent)
        self._parent.extend(range(start, start + count))
        return np.arange(start, start + count)

    def _fix(self, numbers: np.ndarray) -> np.ndarray:
        self._fixed.update(numbers.tolist())
        return numbers

    def _tie(self, some: np.ndarray, others: np.ndarray) -> None:
        for one, other in zip(some.tolist(), others.tolist(), strict=True):
            self._parent[self._root(other)] = self._root(one)

    def _root(self, number: int) -> int:
        while self._parent[number] != number:
            self._parent[number] = self._parent[self._parent[number]]
            number = self._parent[number]
        return number

    def _roots(self, numbers: np.ndarray) -> np.ndarray:
        known = {number: self._root(number) for number in set(numbers.tolist())}
        return np.array([known[number] for number in numbers.tolist()], np.int64)


def _objection(layer: Layer, output) -> str:
    """Returns why the channels around a layer cannot be followed, or ""."""
    if output is None:
        return f"{type(layer).__name__} has several outputs"
    if getattr(layer, "data_format", "channels_last") != "channels_last":
        return "its channels come first"
    if getattr(layer, "groups", 1) != 1:
        return "a grouped convolution mixes no two groups"
    if type(layer) is layers.Activation and layer.activation is keras.activations.softmax:
        return "a softmax looks at all channels together"
    axis = getattr(layer, "axis", -1)
    last = len(output.shape) - 1
    if (list(axis) if isinstance(axis, (list, tuple)) else [axis]) not in ([-1], [last]):
        return "it works along another axis than the channels"
    return ""


def _narrowed(layer: Layer, keep: np.ndarray) -> Layer:
    """Returns a layer of the same settings that makes the kept channels only; depthwise ones follow what they read."""
    settings = layer.get_config()
    if type(layer) is layers.Reshape:  # its shape holds the count of channels, unless that is the -1 it may hold once
        *sides, width = settings["target_shape"]
        return layers.Reshape.from_config(
            {**settings, "target_shape": (*sides, width if width == -1 else int(keep.sum()))}
        )
    key = next((key for key in ("filters", "units") if key in settings), None)
    return type(layer).from_config({**settings, key: int(keep.sum())} if key else settings)


def _sliced(layer: Layer, read: np.ndarray, keep: np.ndarray) -> list[np.ndarray]:
    """Returns the layer's weights for the channels that stay, in `get_weights` order."""
    kernel, *rest = layer.get_weights()
    if type(layer) in WITH_KERNEL:
        kernel = np.compress(read, kernel, input_axis(layer))
    if type(layer) is not layers.DepthwiseConv2D:  # which makes its channels out of one each; others, by number
        kernel = np.compress(keep, kernel, output_axes(layer)[0])
    return [kernel, *(one[keep] for one in rest)]
