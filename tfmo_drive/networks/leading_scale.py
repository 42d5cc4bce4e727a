"""Takes the affine map per column that a model begins with out of it, or puts one in: a file standardises before it.

Raw columns of unlike ranges share one 8-bit scale where a file quantises them at once. A file of this project
standardises in float32 first (contracts.Preprocessing), so what a given model does first moves there; where it does
nothing, standardising is put in front, and the layer that reads the input takes it back: the answers stay the same.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from absl import logging

from tfmo_drive.base.keras2 import keras
from tfmo_drive.networks import folding, graph
from tfmo_drive.networks.layers import in_one_group

layers = keras.layers


class Led(NamedTuple):
    """Holds a model, and what its raw inputs go through first: x * scale + offset, for each channel or column."""

    model: keras.Model
    scale: tuple[float, ...]
    offset: tuple[float, ...]


def taken_out(model: keras.Model, place: int = 0) -> Led | None:
    """Returns the flat `model` without the Rescaling or Normalization that alone reads its input, and what that does.

    Returns None where the model begins otherwise at the input of that place.
    """
    layer, *others = graph.first_readers(model, place) or [None]
    if others or not isinstance(layer, folding.RESCALING) or not folding.once_along_channels(layer):
        return None
    return _led(graph.rebuilt(model, lambda one: [] if one is layer else None), *folding.affine(layer))


def put_in(model: keras.Model, mean: np.ndarray, deviation: np.ndarray, place: int = 0) -> Led | None:
    """Returns the flat `model` for standardised inputs: what reads them first takes it back.

    That are Dense layers, convolutions, BatchNormalization, and a Rescaling or Normalization. Zeros that a convolution
    pads with would no longer be raw zeros, so there only the scale is taken out.

    Args:
        model: What is read by a layer of another kind is left as it is: None is returned.
        mean: float [columns] of the raw inputs.
        deviation: float [columns] of the raw inputs; where it is 0, a column keeps its scale.
        place: The place of the input among the model's.
    """
    readers = [_behind(model, one, place) for one in graph.first_readers(model, place)]
    if not readers or not all(_takes_back(one) for one, _ in readers):
        return None
    padded = any(getattr(one, "padding", "valid") != "valid" for one, _ in readers)
    deviation = np.where(deviation > 0, deviation, 1.0)
    mean = np.zeros_like(deviation) if padded else mean
    made, weights = {}, {}
    for one, columns in readers:
        width = one.kernel.shape[-2] if type(one) in _TAKING else one.input.shape[-1]
        times = len(range(width)[columns]) // len(mean)  # behind a Flatten, all readings of a column
        scale, offset = np.ones(width), np.zeros(width)
        scale[columns], offset[columns] = np.tile(deviation, times), np.tile(mean, times)
        made[one.name], weights[one.name] = _taken_back(one, scale, offset)
    standing = graph.rebuilt(model, lambda one: [made[one.name]] if one.name in made else None)
    for name, values in weights.items():
        made[name].set_weights([np.float32(value) for value in values])
    return standardised(standing, mean, deviation)


def for_standardised(model: keras.Model, mean: np.ndarray, deviation: np.ndarray, subject: str) -> keras.Model:
    """Returns a flat `model` of raw rows [b, columns] for standardised ones, with equal answers.

    Where what reads them first cannot take that back, the rows are raw again inside, and a warning, which `subject`
    begins, says so: integer files then have one scale for all columns.
    """
    if found := put_in(model, mean, deviation):
        return found.model
    logging.warning(
        "%s: its first layer cannot take standardised columns, so that an integer file has one scale for all of them. "
        "Begin the model with a Normalization layer.", subject,
    )  # fmt: skip
    rows = keras.Input(model.inputs[0].shape[1:], name=model.input_names[0])
    raw = layers.Rescaling(np.where(deviation > 0, deviation, 1.0).tolist(), mean.tolist(), name="raw_again")(rows)
    return graph.flat(keras.Model(rows, model(raw), name=model.name))


def standardised(model: keras.Model, mean: np.ndarray, deviation: np.ndarray) -> Led:
    """Returns the model itself, fed with (x - mean) / deviation; a column of deviation 0 keeps its scale."""
    deviation = np.where(deviation > 0, deviation, 1.0)
    return _led(model, 1 / deviation, -mean / deviation)


def _led(model: keras.Model, scale: np.ndarray, offset: np.ndarray) -> Led:
    return Led(model, tuple(np.float32(scale).tolist()), tuple(np.float32(offset).tolist()))


_TAKING = (layers.Dense, layers.Conv1D, layers.Conv2D)
"""Layers whose kernels [..., columns, outputs] can take a scale and a shift of their input in."""
_PASSING = (layers.Flatten, *folding.ONLY_IN_TRAINING)
"""Layers through which columns go unchanged."""


def _takes_back(layer: layers.Layer) -> bool:
    """Says whether a layer can give the same answers to standardised inputs."""
    if type(layer) in folding.AFFINE:
        return folding.once_along_channels(layer)
    return type(layer) in _TAKING and in_one_group(layer)


def _taken_back(layer: layers.Layer, scale: np.ndarray, offset: np.ndarray) -> tuple[layers.Layer, list[np.ndarray]]:
    """Returns a layer that answers to x as `layer` does to x * scale + offset, [c_in], and the weights to give it.

    A BatchNormalization stays one, whose statistics are of x, so that it can be trained on.
    """
    if type(layer) in _TAKING:
        kernel = type(layer).from_config(layer.get_config() | {"use_bias": True})
        return kernel, folding.absorbing_before(layer, scale, offset)
    if isinstance(layer, folding.RESCALING):
        gain, shift = folding.affine(layer)
        return layers.Rescaling((gain * scale).tolist(), (gain * offset + shift).tolist(), name=layer.name), []
    gain, shift = folding.affine(layer)
    norm = layers.BatchNormalization.from_config(layer.get_config() | {"scale": True})
    mean = (layer.moving_mean.numpy() - offset) / scale
    variance = layer.moving_variance.numpy() / scale**2
    beta = [gain * (scale * mean + offset) + shift] if layer.center else []
    return norm, [gain * scale * np.sqrt(variance + layer.epsilon), *beta, mean, variance]


def _behind(model: keras.Model, layer: layers.Layer, place: int) -> tuple[layers.Layer, slice]:
    """Returns the layer that takes the scale in, and which of the columns that it reads are the input's.

    It is the layer itself, or the only one that reads it where it only puts columns one behind the other, or does
    nothing but in training.
    """
    read, tensor = layer.input, model.inputs[place]
    if isinstance(layer, _PASSING):
        following = graph.only_reader(model)
        while isinstance(layer, _PASSING) and layer.name in following:
            layer = following[layer.name]
        return layer, slice(None)
    joins = isinstance(layer, layers.Concatenate) and layer.axis in (-1, len(tensor.shape) - 1)
    if not joins or sum(one is tensor for one in read) != 1:
        return layer, slice(None)
    before = sum(one.shape[-1] for one in read[: [one is tensor for one in read].index(True)])
    return graph.only_reader(model).get(layer.name, layer), slice(before, before + tensor.shape[-1])
