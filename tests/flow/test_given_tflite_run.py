"""A `.tflite` through a whole run: the rows that can be made of it, what it is compared with, and what it refuses."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

import tfmo_drive as td
from tfmo_drive.base.keras2 import keras
from tfmo_drive.commands.lint import lint
from tfmo_drive.contracts import BadInput, Context
from tfmo_drive.conversion import conversion
from tfmo_drive.conversion.freezing import freeze
from tfmo_drive.data import preprocessing_text
from tfmo_drive.flow import stages
from tfmo_drive.report.rendering.markdown import terminal
from tfmo_drive.runtimes import artifact_metadata, given_tflite, tflite_model
from tfmo_drive.training.scoring import Scorer

layers = keras.layers
MEASURES = (td.Accuracy(), td.Size())


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A float and an int8 file of one network, as somebody else would have them: preprocessed pixels go in."""
    keras.utils.set_random_seed(0)
    image = keras.Input((16, 16, 3))
    model = keras.Model(image, layers.Dense(9)(layers.Flatten()(layers.Conv2D(4, 3, 2, activation="relu")(image))))
    pixels = dataclasses.replace(preprocessing_text.preprocessing("none"), input_range=(-1.0, 1.0), dtype="float32")
    frozen = freeze(model, pixels)
    inputs = np.random.default_rng(0).uniform(-1, 1, (16, 16, 16, 3)).astype(np.float32)
    folder = tmp_path_factory.mktemp("files")
    (folder / "float.tflite").write_bytes(conversion.float32(frozen))
    (folder / "int8.tflite").write_bytes(conversion.int8(frozen, inputs))
    return folder


@pytest.fixture(scope="module")
def data():
    random = np.random.default_rng(0)
    pixels, labels = random.integers(0, 256, (48, 16, 16, 3), dtype=np.uint8), np.arange(48) % 2
    splits = {"train": (pixels, labels), "val": (pixels[:16], labels[:16]), "test": (pixels[16:32], labels[16:32])}
    return td.arrays(**splits, preprocessing="tf")


def opened(path):
    return tflite_model.model_of(given_tflite.read(path, "it"))


@pytest.fixture
def untried(monkeypatch):
    """Trials before training start TensorFlow anew, and are tested where all models are tried."""
    monkeypatch.setattr(stages, "refused", lambda *_: {})


def test_a_float_file_is_the_reference_and_is_quantised(files, data, untried):
    targets = [td.LiteRTInt8(), td.LiteRTDynamic(), td.LiteRTFloat16(), td.OnnxFloat32()]
    result = td.compress(files / "float.tflite", [], data, targets=targets, measures=MEASURES)
    assert [row.name for row in result.rows] == [f"baseline/{name}" for name in
                                                 ("litert_float32", "litert_int8", "litert_dynamic", "litert_float16",
                                                  "onnx_float32")]  # fmt: skip
    reference, integer, dynamic, half, onnx = result.rows
    assert onnx["score_delta"] == 0 and integer["size_bytes"] < reference["size_bytes"]
    assert "float baseline" in terminal(result._report)
    assert not result._report.get("skipped")
    assert half["size_bytes"] < reference["size_bytes"] and dynamic["size_bytes"] < half["size_bytes"]


def test_an_integer_file_is_its_own_reference_on_every_target_that_takes_it(files, data, untried):
    targets = [td.LiteRTInt8(), td.TFLiteMicro(), td.OnnxInt8()]
    result = td.compress(str(files / "int8.tflite"), [], data, targets=targets, measures=MEASURES)
    assert [row["target"] for row in result.rows] == ["litert_int8", "tflite_micro", "onnx_int8"]
    assert result.rows[0]["reference"] and not any(row["reference"] for row in result.rows[1:])
    assert "ms (given)" in str(result.rows) and "It is the given file." in terminal(result._report)
    facts = artifact_metadata.read(result.rows[0].path)
    assert facts["tensors"]["inputs"][0]["scale"] == 1.0 and not facts["quantize_aware"]


