"""LiteRT targets: exact input scale, true integers, scores kept, metadata inside."""

from __future__ import annotations

import zipfile

import numpy as np
import pytest

from tfmo_drive.base.keras2 import keras, tf
from tfmo_drive.contracts import BadInput
from tfmo_drive.conversion import conversion
from tfmo_drive.conversion.freezing import freeze
from tfmo_drive.runtimes import artifact_metadata, tflite_file
from tfmo_drive.runtimes.flatbuffer_edit import name as name_of
from tfmo_drive.runtimes.flatbuffer_edit import unpack
from tfmo_drive.runtimes.interpreters import LiteRTArtifact
from tfmo_drive.targets.litert import (
    LiteRTDynamic,
    LiteRTFloat16,
    LiteRTFloat32,
    LiteRTInt8,
    LiteRTInt16x8,
    LiteRTMixed,
)
from tfmo_drive.targets.onnx import OnnxFloat32, OnnxInt8

EVERY = [
    LiteRTFloat32(),
    LiteRTFloat16(),
    LiteRTDynamic(),
    LiteRTInt8(calibration_images=20),
    LiteRTInt16x8(calibration_images=20),
    LiteRTMixed(calibration_images=20),
]
NEAR = {
    "litert_float32": 1e-4, "litert_float16": 0.01, "litert_dynamic": 0.05, "litert_int8": 0.1, "litert_int16x8": 0.03,
    "litert_mixed": 0.1,
}  # fmt: skip


@pytest.mark.parametrize("target", EVERY, ids=lambda target: target.name)
def test_artifact_says_what_keras_says(target, model, context, expected):
    artifact, images = target(model, context.workdir, context), context.calibration(20)
    said, wanted = artifact.predict(images), expected(model, images)
    assert said.dtype == np.float32 and said.shape == wanted.shape
    assert np.abs(said - wanted).max() <= NEAR[target.name] * wanted.std(), target.name
    assert artifact.path.name == "model.tflite" and artifact.name == target.name
    described = artifact_metadata.read(artifact.path)
    assert described["target"] == target.name and described["labels"] == ["a", "b", "c", "d", "e"]
    assert [end["name"] for ends in described["tensors"].values() for end in ends] == ["image", "logits"]


@pytest.mark.parametrize("which", ["model", "aware"])
def test_int8_input_is_pixel_minus_128(which, request, context, images):
    artifact = LiteRTInt8(calibration_images=20)(request.getfixturevalue(which), context.workdir, context)
    end = tflite_file.signature(artifact.path.read_bytes())["inputs"][0]
    assert (end["dtype"], end["scale"], end["zero_point"]) == ("int8", 1.0, -128)
    interpreter = artifact._interpreter
    artifact.runner(images[0])
    fed = interpreter.get_tensor(interpreter.get_input_details()[0]["index"])[0]
    assert np.array_equal(fed, images[0].astype(int) - 128)


@pytest.mark.parametrize("which", ["model", "aware"])
def test_int8_file_computes_in_integers_only(which, request, context):
    artifact = LiteRTInt8(calibration_images=20)(request.getfixturevalue(which), context.workdir, context)
    graph = tflite_file.read(artifact.path)
    assert not tflite_file.float_operators(artifact.path)
    assert not {"QUANTIZE", "DEQUANTIZE"} & set(tflite_file.operators(artifact.path))
    assert {end.dtype for end in graph.inputs + graph.outputs} == {"INT8"}


def test_quantize_aware_artifact_says_what_its_keras_model_says(aware, context, images, expected):
    artifact = LiteRTInt8()(aware, context.workdir, context)
    step = float(tflite_file.read(artifact.path).outputs[0].scale[0])
    assert np.abs(artifact.predict(images) - expected(aware, images)).max() <= 2 * step


def test_int8_equals_the_public_converter_but_for_the_input_scale(model, context, images):
    calibration = context.calibration(20)
    frozen = freeze(model, context.task.preprocessing)
    converter = tf.lite.TFLiteConverter.from_concrete_functions([frozen.function])
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([image[None].astype(np.float32)] for image in calibration)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    theirs, ours = converter.convert(), conversion.int8(frozen, calibration)
    stored, reference = tflite_file.weights(ours), tflite_file.weights(theirs)
    assert stored.keys() == reference.keys() and len(stored) > 10
    for name in stored.keys() - {"preprocessing/bias", "preprocessing/kernel"}:
        assert np.array_equal(stored[name], reference[name]), name
    scales = [
        [tensor.scale.tolist() for operator in tflite_file.read(file).operators for tensor in operator.outputs]
        for file in (ours, theirs)
    ]
    assert scales[0] == scales[1]


@pytest.mark.parametrize("which", ["model", "aware"])
def test_constants_lie_where_the_schema_wants_them(which, request, context):
    """At multiples of 16 bytes: a microcontroller reads them where they are."""
    from ai_edge_litert import schema_py_generated as schema

    content = LiteRTInt8()(request.getfixturevalue(which), context.workdir, context).path.read_bytes()
    root = schema.Model.GetRootAs(content, 0)
    buffers = [root.Buffers(i) for i in range(root.BuffersLength())]
    places = [buffer._tab.Vector(buffer._tab.Offset(4)) for buffer in buffers if buffer.DataLength()]
    assert len(places) > 6 and {place % 16 for place in places} == {0}


