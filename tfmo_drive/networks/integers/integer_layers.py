"""Rewrites a model in layers that one integer operator computes each, for quantization-aware training.

What a converter makes of an average, a hard sigmoid, SELU or mish are several operators, whose results are stored: each
needs a range that is trained. An affine layer that nothing beside it can absorb (BatchNorm behind an activation, behind
a concatenation or in front of a convolution that pads) gets a depthwise 1x1 convolution in front of it that does
nothing and does not train, and that absorbs it in the file.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection
from typing import Any

import numpy as np

from tfmo_drive.base.keras2 import keras
from tfmo_drive.base.spelling import free_name
from tfmo_drive.networks import folding, graph, plain_layers
from tfmo_drive.networks.integers import integer_norms, moved_scales, quantize_scheme
from tfmo_drive.networks.operator_layers import ACTIVATIONS, operator, symbol

layers = keras.layers
Layer = layers.Layer
_SELU_SCALE, _SELU_ALPHA = 1.05070098735548, 1.67326324235438
"""Klambauer et al. 2017, as keras.activations.selu has them."""


def integer_form(model: keras.Model, fold: bool = True) -> keras.Model:
    """Returns a flat copy with equal outputs in inference, in layers of one integer operator each.

    Args:
        model: A functional model.
        fold: Whether BatchNorm that cannot be trained where it stands may be folded into the kernel beside it.
    """
    model = _rewritten(plain_layers.split(model, ("linear", "relu")))
    model = _arranged_first(plain_layers.split(model))  # the sums and activations of what was rewritten too
    # Folded into the next kernel, a Rescaling of pixels would make its weights 255 times smaller and their gradients as
    # much larger, so that training with an ordinary learning rate diverges.
    model = _absorbed(model, folding.RESCALING, ranks=(4,))
    if fold:
        model = moved_scales.before_relu(model)
        readers = graph.only_reader(model)
        model = folding.folded(model, stays=lambda norm: quantize_scheme.trains_with(norm, readers))
    return _absorbed(model, folding.AFFINE, ranks=(2, 3, 4))


def convertible(model: keras.Model) -> keras.Model:
    """Returns the model without what TensorFlow's converter takes badly; the model itself where it has none of it.

    SELU, softplus and mish end the converter's process (SIGSEGV, TensorFlow 2.21); of a normalisation it leaves squares
    in float, or rounds the variances of dark and bright places to steps of one size.
    """
    found = [one for one in graph.flat_layers(model) if type(one) is not layers.Activation]
    if any(quantize_scheme.activation_name(one) in _BADLY_CONVERTED or _badly_called(one) for one in found):
        model = plain_layers.split(model)
    return _rewritten(model, _BADLY_CONVERTED)


def _badly_called(layer: Layer) -> bool:
    """Says whether a layer calls a function of TensorFlow that is an activation in _BADLY_CONVERTED."""
    return ACTIVATIONS.get(symbol(layer)) in _BADLY_CONVERTED


def _rewritten(model: keras.Model, only: Collection[str | type] | None = None) -> keras.Model:
    """Returns the model with every composite layer (or those of `only`) as the layers that it is made of."""
    taken = {layer.name for layer in model.layers}

    def free(name: str) -> str:
        taken.add(found := free_name(name, taken))
        return found

    found: dict[str, Callable] = {}
    for layer in model.layers:
        kind = quantize_scheme.activation_name(layer) if type(layer) is layers.Activation else type(layer)
        rewrite = _REWRITES.get(kind) if only is None or kind in only else None
        made = rewrite(layer, free) if rewrite and len(layer.inbound_nodes) == 1 else None
        if made is not None:
            found[layer.name] = made
    return graph.rebuilt(model, lambda layer: [found[layer.name]] if layer.name in found else None) if found else model


_ARRANGED = (layers.Flatten, layers.Reshape, layers.Permute)
"""The layers that move the values of a map and compute nothing."""


def _arranged_first(model: keras.Model) -> keras.Model:
    """Returns the model with what rearranges an ELU's output in front of it, where a converter has integers for both.

    It puts the range of a rearranged map behind the rearranging, and has no integer ELU without a range behind it.
    """
    readers, moved = graph.only_reader(model), {}
    for layer in model.layers:
        behind = readers.get(layer.name)
        elu = type(layer) is layers.ELU or quantize_scheme.activation_name(layer) == "elu"
        if elu and type(behind) in _ARRANGED and len(behind.inbound_nodes) == 1:
            moved |= {layer.name: [graph.fresh(behind)], behind.name: [graph.fresh(layer)]}
    return _arranged_first(graph.rebuilt(model, lambda layer: moved.get(layer.name))) if moved else model


def _average(layer: Layer, free: Callable[[str], str]) -> Callable:
    def call(maps: list) -> Any:
        total = layers.Add(name=free(f"{layer.name}_sum"))(maps)
        return layers.Rescaling(1.0 / len(maps), name=layer.name)(total)

    return call


def _hard_sigmoid(layer: Layer, free: Callable[[str], str]) -> Callable:
    """Writes 0.2 x + 0.5 between 0 and 1 by the one ReLU with an end that operators have."""
    return lambda inputs: _up_to(1.0, 0.2, 0.5, layer.name, free)(inputs)


def _relu(layer: Layer, free: Callable[[str], str]) -> Callable | None:
    plain = layer.max_value in (None, 6.0) or layer.negative_slope or layer.threshold
    return None if plain else _up_to(float(layer.max_value), 1.0, 0.0, layer.name, free)


def _up_to(end: float, scale: float, offset: float, name: str, free: Callable[[str], str]) -> Callable:
    """Returns what computes scale * x + offset between 0 and `end`: scaled to 0..6, and back."""

    def call(inputs: Any) -> Any:
        wide = layers.Rescaling(scale * 6 / end, offset * 6 / end, name=free(f"{name}_up_to_6"))(inputs)
        return layers.Rescaling(end / 6, name=name)(layers.ReLU(6.0, name=free(f"{name}_relu6"))(wide))

    return call


def _selu(layer: Layer, free: Callable[[str], str]) -> Callable:
    """Writes SELU as a sum of ReLU and ELU, which have operators."""

    def call(inputs: Any) -> Any:
        relu = layers.ReLU(name=free(f"{layer.name}_relu"))(inputs)
        elu = layers.ELU(name=free(f"{layer.name}_elu"))(inputs)
        first = layers.Rescaling(_SELU_SCALE * (1 - _SELU_ALPHA), name=free(f"{layer.name}_of_relu"))(relu)
        second = layers.Rescaling(_SELU_SCALE * _SELU_ALPHA, name=free(f"{layer.name}_of_elu"))(elu)
        return layers.Add(name=layer.name)([first, second])

    return call


def _softplus(layer: Layer, free: Callable[[str], str]) -> Callable:
    """Writes log(1 + exp(x)) as max(x, 0) - log(sigmoid(|x|)), in which nothing grows as exp(x) does."""
    return functools.partial(_smooth_relu, layer.name, free)


def _smooth_relu(name: str, free: Callable[[str], str], inputs: Any) -> Any:
    """Returns log(1 + exp(x)) of the inputs, from a layer called `name`."""
    size = operator("math.abs", free(f"{name}_size"))(inputs)
    part = layers.Activation("sigmoid", name=free(f"{name}_sigmoid"))(size)  # 0.5 to 1, where a logarithm is tame
    bend = operator("math.log", free(f"{name}_log"))(part)
    return layers.Subtract(name=name)([layers.ReLU(name=free(f"{name}_relu"))(inputs), bend])


def _mish(layer: Layer, free: Callable[[str], str]) -> Callable:
    """Writes x tanh(log(1 + exp(x))) (Misra 2019, arXiv:1908.08681), whose exp(x) no 8 bits hold."""

    def call(inputs: Any) -> Any:
        smooth = _smooth_relu(free(f"{layer.name}_softplus"), free, inputs)
        gate = layers.Activation("tanh", name=free(f"{layer.name}_tanh"))(smooth)
        return layers.Multiply(name=layer.name)([inputs, gate])

    return call


_REWRITES: dict[str | type, Callable] = {
    layers.Average: _average,
    layers.ReLU: _relu,
    layers.LayerNormalization: integer_norms.layer_norm,
    layers.GroupNormalization: integer_norms.group_norm,
    "hard_sigmoid": _hard_sigmoid,
    "selu": _selu,
    "softplus": _softplus,
    "mish": _mish,
}
"""What writes a class of layers, or an activation of its own, by other layers."""
_BADLY_CONVERTED = ("selu", "softplus", "mish", layers.LayerNormalization, layers.GroupNormalization)


def _absorbed(model: keras.Model, kinds: tuple[type, ...], ranks: tuple[int, ...]) -> keras.Model:
    """Returns the model with depthwise 1x1 convolutions that scale, or stand in front of a BatchNorm, and do not train.

    Args:
        model: A flat model.
        kinds: The affine layers that get one, where no convolution before them absorbs them.
        ranks: The numbers of axes of their outputs, with the batch's.
    """
    readers, made = graph.only_reader(model), {}
    alone = {
        layer.name: layer
        for layer in model.layers
        if type(layer) in kinds
        and not quantize_scheme.trains_with(layer, readers)
        and folding.once_along_channels(layer)
        and len(layer.output.shape) in ranks
        and (len(layer.output.shape) == 4 or None not in layer.output.shape[1:])
    }
    if not alone:
        return model
    taken = {layer.name for layer in model.layers}

    def replacement(layer: Layer) -> list | None:
        if layer.name not in alone:
            return None
        norm = type(layer) is layers.BatchNormalization
        shape = (*[1] * (4 - len(layer.output.shape)), *layer.output.shape[1:])
        around = len(shape) != len(layer.output.shape) - 1
        last = norm or around
        name = free_name(f"{layer.name}_affine", taken) if last else layer.name
        scaling = layers.DepthwiseConv2D(1, name=name, use_bias=not norm, trainable=False)
        made[layer.name] = [scaling]
        chain = [scaling]
        if norm:
            own = free_name(f"{layer.name}_along_channels", taken) if around else layer.name
            config = layer.get_config() | {"name": own, "axis": -1}
            made[layer.name].append(copy := layers.BatchNormalization.from_config(config))
            chain.append(copy)
        if around:
            before = layers.Reshape(shape, name=free_name(f"{layer.name}_map", taken))
            chain = [before, *chain, layers.Reshape(layer.output.shape[1:], name=layer.name)]
        return chain

    whole = graph.rebuilt(model, replacement)
    for name, (scaling, *norm) in made.items():
        channels = alone[name].output.shape[-1]
        if norm:
            scaling.set_weights([np.ones((1, 1, channels, 1), np.float32)])
            norm[0].set_weights(alone[name].get_weights())
        else:
            scale, offset = (value.astype(np.float32) for value in folding.affine(alone[name]))
            scaling.set_weights([scale.reshape(1, 1, -1, 1), offset])
    return whole
