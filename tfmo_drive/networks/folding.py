"""Folds BatchNorm, Rescaling and Normalization into the layer beside them (Jacob et al. 2018, section 3.2).

Once a model is trained, each of these affine layers is one multiplication and one addition per channel. A converter
folds those behind a kernel too; another is an operator of its own, and what it multiplies by has one int8 scale:
https://ai.google.dev/edge/litert/conversion/tensorflow/quantization/quantization_spec
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np

from tfmo_drive.base.keras2 import keras
from tfmo_drive.networks import graph
from tfmo_drive.networks.layers import WITH_KERNEL, along_inputs, along_outputs, in_one_group, output_axes

layers = keras.layers
Layer = layers.Layer
RESCALING = (layers.Rescaling, layers.Normalization)
AFFINE = (layers.BatchNormalization, *RESCALING)
ONLY_IN_TRAINING = (
    layers.Dropout, layers.SpatialDropout1D, layers.SpatialDropout2D, layers.GaussianDropout, layers.AlphaDropout,
    layers.GaussianNoise,
)  # fmt: skip
LOST = 4.0
"""The bits from which a cost counts: half of the 8. The worst tensor of a ResNet50 on traffic signs, which int8 costs
nothing, loses 2.4; with channels spread over three powers of ten (steps.spoilers.spread) half lose over 8."""


def folded(model: keras.Model, stays: Callable[[Layer], bool] | None = None) -> keras.Model:
    """Returns a flat copy with equal outputs in inference, `foldable` layers folded and dropout left out.

    Args:
        model: A trained functional model.
        stays: Says for an affine layer whether it stays as it is; with it all dropout stays too, so that the copy can
            be trained on.
    """
    # Of a copy, for a layer that was in other models too, as what tfmot wraps is, seems to be read there.
    made = graph.rebuilt(
        model,
        lambda layer: [] if not stays and type(layer) in ONLY_IN_TRAINING and layer.name not in model.output_names
        else None,
    )  # fmt: skip
    while pairs := foldable(made, stays):  # a folded layer's neighbour may be foldable next
        made = _without(made, pairs)
    return made


def foldable(model: keras.Model, stays: Callable[[Layer], bool] | None = None) -> dict[str, Layer]:
    """Returns the affine layers that can be folded, each by the name of the layer that absorbs it.

    That is the one right before it, or else the one right behind it. Layers for which `stays` is true are left out.
    """
    readers, outputs = graph.only_reader(model), set(model.output_names)
    found = [layer for layer in model.layers if type(layer) in AFFINE and once_along_channels(layer)]
    found = [layer for layer in found if not (stays and stays(layer))]
    behind = {
        layer.name: readers[layer.name]
        for layer in model.layers
        if type(layer) in WITH_KERNEL
        and layer.activation is keras.activations.linear
        and getattr(layer, "data_format", "channels_last") == "channels_last"
        and readers.get(layer.name) in found
        and readers[layer.name].name not in outputs
    }
    free = [layer for layer in found if layer not in behind.values() and layer.name in readers]
    before = {readers[layer.name].name: layer for layer in free if _takes(readers[layer.name], layer)}
    return before | behind


@dataclasses.dataclass(frozen=True)
class FarApart:
    """Describes an affine layer that is an operator of its own in a file, whose gains no single int8 scale holds."""

    layer: Layer
    gains: np.ndarray
    """The absolute values of those that are not 0, float64 [at least 2]."""
    foldable: bool
    """Whether `folded` moves it into the layer behind it."""

    @property
    def bits(self) -> float:
        """Returns how many of the 8 bits a channel loses, on average, because all have one scale."""
        return float(np.mean(np.log2(self.gains.max() / self.gains)))

    @property
    def said(self) -> str:
        """Returns the gains in words."""
        low, high, half = self.gains.min(), self.gains.max(), np.median(self.gains)
        return f"go from {low:.3g} to {high:.3g}, half of them below {half:.3g}"


def far_apart(model: keras.Model) -> list[FarApart]:
    """Returns the affine layers of a functional model that lose more than LOST bits in an int8 file, in graph order."""
    model = graph.copied(model)
    readers, pairs = graph.only_reader(model), foldable(model)
    behind = {norm.name for maker, norm in pairs.items() if readers.get(maker) is norm}
    before = {norm.name for norm in pairs.values()} - behind
    alone = [one for one in model.layers if type(one) in AFFINE and once_along_channels(one) and one.name not in behind]
    gains = {layer.name: np.abs(affine(layer)[0]) for layer in alone}
    found = [FarApart(layer, gains[layer.name][gains[layer.name] > 0], layer.name in before) for layer in alone]
    return [one for one in found if len(one.gains) > 1 and one.bits > LOST]


def affine(layer: Layer) -> tuple[np.ndarray, np.ndarray]:
    """Returns (scale, offset), float64 [channels], of a layer of a kind in AFFINE, as in inference."""
    if isinstance(layer, layers.Rescaling):
        scale, offset = layer.scale, layer.offset
    elif isinstance(layer, layers.Normalization):
        mean = np.asarray(layer.mean, np.float64).reshape(-1)
        deviation = np.maximum(np.sqrt(np.asarray(layer.variance, np.float64)), keras.backend.epsilon()).reshape(-1)
        scale, offset = (deviation, mean) if layer.invert else (1 / deviation, -mean / deviation)
    else:
        mean, variance = (value.numpy().astype(np.float64) for value in (layer.moving_mean, layer.moving_variance))
        scale = (layer.gamma.numpy() if layer.scale else 1.0) / np.sqrt(variance + layer.epsilon)
        offset = (layer.beta.numpy() if layer.center else 0.0) - mean * scale
    channels = layer.output.shape[-1]
    return tuple(np.broadcast_to(np.asarray(value, np.float64), (channels,)) for value in (scale, offset))


def once_along_channels(layer: Layer) -> bool:
    """Says whether an affine layer is called once and works along the last axis alone."""
    last = len(layer.output.shape) - 1
    if isinstance(layer, layers.Rescaling):
        along = np.ndim(layer.scale) <= 1 and np.ndim(layer.offset) <= 1
    else:
        along = {axis % (last + 1) for axis in layer.axis} <= {last}
    return along and len(layer.inbound_nodes) == 1


def _takes(layer: Layer, norm: Layer) -> bool:
    """Says whether the layer can absorb the affine layer before it: padding adds zeros where there would be offsets."""
    if type(layer) not in WITH_KERNEL or len(layer.inbound_nodes) != 1 or not in_one_group(layer):
        return False
    same_everywhere = type(layer) is not layers.Conv2DTranspose and getattr(layer, "padding", "valid") == "valid"
    return same_everywhere or not affine(norm)[1].any()


def _without(model: keras.Model, pairs: dict[str, Layer]) -> keras.Model:
    """Returns the model with each affine layer of `pairs` folded into the layer that absorbs it."""
    readers = graph.only_reader(model)
    dropped = {norm.name for norm in pairs.values()}

    def replacement(layer):
        if layer.name in dropped:
            return []
        if layer.name in pairs:
            return [type(layer).from_config({**layer.get_config(), "use_bias": True})]
        return None

    made = graph.rebuilt(model, replacement)
    whole, absorbing = ({layer.name: layer for layer in one.layers} for one in (model, made))
    for name, norm in pairs.items():
        layer = whole[name]
        weights = absorbing_behind if readers.get(name) is norm else absorbing_before
        absorbing[name].set_weights([value.astype(np.float32) for value in weights(layer, *affine(norm))])
    return made


def absorbing_behind(layer: Layer, scale: np.ndarray, offset: np.ndarray) -> list[np.ndarray]:
    """Returns [kernel, bias], float64, of a layer that absorbs y * scale + offset, [c_out], of its outputs."""
    kernel, bias = _kernel_and_bias(layer)
    return [kernel * along_outputs(layer, scale), bias * scale + offset]


def absorbing_before(layer: Layer, scale: np.ndarray, offset: np.ndarray) -> list[np.ndarray]:
    """Returns [kernel, bias], float64, of a layer that absorbs x * scale + offset, [c_in], of its inputs."""
    kernel, bias = _kernel_and_bias(layer)
    axes = tuple(axis for axis in range(-kernel.ndim, 0) if axis not in output_axes(layer))
    added = (kernel * along_inputs(layer, offset)).sum(axes).reshape(-1)
    return [kernel * along_inputs(layer, scale), bias + added]


def _kernel_and_bias(layer: Layer) -> tuple[np.ndarray, np.ndarray]:
    kernel, *bias = (value.astype(np.float64) for value in layer.get_weights())
    return kernel, bias[0] if bias else np.zeros(layer.output.shape[-1])
