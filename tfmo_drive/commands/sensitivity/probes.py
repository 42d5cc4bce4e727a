"""Compresses one layer at a time by one method, in place: only kernels change, so nothing is built or traced again.

A channel that nobody reads is as good as removed, whatever its BatchNorm adds to it, so removal is zeros in the kernels
that read it. Low rank is the product of the factors. BatchNorm keeps its averages and nothing is trained, so a drop
says which layers suffer more than others, not what is lost in the end.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

import numpy as np

from tfmo_drive.base.keras2 import keras
from tfmo_drive.networks import graph, layers, macs
from tfmo_drive.surgery import factors, masks, rounding
from tfmo_drive.surgery.channel_graph import ChannelGraph, ChannelGroup
from tfmo_drive.surgery.importance import L2

Kernels = Mapping[str, np.ndarray]
"""The kernels that stand in for the layers' own, by layer's name, float32."""


@dataclasses.dataclass(frozen=True)
class Part:
    """Describes a layer, or a group of channels."""

    size: int
    """The amount that could be removed, as the step counts it."""
    opened: Callable[[], Callable[[float], Kernels]]
    """Called once; returns a function from a strength to the kernels of the compressed part."""


@dataclasses.dataclass(frozen=True)
class Method:
    """Describes a method of compression, and the strengths at which it is tried."""

    unit: str
    """The meaning of a strength, for people."""
    strengths: tuple[float, ...]
    parts: Callable[[keras.Model, np.ndarray], dict[str, Part]]
    """Returns the parts by name, from a flat model and preprocessed calibration inputs."""
    step: str = ""
    """The step that takes the study as its allocation."""


def zeros(model: keras.Model, inputs: np.ndarray) -> dict[str, Part]:
    """Returns the parts whose smallest weights become zero: Prune by magnitude."""

    def part(name: str, kernel: np.ndarray) -> Part:
        return Part(kernel.size, lambda: lambda strength: {name: kernel * masks.largest(kernel, strength, None)})

    return {kernel.name: part(kernel.name, kernel.variable.numpy()) for kernel in layers.kernels(model)}


def channels(model: keras.Model, inputs: np.ndarray) -> dict[str, Part]:
    """Returns the parts whose channels of least L2 norm nobody reads any more: ChannelPruning."""
    known = ChannelGraph(model)

    def part(group: ChannelGroup) -> Part:
        order = group.channels[np.argsort(L2()(known, group), kind="stable")]
        return Part(len(order), lambda: lambda strength: known.unread(order[: round(strength * len(order))]))

    return {group.name: part(group) for group in known.groups}


def ranks(model: keras.Model, inputs: np.ndarray) -> dict[str, Part]:
    """Returns the parts that keep 1 - strength of their squared singular values: LowRank by Tucker-2.

    Singular values are weighted by the inputs.
    """
    last = graph.last(model, factors.factorable)
    chosen = [layer for layer in model.layers if factors.factorable(layer) and layer.name not in last]
    weightings = factors.weightings(model, [layer.name for layer in chosen], inputs) if chosen else {}

    def part(layer: keras.layers.Layer) -> Part:
        def opened():
            found = factors.decompose(layer, weighting=weightings[layer.name])
            return lambda strength: {layer.name: found.product(found.ranks(1 - strength, 1))}

        return Part(macs.of_layer(layer), opened)

    return {layer.name: part(layer) for layer in chosen}


def bits(model: keras.Model, inputs: np.ndarray) -> dict[str, Part]:
    """Returns the parts that are rounded to as many bits as the strength says, with a step for each output channel."""

    def part(layer: keras.layers.Layer) -> Part:
        return Part(
            layer.kernel.shape.num_elements(),
            lambda: lambda strength: {layer.name: rounding.rounded_kernel(layer, int(strength))},
        )

    return {kernel.name: part(model.get_layer(kernel.name)) for kernel in layers.kernels(model)}


METHODS = {
    "sparsity": Method("zeros", (0.5, 0.7, 0.8, 0.9, 0.95), zeros, "Prune"),
    "channels": Method("channels removed", (0.125, 0.25, 0.5, 0.75), channels, "ChannelPruning"),
    "rank": Method("energy lost", (0.02, 0.05, 0.1, 0.2, 0.4), ranks, "LowRank"),
    "bits": Method("bits", (8, 6, 4, 3, 2), bits),
}
