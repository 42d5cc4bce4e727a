"""Files that Keras 3 wrote become models of Keras 2 with equal answers, or one line names the layer that cannot."""

from __future__ import annotations

import base64
import json
import marshal
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter
from keras3_models import COARSE, IN_HDF5, KEPT, REFUSED

from tfmo_drive.base.keras2 import keras, tf
from tfmo_drive.contracts import BadInput
from tfmo_drive.keras3 import activations, exported, rebuilt
from tfmo_drive.networks import own_model
from tfmo_drive.tasks.arrays import any_keras
from tfmo_drive.training import given_shape, trained_step

ROOT = Path(__file__).parents[2]
FILES = [*(f"{name}.keras" for name in KEPT), *(f"{name}.h5" for name in IN_HDF5)]


MINE = """
import tfmo_drive as td

EXPERIMENT = td.Experiment(
    task=td.Classification(
        image_size=32, preprocessing_name="unit", scenes=td.Scenes(train=64, val=36, test=64)
    ),
    targets=(td.LiteRTInt8(), td.OnnxFloat32()),
    measures=(td.Accuracy(),),
)
"""


def arrays(path, kind):
    with np.load(path.with_suffix(".npz")) as held:
        return [held[f"{kind}_{place}"] for place in range(sum(name.startswith(kind) for name in held))]


def assert_same(model, path):
    """The model answers as Keras 3 did, to inputs that its reader has never seen."""
    inputs, wanted = arrays(path, "input"), arrays(path, "output")
    found = tf.nest.flatten(model([tf.constant(one) for one in inputs], training=False))
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_allclose(one, other, atol=COARSE.get(path.stem, 1e-4) * np.ptp(other), rtol=0)


@pytest.fixture(scope="module")
def known():
    """Models that were loaded already, by the names of their files."""
    return {}


@pytest.mark.parametrize("name", FILES)
def test_a_model_of_keras_3_answers_in_keras_2_as_it_did(name, written, load, known):
    model = known[name] = load(written / name)
    assert_same(model, written / name)
    assert not any(isinstance(layer, keras.Model) for layer in model.layers)
    assert {weight.dtype for weight in model.weights} <= {tf.float32}
    assert_same(trained_step.copy(model), written / name)  # every step copies


@pytest.mark.parametrize("name", FILES)
def test_the_description_alone_says_which_images_a_model_takes(name, written, load, known):
    model = known.get(name) or load(written / name)
    taken = [tuple(one.shape[1:]) for one in model.inputs if len(one.shape) == 4]
    assert given_shape.image_shape(written / name) == (taken[0] if taken else None)


def test_python_takes_a_file_too_and_refuses_code_in_it(written, load):
    """`compress` begins with this."""
    assert_same(any_keras.in_keras_2(str(written / "rows.keras"), "compress: the model"), written / "rows.keras")
    with pytest.raises(BadInput, match=r"compress: the model: .*the Lambda layer .*load it yourself, and give the"):
        any_keras.in_keras_2(written / "lambda_layer.keras", "compress: the model")


def test_the_models_are_of_many_kinds(written, read_by_keras3):
    told = [json.loads((read_by_keras3[written / f"{name}.keras"][0] / "model.json").read_text()) for name in KEPT]
    layers = {layer["class"] for one in told for layer in one["layers"] if layer["is_layer"]}
    operations = {layer["class"] for one in told for layer in one["layers"] if not layer["is_layer"]}
    assert len(told) >= 25 and len(layers) >= 30 and len(operations) >= 15


@pytest.mark.parametrize("name", REFUSED)
def test_what_keras_2_cannot_say_is_refused_in_one_line_that_names_it(name, written, load):
    path = written / f"{name}.keras"
    with pytest.raises(BadInput, match=REFUSED[name][1]) as said:
        load(path)
    assert str(said.value).startswith(f"task.baseline: {path}") and str(said.value).isprintable()


def test_functions_that_no_layer_computes_are_saved_and_read_as_layers_are(written, load, tmp_path):
    path = written / "operators_that_no_layer_computes.keras"
    own_model.taken(load(path), "the model").save(tmp_path / "model.h5")
    assert_same(keras.models.load_model(tmp_path / "model.h5", compile=False), path)


def test_an_output_keeps_its_name_where_its_activation_becomes_a_layer(written, load):
    model = load(written / "outputs_with_activations.keras")
    assert model.output_names == ["hard_sigmoid", "relu6", "sigmoid"]
    assert isinstance(model.get_layer("relu6"), keras.layers.ReLU)


def test_a_layer_that_means_something_else_is_found_by_its_answers(written, load, monkeypatch):
    """As where both have a function of one name: Keras 2's hard_sigmoid is another one."""
    monkeypatch.setitem(activations.SAME, "hard_sigmoid", "hard_sigmoid")
    with pytest.raises(BadInput, match=r'the layer "conv2d\w*" gives other answers'):
        load(written / "activations.keras")


@pytest.mark.parametrize("place", [0, -1])
def test_a_weight_that_is_not_moved_is_found_by_the_answers(place, written, read_by_keras3):
    told = exported._read(read_by_keras3[written / "convolutions.keras"][0])
    weights = [name for name in told.arrays if name.startswith("weight_")]
    told.arrays[weights[place]] = told.arrays[weights[place]] * 1.01
    with pytest.raises(BadInput, match="gives other answers"):
        rebuilt.rebuilt(told, "task.baseline: model.keras")


