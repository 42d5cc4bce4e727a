"""Converts a frozen graph to TensorFlow Lite flatbuffers and ONNX, and shares all that they have in common.

One float conversion is the base of float32, int8 and int16x8; the int8 file is the base of the int8 ONNX. The int8
recipe is the converter's own, cut in two after calibration, because only there can the input range be set to exactly
0..255 (scale 1, zero point -128):
https://ai.google.dev/edge/litert/conversion/tensorflow/quantization/quantization_spec .

Rows are converted as the Keras model takes them, standardised; every file then gets the standardising put in front.
"""

from __future__ import annotations

import collections
import contextlib
import hashlib
import logging
import os
import re
import tempfile
import warnings
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tfmo_drive.base.inputs import pieces
from tfmo_drive.base.keras2 import keras, tf
from tfmo_drive.base.outputs import flat
from tfmo_drive.contracts import Arrays, BadInput, Preprocessing
from tfmo_drive.conversion import calibration, stored_weights
from tfmo_drive.conversion.calibration import MINMAX, Ranges
from tfmo_drive.conversion.freezing import Frozen
from tfmo_drive.conversion.integer_elu import with_integer_elu
from tfmo_drive.conversion.onnx_order import canonical
from tfmo_drive.runtimes import tflite_file, tflite_rows
from tfmo_drive.runtimes.flatbuffer_edit import name as name_of
from tfmo_drive.runtimes.flatbuffer_edit import pack, unpack
from tfmo_drive.runtimes.tflite_file import signature

OPSET = 17

_cache: weakref.WeakKeyDictionary[Frozen, dict[str, bytes]] = weakref.WeakKeyDictionary()
"""Keeps, for each graph, the files that others are made from, by their format; the rest would only fill memory."""


class _Converter(tf.lite.TFLiteConverter):
    """Converts as the public converter does, without its second freeze, which costs as much as the conversion."""

    frozen: Frozen

    def _freeze_concrete_function(self):
        function = self.frozen.function
        return self.frozen.graph_def, function.inputs[: len(self.frozen.graph_inputs)], function.outputs, function


def float32(frozen: Frozen) -> bytes:
    """Returns a float32 `.tflite`, with the batch as frozen."""
    return taking_raw(base(frozen), frozen)


def base(frozen: Frozen) -> bytes:
    """Returns the float32 file that others are made from: rows go in standardised."""
    return _once(frozen, "float32", lambda: _named(frozen.content or _convert(frozen), frozen))


def given(frozen: Frozen) -> bytes:
    """Returns the `.tflite` that was given, as it is but for its ends: it takes raw inputs, and they have names."""
    return taking_raw(_named(frozen.content, frozen), frozen)


def taking_raw(tflite: bytes, frozen: Frozen) -> bytes:
    """Returns the file that ships: one that takes rows takes them raw, and standardises them first."""
    rows = {place: rule for place, rule in enumerate(frozen.preprocessing.each) if not rule.input_range}
    if not rows or (frozen.content and all(rule.is_identity for rule in rows.values())):
        return tflite
    model = unpack(tflite)
    for place, rule in rows.items():
        tflite_rows.standardise_first(model, rule, place)
    return pack(model)


def float16(frozen: Frozen) -> bytes:
    """Returns a `.tflite` with float16 constants and float32 arithmetic."""
    made = stored_weights.float16(frozen.content) if frozen.content else _convert(frozen, True, types=[tf.float16])
    return taking_raw(_named(made, frozen), frozen)


def dynamic(frozen: Frozen) -> bytes:
    """Returns a `.tflite` with int8 weights (of 1024 elements and more) and float32 activations."""
    made = stored_weights.dynamic(frozen.content) if frozen.content else _convert(frozen, default=True)
    return taking_raw(_named(made, frozen), frozen)


def int8(frozen: Frozen, images: Arrays | None = None, ranges: Ranges = MINMAX) -> bytes:
    """Returns a full-integer `.tflite` with int8 inputs (pixel - 128) and outputs; rows go in as float32.

    Args:
        frozen: The graph. A quantize-aware one has its own ranges and needs no images.
        images: Raw inputs [n, ...] from which activation ranges come.
        ranges: How ranges are chosen.

    Raises:
        BadInput: The graph has a loop, as for `calibrated` and `int16x8`.
    """
    if frozen.quantize_aware:
        made = _once(frozen, "int8", lambda: _integer(_convert(frozen, default=True, integer=True), frozen))
    else:
        key = f"int8 {_digest(images)} {ranges}"
        made = _once(frozen, key, lambda: quantized(calibrated(frozen, images, ranges), frozen))
    return taking_raw(made, frozen)


