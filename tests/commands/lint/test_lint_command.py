"""What would go wrong in int8 is found where it was planted, with the step that mends it; a plain network is silent."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from absl.testing import flagsaver
from PIL import Image

from tfmo_drive.base.keras2 import keras, tf
from tfmo_drive.commands.command_line import guarded
from tfmo_drive.commands.lint import calibration_set, int8_forecast, lint
from tfmo_drive.contracts import BadInput
from tfmo_drive.steps.equalize import Equalize
from tfmo_drive.steps.spoilers.spread import Spread
from tfmo_drive.targets.litert import LiteRTFloat16
from tfmo_drive.targets.onnx import OnnxInt8

TINY = ("task.image_size=32", "task.network.blocks=1", "task.network.width=0.25", "task.scenes.train=256")


@pytest.fixture(scope="module")
def look(context, tiny_task):
    """look(model, images): what is found, by default of 100 calibration images."""
    raw, train = context().calibration(100), lint.sampled(tiny_task, 0)

    def call(model, images=lambda raw: raw):
        return lint.findings(model, tiny_task.preprocessing, images(raw), train)

    return call


def kinds(found, layer=calibration_set.NAME) -> list[str]:
    return [one.kind for one in found if one.layer == layer]


def test_a_plain_network_and_its_calibration_images_are_silent(look, tiny_baseline):
    assert look(tiny_baseline) == ()


def test_what_was_made_hard_on_purpose_is_told_and_equalized_away(look, context, tiny_baseline):
    hard = Spread()(tiny_baseline, context())
    found = look(hard)
    assert {one.kind for one in found} == {"outlier channel"} and len(found) > 3
    assert {one.mend for one in found} == {int8_forecast.EQUALIZE}
    assert [one.bits_lost for one in found] == sorted((one.bits_lost for one in found), reverse=True)
    assert look(Equalize()(hard, context())) == ()


@pytest.mark.parametrize(("images", "found"), [
    (lambda raw: raw[:1].repeat(100, axis=0), ["repeated", "too small"]),
    (lambda raw: raw[np.arange(100) % 80], ["repeated"]),
    (lambda raw: raw[:8], ["too small"]),
    (lambda raw: (raw / 255).astype(np.float32), ["unlike train"]),
    (lambda raw: raw.astype(np.float32) - 128, ["unlike train"]),
    (lambda raw: raw.mean(-1, keepdims=True).astype(np.uint8).repeat(3, axis=-1), ["unlike train"]),
    (lambda raw: raw // 4, ["unlike train"]),
    (lambda raw: raw // 4 + 191, ["unlike train"]),
], ids=["one image", "a fifth again", "eight", "unit", "centred", "grey", "dark", "pale"])  # fmt: skip
def test_a_bad_calibration_set_is_told(look, tiny_baseline, images, found):
    assert set(found) <= set(kinds(look(tiny_baseline, images))) <= {*found, "one class", "too small"}


def test_a_set_of_one_class_is_told_without_labels(look, tiny_task, tiny_baseline):
    examples = tiny_task.examples("train")
    raw = examples.read(np.arange(len(examples)))[0]
    decided = tiny_baseline.predict(tiny_task.preprocessing(raw), verbose=0).argmax(-1)
    one = np.flatnonzero(decided == np.bincount(decided).argmax())[:40]
    assert "one class" in kinds(look(tiny_baseline, lambda _: raw[one]))


@pytest.fixture
def command(tmp_path, capsys, monkeypatch):
    """Run the command in this process: (exit code, stdout, stderr); everything goes into tmp_path / "run"."""
    monkeypatch.chdir(Path(lint.__file__).parents[3])

    def call(**given):
        given = {"experiment": "smoke", "set": list(TINY), "workdir": str(tmp_path / "run")} | given
        with flagsaver.flagsaver(**given):
            if not lint.FLAGS.is_parsed():
                lint.FLAGS(["lint"])
            code = guarded(lint.main)(["lint"])
        return code, *capsys.readouterr()

    return call


def test_the_command_prints_and_keeps_what_it_found(command, tiny_baseline, tmp_path):
    weights, folder = tmp_path / "tiny.h5", tmp_path / "mine"
    tiny_baseline.save_weights(str(weights), save_format="h5")
    folder.mkdir()
    for name in ("a.png", "b.png"):
        Image.new("RGB", (40, 30), (200, 10, 10)).save(folder / name)
    code, printed, errors = command(weights=str(weights), calibration=str(folder))
    assert code == 0, errors
    said = json.loads((tmp_path / "run/lint.json").read_text())
    assert said["calibration_images"] == 2
    assert {"repeated", "too small"} <= {one["kind"] for one in said["findings"]}
    lines = printed.splitlines()
    assert len(lines) == len(said["findings"]) and all("Mend: " in line for line in lines)
    assert "calibration set: repeated: of 2 images only 1 differs." in printed


@pytest.mark.parametrize(("given", "words"), [
    ({"calibration": "nowhere"}, "no images under nowhere"),
    ({"experiment": "smok"}, "smoke"),
])  # fmt: skip
def test_bad_input_is_one_line(command, tmp_path, given, words):
    code, _, errors = command(**given)
    lines = [line for line in errors.splitlines() if line.startswith("error: ")]
    assert code == 1 and len(lines) == 1 and words in lines[0]
    assert not (tmp_path / "run/lint.json").exists()


def test_a_folder_of_images_is_no_calibration_of_rows(tmp_path):
    from tfmo_drive.tasks.sensor_rows.sensor_rows import SensorRows

    with pytest.raises(BadInput, match="takes rows"):
        lint.images(tmp_path, SensorRows())


def test_a_quantize_aware_model_is_refused(look, context, tiny_baseline, monkeypatch):
    monkeypatch.setattr("tfmo_drive.networks.fake_quant.is_quantize_aware", lambda model: True)
    with pytest.raises(BadInput, match="Give the float model"):
        look(tiny_baseline)


@pytest.mark.parametrize(("layer", "words", "mend"), [
    (lambda: tf.sin, "SIN of tf.math.sin", "LiteRTMixed"),
    (lambda: keras.layers.LSTM(4, name="reader"), "reader (LSTM)", "LiteRTFloat16"),
], ids=["sine", "lstm"])  # fmt: skip
def test_what_no_int8_file_can_be_made_of_is_told_before_all_else(layer, words, mend, context):
    """Of the experiment's targets, and of LiteRTInt8, whether it is one of them or not."""
    image = keras.Input((32, 32, 3))
    rows = layer()(keras.layers.Reshape((16, -1))(keras.layers.Conv2D(2, 3, 2, "same")(image)))
    model = keras.Model(image, keras.layers.Dense(9)(keras.layers.Flatten()(rows)))
    work = dataclasses.replace(context(), baseline=model, targets=(LiteRTFloat16(), OnnxInt8()))
    found = {one.layer: one for one in lint.unmade(work)}
    assert found["litert_int8"].kind == "no file" and "litert_float16" not in found
    assert words in found["litert_int8"].message and mend in found["litert_int8"].mend
