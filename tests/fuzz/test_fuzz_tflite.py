"""Damaged model files: given to `predict` they are told and never run; readers of graphs never leave the file."""

import contextlib
import copy
import hashlib
import io
import json
import os
import zipfile

import numpy as np
import onnx
import pytest
from damage import damaged_bytes, damaged_json, pick
from PIL import Image

from tfmo_drive.commands import predict
from tfmo_drive.contracts import Preprocessing
from tfmo_drive.conversion import conversion
from tfmo_drive.data.images import Resize
from tfmo_drive.networks import own_model
from tfmo_drive.runtimes import artifact_metadata, interpreters, onnx_file, tflite_file

FACTS = {
    "task": "classification", "labels": ["red", "green", "blue"], "decode": {"kind": "logits"},
    "input": {"height": 8, "width": 6, "colour_order": "RGB", "resize": Resize().to_dict()},
}  # fmt: skip


@pytest.fixture(scope="module")
def models() -> dict[str, bytes]:
    """A convolution and a dense layer, int8 and as ONNX, without metadata."""
    from tfmo_drive.base.keras2 import keras
    from tfmo_drive.conversion.freezing import freeze

    image = keras.Input((8, 6, 3))
    features = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(4, 3, activation="relu")(image))
    frozen = freeze(keras.Model(image, keras.layers.Dense(3, name="logits")(features)), Preprocessing("none"))
    greys = np.random.default_rng(0).integers(0, 256, (8, 8, 6, 3), dtype=np.uint8)
    return {"tflite": conversion.int8(frozen, greys), "onnx": conversion.onnx_float32(frozen)}


def _sealed(kind: str, model: bytes, metadata: str) -> bytes:
    """A file as `artifact_metadata.save` writes it, whatever its metadata says."""
    if kind == "onnx":
        entries = [onnx.ModelProto(), onnx.ModelProto()]
        entries[0].metadata_props.add(key="tfmo_drive", value=metadata)
        entries[1].metadata_props.add(key="tfmo_drive.sha256", value="0" * 64)
        data = model + b"".join(entry.SerializeToString() for entry in entries)
    else:
        stream = io.BytesIO(model)
        with zipfile.ZipFile(stream, "a") as archive:
            archive.writestr("model.json", metadata)
            archive.comment = b"sha256 " + b"0" * 64
        data = stream.getvalue()
    return data[:-64] + hashlib.sha256(data[:-64]).hexdigest().encode()


def test_damaged_files_are_told_and_never_run(fuzz, models, tmp_path):
    predict.flags.FLAGS.mark_as_parsed()
    Image.new("RGB", (31, 17), (200, 30, 30)).save(tmp_path / "red.png")

    def attempt(case):
        kind = pick(case.random, ("tflite", "onnx"))
        path, sound = case.folder / f"model.{kind}", False
        artifact_metadata.save(path, models[kind], FACTS)
        whole = path.read_bytes()
        if case.random.random() < 0.5:
            path.write_bytes(damaged_bytes(case.random, whole))
            sound = path.read_bytes() == whole
        else:
            facts = damaged_json(case.random, copy.deepcopy(FACTS))
            path.write_bytes(_sealed(kind, models[kind], json.dumps(facts)))
            sound = None
        with contextlib.redirect_stdout(io.StringIO()) as out:
            done = case.read(path, lambda: predict.main(["predict", str(path), str(tmp_path / "red.png")]))
        if done is None:
            assert not sound and not out.getvalue()
            return
        assert sound is not False, "a damaged file was run"
        lines = out.getvalue().splitlines()[1:]
        shares = [float(line.split("%")[0]) for line in lines]
        assert len(lines) == 3 and 0 <= min(shares) and abs(sum(shares) - 100) < 0.5

    fuzz(attempt, cases=200)


def test_damaged_graphs_are_read_within_their_bytes_or_refused(fuzz, models):
    def attempt(case):
        kind = pick(case.random, ("tflite", "tflite", "onnx"))
        path, module = case.folder / f"model.{kind}", tflite_file if kind == "tflite" else onnx_file
        path.write_bytes(damaged_bytes(case.random, models[kind], 2))
        look = pick(case.random, (module.weights, module.macs, module.signature))
        found = case.read(path, lambda: look(path))
        for values in found.values() if look is module.weights and found else ():
            assert isinstance(values, np.ndarray) and values.nbytes <= len(models[kind])

    fuzz(attempt, cases=300, seconds=10)


def test_damaged_files_given_as_a_model_are_taken_whole_or_refused(fuzz, models, tmp_path):
    """What is taken was run once in a process of its own, which damage may take down; here it must not."""
    wanted = own_model.Signature((8, 6, 3), {"logits": (3,)})
    raw = np.random.default_rng(0).integers(0, 256, (2, 8, 6, 3)).astype(np.float32)

    def attempt(case):
        path = case.folder / "given.tflite"
        path.write_bytes(damaged_bytes(case.random, models["tflite"], 2))
        if model := case.read(path, lambda: own_model.read_model(path, wanted)):
            assert np.shape(model(raw)) == (2, 3) and model.input_shape == (None, 8, 6, 3)

    fuzz(attempt, cases=25)


def test_no_pipe_is_waited_for(models, tmp_path):
    for kind in models:
        os.mkfifo(tmp_path / f"model.{kind}")
        with pytest.raises(predict.BadInput, match="is a pipe or a device"):
            predict.main(["predict", str(tmp_path / f"model.{kind}"), "red.png"])
        with pytest.raises(predict.BadInput, match="is a pipe or a device"):
            interpreters.load(tmp_path / f"model.{kind}").predict(np.zeros((1, 8, 6, 3), np.uint8))
