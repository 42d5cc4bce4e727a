"""Freezes a Keras model to one TensorFlow graph that takes raw inputs: freeze once, convert many.

The preprocessing of pixels becomes one 1x1 convolution at the front, so that a board feeds what its camera gives. That
of rows is left to what is made of the graph (runtimes.tflite_rows), because no quantiser may see raw columns.
`TFLiteConverter.from_keras_model` writes and reloads a SavedModel (31 of 35 s for ResNet50); a frozen graph does not.
"""

from __future__ import annotations

import dataclasses
import pickle
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from tfmo_drive.base.finite import refuse_weights
from tfmo_drive.base.keras2 import keras, tf
from tfmo_drive.base.outputs import by_name, names
from tfmo_drive.base.spelling import listed
from tfmo_drive.contracts import Arrays, BadInput, Preprocessing, Preprocessings
from tfmo_drive.networks import graph
from tfmo_drive.networks.fake_quant import is_quantize_aware
from tfmo_drive.networks.integers import integer_layers
from tfmo_drive.networks.layers import weights_digest
from tfmo_drive.runtimes import tflite_front, tflite_model
from tfmo_drive.runtimes.tflite_file import FOLDED

_BEFORE = {"image": "height, width, ", "sequence": "time, "}
"""The axes of an input before its channels or columns, by the input's name."""

_cache: weakref.WeakKeyDictionary[keras.Model, dict[tuple, tuple[str, Frozen]]] = weakref.WeakKeyDictionary()


@dataclasses.dataclass(frozen=True, eq=False)
class Frozen:
    """Holds a graph without variables, which takes float32 [batch, ...]: pixels as they are, or standardised rows.

    Where a `.tflite` was given in place of a model, it holds that file instead.
    """

    function: Any
    """tf ConcreteFunction, on the model's own variables; it names the ends of `graph_def`."""
    graph_def: Any
    outputs: tuple[str, ...]
    """The outputs' names in the files, in the model's order; `graph_outputs` are the tensors."""
    graph_outputs: tuple[str, ...]
    shape: tuple[int | None, ...] | Mapping[str, tuple[int | None, ...]]
    """The shape of its argument; of several, which are in the order of `preprocessing.each`, the shapes by name."""
    quantize_aware: bool
    preprocessing: Preprocessing | Preprocessings
    name: str
    """The model's name."""
    origins: Mapping[str, tuple[str, str]] = dataclasses.field(default_factory=dict)
    """The (name, class) of the given model's layer that each of its layers stands for, by the layer's name."""
    content: bytes = b""
    """The `.tflite` that was given in place of a model, taking raw inputs; there is no graph then."""
    computes: str = ""
    """What that file computes in (runtimes.given_tflite)."""

    def called(self, names: Sequence[str]) -> str:
        """Returns layers with their classes for a message: `conv1 (Conv2D), conv2 (Conv2D) and 3 more`."""
        found = dict.fromkeys(self.origins.get(name, (name, "")) for name in names)
        return listed([f"{name} ({kind})" if kind else name for name, kind in found])

    def save(self, path: Path) -> None:
        """Writes all of it to a file, for another process."""
        facts = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        if not self.content:
            facts |= {"function": None, "graph_def": self.graph_def.SerializeToString()}
            facts |= {"inputs": self.graph_inputs}
        Path(path).write_bytes(pickle.dumps(facts))

    @classmethod
    def load(cls, path: Path) -> Frozen:
        """Returns what `save` wrote; the same files are made of it. Unpickling runs code: read only what we wrote."""
        facts = pickle.loads(Path(path).read_bytes())
        if facts["content"]:
            return cls(**facts)
        graph_def, inputs = tf.compat.v1.GraphDef.FromString(facts.pop("graph_def")), facts.pop("inputs")
        imported = tf.compat.v1.wrap_function(lambda: tf.import_graph_def(graph_def, name=""), [])
        function = imported.prune(inputs, list(facts["graph_outputs"]))
        return cls(**facts | {"function": function, "graph_def": graph_def})

    @property
    def graph_inputs(self) -> list[str]:
        """Returns the names of the arguments' tensors in `graph_def`."""
        return [tensor.name for tensor in self.function.inputs[: len(self.preprocessing.each)]]

    def fed(self, raw: Arrays) -> Arrays:
        """Returns raw inputs as this graph takes them, float32: pixels as they are, rows standardised.

        Several come in the order of its arguments.
        """
        return self.preprocessing.of_each(_fed, raw)


def _fed(rule: Preprocessing, raw: np.ndarray) -> np.ndarray:
    return np.asarray(raw, np.float32) if rule.input_range else rule(raw)


