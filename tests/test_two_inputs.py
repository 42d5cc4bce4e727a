"""A model of two inputs, an image and a speed, goes through every step and into every file as one of one input does."""

from __future__ import annotations

import dataclasses
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import tfmo_drive as td
from tests.contract.test_steps import STEPS, case
from tests.pack.c_api import C_API, MICRO, STRICT, headers
from tfmo_drive.base.keras2 import keras, tf
from tfmo_drive.boards.board import named
from tfmo_drive.commands.ledger import layer_values
from tfmo_drive.commands.lint import lint
from tfmo_drive.contracts import BadInput, Context
from tfmo_drive.expect import Expect
from tfmo_drive.pack.write_pack import write
from tfmo_drive.runtimes import artifact_metadata
from tfmo_drive.steps.distill import Distill
from tfmo_drive.tasks.arrays.array_task import ArrayTask

layers = keras.layers
COUNT = 96


def examples(count: int = COUNT) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Images, and speeds whose scale no image has; both tell the truth."""
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (count, 12, 12, 3), dtype=np.uint8)
    images = (images * np.linspace(0.1, 1, count)[generator.permutation(count), None, None, None]).astype(np.uint8)
    speed = generator.uniform(0, 30, count).astype(np.float32)
    return {"speed": speed, "image": images}, (images.mean((1, 2, 3)) / 50 + speed / 10).astype(np.float32)


def data(**settings) -> td.ArrayData:
    (inputs, truth), parts = examples(), {"train": slice(0, 64), "val": slice(64, 80), "test": slice(80, COUNT)}
    given = {split: ({name: one[part] for name, one in inputs.items()}, truth[part]) for split, part in parts.items()}
    return td.arrays(**given, **settings)


def fused(joined: bool = False) -> keras.Model:
    """Late fusion: behind a Dense layer, or where the raw speed stands beside the image's features."""
    keras.utils.set_random_seed(0)
    image, speed = keras.Input((12, 12, 3), name="image"), keras.Input((1,), name="speed")
    x = layers.Rescaling(1 / 255)(image)
    x = layers.ReLU()(layers.BatchNormalization()(layers.Conv2D(8, 3, use_bias=False)(x)))
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(8, 3, strides=2, activation="relu")(x))
    beside = speed if joined else layers.Dense(8, "relu")(layers.Rescaling(1 / 30)(speed))
    return keras.Model([image, speed], layers.Dense(1)(layers.Dense(16, "relu")(layers.Concatenate()([x, beside]))))


@pytest.fixture(scope="module")
def task() -> ArrayTask:
    return ArrayTask(arrays=data(), model=fused())


@pytest.fixture(scope="module")
def baseline(task):
    return task.build()


@pytest.fixture
def context(task, baseline, tmp_path) -> Context:
    return Context(task, baseline, (td.LiteRTInt8(),), tmp_path, 0)


