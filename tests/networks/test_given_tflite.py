"""A `.tflite` of another maker in place of a Keras model: what is taken of it, and what is refused in one line."""

from __future__ import annotations

import numpy as np
import pytest

from tfmo_drive.base.keras2 import keras, tf
from tfmo_drive.contracts import BadInput, Context
from tfmo_drive.conversion import conversion
from tfmo_drive.conversion.freezing import Frozen, freeze
from tfmo_drive.data import preprocessing_text
from tfmo_drive.networks import output_kind, own_model
from tfmo_drive.networks.own_model import Signature
from tfmo_drive.runtimes import given_tflite, tflite_file, tflite_model
from tfmo_drive.runtimes.flatbuffer_edit import pack, unpack
from tfmo_drive.runtimes.interpreters import LiteRTArtifact
from tfmo_drive.training import given_shape

layers = keras.layers
SIZE = (12, 16, 3)
WANTED = Signature(SIZE, {"logits": (4,)})
ENDS = {"int8": tf.int8, "uint8": tf.uint8, "float ends": tf.float32}
SETTING = "task.baseline"


@pytest.fixture(scope="module")
def raw() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (24, *SIZE), dtype=np.uint8)


@pytest.fixture(scope="module")
def network() -> keras.Model:
    """A network on small inputs, whose answers preprocessing of another kind would change."""
    keras.utils.set_random_seed(0)
    image = keras.Input(SIZE)
    features = layers.Conv2D(6, 3, 2, padding="same", activation="relu")(image)
    return keras.Model(image, layers.Dense(4, "softmax", name="kinds")(layers.Flatten()(features)))


def converted(model: keras.Model, inputs: np.ndarray | None = None, ends=tf.float32, **settings) -> bytes:
    """A file as TensorFlow's own converter writes it for anybody; with inputs, in integers."""
    shape = [1, *model.input_shape[1:]]
    function = tf.function(model).get_concrete_function(tf.TensorSpec(shape, tf.float32, name="x"))
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function], model)
    if inputs is not None:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: ([one[None]] for one in inputs)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = ends
    for name, value in settings.items():
        setattr(converter, name, value)
    with conversion._quiet():
        return converter.convert()


@pytest.fixture(scope="module")
def floating(network) -> bytes:
    return converted(network)


@pytest.fixture(autouse=True)
def quickly(request, monkeypatch):
    """A process for every file takes a second: only the tests of that have one."""
    if "litert" not in request.node.name:
        monkeypatch.setattr(given_tflite, "_refuse_crash", lambda *_: None)


def read(content: bytes, folder, name="theirs.tflite", wanted=WANTED) -> keras.Model:
    (folder / name).write_bytes(content)
    return own_model.read_model(folder / name, wanted)


def decibels(wanted: np.ndarray, found: np.ndarray) -> float:
    return float(10 * np.log10(np.mean(wanted**2) / max(np.mean((wanted - found) ** 2), 1e-20)))


@pytest.mark.parametrize("name", ["none", "caffe", "torch"])
def test_a_float_file_answers_as_the_keras_model_and_so_does_what_is_made_of_it(name, network, floating, raw, tmp_path):
    rule, model = preprocessing_text.preprocessing(name), read(floating, tmp_path)
    np.testing.assert_allclose(model.predict(rule(raw), verbose=0), network(rule(raw)), atol=1e-5)
    frozen, path = freeze(model, rule), tmp_path / "made.tflite"
    for make in (conversion.float32, lambda one: conversion.int8(one, raw)):
        path.write_bytes(make(frozen))
        ours = LiteRTArtifact(path).predict(raw)
        path.write_bytes(make(freeze(network, rule)))
        np.testing.assert_allclose(ours, LiteRTArtifact(path).predict(raw), atol=1 / 256 + 1e-6)