def freeze(model: keras.Model, preprocessing: Preprocessing | Preprocessings, batch: int | None = 1) -> Frozen:
    """Returns the frozen graph of `model` in inference mode, its inputs called as `preprocessing` says.

    Freezing a model whose weights have not changed since costs a checksum. A quantize-aware model of images gets a
    fake-quant node on its input, so that the converter's int8 input is `pixel - 128`.

    Args:
        model: A Keras model of as many inputs.
        preprocessing: What turns raw inputs into the model's.
        batch: The batch of the graph; None leaves it open.

    Raises:
        BadInput: An input is no image of known size, nor a row of as many columns as `preprocessing` has.
    """
    kept, key, checksum = _cache.setdefault(model, {}), (preprocessing, batch), weights_digest(model)
    if key not in kept or kept[key][0] != checksum:
        refuse_weights(model, model.name)
        kept[key] = checksum, _freeze(model, preprocessing, batch)
    return kept[key][1]


def _freeze(model: keras.Model, preprocessing: Preprocessing | Preprocessings, batch: int | None) -> Frozen:
    from tensorflow.python.framework import convert_to_constants

    rules, aware = preprocessing.each, is_quantize_aware(model)
    names_in, shapes = [rule.input for rule in rules], [(batch, *shape) for shape in _input_shapes(model, rules)]
    if file := tflite_model.file_of(model):
        content = tflite_front.taking_raw(file.content, preprocessing)
        return Frozen(None, None, names(model), (), (1, *shapes[0][1:]), False, preprocessing, model.name,
                      content=content, computes=file.computes)  # fmt: skip
    called = model if aware else integer_layers.convertible(model)
    specs = [tf.TensorSpec(shape, tf.float32, name=name) for name, shape in zip(names_in, shapes, strict=True)]

    @tf.function(input_signature=specs, autograph=False)
    def serve(*inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        taken = [_taken(rule, one, aware) for rule, one in zip(rules, inputs, strict=True)]
        outputs = called(by_name(names_in, taken), training=False)
        # Numbered, because TensorFlow returns structured outputs in the order of their sorted keys.
        return {f"{i:02d}": output for i, output in enumerate(tf.nest.flatten(outputs))}

    # The converters take the graph and the names of its ends. Building a function of the constants, which TensorFlow
    # does next, would cost as much again.
    with mock.patch.object(convert_to_constants, "_construct_concrete_function", lambda function, *_: function):
        function, graph_def = convert_to_constants.convert_variables_to_constants_v2_as_graph(
            serve.get_concrete_function()
        )
    origins = {layer.name: graph.origin(layer) for one in (model, called) for layer in graph.flat_layers(one)}
    graph_outputs = tuple(tensor.name for tensor in function.outputs)
    shape = by_name(names_in, shapes)
    return Frozen(function, graph_def, names(model), graph_outputs, shape, aware, preprocessing, model.name, origins)


def _taken(rule: Preprocessing, raw: tf.Tensor, aware: bool) -> tf.Tensor:
    """Returns an input as the Keras model takes it, from an argument of the graph."""
    if not rule.input_range:
        return raw
    if aware:  # 0..255 in 256 steps: scale exactly 1, zero point -128
        raw = tf.quantization.fake_quant_with_min_max_args(raw, *rule.input_range)
    return _fold(raw, rule, aware)


def _fold(image: tf.Tensor, preprocessing: Preprocessing, aware: bool) -> tf.Tensor:
    """Applies `preprocessing` as one 1x1 convolution; nothing at all where it changes nothing."""
    if preprocessing.is_identity:
        return image
    kernel = np.float32(preprocessing.matrix)[None, None]
    with tf.name_scope(FOLDED):
        weights = tf.constant(kernel)
        if aware:
            bound = np.abs(kernel).max((0, 1, 2))
            weights = tf.quantization.fake_quant_with_min_max_vars_per_channel(
                weights, -bound, bound, narrow_range=True
            )
        return tf.nn.bias_add(tf.nn.conv2d(image, weights, 1, "VALID"), np.float32(preprocessing.offset))


def _input_shapes(model: keras.Model, rules: Sequence[Preprocessing]) -> list[tuple[int, ...]]:
    """Returns the shapes of the model's inputs in the order of `rules`, which name them where there are several."""
    found = {name: tuple(tensor.shape[1:]) for name, tensor in zip(model.input_names, model.inputs, strict=True)}
    if len(found) == len(rules) == 1:
        found = dict(zip([rules[0].input], found.values(), strict=True))
    for rule in rules:
        shape, count = found.get(rule.input, (None,)), len(rule.channel_order)
        if len(found) != len(rules) or None in shape or shape[-1:] != (count,):
            kind, before = rule.input, _BEFORE.get(rule.input, "")
            raise BadInput(
                f"{model.name}: a target needs {'one' if len(rules) == 1 else 'the'} {kind} input of fixed size "
                f"[{before}{count}], got {found if len(rules) > 1 else list(found.values())}. "
                f"Build the model with keras.Input(({before}{count}{'' if before else ','}))."
            )
    return [found[rule.input] for rule in rules]