@pytest.mark.parametrize("joined", [False, True], ids=["a layer of its own", "beside the features"])
def test_the_answers_stay_whatever_is_done_to_raw_inputs(joined):
    task, model = ArrayTask(arrays=data(), model=fused(joined)), fused(joined)
    raw = task.examples("train").read(np.arange(64))[0]
    ready = task.preprocessing(raw)
    assert [rule.input for rule in task.preprocessing.each] == list(ready) == ["image", "speed"]
    assert np.abs(ready["speed"]).max() < 3 and np.abs(ready["image"]).max() <= 1, "not at their scales"
    expected = model({name: one.astype(np.float32) for name, one in raw.items()}).numpy()
    np.testing.assert_allclose(task.build()(ready).numpy(), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("batch", [0, 24])
@pytest.mark.parametrize("named", [True, False], ids=["by name", "in a tuple"])
def test_a_dataset_or_a_tuple_of_several_inputs_is_what_its_arrays_are(named, batch):
    (inputs, truth), parts = examples(), {"train": slice(0, 64), "val": slice(64, 80), "test": slice(80, COUNT)}
    wanted, model = data(), fused()
    order = {name: inputs[name] for name in model.input_names}
    given = {split: {name: one[part] for name, one in order.items()} for split, part in parts.items()}
    if not named:
        given = {split: tuple(one.values()) for split, one in given.items()}
    pairs = {split: (one, truth[parts[split]]) for split, one in given.items()}
    sets = {split: tf.data.Dataset.from_tensor_slices(one) for split, one in pairs.items()}
    found = [td.arrays(**{split: one.batch(batch) if batch else one for split, one in sets.items()})]
    found += [] if named or batch else [td.arrays(**pairs)]
    for one in found:
        task = ArrayTask(arrays=one, model=model)
        assert sorted(task.arrays.inputs.items()) == sorted(wanted.inputs.items())
        for split in parts:
            mine, theirs = task.examples(split), wanted.splits[split]
            every = np.arange(len(theirs))
            (ours, told), (raw, said) = mine.read(every), theirs.read(every)
            assert set(ours) == set(raw) and all(np.array_equal(ours[name], raw[name]) for name in raw)
            np.testing.assert_array_equal(told, said)
            assert len(set(mine.digests.tolist())) == len(every)


@pytest.mark.parametrize("kind", STEPS, ids=lambda kind: kind.__name__)
def test_every_step_takes_both_inputs_and_leaves_them(kind, context, baseline):
    step, fields = case(kind).example, {field.name for field in dataclasses.fields(kind)}
    trained = kind in (td.Prune, td.QuantizeAware)  # one with a teacher and one without; all others train as they do
    less = {"epochs": int(trained), "batch_size": 32, "calibration_images": 8, "macs": 0.8, "learning_rate": 1e-4}
    less |= {"distill": td.SoftLabels(augmented_copies=1) if kind in (td.Prune, Distill) else None, "multiple": 2}
    step = dataclasses.replace(step, **{name: value for name, value in less.items() if name in fields})
    if kind is Distill:
        with pytest.raises(BadInput, match="Distill.student takes one input, and .* takes image, speed"):
            step.refuse(baseline)
        return
    raw = context.task.examples("test").read(np.arange(16))[0]
    made = step(baseline, context)
    assert made.input_names == ["image", "speed"]
    answers, aware = made(context.task.preprocessing(raw)).numpy(), kind is td.QuantizeAware
    file = (td.LiteRTInt8() if aware else td.LiteRTFloat32())(made, context.workdir, context)
    step.check_artifact(file)
    np.testing.assert_allclose(file.predict(raw), answers, atol=(0.1 if aware else 1e-5) * np.ptp(answers), rtol=0)


def packed(board: str, context: Context, baseline: keras.Model) -> Path:
    place = dataclasses.replace(context, workdir=context.workdir / "artifacts")
    place.workdir.mkdir()
    chosen = named(board)
    return write(chosen.target(baseline, place.workdir, place), chosen, board, place, Expect()).folder


def test_a_pack_feeds_both_inputs_and_says_what_keras_says(context, baseline, tmp_path):
    raw = context.task.examples("test").read(np.arange(1))[0]
    number = float(baseline(context.task.preprocessing(raw)).numpy()[0, 0])
    pack = packed("raspberry_pi_4", context, baseline)
    Image.fromarray(raw["image"][0]).save(tmp_path / "image.png")
    words = [f"image={tmp_path / 'image.png'}", f"speed={raw['speed'][0, 0]}"]
    assert said("-I", pack / "verify.py") == "Everything is as it was packed, and says what it said.\n"
    told = [said("-I", pack / "example.py", *words), said("-m", "tfmo_drive", "predict", pack / "model.tflite", *words)]
    assert all(abs(float(text.split()[-1]) - number) < 0.01 for text in told) and " ".join(words) in told[1], told
    assert "speed=NUMBER" in said("-I", pack / "example.py", words[0])
    refused = said("-m", "tfmo_drive", "predict", pack / "model.tflite", "a.png")
    assert "takes image=FILE speed=NUMBER, each once" in refused
    with np.load(pack / "golden.npz") as golden:
        kept = dict(golden)
    assert {"inputs image", "inputs speed"} < kept.keys()
    np.savez(pack / "golden.npz", **kept | {"inputs speed": kept["inputs speed"] + 9})
    assert "steps from the golden outputs" in said("-I", pack / "verify.py")
    if not shutil.which("g++"):
        pytest.skip("no g++ here")
    library = Path(pytest.importorskip("pymicro_wakeword").__file__).parent / "lib"
    build = [*STRICT, "-I", headers(tmp_path, {"c/c_api.h": C_API}), pack / "example.cc",
             library / "libtensorflowlite_c.so", f"-Wl,-rpath,{library}", "-o", tmp_path / "example"]  # fmt: skip
    subprocess.run(build, check=True)
    for name, one in raw.items():
        one[0].tofile(tmp_path / name)
    ran = subprocess.run([tmp_path / "example", tmp_path / "image", tmp_path / "speed"], cwd=pack, capture_output=True,
                         text=True, check=True)  # fmt: skip
    assert abs(float(ran.stdout) - number) < 0.01


def test_a_microcontrollers_pack_feeds_both_inputs(context, baseline, tmp_path):
    pytest.importorskip("tflite_micro")
    folder = packed("stm32h743", context, baseline)
    assert "kRawBytes = 436;" in (folder / "model_facts.h").read_text(), "12 x 12 x 3 bytes, and a float"
    if not shutil.which("g++"):
        pytest.skip("no g++ here")
    called = re.findall(r"resolver\.(\w+)\(\)", (folder / "model_operators.h").read_text())
    methods = " ".join(f"TfLiteStatus {method}();" for method in called)
    include = headers(tmp_path, {name: text.format(methods=methods) for name, text in MICRO.items()})
    subprocess.run([*STRICT, "-fsyntax-only", "-I", include, folder / "example_micro.cc"], check=True)


def said(*words) -> str:
    ran = subprocess.run([sys.executable, *map(str, words)], capture_output=True, text=True)
    return ran.stdout or ran.stderr


NEAR = {"litert_float32": 1e-5, "onnx_float32": 1e-5, "onnx_int8": 0.2}
"""How near a file's answers are, in spans of the answers; sums of onnxruntime's int8 saturate without VNNI."""
TARGETS = [kind for name in td.__all__ if isinstance(kind := getattr(td, name), type)
           and issubclass(kind, td.Target) and kind is not td.Target]  # fmt: skip


@pytest.mark.parametrize("kind", TARGETS, ids=lambda kind: kind.__name__)
def test_every_target_feeds_both_inputs_by_name(kind, context, baseline):
    raw = context.task.examples("test").read(np.arange(16))[0]
    expected = baseline(context.task.preprocessing(raw)).numpy()
    if kind is td.EthosU:
        pytest.importorskip("ethosu")
    artifact = kind()(baseline, context.workdir, context)
    found = artifact.predict(dict(reversed(raw.items())))
    np.testing.assert_allclose(found, expected, atol=NEAR.get(kind.name, 0.1) * np.ptp(expected), rtol=0)
    assert artifact.runner({name: one[0] for name, one in raw.items()}) or kind is td.EthosU
    with pytest.raises(BadInput, match="takes several inputs, image, speed, got one. Give them by name"):
        artifact.predict(raw["image"])
    with pytest.raises(BadInput, match="takes image, speed, got image"):
        artifact.predict({"image": raw["image"]})
    with pytest.raises(BadInput, match=r"speed: takes float32 rows of 1 numbers, got float64"):
        artifact.predict(raw | {"speed": raw["speed"].astype(np.float64)})


def test_compress_gives_rows_of_a_model_of_two_inputs():
    measures = (td.Accuracy(), td.Size(), td.Latency(seconds=0.05), td.Robustness(("fog",), (1,), examples=8))
    found = td.compress(fused(), [td.CorrectBias(calibration_images=8)], data(), measures=measures)
    assert [row.name.split("/")[0] for row in found.rows] == ["baseline", "baseline", "compressed", "compressed"]
    assert all(row["latency_ms"] > 0 and 0 <= row["corruption_score"] <= 1 for row in found.rows)
    facts = artifact_metadata.read(found.rows[1].path)
    assert list(facts["inputs"]) == ["image", "speed"] and facts["inputs"]["image"]["colour_order"] == "RGB"


def test_two_outputs_are_one_once_they_are_joined_as_the_line_says():
    """The rows are of images, of whose answers nothing can be said in words."""
    model = fused()
    model = keras.Model(model.inputs, [model.output, layers.Dense(1, "tanh", name="more")(model.layers[-2].output)])
    inputs, _ = examples()
    both = {split: (inputs, np.concatenate(model.predict(inputs), 1)) for split in ("train", "val", "test")}

    def near(targets, answers):
        return np.clip(1 - np.abs(targets - answers).mean(1), 0, 1)

    settings = {"loss": "mse", "metric": near, "measures": (td.Accuracy(),)}
    with pytest.raises(BadInput, match="the model has 2 outputs; arrays are of one. Join them, ") as refused:
        td.compress(model, [], td.arrays(**both), **settings)
    (code,) = re.findall(r"Join them, (.*), and give", str(refused.value))
    found = td.compress(eval(code, {"keras": keras, "model": model}), [], td.arrays(**both), **settings)
    assert found.rows[0]["score"] == pytest.approx(1, abs=1e-4) and 0.8 < found.rows[1]["score"] < 1


def test_the_ledger_sees_the_layers_of_every_runtime(context, baseline):
    raw = context.task.examples("test").read(np.arange(4))[0]
    file = td.LiteRTInt8()(baseline, context.workdir, context).path
    ready = context.task.preprocessing(raw)
    stages = [layer_values.of_keras(baseline, ready), layer_values.of_litert(file, raw, "reference"),
              layer_values.of_micro(file, raw)]  # fmt: skip
    assert layer_values.parting(*stages[:2], 15.0, same_file=False) is None
    apart = layer_values.parting(*stages[1:], 15.0, same_file=True)
    assert apart is None or apart.steps <= 1, "FULLY_CONNECTED differs by one now and then"


def test_lint_looks_at_both_inputs_and_behind_them(task):
    model, raw = task.build(), task.examples("train").read(np.arange(64))[0]
    rule = task.preprocessing
    assert "unlike train" not in [one.kind for one in lint.findings(model, rule, raw, raw)]
    found = lint.findings(model, rule, raw | {"speed": raw["speed"] * np.float32(3.6)}, raw)
    (unlike,) = (one for one in found if one.kind == "unlike train")
    assert unlike.message.startswith("speed: ")
    (driven,) = (layer for layer in model.layers if isinstance(layer, layers.Dense) and layer.input_shape[-1] == 1)
    kernel, bias = driven.get_weights()
    driven.set_weights([np.abs(kernel) * 1e4, bias])
    (shared,) = (one for one in lint.findings(model, rule, raw, raw) if one.kind == "shared scale")
    assert f" and {driven.name} " in shared.message


def stranger() -> keras.Model:
    image, other = keras.Input((12, 12, 3), name="image"), keras.Input((1,), name="steering")
    return keras.Model([image, other], layers.Dense(1)(layers.Concatenate()([layers.Flatten()(image), other])))


def alone(**inputs) -> td.ArrayData:
    given = (inputs, np.zeros(len(next(iter(inputs.values()))), np.float32))
    return td.arrays(train=given, val=given, test=given)


IMAGES, NUMBERS = np.zeros((4, 12, 12, 3), np.uint8), np.zeros(4, np.float32)
REFUSED = {
    "another name": (lambda: td.compress(stranger(), [], data()), "takes image, steering, the data has speed, image"),
    "one array for two inputs": (
        lambda: td.compress(fused(), [], td.arrays(*[(IMAGES, NUMBERS)] * 3)), "takes image, speed, the data has one"),
    "another shape": (
        lambda: td.compress(fused(), [], alone(image=IMAGES, speed=np.zeros((4, 2)))), r"takes inputs of \[1\].*\[2\]"),
    "one name": (lambda: alone(image=IMAGES), "inputs by name are for two or more, train has 1"),
    "unequal counts": (lambda: alone(image=IMAGES, speed=NUMBERS[:3]), "got 3 inputs and 4 targets"),
    "a speed that is no number": (lambda: alone(image=IMAGES, speed=NUMBERS * np.nan), "train speed has .* not finite"),
    "a range for nobody": (lambda: data(input_range=(0, 30)), "of several inputs must be by name, as {'speed'"),
    "a range for another": (lambda: data(input_range={"pace": (0, 9)}), "is of pace, which is no input of the data"),
    "a range too narrow": (lambda: data(input_range={"speed": (0, 9)}), r"speed has inputs in .*outside input_range"),
    "a dataset of one name": (
        lambda: td.arrays(*[tf.data.Dataset.from_tensor_slices(({"image": IMAGES}, NUMBERS))] * 3),
        "inputs by name are for two or more, train has 1"),
    "a dataset of unequal shapes": (
        lambda: td.arrays(*[tf.data.Dataset.from_generator(
            lambda: (({"a": np.zeros((2, 2)), "b": np.zeros(size)}, 0.0) for size in (2, 3)),
            output_signature=({"a": tf.TensorSpec((2, 2)), "b": tf.TensorSpec((None,))}, tf.TensorSpec(())))] * 3),
        "the Dataset of train must give examples of one shape"),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_what_does_not_fit_is_refused_in_one_line(what):
    given, said = REFUSED[what]
    with pytest.raises(BadInput, match=said):
        given()