@pytest.mark.parametrize(("name", "ends"), zip(("none", "tf", "caffe"), ENDS, strict=True))
def test_an_integer_file_takes_raw_pixels_and_answers_as_it_did(name, ends, network, raw, tmp_path):
    """Its input is rounded as if somebody had preprocessed the pixels; all of it is integers then."""
    rule = preprocessing_text.preprocessing(name)
    model = read(converted(network, rule(raw), ENDS[ends]), tmp_path)
    assert tflite_model.file_of(model).computes == given_tflite.INT8
    theirs, made = model.predict(rule(raw), verbose=0), conversion.given(freeze(model, rule))
    (tmp_path / "made.tflite").write_bytes(made)
    for kernels in ("xnnpack", "reference"):
        ours = LiteRTArtifact(tmp_path / "made.tflite", kernels=kernels).predict(raw)
        assert decibels(theirs, ours) > 30 and np.abs(ours - theirs).max() <= 6 / 256
    assert not tflite_file.float_operators(made)
    (taken,) = tflite_file.signature(made)["inputs"]
    assert (taken["dtype"], taken["scale"], taken["zero_point"]) == ("int8", 1.0, -128)


def test_a_file_that_takes_pixels_as_they_are_ships_as_it_is(network, raw, tmp_path):
    rule = preprocessing_text.preprocessing("none")
    model = read(
        converted(network, np.concatenate([raw, raw * 0, raw * 0 + 255]).astype(np.float32), tf.int8), tmp_path
    )
    before, made = tflite_model.file_of(model).content, conversion.given(freeze(model, rule))
    assert tflite_file.operators(made) == tflite_file.operators(before)


def test_a_graph_travels_to_another_process(floating, raw, tmp_path):
    frozen = freeze(read(floating, tmp_path), preprocessing_text.preprocessing("tf"))
    frozen.save(tmp_path / "graph")
    assert conversion.int8(Frozen.load(tmp_path / "graph"), raw) == conversion.int8(frozen, raw)


@pytest.mark.parametrize(
    ("end", "kind"),
    [
        (layers.Softmax(), output_kind.PROBABILITIES),
        (layers.Activation("sigmoid"), output_kind.SIGMOIDS),
        (layers.Reshape((2, 2)), output_kind.LOGITS),
        (layers.ReLU(), None),
        (layers.Lambda(tf.sin), None),
    ],
)
def test_what_outputs_are_is_read_from_the_files_graph(end, kind, tmp_path):
    image = keras.Input(SIZE)
    model = keras.Model(image, end(layers.Dense(4)(layers.Flatten()(image))))
    found = read(converted(model), tmp_path, wanted=Signature.of(model))
    assert output_kind.found(found, found.output_names[0]) == kind


def changed(content: bytes, change) -> bytes:
    model = unpack(content)
    change(model, model.subgraphs[0])
    return pack(model)


def _custom(model, graph):
    model.operatorCodes[0].customCode = "FlexErf"


def _not_finite(model, graph):
    tensor = next(one for one in graph.tensors if one.type == 0 and model.buffers[one.buffer].data is not None)
    values = np.frombuffer(bytes(model.buffers[tensor.buffer].data), np.float32).copy()
    values[0] = np.nan
    model.buffers[tensor.buffer].data = np.frombuffer(values.tobytes(), np.uint8)


def _outside(model, graph):
    graph.operators[0].inputs = [10**6, *graph.operators[0].inputs[1:]]


def _shape(*sizes):
    def change(model, graph):
        graph.tensors[graph.inputs[0]].shape = list(sizes)
        graph.tensors[graph.inputs[0]].shapeSignature = list(sizes)

    return change


DAMAGED = {
    "operators that TensorFlow Lite does not have: FlexErf": _custom,
    "1 weights that are not finite, the first in": _not_finite,
    "is not a TensorFlow Lite model": _outside,
    "holds 2 graphs": lambda model, graph: model.subgraphs.append(graph),
    "has 2 inputs and 1 outputs": lambda model, graph: setattr(graph, "inputs", [*graph.inputs] * 2),
    r"is of shape \[8, 12, 16, 3\]": _shape(8, *SIZE),
    r"is of shape \[1, -1, -1, 3\]": _shape(1, -1, -1, 3),
    r"is of shape \[1, 0, 16, 3\]": _shape(1, 0, 16, 3),
    "takes int32 inputs": lambda model, graph: setattr(graph.tensors[graph.inputs[0]], "type", 2),
}


