"""Walks the graph of a functional Keras 2 model, and rebuilds the model with other layers.

`keras.models.clone_model` can change a layer's settings, but neither drop a layer nor put two in its place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from tfmo_drive.base.given_file import reason
from tfmo_drive.base.keras2 import keras, tf
from tfmo_drive.base.outputs import bare
from tfmo_drive.base.spelling import free_name
from tfmo_drive.contracts import BadInput

Layer = keras.layers.Layer


def calls(model: keras.Model) -> Iterator[Any]:
    """Yields Keras's nodes (one per call of a layer, inputs left out), each after those that it reads.

    Raises BadInput for a subclassed model, whose calls Keras does not know.
    """
    _require_functional(model)
    for depth in sorted(model._nodes_by_depth, reverse=True):
        yield from (node for node in model._nodes_by_depth[depth] if not node.is_input)


def arguments(node: Any, tensors: dict[str, Any]) -> tuple[tuple, dict]:
    """Returns the (args, kwargs) of a node's call when other tensors take the place of the model's own.

    Args:
        node: A call of a layer, from `calls`.
        tensors: The other tensors, by the ids that the model has for its own.
    """
    read = node.flat_input_ids
    return node.map_arguments({one: [tensors[one]] * read.count(one) for one in read})


def only_reader(model: keras.Model) -> dict[str, Layer]:
    """Returns, by layer's name, the one layer that reads it.

    Only layers count that are called once, whose output goes to a single call and is no output of the model.
    """
    made_by, times, readers = {}, {}, {}
    for node in calls(model):
        times[node.layer.name] = times.get(node.layer.name, 0) + 1
        made_by |= dict.fromkeys(node.flat_output_ids, node.layer.name)
        for tensor in node.flat_input_ids:
            readers.setdefault(made_by.get(tensor), []).append(node.layer)
    shown = {made_by.get(str(id(tensor))) for tensor in model.outputs}
    return {
        name: found[0]
        for name, found in readers.items()
        if name is not None and len(found) == 1 and times[name] == 1 and name not in shown
    }


def first_readers(model: keras.Model, place: int = 0) -> list[Layer]:
    """Returns the layers that read the input of that place, in order; [] where one of them is called more than once."""
    tensor = str(id(model.inputs[place]))
    readers = [node.layer for node in calls(model) if tensor in node.flat_input_ids]
    return readers if all(len(one.inbound_nodes) == 1 for one in readers) else []


def last(model: keras.Model, counts: Callable[[Layer], bool]) -> set[str]:
    """Returns the names of layers that count and behind which, on some way to an output, no other does."""
    nearest: dict[str, set[str]] = {}
    for node in calls(model):
        read = set().union(*(nearest.get(one, set()) for one in node.flat_input_ids))
        nearest |= dict.fromkeys(node.flat_output_ids, {node.layer.name} if counts(node.layer) else read)
    return set().union(*(nearest.get(str(id(tensor)), set()) for tensor in model.outputs))


def rebuilt(
    model: keras.Model, replacement: Callable[[Layer], Sequence[Callable] | None],
    behind_input: Callable[[Any], Any] = lambda tensor: tensor,
) -> keras.Model:  # fmt: skip
    """Returns the model in new variables and flat (models inside it are opened), with other layers in some places.

    The weights of replacements are the caller's to set, once they are built. A layer of a model inside it that shares
    its name with another is numbered ("dense_2").

    Args:
        model: A functional model.
        replacement: Returns for a layer the layers (or what calls layers) that take its place one after the other ([]:
            its input passes through), or None for a copy of it, weights included.
        behind_input: Is called on every input; what it returns takes the input's place in the calls.

    Raises:
        BadInput: The model is subclassed, or a replacement has the name of another layer.
    """
    _require_functional(model)
    names = _own_names(model)
    found = {id(layer): (layer, replacement(layer)) for layer in flat_layers(model)}
    chains = {
        key: [fresh(layer, names[key])] if chain is None else list(chain) for key, (layer, chain) in found.items()
    }
    inputs = [keras.Input(tensor.shape[1:], dtype=tensor.dtype, name=_maker(tensor).name) for tensor in model.inputs]
    outputs = _replayed(model, [behind_input(tensor) for tensor in inputs], chains)
    try:
        made = keras.Model(
            *(tensors if len(tensors) > 1 else tensors[0] for tensors in (inputs, outputs)), name=model.name
        )
    except ValueError as error:
        raise BadInput(f"{model.name} cannot be made flat: {reason(error)}.") from error
    for key, (layer, chain) in found.items():
        if chain is None:
            chains[key][0].set_weights(layer.get_weights())
    _name_origins(made, {names[key]: origin(layer) for key, (layer, _) in found.items()})
    return made


def origin(layer: Layer) -> tuple[str, str]:
    """Returns the (name, class) of the layer of the model as it was given that this one is a part of, or stands for."""
    return getattr(layer, "_origin_name", layer.name), getattr(layer, "_origin_class", type(layer).__name__)


def _name_origins(made: keras.Model, given: dict[str, tuple[str, str]]) -> None:
    """Lets the layers of a rebuilt model know what they stand for: a part is called "conv1_elu", of "conv1".

    Args:
        made: The rebuilt model.
        given: The origins of the layers that it was made of, by their names.
    """
    for layer in flat_layers(made):
        words = bare(layer.name).split("_")
        wholes = ("_".join(words[:count]) for count in range(len(words), 0, -1))
        if whole := next((name for name in wholes if name in given), None):
            # two attributes, for Keras would track a pair as a part of the layer
            layer._origin_name, layer._origin_class = given[whole]


def copied(model: keras.Model) -> keras.Model:
    """Returns a flat copy with equal outputs, in new variables."""
    return rebuilt(model, lambda layer: None)


def flat(model: keras.Model) -> keras.Model:
    """Returns the model itself, or where it holds models, a flat copy with equal outputs."""
    return copied(model) if any(isinstance(layer, keras.Model) for layer in model.layers) else model


def flat_layers(model: keras.Model) -> list[Layer]:
    """Returns the layers in order, with those of models inside it in their place; inputs are left out."""
    layers = [layer for layer in model.layers if not isinstance(layer, keras.layers.InputLayer)]
    return [one for layer in layers for one in (flat_layers(layer) if isinstance(layer, keras.Model) else [layer])]


def _require_functional(model: keras.Model) -> None:
    if not getattr(model, "_is_graph_network", False):
        raise BadInput(
            f"{model.name} is not a functional model, so its graph is not known. "
            "Build it with keras.Model(inputs, outputs)."
        )


def _replayed(model: keras.Model, inputs: list, chains: dict[int, list[Callable]]) -> list:
    """Makes the model's calls again on other tensors, through the chains of replacements."""
    tensors = {str(id(reference)): tensor for reference, tensor in zip(model.inputs, inputs, strict=True)}
    for node in calls(model):
        args, kwargs = arguments(node, tensors)
        if isinstance(node.layer, keras.Model):
            outputs = _replayed(node.layer, tf.nest.flatten(args), chains)
        else:
            chain = chains[id(node.layer)]
            outputs = chain[0](*args, **kwargs) if chain else args[0]
            for layer in chain[1:]:
                outputs = layer(outputs)
        tensors |= zip(node.flat_output_ids, tf.nest.flatten(outputs), strict=True)
    return [tensors[str(id(tensor))] for tensor in model.outputs]


def _maker(tensor) -> Layer:
    return tensor._keras_history.layer


def _own_names(model: keras.Model) -> dict[int, str]:
    """Returns, by id of each layer, a name that no other has: its own, where no layer further outside has it."""
    outside = {id(layer) for layer in model.layers}
    layers = {id(layer): layer for layer in flat_layers(model)}
    found, taken = {}, {_maker(tensor).name for tensor in model.inputs}
    for key in sorted(layers, key=lambda key: key not in outside):
        found[key] = free_name(layers[key].name, taken)
        taken.add(found[key])
    return found


def fresh(layer: Layer, name: str = "") -> Layer:
    """Returns a new layer of the same settings, called `name`, or as the layer is where that is ""."""
    return type(layer).from_config(layer.get_config() | {"name": name or layer.name})


def weighted(layer: Layer, *values: Any) -> Callable:
    """Returns what calls the layer and gives it these weights, which it has from its first call on."""

    def call(inputs: Any) -> Any:
        found = layer(inputs)
        layer.set_weights(values)
        return found

    return call
