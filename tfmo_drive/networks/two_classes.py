"""Turns a binary classifier's one sigmoid into two classes, which every part of this project handles.

softmax(0, z) = (1 - sigmoid(z), sigmoid(z)): a Dense layer of one unit becomes one of two, whose first is always 0, and
the answers are the same probabilities.
"""

from __future__ import annotations

import numpy as np

from tfmo_drive.base.keras2 import keras
from tfmo_drive.base.outputs import names
from tfmo_drive.contracts import BadInput
from tfmo_drive.networks import graph, output_kind


def of_one_sigmoid(model: keras.Model, subject: str, setting: str = "task.outputs") -> keras.Model:
    """Returns the flat `model` with two classes, [b, 2], in place of the second class's probability, [b, 1].

    It is in new variables. Raises BadInput, which `subject` begins, where the model does not end in a Dense layer and a
    sigmoid; `setting` is the one that states what outputs are.
    """
    if output_kind.found(model, names(model)[0]) != output_kind.SIGMOIDS:
        raise BadInput(
            f"{subject} gives one number for two classes, and does not end in a sigmoid. If the number is a "
            "logit of the second class, save it with one: keras.Model(model.input, "
            "keras.layers.Activation('sigmoid')(model.output)).save('two.h5')."
        )
    maker, dropped = _ending(model)
    if maker is None:
        raise BadInput(
            f"{subject} gives one sigmoid for two classes, and not right behind a Dense layer. Save it with both, "
            "keras.Model(model.input, keras.layers.Concatenate()([1 - model.output, model.output])).save('two.h5'), "
            f"and add {output_kind.typed(setting, output_kind.PROBABILITIES)}."
        )
    both = keras.layers.Dense.from_config({**maker.get_config(), "units": 2, "activation": "softmax"})
    made = graph.rebuilt(model, lambda layer: [both] if layer is maker else [] if layer in dropped else None)
    both.set_weights([np.stack([np.zeros_like(one), one], -1)[..., 0, :] for one in maker.get_weights()])
    return made


def _ending(model: keras.Model) -> tuple[keras.layers.Layer | None, list]:
    """Returns the Dense layer [b, 1] that the output comes from, or None where it is none, and the layers behind it."""
    tensor, behind = model.output, []
    while True:
        layer, call, _ = tensor._keras_history
        if isinstance(layer, keras.layers.Dense):
            fits = layer.output_shape == (None, 1) and len(layer.inbound_nodes) == 1
            return (layer if fits else None), behind
        inputs = layer.inbound_nodes[call].keras_inputs
        if len(inputs) != 1 or len(layer.inbound_nodes) != 1:
            return None, behind
        behind.append(layer)
        tensor = inputs[0]
