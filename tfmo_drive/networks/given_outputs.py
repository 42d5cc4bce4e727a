"""Gives a user's model the outputs that its task asks for: one sigmoid becomes two classes, and outputs get names.

softmax(0, z) = (1 - sigmoid(z), sigmoid(z)): a Dense layer of one unit (a convolution of one filter) becomes one of
two, whose first is always 0, and the answers are the same probabilities. A pilot may answer angle and throttle in two
outputs of any name, or in one of two numbers; no graph tells which is which, so their order is stated (a task's
`given_outputs`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from tfmo_drive.base.keras2 import keras
from tfmo_drive.base.outputs import flat, names
from tfmo_drive.contracts import BadInput
from tfmo_drive.data.class_names import quoted
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
            "keras.layers.Activation('sigmoid')(model.output)).save('two.h5'). If it says the second class above 0.5, "
            "give keras.layers.Concatenate()([1 - model.output, model.output]) in place of that, and add "
            f"{output_kind.typed(setting, output_kind.LOGITS)}."
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
        elif effect not in (output_kind.PASSES, output_kind.BOUNDED) or len(inputs) != 1:
            return None, {}
        elif not isinstance(layer, _KEPT):
            if layer.output_shape != layer.input_shape:
                return None, {}
            changed[layer] = []
        tensor = inputs[0]


def named(model: keras.Model, order: Sequence[str], wanted: Mapping[str, tuple[int, ...]], subject: str) -> keras.Model:
    """Returns the model, flat and in new variables, with its outputs called as `order` says.

    One output of several numbers, [b, n], becomes n of one, each by a Dense layer that passes its number on.

    Args:
        model: A functional model.
        order: The task's outputs in the order in which the model gives them; () goes by their names, and where
            these are not the task's by their shapes, if no two are equal.
        wanted: The shapes of the task's outputs for one example, by name.
        subject: What errors begin with.

    Raises:
        BadInput: The model does not give as many, or they are not the task's.
    """
    order = order or _by_shape(model, wanted)
    if not order:
        return model
    if sorted(order) != sorted(wanted):
        raise BadInput(f"{subject}: its outputs are said to be {quoted(order)}, the task's are {quoted(list(wanted))}.")
    shapes = [tuple(one.shape[1:]) for one in model.outputs]
    if shapes == [(len(order),)] and len(order) > 1 and all(shape == (1,) for shape in wanted.values()):
        return _split(model, order)
    if len(shapes) != len(order):
        raise BadInput(f"{subject} gives {shapes}, and is said to give {quoted(order)}. Name one for each.")
    return _renamed(graph.flat(model), order, subject)


def _by_shape(model: keras.Model, wanted: Mapping[str, tuple[int, ...]]) -> list[str]:
    """Returns the task's outputs in the model's order as their shapes tell; [] where all are named, or shapes do not.

    An output that has a name of the task's keeps it.
    """
    by_shape, own = {shape: name for name, shape in wanted.items()}, names(model)
    shapes = [tuple(one.shape[1:]) for one in model.outputs]
    if {*own} == {*wanted} or not len(by_shape) == len(wanted) == len(shapes) > 1 or {*shapes} != {*by_shape}:
        return []
    found = [by_shape[shape] for shape in shapes]
    contradicted = any(name in wanted and name != told for name, told in zip(own, found, strict=True))
    return [] if contradicted else found


def before_sigmoids(model: keras.Model, output: str, subject: str) -> keras.Model:
    """Returns the model, flat and in new variables, with logits in place of an output of sigmoids.

    Raises BadInput, which `subject` begins, where the sigmoid of what goes into them is not what the model answers.
    """
    made = graph.copied(model)
    found = _sigmoids(made, output)
    fresh = {}
    for key, layer in found.items():
        maker = type(layer).from_config({**layer.get_config(), "activation": "linear"}) if layer.weights else None
        fresh[key] = maker or layers.Activation("linear", name=layer.name)
    after = graph.rebuilt(made, lambda layer: [fresh[id(layer)]] if id(layer) in fresh else None)
    for key, layer in found.items():
        fresh[key].set_weights(layer.get_weights())
    random = np.random.default_rng(0)
    inputs = [random.normal(size=(2, *one.shape[1:])).astype(np.float32) for one in made.inputs]
    place = names(model).index(output)
    said = [np.asarray(flat(one.predict_on_batch(inputs))[place], np.float64) for one in (made, after)]
    if not found or not np.allclose(said[0], 1 / (1 + np.exp(-said[1])), atol=1e-5):
        raise BadInput(
            f"{subject}: its {output} are sigmoids, and logits are expected. Save it with what goes into them."
        )
    return after


def _sigmoids(model: keras.Model, output: str) -> dict[int, layers.Layer]:
    """Returns by id the layers that make the sigmoids of an output, behind which numbers are only moved about.

    It is empty where a layer is called twice, or what it makes is read twice.
    """
    read = Counter(one for node in graph.calls(model) for one in dict.fromkeys(node.flat_input_ids))
    read.update(str(id(tensor)) for tensor in model.outputs)
    found, waiting = {}, [model.outputs[names(model).index(output)]]
    while waiting:
        tensor = waiting.pop()
        layer = tensor._keras_history.layer
        if len(layer.inbound_nodes) != 1 or read[str(id(tensor))] != 1:
            return {}
        told = output_kind.effect(layer, layer.inbound_nodes[0])
        if told == output_kind.SIGMOIDS:
            found[id(layer)] = layer
        elif told == output_kind.PASSES and not _averages(layer):
            waiting += layer.inbound_nodes[0].keras_inputs
        else:
            return {}
    return found


def _averages(layer: layers.Layer) -> bool:
    """Says whether a layer's numbers may be means of what it reads: a sigmoid of a mean is no mean of sigmoids."""
    operator = getattr(layer, "symbol", None) or getattr(getattr(layer, "node_def", None), "op", "")
    called = f"{type(layer).__name__} {operator}".lower()
    return any(word in called for word in ("average", "avg", "mean", "resiz", "upsampling"))


def _split(model: keras.Model, order: Sequence[str]) -> keras.Model:
    ends = [keras.layers.Dense(1, name=name) for name in order]  # with a bias, into which a unit may go
    made = keras.Model(model.inputs, [end(model.output) for end in ends], name=model.name)
    for end, column in zip(ends, np.eye(len(order), dtype=np.float32), strict=True):
        end.set_weights([column[:, None], np.zeros(1, np.float32)])
    return made


def _renamed(model: keras.Model, order: Sequence[str], subject: str) -> keras.Model:
    last = [tensor._keras_history.layer for tensor in model.outputs]
    if len({id(layer) for layer in last}) < len(last):
        raise BadInput(f"{subject} gives several outputs of one layer, {last[0].name}. End each in a layer of its own.")
    fresh = {id(layer): graph.fresh(layer, name) for layer, name in zip(last, order, strict=True)}
    made = graph.rebuilt(model, lambda layer: [fresh[id(layer)]] if id(layer) in fresh else None)
    for layer in last:
        fresh[id(layer)].set_weights(layer.get_weights())
    return made