@pytest.mark.parametrize("target", EVERY, ids=lambda target: target.name)
def test_tensors_are_called_after_their_layer_alone_and_none_as_another(target, model, context):
    tensors = unpack(target(model, context.workdir, context).path.read_bytes()).subgraphs[0].tensors
    names = [name_of(tensor) for tensor in tensors]
    assert len(set(names)) == len(names)
    assert all(";" not in one and one.count("/") <= 1 for one in names)
    layers = {tflite_file.layer_name(one) for one in names}
    assert {"block0_1_conv", "logits"} & layers and not any("tiny" in one for one in names)


def test_equal_settings_give_equal_bytes(model, context, tmp_path):
    files = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        conversion._cache.clear()
        files.append(LiteRTInt8(calibration_images=20)(model, tmp_path / name, context).path.read_bytes())
    assert files[0] == files[1]


def test_converting_leaves_the_model_alone(model, context):
    before = [weight.copy() for weight in model.get_weights()]
    LiteRTInt8(calibration_images=20)(model, context.workdir, context)
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))


@pytest.mark.parametrize("target", [t for t in EVERY if t.name != "litert_int8"], ids=lambda target: target.name)
def test_only_int8_takes_a_quantize_aware_model(target, aware, model, context):
    assert target.refuses(model) is None and "Use LiteRTInt8" in target.refuses(aware)
    with pytest.raises(BadInput, match="quantize-aware"):
        target(aware, context.workdir, context)
    assert not list(context.workdir.iterdir())


def test_runtime_names_the_kernels_that_really_run(model, context, images):
    artifact = LiteRTInt8(calibration_images=20)(model, context.workdir, context)
    reference = LiteRTArtifact(artifact.path, kernels="reference")
    assert (artifact.runtime, reference.runtime) == ("litert xnnpack", "litert reference")
    assert not any(d["op_name"] == "DELEGATE" for d in reference._interpreter._get_ops_details())
    step = float(tflite_file.read(artifact.path).outputs[0].scale[0])
    assert np.abs(artifact.predict(images) - reference.predict(images)).max() <= 3 * step


def test_board_finds_signature_and_labels_in_the_file(model, context):
    from ai_edge_litert.interpreter import Interpreter

    path = LiteRTInt8(calibration_images=20)(model, context.workdir, context).path
    interpreter = Interpreter(model_content=path.read_bytes())
    assert interpreter.get_signature_list() == {"serving_default": {"inputs": ["image"], "outputs": ["logits"]}}
    assert zipfile.ZipFile(path).read("labels.txt") == b"a\nb\nc\nd\ne\n"


@pytest.mark.parametrize("kind", [LiteRTFloat32, LiteRTInt8])
def test_bad_settings_are_refused(kind):
    with pytest.raises(BadInput, match=f"{kind.__name__}.threads must be at least 1, got 0"):
        kind(threads=0)
    with pytest.raises(BadInput, match="kernels must be one of xnnpack, reference"):
        kind(kernels="fast")
    with pytest.raises(BadInput, match="calibration_images must be at least 1"):
        LiteRTInt8(calibration_images=0)


def test_images_of_another_size_are_refused(model, context, images):
    artifact = LiteRTFloat32()(model, context.workdir, context)
    with pytest.raises(BadInput, match="takes uint8 images of 32 x 32 x 3 pixels"):
        artifact.predict(images[:, :16])
    with pytest.raises(BadInput, match="got float32"):
        artifact.predict(images.astype(np.float32))


def test_a_partly_quantized_model_is_refused_and_leaves_no_file(context):
    import tensorflow_model_optimization as tfmot

    annotate = tfmot.quantization.keras.quantize_annotate_layer
    image = keras.Input((32, 32, 3))
    x = keras.layers.Conv2D(4, 3)(image)
    x = annotate(keras.layers.Conv2D(4, 3))(x)
    model = tfmot.quantization.keras.quantize_apply(keras.Model(image, keras.layers.Flatten()(x)))
    with pytest.raises(BadInput, match="must be integer throughout, but .*CONV_2D"):
        LiteRTInt8()(model, context.workdir, context)
    assert not list(context.workdir.iterdir())