def calibrated(frozen: Frozen, images: Arrays, ranges: Ranges = MINMAX) -> bytes:
    """Returns `base` with a range in every activation tensor, that of the input being the task's input_range.

    Args:
        frozen: The graph, not quantize-aware.
        images: Raw inputs [n, ...] from which the other ranges come.
        ranges: How these are chosen.
    """
    from tensorflow.lite.python.optimize import calibrator

    _refuse_loops(frozen)
    with _quiet():
        watched = calibrator.Calibrator(calibrator.add_intermediate_tensors(base(frozen)))
        model = unpack(watched.calibrate(_feed(frozen, images)))
        graph = model.subgraphs[0]
        for rule, number in zip(frozen.preprocessing.each, graph.inputs, strict=True):
            if rule.input_range:
                range_ = graph.tensors[number].quantization
                range_.min, range_.max = [rule.input_range[0]], [rule.input_range[1]]
        if ranges.method != "minmax":
            calibration.narrow(model, frozen.fed(images), ranges)
        return pack(model)


def quantized(calibrated: bytes, frozen: Frozen) -> bytes:
    """Returns the int8 file made from a calibrated one."""
    return _quantized(calibrated, frozen, output_data_type=tf.int8)


def partly_quantized(calibrated: bytes, frozen: Frozen, floating: Sequence[str]) -> bytes:
    """Returns an int8 file with float32 outputs in which some operators keep float32 weights and sums.

    Args:
        calibrated: The bytes of a calibrated file.
        frozen: The graph that it was made from.
        floating: The names of these operators' output tensors.
    """
    return _quantized(calibrated, frozen, denylisted_nodes=list(floating) or None)


def int16x8(frozen: Frozen, images: Arrays) -> bytes:
    """Returns a `.tflite` with int16 activations, inputs (rows: float32) and outputs, and int8 weights.

    Args:
        frozen: The graph, not quantize-aware.
        images: Raw inputs [n, ...] from which activation ranges come.
    """
    from tensorflow.lite.python.optimize import calibrator

    _refuse_loops(frozen)
    # This quantizer keeps its statistics to itself, so one white corner says that pixels go up to 255.
    images = frozen.preprocessing.of_each(_with_corner, images)
    with _quiet(), _naming_layers(frozen):
        quantizer = calibrator.Calibrator(calibrator.add_intermediate_tensors(base(frozen)))
        quantized = quantizer.calibrate_and_quantize(
            _feed(frozen, images), tf.int16 if _pixels(frozen) else tf.float32, tf.int16, allow_float=False,
            activations_type=tf.int16, bias_type=tf.int64,
        )  # fmt: skip
    return taking_raw(_named(bytes(quantized), frozen), frozen)


def _with_corner(rule: Preprocessing, images: np.ndarray) -> np.ndarray:
    """Returns raw inputs of a range with its farther end at one place of the first."""
    images = np.array(images)
    if rule.input_range:
        images[(0,) * min(3, images.ndim)] = max(rule.input_range, key=abs)
    return images


def onnx_float32(frozen: Frozen) -> bytes:
    """Returns a float32 ONNX model of the same graph on raw inputs; the input keeps its shape."""
    if frozen.content:
        return onnx_of(given(frozen), frozen.outputs)
    rules, names = frozen.preprocessing.each, dict(zip(frozen.graph_outputs, frozen.outputs, strict=True))
    fed, called = {}, {}
    with tf.Graph().as_default() as graph:
        for rule, input_ in zip(rules, frozen.graph_inputs, strict=True):
            if rule.input_range:
                called[input_] = rule.input
                continue
            shape = frozen.shape[rule.input] if isinstance(frozen.shape, Mapping) else frozen.shape
            raw = tf.compat.v1.placeholder(tf.float32, shape, f"raw_{rule.input}")
            fed[input_] = raw * tf.constant(rule.scale) + tf.constant(rule.offset)
            called[raw.name] = rule.input
        tf.import_graph_def(frozen.graph_def, fed, name="")
        return _onnx(graph, list(called), list(names), tensors_to_rename={**called, **names})


