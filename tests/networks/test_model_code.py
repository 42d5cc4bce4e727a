"""Code inside a model's file: never run unasked, whatever the format, the setting and the place; run where allowed."""

from __future__ import annotations

import base64
import dataclasses
import json
import re
import sys
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest
from absl.testing import flagsaver

from tfmo_drive.base.keras2 import keras, tf
from tfmo_drive.commands.experiment_flags import FLAGS, assignments
from tfmo_drive.contracts import BadInput, Context
from tfmo_drive.networks import model_code, own_model
from tfmo_drive.networks.own_model import Signature
from tfmo_drive.steps.train import Train
from tfmo_drive.training import teacher
from tfmo_drive.training.distillation import SoftLabels

layers = keras.layers


@pytest.fixture
def planted(tmp_path):
    """(a Python lambda that writes a file and hands on what it gets; that file)."""
    ran = tmp_path / "ran"
    source = f"lambda x: (__import__('pathlib').Path({str(ran)!r}).touch(), x)[1]"
    return eval(source), ran


def around(code, place: str):
    """A classifier of 32 px images with a Lambda layer called "planted" somewhere inside."""
    image = keras.Input((32, 32, 3))
    layer = layers.Lambda(code, name="planted")
    if place == "nested model":
        inner = keras.Input((32, 32, 3))
        x = keras.Model(inner, keras.Model(inner, layer(inner), name="innermost")(inner), name="inside")(image)
    elif place == "sequential":
        x = keras.Sequential([layers.Input((32, 32, 3)), layer])(image)
    elif place == "wrapper":
        x = layers.TimeDistributed(layer)(image)
    else:
        x = layer(image)
    return keras.Model(image, layers.Dense(9)(layers.GlobalAveragePooling2D()(x)))


@pytest.mark.parametrize("place", ["plain", "nested model", "sequential", "wrapper"])
@pytest.mark.parametrize("kind", ["h5", "tf", "keras"])
def test_a_lambda_is_refused_by_name_before_it_runs_unless_it_is_allowed(planted, place, kind, tmp_path):
    code, ran = planted
    path = tmp_path / f"model.{kind}"
    around(code, place).save(path, save_format=kind)
    ran.unlink()
    signature = Signature((32, 32, 3), {"logits": (9,)})
    with pytest.raises(BadInput, match='the Lambda layer "planted". .* replace it .* add --allow_code') as refused:
        own_model.read_model(path, signature)
    assert not ran.exists() and "\n" not in str(refused.value)
    own_model.read_model(path, signature, allow_code=True)
    assert ran.exists()


@pytest.mark.parametrize("kind", ["h5", "tf", "keras"])
def test_neither_a_baseline_nor_a_teacher_runs_its_code_unasked(planted, kind, tiny_task, tmp_path):
    code, ran = planted
    path = tmp_path / f"model.{kind}"
    around(code, "plain").save(path, save_format=kind)
    ran.unlink()
    given = {"baseline": str(path), "preprocessing_name": "unit"}
    with pytest.raises(BadInput, match="^task.baseline: .*planted"):
        dataclasses.replace(tiny_task, **given).build()
    labels, place = (
        SoftLabels(augmented_copies=1, teacher=str(path)),
        Context(tiny_task, tiny_task.build(), (), tmp_path, 0),
    )
    with pytest.raises(BadInput, match="^distill.teacher: .*planted"):
        Train(epochs=1, distill=labels)(place.baseline, place)
    assert not ran.exists()
    dataclasses.replace(tiny_task, **given, allow_code=True).build()
    assert ran.exists()
    ran.unlink()
    told = dataclasses.replace(tiny_task, allow_code=True, preprocessing_name="unit")
    teacher.model(labels, Context(told, place.baseline, (), tmp_path, 0))
    assert ran.exists()


@pytest.fixture
def configured(tmp_path):
    """A harmless .h5 model whose Dense layer's configuration is changed."""

    def write(change):
        image = keras.Input((4,))
        path = tmp_path / "model.h5"
        keras.Model(image, layers.Dense(3, name="answer")(image)).save(path, include_optimizer=False)
        with h5py.File(path, "r+") as file:
            config = json.loads(file.attrs["model_config"])
            change(config["config"]["layers"][1])
            file.attrs["model_config"] = json.dumps(config)
        return path

    return write


def function(module, name):
    return {"module": module, "class_name": "function", "config": name, "registered_name": name}