@pytest.mark.parametrize("calibration", ["percentile", "mse"])
def test_other_calibrations_narrow_the_ranges_inside_and_leave_the_ends(calibration, model, context, expected):
    plain = LiteRTInt8(calibration_images=20)(model, context.workdir, context).path.read_bytes()
    target = LiteRTInt8(calibration_images=20, calibration=calibration, percentile=99.0)
    artifact = target(model, context.workdir, context)
    graphs = [tflite_file.read(content) for content in (plain, artifact.path.read_bytes())]
    scales = [[float(one.scale[0]) for o in graph.operators for one in o.outputs] for graph in graphs]
    assert all(ours <= theirs * (1 + 1e-6) for theirs, ours in zip(*scales, strict=True))
    assert sum(ours < 0.99 * theirs for theirs, ours in zip(*scales, strict=True)) > len(scales[0]) / 4
    assert scales[0][-1] == scales[1][-1]
    assert (float(graphs[1].inputs[0].scale[0]), int(graphs[1].inputs[0].zero_point[0])) == (1.0, -128)
    assert not tflite_file.float_operators(artifact.path)
    images = context.calibration(20)
    wanted = expected(model, images)
    assert np.abs(artifact.predict(images) - wanted).max() <= 0.5 * wanted.std()


def test_the_percentile_is_not_read_by_other_calibrations(model, context):
    files = [LiteRTInt8(calibration_images=20, percentile=percent)(model, context.workdir, context).path.read_bytes()
             for percent in (99.99, 60.0)]  # fmt: skip
    assert files[0] == files[1]


def test_calibration_settings_are_refused_by_name():
    for target in (LiteRTInt8, LiteRTMixed):
        with pytest.raises(BadInput, match=f"{target.__name__}.calibration must be one of minmax, percentile, mse"):
            target(calibration="max")
        with pytest.raises(BadInput, match=f"{target.__name__}.percentile must be in .50, 100., got 0.9999"):
            target(percentile=0.9999)
    with pytest.raises(BadInput, match="LiteRTMixed.drop must be in .0, 1., got 1"):
        LiteRTMixed(drop=1)


@pytest.fixture(scope="module")
def hard(model):
    """The same outputs from channels whose scales differ by up to 10,000."""
    from tfmo_drive.surgery.channel_scales import ChannelScales

    scales = ChannelScales(model)
    powers = np.random.default_rng(0).uniform(-2, 2, len(scales.free))
    return scales.rescaled(np.where(scales.free, 10**powers, 1.0))


def test_a_plain_model_is_int8_throughout_when_mixed_is_allowed(model, context):
    plain = LiteRTInt8(calibration_images=20)(model, context.workdir, context)
    integer = tflite_file.operators(plain.path)
    artifact = LiteRTMixed(calibration_images=20, drop=0.2)(model, context.workdir, context)
    assert tflite_file.operators(artifact.path) - integer == {"DEQUANTIZE": 1}  # of the outputs
    assert artifact.notes["float_layers"]["worst"] == []


def test_a_hard_model_keeps_its_worst_layers_in_float_until_it_decides_as_before(hard, context):
    images = context.calibration(40)
    floating = LiteRTFloat32()(hard, context.workdir, context)
    wanted, kernels = floating.predict(images).argmax(1), floating.weights()
    integer = LiteRTInt8(calibration_images=40)(hard, context.workdir, context)
    assert (integer.predict(images).argmax(1) != wanted).mean() > 0.5
    artifact = LiteRTMixed(calibration_images=40, drop=0.0)(hard, context.workdir, context)
    assert (artifact.predict(images).argmax(1) == wanted).all()
    said = artifact.notes["float_layers"]
    assert artifact_metadata.read(artifact.path)["float_layers"] == said
    assert 0 < len(said["worst"]) < said["of"] and said["agreement"] == 1
    decibels = [one["sqnr_db"] for one in said["worst"]]
    assert decibels == sorted(decibels)
    stored = artifact.weights()
    kept = [name for name in stored if stored[name].dtype == np.float32 and name.endswith("/kernel")]
    assert 0 < len(kept) < len([name for name in stored if name.endswith("/kernel")])
    assert all(np.array_equal(stored[name], kernels[name]) for name in kept)


@pytest.mark.parametrize("target", [LiteRTInt8(), LiteRTInt16x8(), LiteRTMixed(), OnnxInt8()], ids=lambda one: one.name)
def test_a_recurrent_layer_is_refused_where_the_converter_would_end_the_process(target, context):
    image = keras.Input((32, 32, 3))
    rows = keras.layers.Reshape((16, -1))(keras.layers.Conv2D(2, 3, 2, "same")(image))
    model = keras.Model(image, keras.layers.Dense(9)(keras.layers.LSTM(2)(rows)))
    with pytest.raises(BadInput, match=r"with a loop inside: lstm\w* \(LSTM\)"):
        target(model, context.workdir, context)


@pytest.mark.parametrize("target", [LiteRTFloat32(), LiteRTInt8(), OnnxFloat32()], ids=lambda one: one.name)
def test_what_a_converter_cannot_take_is_told_in_one_line(target, context):
    image = keras.Input((32, 32, 3))
    model = keras.Model(image, keras.layers.Flatten()(tf.linalg.cholesky(keras.layers.Reshape((3, 32, 32))(image))))
    with pytest.raises(BadInput, match=f"{target.name}: the converter cannot take model.*use another target") as told:
        target(model, context.workdir, context)
    assert "\n" not in str(told.value) and len(str(told.value)) < 400
    if target.name.startswith("litert"):
        assert "TensorFlow Lite has no operator Cholesky." in str(told.value)
    assert not list(context.workdir.iterdir())