def onnx_of(tflite: bytes, outputs: tuple[str, ...]) -> bytes:
    """Returns an ONNX model of a `.tflite`; of an int8 one, with QuantizeLinear/DequantizeLinear and integer weights.

    Args:
        tflite: The bytes of the file.
        outputs: The names of its outputs.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.tflite"
        path.write_bytes(tflite)
        ends = [end["name"] for end in signature(tflite)["inputs"]]
        return _onnx(None, ends, list(outputs), tflite_path=str(path))


def _onnx(graph: tf.Graph | None, inputs: list[str], outputs: list[str], **source: Any) -> bytes:
    """Converts as `tf2onnx.convert` does, without copying all constants before each of its 36 optimizer passes."""
    import onnx
    from tf2onnx import optimizer, tfonnx

    with _quiet():
        converted = tfonnx.process_tf_graph(graph, opset=OPSET, input_names=inputs, output_names=outputs, **source)
        model = optimizer.optimize_graph(converted, catch_errors=False).make_model("tfmo_drive")
    unknown = {node.op_type for node in model.graph.node if not onnx.defs.has(node.op_type, node.domain)}
    if unknown:  # tf2onnx writes a line into its log, and the file
        raise ValueError(f"ONNX has no operator {', '.join(sorted(unknown))}")
    return canonical(model).SerializeToString(deterministic=True)


def _refuse_loops(frozen: Frozen) -> None:
    """Raises BadInput for a loop, whose calibration ends the whole process (SIGSEGV) in TensorFlow 2.21."""
    if tflite_file.operators(base(frozen))["WHILE"]:
        kinds = keras.layers.RNN, keras.layers.Bidirectional
        classes = {name: getattr(keras.layers, kind, object) for name, (_, kind) in frozen.origins.items()}
        looping = [name for name, one in classes.items() if issubclass(one, kinds)]
        raise BadInput(
            f"No integer file can be made of a model with a loop inside: {frozen.called(looping) or frozen.name}. Use "
            "LiteRTFloat16 or LiteRTDynamic (--set=targets+=LiteRTDynamic), or replace that layer by convolutions."
        )


@contextlib.contextmanager
def _naming_layers(frozen: Frozen) -> Iterator[None]:
    """Turns the quantizer's complaint about an operator into one about the layers that it comes from."""
    try:
        yield
    except RuntimeError as error:
        found = re.search(r"not yet supported for op: '(\w+)'", str(error))
        if found is None:
            raise
        layers = frozen.called(tflite_file.float_layers(base(frozen)).get(found[1], [frozen.name]))
        raise BadInput(
            f"16x8 has no {found[1]}, which {layers} becomes. Use LiteRTMixed, or another activation."
        ) from error


def _once(frozen: Frozen, key: str, make: Callable[[], bytes]) -> bytes:
    kept = _cache.setdefault(frozen, {})
    if key not in kept:
        kept[key] = make()
    return kept[key]


def _digest(images: Arrays) -> str:
    return " ".join(hashlib.blake2b(np.ascontiguousarray(one), digest_size=16).hexdigest() for one in flat(images))


def _pixels(frozen: Frozen) -> bool:
    """Says whether the integer file's inputs are integers, because one of them has a range."""
    return any(rule.input_range for rule in frozen.preprocessing.each)


def _convert(frozen: Frozen, default: bool = False, integer: bool = False, types: list | None = None) -> bytes:
    with _quiet():
        converter = _Converter.from_concrete_functions([frozen.function])
        converter.frozen = frozen
        converter.optimizations = [tf.lite.Optimize.DEFAULT] if default else []
        converter.target_spec.supported_types = types or []
        if integer:
            converter.inference_input_type = tf.int8 if _pixels(frozen) else tf.float32
            converter.inference_output_type = tf.int8
        return bytes(converter.convert())


def _quantized(calibrated: bytes, frozen: Frozen, **settings: Any) -> bytes:
    from tensorflow.lite.python.convert import mlir_quantize

    with _quiet():
        input_type = tf.int8 if _pixels(frozen) else tf.float32
        made = mlir_quantize(calibrated, input_data_type=input_type, **settings)
    return _integer(bytes(made), frozen)


def _integer(tflite: bytes, frozen: Frozen) -> bytes:
    return _named(with_integer_elu(tflite), frozen)


def _feed(frozen: Frozen, images: Arrays) -> Callable[[], Iterator[list[np.ndarray]]]:
    def fed() -> Iterator[list[np.ndarray]]:
        for one in pieces(images, 1):
            given = frozen.fed(one)
            yield list(given.values()) if isinstance(given, dict) else [given]

    return fed


def _named(tflite: bytes, frozen: Frozen) -> bytes:
    """Returns the same file with its input and outputs called by their names, and the default signature for them.

    Unless the file is somebody's own, all other tensors are called after their layer and its operation alone: the
    converter joins the paths of all that it fused, which can be more bytes than a narrow layer has weights.
    """
    from ai_edge_litert import schema_py_generated as schema

    model = unpack(tflite)
    graph = model.subgraphs[0]
    taken = collections.Counter()
    for tensor in () if frozen.content else graph.tensors:
        brief = "/".join(name_of(tensor).split(";")[0].split("/")[-2:])
        tensor.name = f"{brief}_{taken[brief]}" if taken[brief] else brief
        taken[brief] += 1
    signature = schema.SignatureDefT()
    signature.signatureKey, signature.subgraphIndex = "serving_default", 0
    signature.inputs, signature.outputs = [], []
    for names, tensors, maps in (
        ([rule.input for rule in frozen.preprocessing.each], graph.inputs, signature.inputs),
        (frozen.outputs, graph.outputs, signature.outputs),
    ):
        for name, index in zip(names, tensors, strict=True):
            graph.tensors[index].name = name
            entry = schema.TensorMapT()
            entry.name, entry.tensorIndex = name, int(index)
            maps.append(entry)
    model.signatureDefs = [signature]
    return pack(model)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Discards the converters' messages, many of which C++ writes straight to the descriptor."""
    previous = logging.root.manager.disable
    saved, nothing = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    logging.disable(logging.WARNING)
    try:
        os.dup2(nothing, 2)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(nothing)
        logging.disable(previous)
