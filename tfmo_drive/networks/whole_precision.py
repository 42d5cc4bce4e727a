"""Rebuilds a model of mixed, half or double precision in float32, which every step and target expects."""

from __future__ import annotations

from typing import Any

from tfmo_drive.base.given_file import reason
from tfmo_drive.base.keras2 import keras, tf
from tfmo_drive.contracts import BadInput
from tfmo_drive.networks import graph


def in_float32(model: keras.Model, subject: str) -> keras.Model:
    """Returns the model itself where it computes in float32, or else a flat copy that does, with the same weights.

    Raises BadInput, which begins with `subject`, where an operation of the graph insists on another width.
    """
    found = graph.flat_layers(model)
    if all(layer.compute_dtype == "float32" or not tf.as_dtype(layer.compute_dtype).is_floating for layer in found):
        return model
    pairs = []

    def replacement(layer: keras.layers.Layer) -> list[keras.layers.Layer]:
        pairs.append((layer, type(layer).from_config(_whole(layer.get_config()))))
        return [pairs[-1][1]]

    try:
        made = graph.rebuilt(graph.flat(model), replacement)
    except BadInput:
        raise
    except Exception as error:  # TensorFlow raises many kinds where two widths meet
        raise BadInput(
            f"{subject} computes in half precision, and cannot be read as float32: {reason(error)}. Build it again "
            "under the policy float32, give it the same weights (set_weights), and save it."
        ) from error
    for layer, whole in pairs:
        whole.set_weights(layer.get_weights())
    return made


def _whole(config: Any) -> Any:
    """Returns a layer's settings, and those of layers inside it, with the policy float32."""
    if isinstance(config, tuple):
        return tuple(map(_whole, config))
    if isinstance(config, list):
        return [_whole(one) for one in config]
    if not isinstance(config, dict):
        return config
    return {name: "float32" if name == "dtype" else _whole(value) for name, value in config.items()}