@pytest.mark.parametrize(
    ("steps", "more", "words"),
    [
        ([td.Prune()], {}, "Prune cannot change float.tflite, which is a .tflite: its layers are finished. Give the"),
        ([], {"training": td.Train(epochs=1)}, "a .tflite cannot be trained"),
    ],
)
def test_what_makes_no_sense_of_a_file_is_refused_before_anything_is_made(steps, more, words, files, data, tmp_path):
    with pytest.raises(BadInput, match=words):
        td.compress(files / "float.tflite", steps, data, workdir=tmp_path / "run", measures=MEASURES, **more)
    assert not (tmp_path / "run" / "artifacts").exists()


def test_lint_measures_the_layers_of_a_float_file(files, tmp_path):
    """Channels of very unlike size share a scale: the layer is named, with how far it is above its rounding."""
    keras.utils.set_random_seed(0)
    image = keras.Input((16, 16, 3))
    spread = layers.Conv2D(8, 3, name="spread")
    tail = layers.DepthwiseConv2D(3, name="reading")
    model = keras.Model(image, layers.Dense(2)(layers.Flatten()(tail(spread(image)))))
    spread.set_weights([one * np.logspace(0, -4, 8).astype(np.float32) for one in spread.get_weights()])
    rule, raw = (
        preprocessing_text.preprocessing("unit"),
        np.random.default_rng(0).integers(0, 256, (8, 16, 16, 3), dtype=np.uint8),
    )
    (tmp_path / "spread.tflite").write_bytes(conversion.base(freeze(model, preprocessing_text.preprocessing("none"))))
    found = lint.findings(opened(tmp_path / "spread.tflite"), rule, raw, raw)
    assert found[0].kind == "noisy layer" and {one.layer for one in found} & {"spread", "reading"}
    assert lint.findings(opened(files / "float.tflite"), preprocessing_text.preprocessing("tf"), raw, raw) == ()
    with pytest.raises(BadInput, match="int8.tflite is int8 already"):
        lint.findings(opened(files / "int8.tflite"), preprocessing_text.preprocessing("tf"), raw, raw)


@pytest.mark.parametrize("target", [td.LiteRTFloat32(), td.LiteRTInt8()], ids=lambda one: one.name)
def test_a_file_of_ours_given_back_knows_its_preprocessing_and_its_classes(target, tiny_task, tmp_path):
    context = Context(tiny_task, None, (), tmp_path, 0)
    artifact = target(tiny_task.build(), tmp_path, context)
    given = dataclasses.replace(tiny_task, baseline=str(artifact.path))
    assert given.preprocessing.is_identity and not tiny_task.preprocessing.is_identity
    raw = tiny_task.examples("test").read(np.arange(8))[0]
    model = given.build()
    np.testing.assert_allclose(Scorer(model, given).said("test", np.arange(8))[0], artifact.predict(raw), atol=1e-4)
    again = target(model, tmp_path, dataclasses.replace(context, task=given))
    np.testing.assert_allclose(again.predict(raw), artifact.predict(raw), atol=1e-4)
    with pytest.raises(BadInput, match="what preprocesses them is inside it already. Leave task.preprocessing_name"):
        dataclasses.replace(given, preprocessing_name="caffe").build()
    facts = artifact_metadata.read(artifact.path)
    artifact_metadata.write(artifact.path, facts | {"labels": facts["labels"][::-1]})
    with pytest.raises(BadInput, match="was trained on other classes, or in another order"):
        dataclasses.replace(given).build()


def test_a_file_for_other_inputs_says_which_preprocessing_it_wants(files, tiny_task):
    small = dataclasses.replace(tiny_task, image_size=16, baseline=str(files / "int8.tflite"))
    with pytest.raises(BadInput, match="say how its input was made, with --set=task.preprocessing_name=NAME"):
        small.build()
    wanted = (
        "takes inputs of -0.99.* to 1.00.*, and preprocessing unit gives 0 to 1. Say --set=task.preprocessing_name=tf"
    )
    with pytest.raises(BadInput, match=wanted):
        dataclasses.replace(small, preprocessing_name="unit").build()
    assert dataclasses.replace(small, preprocessing_name="tf").build().output_shape == (None, 9)