CARRIERS = {
    "a marshalled activation": lambda one: one["config"].update(
        activation={"class_name": "__lambda__", "config": {"value": ["", None, None]}}
    ),
    "an initializer's module": lambda one: one["config"]["kernel_initializer"].update(module="planted_module"),
    "a constraint's module": lambda one: one["config"].update(
        kernel_constraint={"module": "planted_module", "class_name": "Own", "config": {}, "registered_name": "Own"}
    ),
    "an activation's module": lambda one: one["config"].update(activation=function("planted_module", "touch")),
    "a function of Keras's insides": lambda one: one["config"].update(activation=function("keras.utils", "get_file")),
    "the layer's module": lambda one: one.update(module="planted_module", registered_name="Own", class_name="Own"),
    "a cell's wrapper": lambda one: one["config"].update(residual_fn=["", None, None], residual_fn_type="lambda"),
    "a file's operation": lambda one: one.update(
        class_name="TFOpLambda", config={"name": "answer", "function": "io.write_file"}
    ),
    "an alias of it": lambda one: one.update(
        class_name="TFOpLambda", config={"name": "answer", "function": "compat.v1.write_file"}
    ),
    "a library": lambda one: one.update(
        class_name="TFOpLambda", config={"name": "answer", "function": "load_op_library"}
    ),
    "a class's method": lambda one: one.update(
        class_name="ClassMethod", config={"name": "answer", "cls_symbol": "io.gfile.GFile", "method_name": "read"}
    ),
    "an operation's node": lambda one: one.update(
        class_name="TensorFlowOpLayer", config={"name": "answer", "node_def": {"op": "WriteFile"}, "constants": {}}
    ),
}


@pytest.mark.parametrize("carrier", CARRIERS)
def test_whatever_else_would_run_is_refused_by_its_layers_name(carrier, configured, tmp_path, monkeypatch):
    ran = tmp_path / "ran"
    (tmp_path / "planted_module.py").write_text(f"import pathlib\npathlib.Path({str(ran)!r}).touch()\n")
    monkeypatch.syspath_prepend(tmp_path)
    path = configured(CARRIERS[carrier])
    with pytest.raises(BadInput, match='code that may run .*"answer"'):
        own_model.load(path, "task.baseline", allow_code=False)
    assert not ran.exists() and "planted_module" not in sys.modules


@pytest.mark.parametrize("operation", ["WriteFile", "DebugIdentity", "PrintV2", "RangeDataset"])
def test_a_saved_model_whose_graph_writes_files_is_refused(operation, tmp_path):
    path = str(tmp_path / "ran")
    wrote = {
        "WriteFile": lambda x: tf.io.write_file(path, "x"),
        "DebugIdentity": lambda x: tf.raw_ops.DebugIdentity(input=x, tensor_name="x:0", debug_urls=[f"file://{path}"]),
        "PrintV2": lambda x: tf.raw_ops.PrintV2(input="x", output_stream=f"file://{path}"),
        "RangeDataset": lambda x: tf.data.Dataset.range(1).cache(path).reduce(np.int64(0), lambda a, b: a + b),
    }[operation]

    class Writes(layers.Layer):
        def call(self, x):
            with tf.control_dependencies([wrote(x)]):
                return tf.identity(x)

    image = keras.Input((4,))
    keras.Model(image, Writes(name="writes")(image)).save(tmp_path / "model", save_format="tf")
    with pytest.raises(BadInput, match=f"code that may run .*the operation {operation} "):
        own_model.load(tmp_path / "model", "task.baseline", allow_code=False)


def test_only_the_function_that_writes_the_checkpoint_may_save(tmp_path):
    """Every SavedModel has SaveV2 in a function that Keras never calls; the model's own functions have none."""

    class Saves(layers.Layer):
        def call(self, x):
            names, slices = tf.constant(["x"]), tf.constant([""])
            saved = tf.raw_ops.SaveV2(
                prefix=str(tmp_path / "ran"), tensor_names=names, shape_and_slices=slices, tensors=[x]
            )
            with tf.control_dependencies([saved]):
                return tf.identity(x)

    image = keras.Input((4,))
    keras.Model(image, layers.Dense(2)(image)).save(tmp_path / "plain", save_format="tf")
    model_code.refuse_code(tmp_path / "plain", "task.baseline")
    keras.Model(image, Saves(name="saves")(image)).save(tmp_path / "model", save_format="tf")
    with pytest.raises(BadInput, match='code that may run .*the operation SaveV2 "'):
        model_code.refuse_code(tmp_path / "model", "task.baseline")


def test_of_everything_that_tensorflow_has_only_what_computes_is_taken():
    """Whatever touches files, calls Python, prints, loads libraries or sends is refused; so is what nobody knows."""
    effects = re.compile(
        r"(Read|Write|Whole|Matching)File|gFiles|PyFunc|^Print|Write.*Summar|Save|Checkpoint|Dataset|Iterator|Rpc|Remote|"
        r"Send|Recv|Debug(?!Grad)|Table|Collective|Session|Worker|Reader|Queue|Abort|^(py_|numpy_|print|load_|save|write|rpc|g?file)"
    )
    operations = [name for name in dir(tf.raw_ops) if effects.search(name)]
    assert len(operations) > 250
    assert not [name for name in (*operations, "OwnOperation") if model_code._computes(name)]
    from tensorflow.python.util import tf_export  # after Keras 2 is chosen

    symbols = [name for name in tf_export._NAME_TO_SYMBOL_MAPPING if effects.search(name.split(".")[-1])]
    assert len(symbols) > 400
    passed = {name for name in symbols if model_code._symbol_computes(name)}
    assert passed == {f"{v1}keras.backend.print_tensor" for v1 in ("", "compat.v1.")}  # writes to the terminal