@pytest.mark.parametrize(
    ("difference", "rounding", "same"), [(1e-3, 0.0, False), (1e-3, 2e-4, True), (1e-2, 1.0, False)],
    ids=["more than rounding", "as rounding alone", "a weight, whatever rounds"],
)  # fmt: skip
def test_answers_may_be_as_far_as_rounding_moves_them(difference, rounding, same, written, read_by_keras3):
    """As behind a softmax that pixels saturate; the arrays are moved, because processors round in their own ways."""
    told = exported._read(read_by_keras3[written / "convolutions.keras"][0])
    answer = told.arrays["output_pixels_0"]
    assert 0 < float(told.arrays["rounding_output_pixels_0"]) < 1e-4 * np.ptp(answer)
    told.arrays["output_pixels_0"] = answer + np.float32(difference * np.ptp(answer))
    told.arrays["rounding_output_pixels_0"] = np.float64(rounding * np.ptp(answer))
    if same:
        assert rebuilt.rebuilt(told, "mine.keras").count_params()
        return
    with pytest.raises(BadInput, match="the model gives other answers"):
        rebuilt.rebuilt(told, "mine.keras")


def test_a_file_is_read_by_keras_3_once(written, monkeypatch):
    path = written / "rows.keras"
    first = own_model.load(path, "task.baseline", allow_code=False)
    monkeypatch.setattr(exported, "export_all", lambda *_: pytest.fail("it was read again"))
    again = own_model.load(path, "task.baseline", allow_code=False)
    for one, other in zip(first.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def of_another_python(path, code: bytes):
    """Puts other bytecode into a file with a Lambda layer."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(members["config.json"])
    config["config"]["layers"][1]["config"]["function"]["config"]["code"] = base64.b64encode(code).decode()
    members["config.json"] = json.dumps(config).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)


@pytest.fixture(scope="module")
def with_code(written, tmp_path_factory):
    """By name, a file with a Lambda layer, the folder of what is in it, and why there is nothing; code may run."""
    place = tmp_path_factory.mktemp("with_code")
    function = test_weights_alone_say_what_to_save.__code__  # of one argument, as a Lambda layer calls
    unknown = marshal.dumps(function.replace(co_code=bytes([254, 0, 253, 3, 100, 200] * 30)))
    codes = {"unreadable": b"\xe3" + bytes(40), "crashing": unknown, "sound": None}
    for name, code in codes.items():
        shutil.copy(written / "lambda_layer.keras", place / f"{name}.keras")
        (place / name).mkdir()
        if code:
            of_another_python(place / f"{name}.keras", code)
    said = exported.export_all([(place / f"{name}.keras", place / name) for name in codes], allow_code=True)
    return {name: (place / f"{name}.keras", place / name, why) for name, why in zip(codes, said, strict=True)}


def test_bytecode_of_another_python_takes_its_own_process_down_and_no_other(with_code):
    said = [why for _, _, why in with_code.values()]
    assert said[2] == "" and all("under the version of Python that wrote it alone" in one for one in said[:2])
    assert "SIG" in said[1]


def test_code_runs_where_it_is_allowed(with_code, monkeypatch):
    path, made, _ = with_code["sound"]

    def ready(jobs, allow_code):
        assert allow_code and [one for one, _ in jobs] == [path]
        shutil.copytree(made, jobs[0][1], dirs_exist_ok=True)
        return [""]

    monkeypatch.setattr(exported, "export_all", ready)
    model = own_model.load(path, "task.baseline", allow_code=True)
    rows = np.arange(8, dtype=np.float32)[None]
    np.testing.assert_array_equal(model(rows), 2 * rows)


def test_weights_alone_say_what_to_save(written):
    with pytest.raises(BadInput, match="holds weights alone, as Keras 3 writes them.*model.save..model.keras"):
        own_model.is_whole_model(written / "alone.weights.h5")


def test_a_run_takes_it_from_the_command_line_to_its_files(written, tmp_path):
    path = written / "nine_classes.keras"
    (tmp_path / "mine.py").write_text(MINE)
    words = ["run", f"--experiment={tmp_path / 'mine.py'}", f"--workdir={tmp_path / 'run'}", f"--weights={path}"]
    ran = subprocess.run([sys.executable, "-m", "tfmo_drive", *words], cwd=ROOT, capture_output=True, text=True)
    folder = tmp_path / "run"
    assert (folder / "report.json").exists(), ran.stdout[-2000:] + ran.stderr[-2000:]
    targets = {row["target"] for row in json.loads((folder / "report.json").read_text())["rows"]}
    assert targets == {"litert_float32", "litert_int8", "onnx_float32"}
    interpreter = Interpreter(str(folder / "artifacts" / "baseline" / "litert_float32" / "model.tflite"))
    interpreter.allocate_tensors()
    (taken,), (given,) = interpreter.get_input_details(), interpreter.get_output_details()
    (pixels,), (wanted,) = arrays(path, "input"), arrays(path, "output")
    for image, other in zip(pixels, wanted, strict=True):
        interpreter.set_tensor(taken["index"], image[None] * (255 if taken["dtype"] == np.float32 else 1))
        interpreter.invoke()
        np.testing.assert_allclose(interpreter.get_tensor(given["index"])[0], other, atol=1e-4 * np.ptp(wanted))
