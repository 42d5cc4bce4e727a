"""A model file and an image are enough; TensorFlow is not needed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tfmo_drive.contracts import Preprocessing
from tfmo_drive.core import artifact_metadata, conversion
from tfmo_drive.core.freezing import freeze
from tfmo_drive.core.images import Resize
from tfmo_drive.core.keras2 import keras
from tfmo_drive.predict import classify

FACTS = {
    "task": "classification",
    "labels": ["red", "green", "blue"],
    "input": {"height": 8, "width": 6, "colour_order": "RGB", "resize": Resize().to_dict()},
    "output": {"kind": "logits"},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Models whose logits are the mean colour, in both formats, and pictures of one colour each."""
    folder = tmp_path_factory.mktemp("predict")
    image = keras.Input((8, 6, 3))
    model = keras.Model(image, keras.layers.Dense(3, name="logits")(keras.layers.GlobalAveragePooling2D()(image)))
    model.get_layer("logits").set_weights([np.eye(3, dtype=np.float32) / 50, np.zeros(3, np.float32)])
    frozen = freeze(model, Preprocessing("none"))
    greys = np.random.default_rng(0).integers(0, 256, (8, 8, 6, 3), dtype=np.uint8)
    artifact_metadata.save(folder / "model.tflite", conversion.int8(frozen, greys), FACTS)
    artifact_metadata.save(folder / "model.onnx", conversion.onnx_float32(frozen), FACTS)
    (folder / "bare.tflite").write_bytes(conversion.float32(frozen))
    artifact_metadata.save(folder / "boxes.tflite", conversion.float32(frozen), {**FACTS, "task": "detection"})
    for name, colour in {"red": (200, 30, 30), "blue": (30, 30, 200)}.items():
        Image.new("RGB", (31, 17), colour).save(folder / f"{name}.png")
    (folder / "broken.png").write_bytes((folder / "red.png").read_bytes()[:40])
    return folder


def predict(*arguments: str, cwd: Path) -> subprocess.CompletedProcess:
    """The real command, in a Python that cannot import TensorFlow."""
    code = (
        "import sys, runpy; sys.modules['tensorflow'] = None; sys.modules['tf_keras'] = None; "
        "sys.argv = ['predict', *sys.argv[1:]]; runpy.run_module('tfmo_drive.predict', run_name='__main__')"
    )
    root = Path(__file__).parents[1]
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=cwd, capture_output=True, text=True,
        env={"PYTHONPATH": str(root), "PATH": "/usr/bin:/bin", "TF_USE_LEGACY_KERAS": "1"}, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("kind", ["tflite", "onnx"])
def test_answers_without_tensorflow(kind, folder):
    done = predict(f"model.{kind}", "red.png", "blue.png", "--top=2", cwd=folder)
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    assert [line[-1] for line in lines if len(line) == 2][::2] == ["red", "blue"]
    assert ["red.png"] in lines and ["blue.png"] in lines and len(lines) == 6


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "Give a model and at least one image"),
        (("nothing.tflite", "red.png"), "nothing.tflite does not exist"),
        (("bare.tflite", "red.png"), "bare.tflite carries no tfmo_drive metadata"),
        (("boxes.tflite", "red.png"), "boxes.tflite does detection"),
        (("model.tflite", "broken.png"), "broken.png cannot be read"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_1(arguments, message, folder):
    done = predict(*arguments, cwd=folder)
    lines = [line for line in done.stderr.splitlines() if "XNNPACK" not in line]
    assert done.returncode == 1 and len(lines) == 1 and message in lines[0]


def test_probabilities_sum_to_one_and_are_not_taken_twice():
    facts = {"labels": ["a", "b"], "output": {"kind": "logits"}}
    assert classify(np.log(np.float32([1, 3])), facts, 5) == [("b", pytest.approx(0.75)), ("a", pytest.approx(0.25))]
    facts["output"]["kind"] = "probabilities"
    assert classify(np.float32([0.25, 0.75]), facts, 1) == [("b", 0.75)]