@pytest.mark.parametrize("broken", [b"{", b"[" * 100_000, b"\xff"])
def test_a_description_that_cannot_be_read_is_one_line(broken, configured):
    path = configured(lambda one: None)
    with h5py.File(path, "r+") as file:
        del file.attrs["model_config"]
        file.attrs["model_config"] = np.bytes_(broken[:60_000])
    with pytest.raises(BadInput, match="no readable description|cannot be rebuilt"):
        own_model.load(path, "task.baseline", allow_code=False)


def test_what_only_computes_is_taken(tmp_path):
    """Operators, functions of TensorFlow and of Keras, activations, nested models, tfmot's and our own layers."""
    image = keras.Input((8, 8, 3))
    x = keras.applications.mobilenet_v2.preprocess_input(image)
    x = tf.nn.relu6(layers.Conv2D(4, 3, activation=tf.nn.swish, kernel_regularizer="l2")(x) + 3.0) * (1 / 6)
    x = tf.concat([x, tf.image.resize(x, (6, 6))], -1)[:, :5]
    x = tf.cast(tf.reshape(keras.activations.gelu(x), (-1, 30, 8)), tf.float32)
    x = layers.Bidirectional(layers.SimpleRNN(2, kernel_constraint="max_norm"))(x)
    model = keras.Model(image, keras.activations.softmax(layers.LayerNormalization()(x)))
    for kind in ("h5", "tf", "keras"):
        model.save(tmp_path / f"model.{kind}", save_format=kind)
        found = own_model.load(tmp_path / f"model.{kind}", "task.baseline", allow_code=False)
        pixels = np.random.default_rng(0).uniform(0, 255, (2, 8, 8, 3)).astype(np.float32)
        np.testing.assert_allclose(found(pixels), model(pixels), rtol=1e-4, atol=1e-6)


def test_bytecode_of_another_python_is_told(planted, tmp_path):
    around(planted[0], "plain").save(tmp_path / "model.h5")
    with h5py.File(tmp_path / "model.h5", "r+") as file:
        config = json.loads(file.attrs["model_config"])
        config["config"]["layers"][1]["config"]["function"][0] = base64.b64encode(b"\xe3" + bytes(40)).decode()
        file.attrs["model_config"] = json.dumps(config)
    with pytest.raises(BadInput, match="runs under the version of Python that wrote it alone"):
        own_model.load(tmp_path / "model.h5", "task.baseline", allow_code=True)


def test_who_wrote_a_file_is_told_where_it_is_not_read(configured, tmp_path):
    path = configured(lambda one: None)
    old = "by Keras 1.2.2, whose .* Load it with Keras 2.0 to 2.2"
    for version, words in (("1.2.2", old), ("4.0", "is not known")):
        with h5py.File(path, "r+") as file:
            file.attrs["keras_version"] = version
        with pytest.raises(BadInput, match=words):
            own_model.is_whole_model(path)
    (tmp_path / "zip.keras").write_bytes(b"PK\x05\x06" + bytes(18))
    with pytest.raises(BadInput, match="is not a .keras file: it holds no config.json. Give a file that"):
        own_model.is_whole_model(tmp_path / "zip.keras")


def test_an_archive_that_grows_beyond_measure_is_never_unpacked(tmp_path):
    with zipfile.ZipFile(tmp_path / "bomb.keras", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("metadata.json", json.dumps({"keras_version": "3.15.1"}))
        archive.writestr("config.json", "{}")
        with archive.open("model.weights.h5", "w", force_zip64=True) as member:
            for _ in range(200):
                member.write(bytes(1 << 20))
    with pytest.raises(BadInput, match="would grow to 0.2 GB when it is unpacked"):
        own_model.is_whole_model(tmp_path / "bomb.keras")


def test_the_flag_is_a_setting_of_the_task():
    if not FLAGS.is_parsed():
        FLAGS(["run"])
    with flagsaver.flagsaver(data=None, weights="mine.h5", allow_code=True, set=[]):
        assert assignments() == ["task.baseline=mine.h5", "task.allow_code=true"]


def test_models_are_read_in_one_place_and_nothing_else_of_a_file_can_run():
    package = Path(own_model.__file__).parents[1]
    runs = re.compile(r"\bload_model\(str|allow_pickle=True|\bimport (pickle|marshal|dill|joblib|shelve|torch)\b|"
                      r"yaml\.\w*load\w*\((?!.*Loader=yaml\.BaseLoader)|"
                      r"(?<![.\w])(eval|exec)\(|func_load|\bmodel_from_|clone_model\(.*load")  # fmt: skip
    found = {path.relative_to(package).as_posix() for path in package.rglob("*.py") if runs.search(path.read_text())}
    trials = {"conversion/trials.py", "conversion/freezing.py"}  # what one process of ours writes for its child
    assert found == {"networks/own_model.py"} | trials