@pytest.mark.parametrize("words", DAMAGED)
def test_what_cannot_be_taken_is_said_in_one_line_before_it_runs(words, floating, tmp_path):
    with pytest.raises(BadInput, match=words) as told:
        read(changed(floating, DAMAGED[words]), tmp_path)
    assert str(told.value).startswith(f"{SETTING}: ") and "theirs.tflite" in str(told.value)


def test_the_images_that_a_file_takes_are_known_before_it_is_read(floating, tmp_path):
    path = tmp_path / "theirs.tflite"
    for content, shape in (floating, SIZE), (changed(floating, _shape(1, -1, -1, 3)), (None, None, 3)):
        path.write_bytes(content)
        assert given_shape.image_shape(path) == shape
    path.write_bytes(changed(floating, _shape(1, 3, 12, 16)))
    with pytest.raises(BadInput, match="theirs.tflite takes channels first, 3x12x16, as PyTorch does"):
        given_shape.image_shape(path)


def test_a_file_that_takes_litert_down_is_damaged(floating, tmp_path, monkeypatch):
    monkeypatch.setattr(given_tflite, "_TRY", "import os; os.abort()")
    with pytest.raises(BadInput, match=r"takes LiteRT down \(SIGABRT\)"):
        read(floating, tmp_path)


def test_what_litert_cannot_prepare_is_told_with_its_words(floating, tmp_path):
    def wrong(model, graph):
        kernel = graph.tensors[graph.operators[0].inputs[1]]
        kernel.shape = [kernel.shape[0], 1, 1, int(np.prod(kernel.shape[1:]))]

    with pytest.raises(BadInput, match="cannot be run by LiteRT: .+ Get it again"):
        read(changed(floating, wrong), tmp_path)


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        ((3, 12, 16), "takes channels first, 3x12x16, as PyTorch does"),
        ((12, 16, 1), "takes images of 12x16x1, the task gives 12x16x3. Say how its L was made"),
        ((24, 32, 3), "the task gives 12x16x3. Add --set=task.image_size=24,32"),
        ((9,), r"takes inputs of shape \(9,\), not images of one size"),
    ],
)
def test_other_inputs_are_refused_as_of_keras_models(shape, words, tmp_path):
    model = keras.Sequential([keras.Input(shape), layers.Flatten(), layers.Dense(4)])
    with pytest.raises(BadInput, match=words):
        read(converted(model), tmp_path)


def test_loops_are_refused_and_the_advice_against_them_holds(tmp_path):
    def recurrent(**settings):
        series = keras.Input((6, 4))
        return keras.Model(series, layers.Dense(2)(layers.GRU(5, **settings)(series)))

    with pytest.raises(BadInput, match=r"runs a graph inside its graph \(WHILE\), .* with unroll=True"):
        read(converted(recurrent()), tmp_path)
    unrolled = recurrent(unroll=True)
    (tmp_path / "unrolled.tflite").write_bytes(converted(unrolled))
    found = tflite_model.model_of(given_tflite.read(tmp_path / "unrolled.tflite", SETTING))
    inputs = np.random.default_rng(0).normal(size=(3, 6, 4)).astype(np.float32)
    np.testing.assert_allclose(found.predict(inputs, verbose=0), unrolled(inputs), atol=1e-5)


def test_other_classes_and_one_sigmoid_are_refused_as_of_keras_models(floating, tmp_path):
    with pytest.raises(BadInput, match=r"gives outputs of shape \(4,\), the data has 7 classes"):
        read(floating, tmp_path, wanted=Signature(SIZE, {"logits": (7,)}))
    image = keras.Input(SIZE)
    model = keras.Model(image, layers.Dense(1, "sigmoid")(layers.Flatten()(image)))
    with pytest.raises(BadInput, match="gives one number for two classes. Convert a model that gives both"):
        read(converted(model), tmp_path, wanted=Signature(SIZE, {"logits": (2,)}))


