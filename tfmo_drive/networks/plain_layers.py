"""Splits a model's layers as integer operators have them.

An operator has one kernel and an activation that it absorbs, or adds two maps. A convolution with a group for each
channel is a depthwise one; a separable convolution is two; swish or
ELU behind a convolution is an operator of its own, whose input is stored; three maps are added in two steps. Split so,
every step sees every kernel, and fake quantisation every activation.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from tfmo_drive.base.keras2 import keras
from tfmo_drive.base.spelling import free_name
from tfmo_drive.contracts import BadInput
from tfmo_drive.networks import einsum_dense, graph, operator_layers, sequences, shipped_layers
from tfmo_drive.networks.layers import WITH_KERNEL, kernels

layers = keras.layers
Layer = layers.Layer
TAKEN_IN = ("linear", "relu", "softmax", "sigmoid", "tanh")
"""The activations that a layer may keep: its operator ends in the first two; the others have a range that is known."""
_SUMS = (layers.Add, layers.Multiply, layers.Maximum, layers.Minimum)
"""The layers that take any number of maps."""
_DEPTHWISE = ("kernel_size", "strides", "padding", "data_format", "dilation_rate", "depth_multiplier", "trainable")
_OF_KERNEL = ("kernel_size", "strides", "padding", "dilation_rate", "use_bias", "activation", "trainable", "name")
_POINTWISE = ("filters", "activation", "use_bias", "data_format", "name", "trainable")


def split(model: keras.Model, taken_in: Collection[str] = TAKEN_IN) -> keras.Model:
    """Returns the model flat, with equal outputs of equal names, and every layer that is several operators split.

    Where there is no such layer, it returns the model itself. `taken_in` names the activations that layers keep.
    """
    model, taken = einsum_dense.as_dense(sequences.of_height_one(model)), set()

    def free(name: str) -> str:
        taken.add(found := free_name(name, taken))
        return found

    taken |= {layer.name for layer in model.layers}
    chains = {layer.name: _chain(layer, layer.name in model.output_names, free, taken_in) for layer in model.layers}
    chains = {name: chain for name, chain in chains.items() if chain}
    if not chains:
        return model
    made = graph.rebuilt(model, lambda layer: chains.get(layer.name))
    for layer in graph.flat_layers(model):
        weights = layer.get_weights()
        if layer.name in chains and weights:
            first, *others = chains[layer.name]
            count = 1 if type(layer) is layers.SeparableConv2D else len(weights)
            shaped = zip(weights[:count], first.weights, strict=True)  # a depthwise kernel has another shape than most
            first.set_weights([value.reshape(variable.shape) for value, variable in shaped])
            if weights[count:]:
                others[0].set_weights(weights[count:])
    return made


def with_kernels(model: keras.Model, step: str) -> keras.Model:
    """Returns the model split so that `networks.layers.kernels` names every kernel of a file by its layer.

    Raises BadInput, which begins with the step's name, where a layer trains a kernel that is not among them.
    """
    model = split(model)
    named = {kernel.name for kernel in kernels(model)} & {layer.name for layer in model.layers}
    for layer in graph.flat_layers(model):
        trained = any("kernel" in weight.name.split("/")[-1] for weight in layer.trainable_weights)
        if trained and layer.name not in named and not isinstance(layer, layers.DepthwiseConv2D):
            name, kind = graph.origin(layer)
            raise BadInput(
                f'{step} knows the kernels of 2-D convolutions and of dense layers; "{name}" is of the type '
                f"{kind}. Replace it by those, or leave {step} out."
            )
    return model


def _chain(layer: Layer, shown: bool, free: Callable[[str], str], taken_in: Collection[str]) -> list[Callable] | None:
    """Returns the layers that take the layer's place, or None.

    The one with the kernel keeps the layer's name, or, where its output is `shown`, the last of them does. `free` makes
    a name that is not taken of one that may be.
    """
    if other := operator_layers.replacement(layer) or shipped_layers.replacement(layer, free):
        return [other]
    if type(layer) in _SUMS:
        count = max(len(node.flat_input_ids) for node in layer.inbound_nodes)
        return [_in_pairs(layer, count, free)] if count > 2 else None
    if type(layer) is layers.SeparableConv2D:
        chain = _separated(layer, free)
    elif _is_depthwise(layer):
        chain = [_as_depthwise(layer)]
    elif type(layer) in WITH_KERNEL:
        chain = [layer]
    else:
        return None
    if not (activation := _own_activation(layer, free, taken_in)):
        return chain if chain != [layer] else None
    linear = chain[-1].get_config() | {"activation": "linear"}
    if shown:
        linear, activation._name = linear | {"name": free(f"{layer.name}_linear")}, layer.name
    return [*chain[:-1], type(chain[-1]).from_config(linear), activation]


def _own_activation(layer: Layer, free: Callable[[str], str], taken_in: Collection[str]) -> Layer | None:
    """Returns a layer that does what a layer's own activation does, where that must stand alone."""
    found = layer.activation
    if isinstance(found, Layer):
        if found.weights:
            return None
        return type(found).from_config(found.get_config() | {"name": free(f"{layer.name}_relu")})
    name = getattr(found, "__name__", "")
    try:
        known = name not in taken_in and keras.activations.get(name) is found
    except ValueError:  # a function of somebody's own
        known = False
    return layers.Activation(name, name=free(f"{layer.name}_{name}")) if known else None


def _separated(layer: layers.SeparableConv2D, free: Callable[[str], str]) -> list[Layer]:
    config = layer.get_config()
    return [
        layers.DepthwiseConv2D(
            **{name: config[name] for name in _DEPTHWISE}, use_bias=False, name=free(f"{layer.name}_depthwise")
        ),
        layers.Conv2D.from_config({name: config[name] for name in _POINTWISE} | {"kernel_size": 1}),
    ]


def _is_depthwise(layer: Layer) -> bool:
    """Says whether a convolution has a group for each channel that it reads, which is the slow way to write it."""
    return (
        type(layer) is layers.Conv2D
        and layer.groups > 1
        and layer.groups == layer.input_shape[-1]
        and layer.data_format == "channels_last"
        and len(set(layer.strides)) == 1
    )


def _as_depthwise(layer: layers.Conv2D) -> layers.DepthwiseConv2D:
    config = {name: layer.get_config()[name] for name in _OF_KERNEL}
    return layers.DepthwiseConv2D(depth_multiplier=layer.filters // layer.groups, **config)


def _in_pairs(layer: Layer, count: int, free: Callable[[str], str]) -> Callable[[list], Any]:
    """Returns what adds (multiplies, compares) `count` maps, of which an operator takes two."""
    before = [free(f"{layer.name}_of_{first}") for first in range(2, count)]
    merges = [type(layer)(name=one) for one in (*before, layer.name)]

    def call(maps: list) -> Any:
        found, *others = maps
        for merge, other in zip(merges[-len(others) :], others, strict=True):
            found = merge([found, other])
        return found

    return call
