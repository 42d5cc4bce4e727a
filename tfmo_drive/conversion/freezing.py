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
from tfmo_drive.base.outputs import names
from tfmo_drive.base.spelling import listed
from tfmo_drive.contracts import BadInput, Preprocessing
from tfmo_drive.networks import graph
from tfmo_drive.networks.fake_quant import is_quantize_aware
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
    """tf ConcreteFunction of one argument, on the model's own variables; it names the ends of `graph_def`."""
    graph_def: Any
    outputs: tuple[str, ...]
    """The outputs' names in the files, in the model's order; `graph_outputs` are the tensors."""
    graph_outputs: tuple[str, ...]
    shape: tuple[int | None, ...]
    quantize_aware: bool
    preprocessing: Preprocessing
    name: str
    """The model's name."""
    kinds: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """The classes of its layers, those of nested models too, by their names."""
    content: bytes = b""
    """The `.tflite` that was given in place of a model, taking raw inputs; there is no graph then."""
    computes: str = ""
    """What that file computes in (runtimes.given_tflite)."""

    def called(self, names: Sequence[str]) -> str:
        """Returns layers with their classes for a message: `conv1 (Conv2D), conv2 (Conv2D) and 3 more`."""
        return listed([f"{name} ({self.kinds[name]})" if name in self.kinds else name for name in dict.fromkeys(names)])

    def save(self, path: Path) -> None:
        """Writes all of it to a file, for another process."""
        facts = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        if not self.content:
            facts |= {"function": None, "graph_def": self.graph_def.SerializeToString()}
            facts |= {"input": self.function.inputs[0].name}
        Path(path).write_bytes(pickle.dumps(facts))

    @classmethod
    def load(cls, path: Path) -> Frozen:
        """Returns what `save` wrote; the same files are made of it. Unpickling runs code: read only what we wrote."""
        facts = pickle.loads(Path(path).read_bytes())
        if facts["content"]:
            return cls(**facts)
        graph_def, input_ = tf.compat.v1.GraphDef.FromString(facts.pop("graph_def")), facts.pop("input")
        imported = tf.compat.v1.wrap_function(lambda: tf.import_graph_def(graph_def, name=""), [])
        function = imported.prune(input_, list(facts["graph_outputs"]))
        return cls(**facts | {"function": function, "graph_def": graph_def})

    def fed(self, raw: np.ndarray) -> np.ndarray:
        """Returns raw inputs as this graph takes them, float32: pixels as they are, rows standardised."""
        return np.asarray(raw, np.float32) if self.preprocessing.input_range else self.preprocessing(raw)


def freeze(model: keras.Model, preprocessing: Preprocessing, batch: int | None = 1) -> Frozen:
    """Returns the frozen graph of `model` in inference mode, its input called as `preprocessing` says.

    Freezing a model whose weights have not changed since costs a checksum. A quantize-aware model of images gets a
    fake-quant node on its input, so that the converter's int8 input is `pixel - 128`.

    Args:
        model: A Keras model of one input.
        preprocessing: What turns raw inputs into the model's.
        batch: The batch of the graph; None leaves it open.

    Raises:
        BadInput: The input is not one image of known size, nor one row of as many columns as `preprocessing` has.
    """
    kept, key, checksum = _cache.setdefault(model, {}), (preprocessing, batch), weights_digest(model)
    if key not in kept or kept[key][0] != checksum:
        refuse_weights(model, model.name)
        kept[key] = checksum, _freeze(model, preprocessing, batch)
    return kept[key][1]


def _freeze(model: keras.Model, preprocessing: Preprocessing, batch: int | None) -> Frozen:
    from tensorflow.python.framework import convert_to_constants

    shape, aware = (batch, *_input_shape(model, preprocessing)), is_quantize_aware(model)
    if file := tflite_model.file_of(model):
        content = tflite_front.taking_raw(file.content, preprocessing)
        return Frozen(None, None, names(model), (), (1, *shape[1:]), False, preprocessing, model.name,
                      content=content, computes=file.computes)  # fmt: skip
    input_range = preprocessing.input_range

    @tf.function(input_signature=[tf.TensorSpec(shape, tf.float32, name=preprocessing.input)], autograph=False)
    def serve(inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        if input_range and aware:  # 0..255 in 256 steps: scale exactly 1, zero point -128
            inputs = tf.quantization.fake_quant_with_min_max_args(inputs, *input_range)
        outputs = model(_fold(inputs, preprocessing, aware) if input_range else inputs, training=False)
        # Numbered, because TensorFlow returns structured outputs in the order of their sorted keys.
        return {f"{i:02d}": output for i, output in enumerate(tf.nest.flatten(outputs))}

    # The converters take the graph and the names of its ends. Building a function of the constants, which TensorFlow
    # does next, would cost as much again.
    with mock.patch.object(convert_to_constants, "_construct_concrete_function", lambda function, *_: function):
        function, graph_def = convert_to_constants.convert_variables_to_constants_v2_as_graph(
            serve.get_concrete_function()
        )
    kinds = {layer.name: type(layer).__name__ for layer in graph.flat_layers(model)}
    graph_outputs = tuple(tensor.name for tensor in function.outputs)
    return Frozen(function, graph_def, names(model), graph_outputs, shape, aware, preprocessing, model.name, kinds)


def _fold(image: tf.Tensor, preprocessing: Preprocessing, aware: bool) -> tf.Tensor:
    """Applies `preprocessing` as one 1x1 convolution; nothing at all where it changes nothing."""
    if preprocessing.is_identity:
        return image
    count = len(preprocessing.channel_order)
    kernel = np.zeros((1, 1, count, count), np.float32)
    kernel[0, 0, list(preprocessing.channel_order), range(count)] = preprocessing.scale
    with tf.name_scope(FOLDED):
        weights = tf.constant(kernel)
        if aware:
            bound = np.abs(kernel).max((0, 1, 2))
            weights = tf.quantization.fake_quant_with_min_max_vars_per_channel(
                weights, -bound, bound, narrow_range=True
            )
        return tf.nn.bias_add(tf.nn.conv2d(image, weights, 1, "VALID"), np.float32(preprocessing.offset))


def _input_shape(model: keras.Model, preprocessing: Preprocessing) -> tuple[int, ...]:
    shapes, count = [tuple(tensor.shape[1:]) for tensor in model.inputs], len(preprocessing.channel_order)
    if len(shapes) != 1 or None in shapes[0] or shapes[0][-1:] != (count,):
        kind, before = preprocessing.input, _BEFORE.get(preprocessing.input, "")
        raise BadInput(
            f"{model.name}: a target needs one {kind} input of fixed size [{before}{count}], got {shapes}. "
            f"Build the model with keras.Input(({before}{count}{'' if before else ','}))."
        )
    return shapes[0]
