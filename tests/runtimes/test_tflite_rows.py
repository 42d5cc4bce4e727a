"""Files that take rows take them raw: standardised in float32 before anything is quantised, in every format."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest

from tfmo_drive.base.keras2 import keras
from tfmo_drive.contracts import BadInput, Preprocessing
from tfmo_drive.conversion import conversion
from tfmo_drive.conversion.freezing import freeze
from tfmo_drive.networks.fake_quant import calibrate
from tfmo_drive.networks.networks import DenseLayers, build
from tfmo_drive.runtimes import onnx_file, tflite_file
from tfmo_drive.runtimes.interpreters import LiteRTArtifact, OnnxArtifact

MEAN, DEVIATION = np.array([101_325, 0.0, -3.0, 12.0, 1e-4]), np.array([50.0, 1e-2, 4.0, 1e3, 1e-6])
RULE = Preprocessing(
    "standardised",
    tuple(range(5)),
    tuple((1 / DEVIATION).tolist()),
    tuple((-MEAN / DEVIATION).tolist()),
    "row",
    None,
    "float32",
)
NEAR = {"float32": 1e-4, "float16": 0.01, "dynamic": 0.05, "int8": 0.1, "int16x8": 0.03}


@pytest.fixture(scope="module")
def rows():
    return np.random.default_rng(0).normal(MEAN, DEVIATION, (300, 5)).astype(np.float32)


@pytest.fixture(scope="module")
def model():
    keras.backend.clear_session()
    keras.utils.set_random_seed(0)
    made = build(DenseLayers(units=(16, 8)), 5, 3)
    generator = np.random.default_rng(0)
    for layer in made.layers[1:]:
        layer.bias.assign(generator.normal(0, 0.1, layer.units))  # a bias of zeros is left out of a file
    return made


@pytest.fixture(scope="module")
def aware(model, rows):
    import tensorflow_model_optimization as tfmot

    clone = keras.models.clone_model(model)
    clone.set_weights(model.get_weights())
    wrapped = tfmot.quantization.keras.quantize_model(clone)
    calibrate(wrapped, [RULE(rows)])
    return wrapped


def converted(kind: str, model, rows) -> bytes:
    frozen = freeze(model, RULE)
    return getattr(conversion, kind)(frozen, *([rows] if kind.startswith("int") else []))


def artifact(content: bytes, folder) -> LiteRTArtifact:
    (folder / "model.tflite").write_bytes(content)
    return LiteRTArtifact(folder / "model.tflite")


@pytest.mark.parametrize("kind", NEAR)
def test_every_file_takes_raw_rows_and_says_what_keras_says(kind, model, rows, tmp_path):
    content = converted(kind, model, rows)
    said, wanted = artifact(content, tmp_path).predict(rows), model(RULE(rows)).numpy()
    assert said.dtype == np.float32 and np.abs(said - wanted).max() <= NEAR[kind] * wanted.std()
    (end,) = tflite_file.signature(content)["inputs"]
    assert end == {"name": "row", "shape": [1, 5], "dtype": "float32"}
    assert [o.name for o in tflite_file.read(content).operators][:2] == ["MUL", "ADD"]


def test_int8_computes_in_integers_behind_the_standardising(model, aware, rows):
    for content in (converted("int8", model, rows), conversion.int8(freeze(aware, RULE))):
        graph = tflite_file.read(content)
        assert [o.name for o in graph.operators] == ["MUL", "ADD", "QUANTIZE", *["FULLY_CONNECTED"] * 3]
        assert not tflite_file.float_operators(content) and graph.outputs[0].dtype == "INT8"
        assert {v.dtype.name for v in tflite_file.weights(content).values()} == {"int8", "int32"}
    assert tflite_file.float_operators(converted("float32", model, rows)) == {"FULLY_CONNECTED": 3}


def test_quantize_aware_file_says_what_its_keras_model_says(aware, rows, tmp_path):
    made = artifact(conversion.int8(freeze(aware, RULE)), tmp_path)
    step = float(tflite_file.read(made.path).outputs[0].scale[0])
    assert np.abs(made.predict(rows) - aware(RULE(rows), training=False)).max() <= 2 * step


def test_one_8_bit_scale_for_raw_columns_would_lose_all_but_the_largest(rows, model, tmp_path):
    """Why the standardising stands in front, in float32."""
    steps = (rows.max() - rows.min()) / 255
    kept = np.round(rows / steps) * steps
    assert [len(np.unique(column)) for column in kept.T][1:3] == [1, 1] and len(np.unique(RULE(rows)[:, 1])) > 250


def test_weights_macs_and_names_are_the_networks_alone(model, rows):
    content = converted("float32", model, rows)
    assert tflite_file.macs(content) == 5 * 16 + 16 * 8 + 8 * 3
    assert set(tflite_file.weights(content)) == {
        f"{layer}/{part}" for layer in ("dense1", "dense2", "logits") for part in ("kernel", "bias")
    }


def test_the_signature_leads_to_the_raw_input(model, rows):
    from ai_edge_litert.interpreter import Interpreter

    content = converted("float32", model, rows)
    run = Interpreter(model_content=content).get_signature_runner("serving_default")
    said = run(row=rows[:1])["logits"]
    np.testing.assert_allclose(said, model(RULE(rows[:1])), atol=1e-4)


@pytest.mark.parametrize("kind", ["float32", "int8"])
def test_onnx_takes_the_same_rows(kind, model, rows, tmp_path):
    tflite = converted(kind, model, rows)
    content = (
        conversion.onnx_of(tflite, ("logits",)) if kind == "int8" else conversion.onnx_float32(freeze(model, RULE))
    )
    (tmp_path / "model.onnx").write_bytes(content)
    made, theirs = OnnxArtifact(tmp_path / "model.onnx"), artifact(tflite, tmp_path).predict(rows)
    if kind == "int8":  # as its operators say, since fused ones saturate on processors without VNNI (targets.onnx)
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        made._session = onnxruntime.InferenceSession(content, options)
    step = onnx_file.quantization(content)["logits"][0] if kind == "int8" else 1e-4
    assert np.abs(made.predict(rows) - theirs).max() <= 1.01 * step
    assert onnx_file.signature(content)["inputs"] == [{"name": "row", "shape": [1, 5], "dtype": "float32"}]
    assert onnx_file.macs(content) == tflite_file.macs(tflite)


def test_equal_models_give_equal_bytes(model, rows):
    conversion._cache.clear()
    first = converted("int8", model, rows)
    conversion._cache.clear()
    assert converted("int8", model, rows) == first


def test_rows_of_another_width_or_type_are_refused(model, rows, tmp_path):
    made = artifact(converted("float32", model, rows), tmp_path)
    for wrong in (rows[:, :4], rows.astype(np.float64)):
        with pytest.raises(BadInput, match="takes float32 rows of 5 numbers, got float"):
            made.predict(wrong)
    with pytest.raises(BadInput, match="a target needs one row input of fixed size .5., got"):
        freeze(build(DenseLayers(), 6, 3), RULE)
