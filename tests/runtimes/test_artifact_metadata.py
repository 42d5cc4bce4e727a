"""Metadata travels inside the model file and does not disturb it."""

from __future__ import annotations

import json
import zipfile

import numpy as np
import onnx
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter

from tfmo_drive.base.keras2 import keras
from tfmo_drive.contracts import BadInput, Preprocessing
from tfmo_drive.conversion import conversion
from tfmo_drive.conversion.freezing import freeze
from tfmo_drive.runtimes import artifact_metadata, interpreters, tflite_file

FACTS = {"labels": ["stop", "Vorfahrt gewähren"], "input": {"height": 8}}


@pytest.fixture(scope="module")
def contents():
    image = keras.Input((8, 8, 3))
    model = keras.Model(image, keras.layers.Conv2D(4, 3, name="only")(image))
    frozen = freeze(model, Preprocessing("none"))
    return {"tflite": conversion.float32(frozen), "onnx": conversion.onnx_float32(frozen)}


@pytest.mark.parametrize("kind", ["tflite", "onnx"])
def test_what_is_written_is_read(kind, contents, tmp_path):
    path = tmp_path / f"model.{kind}"
    artifact_metadata.save(path, contents[kind], FACTS)
    assert artifact_metadata.read(path) == FACTS
    first = path.read_bytes()
    artifact_metadata.write(path, {"other": 1})
    assert artifact_metadata.read(path) == {"other": 1}
    artifact_metadata.write(path, FACTS)
    assert path.read_bytes() == first


@pytest.mark.parametrize("kind", ["tflite", "onnx"])
def test_model_computes_the_same_with_metadata_inside(kind, contents, tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3), dtype=np.uint8)
    bare, full = tmp_path / f"bare.{kind}", tmp_path / f"full.{kind}"
    bare.write_bytes(contents[kind])
    artifact_metadata.save(full, contents[kind], FACTS)
    assert np.array_equal(interpreters.load(bare).predict(images), interpreters.load(full).predict(images))


def test_litert_takes_the_file_from_disk_and_from_memory(contents, tmp_path):
    path = tmp_path / "model.tflite"
    artifact_metadata.save(path, contents["tflite"], FACTS)
    for source in ({"model_path": str(path)}, {"model_content": path.read_bytes()}):
        interpreter = Interpreter(**source)
        interpreter.allocate_tensors()
        interpreter.invoke()
        assert any(detail["op_name"] == "DELEGATE" for detail in interpreter._get_ops_details())


def test_any_unzip_reads_it(contents, tmp_path):
    path = tmp_path / "model.tflite"
    artifact_metadata.save(path, contents["tflite"], FACTS)
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        assert {entry.compress_type for entry in archive.infolist()} == {zipfile.ZIP_STORED}  # as MediaPipe wants it
        assert json.loads(archive.read("model.json")) == FACTS
        assert archive.read("labels.txt").decode() == "stop\nVorfahrt gewähren\n"


def test_tflite_metadata_names_the_files_own_tensors(contents, tmp_path):
    path = tmp_path / "model.tflite"
    artifact_metadata.save(path, contents["tflite"], {**FACTS, "labels": list("abcd")})
    content = path.read_bytes()
    model = schema.Model.GetRootAs(content, 0)
    (entry,) = (one for i in range(model.MetadataLength()) if (one := model.Metadata(i)).Name() == b"TFLITE_METADATA")
    described = model.Buffers(entry.Buffer()).DataAsNumpy().tobytes()
    with zipfile.ZipFile(path) as archive:
        assert all(name.encode() in described for name in archive.namelist())
    for ends in tflite_file.signature(content).values():
        assert all(end["name"].encode() in described for end in ends)


def test_onnx_stays_valid(contents, tmp_path):
    artifact_metadata.save(tmp_path / "model.onnx", contents["onnx"], FACTS)
    onnx.checker.check_model(onnx.load(tmp_path / "model.onnx"), full_check=True)


@pytest.mark.parametrize("kind", ["tflite", "onnx"])
def test_files_without_metadata_are_refused_in_one_line(kind, contents, tmp_path):
    path = tmp_path / f"model.{kind}"
    path.write_bytes(contents[kind])
    with pytest.raises(BadInput, match=f"model.{kind} carries no tfmo_drive metadata") as caught:
        artifact_metadata.read(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["tflite", "onnx"])
def test_absent_files_and_other_content_are_refused(kind, tmp_path):
    path = tmp_path / f"model.{kind}"
    with pytest.raises(BadInput, match="does not exist"):
        artifact_metadata.read(path)
    path.write_bytes(b"\xff\xfe not a model" * 40)
    with pytest.raises(BadInput):
        artifact_metadata.read(path)
    with pytest.raises(BadInput):
        interpreters.load(path).predict(np.zeros((1, 8, 8, 3), np.uint8))
