"""Turns a binary classifier's or segmenter's one sigmoid into two classes, which every part of this project handles.

softmax(0, z) = (1 - sigmoid(z), sigmoid(z)): a Dense layer of one unit (a convolution of one filter) becomes one of
two, whose first is always 0, and the answers are the same probabilities.
"""

from __future__ import annotations

import numpy as np

from tfmo_drive.base.keras2 import keras
from tfmo_drive.base.outputs import names
from tfmo_drive.contracts import BadInput
from tfmo_drive.networks import graph, output_kind

layers = keras.layers
_KEPT = (
    layers.UpSampling2D, layers.Resizing, layers.Cropping2D, layers.GlobalAveragePooling2D, layers.AveragePooling2D,
)  # fmt: skip
"""The layers that average or move numbers of each channel by itself, however many channels there are."""


def of_one_sigmoid(model: keras.Model, subject: str, setting: str = "task.outputs") -> keras.Model:
    """Returns the flat `model` with two classes, [b, ..., 2], in place of the second's probability, [b, ..., 1].

    It is in new variables. Raises BadInput, which `subject` begins, where the model does not end in a Dense layer or a
    convolution and a sigmoid; `setting` is the one that states what outputs are.
    """
    if output_kind.found(model, names(model)[0]) != output_kind.SIGMOIDS:
        raise BadInput(
            f"{subject} gives one number for two classes, and does not end in a sigmoid. If the number is a "
            "logit of the second class, save it with one: keras.Model(model.input, "
            "keras.layers.Activation('sigmoid')(model.output)).save('two.h5')."
        )
    maker, changed = _ending(model)
    if maker is None:
        raise BadInput(
            f"{subject} gives one sigmoid for two classes, and not right behind a Dense layer or a convolution. Save "
            "it with both, "
            "keras.Model(model.input, keras.layers.Concatenate()([1 - model.output, model.output])).save('two.h5'), "
            f"and add {output_kind.typed(setting, output_kind.PROBABILITIES)}."
        )
    ends = "linear" if any(changed.values()) else "softmax"
    count = "filters" if isinstance(maker, layers.Conv2D) else "units"
    both = type(maker).from_config({**maker.get_config(), count: 2, "activation": ends})
    made = graph.rebuilt(model, lambda layer: [both] if layer is maker else changed.get(layer))
    both.set_weights([np.stack([np.zeros_like(one), one], -1)[..., 0, :] for one in maker.get_weights()])
    return made


def _ending(model: keras.Model) -> tuple[layers.Layer | None, dict[layers.Layer, list]]:
    """Returns the layer [b, ..., 1] that the output comes from, and what takes the places of layers behind it.

    The layer is None where it is no Dense layer or convolution, or where two channels cannot go the way that one goes.
    """
    tensor, changed, sigmoid = model.output, {}, None
    while True:
        layer, call, _ = tensor._keras_history
        node, effect = layer.inbound_nodes[call], output_kind.effect(layer, layer.inbound_nodes[call])
        if len(layer.inbound_nodes) != 1 or layer.output_shape[-1:] != (1,):
            return None, {}
        if type(layer) in (layers.Dense, layers.Conv2D):
            return (layer if effect == (output_kind.LOGITS if sigmoid else output_kind.SIGMOIDS) else None), changed
        inputs = node.keras_inputs
        if effect == output_kind.SIGMOIDS and not sigmoid and len(inputs) == 1:
            sigmoid, changed[layer] = layer, [layers.Softmax(name=layer.name)]
        elif effect != output_kind.PASSES or len(inputs) != 1:
            return None, {}
        elif not isinstance(layer, _KEPT):
            if layer.output_shape != layer.input_shape:
                return None, {}
            changed[layer] = []
        tensor = inputs[0]