@pytest.mark.parametrize(
    ("computes", "settings"),
    [
        (given_tflite.FLOAT16, {"target_spec.supported_types": [tf.float16]}),
        (given_tflite.DYNAMIC, {}),
    ],
)
def test_what_a_file_computes_in_decides_which_targets_take_it(computes, settings, raw, tmp_path):
    from tfmo_drive.targets import litert, onnx, tflite_micro

    image = keras.Input(SIZE)
    model = keras.Model(image, layers.Dense(4)(layers.Flatten()(image)))
    function = tf.function(model).get_concrete_function(tf.TensorSpec([1, *SIZE], tf.float32, name="x"))
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function], model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.target_spec.supported_types = settings.get("target_spec.supported_types", [])
    found = read(converter.convert(), tmp_path)
    assert tflite_model.file_of(found).computes == computes
    targets = (
        litert.LiteRTFloat32(), litert.LiteRTFloat16(), litert.LiteRTDynamic(), litert.LiteRTInt8(), onnx.OnnxInt8(),
        litert.LiteRTMixed(), litert.LiteRTInt16x8(), onnx.OnnxFloat32(), tflite_micro.TFLiteMicro(),
    )  # fmt: skip
    taking = [target for target in targets if target.refuses(found) is None]
    assert [type(target).__name__ for target in taking] == [
        {given_tflite.FLOAT16: "LiteRTFloat16", given_tflite.DYNAMIC: "LiteRTDynamic"}[computes]
    ]
    assert all(computes in target.refuses(found) for target in targets if target not in taking)
    rule = preprocessing_text.preprocessing("caffe")
    context = Context(_Task(rule), found, (), tmp_path, 0)
    (artifact,) = (target(found, tmp_path, context) for target in taking)
    np.testing.assert_allclose(artifact.predict(raw), found.predict(rule(raw), verbose=0), rtol=1e-3, atol=1e-3)


KERNELS = {
    "convolutions": lambda x: layers.Conv2D(24, 3, activation="relu")(layers.Conv2D(16, 5, padding="same")(x)),
    "in groups": lambda x: layers.Conv2D(32, 5, groups=2)(layers.Conv2D(8, 3)(x)),
    "depthwise": lambda x: layers.DepthwiseConv2D(7, padding="same", depth_multiplier=2)(layers.Conv2D(16, 3)(x)),
    "transposed": lambda x: layers.Conv2DTranspose(12, 3, 2)(layers.Conv2D(16, 3, 2)(x)),
    "dense": lambda x: layers.Dense(40, "relu")(layers.Flatten()(x)),
    "dense on every pixel": lambda x: layers.Dense(16)(layers.Dense(80)(x)),
    "too small for it": lambda x: layers.Conv2D(4, 3)(x),
}


@pytest.mark.parametrize("name", KERNELS)
def test_constants_in_fewer_bits_are_those_of_the_converter(name, raw, tmp_path):
    """Of the given float file and of the Keras model: equal operators, equal types of constants, equal answers."""
    keras.utils.set_random_seed(1)
    image = keras.Input(SIZE)
    model = keras.Model(image, layers.Dense(4)(layers.Flatten()(KERNELS[name](image))))
    rule = preprocessing_text.preprocessing("tf")
    given, theirs = freeze(read(converted(model), tmp_path), rule), freeze(model, rule)
    answers = model.predict(rule(raw), verbose=0)
    for make, floor in ((conversion.float16, 60), (conversion.dynamic, 25)):
        files = [make(given), make(theirs)]
        kinds = [
            sorted(
                (operator.name, *(one.dtype for one in operator.inputs if one is not None and one.data is not None))
                for operator in tflite_file.read(file).operators
            )
            for file in files
        ]
        assert kinds[0] == kinds[1]
        said = []
        for file in files:
            (tmp_path / "made.tflite").write_bytes(file)
            said.append(LiteRTArtifact(tmp_path / "made.tflite").predict(raw))
        assert decibels(answers, said[0]) > min(floor, decibels(answers, said[1]) - 3)


class _Task:
    """As much of a task as a target asks."""

    def __init__(self, rule):
        self.preprocessing = rule

    def metadata(self, model):
        return {
            "task": "none",
            "decode": {"kind": "logits"},
            "input": {"height": 12, "width": 16, "colour_order": "RGB"},
        }
