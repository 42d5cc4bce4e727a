"""A model file and an image are enough; TensorFlow is not needed."""

from __future__ import annotations

import dataclasses
import itertools
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from absl import flags
from absl.testing import flagsaver
from PIL import Image

from tfmo_drive.base.keras2 import keras
from tfmo_drive.commands import predict as command
from tfmo_drive.commands.predicted_picture import drawn
from tfmo_drive.contracts import Preprocessing
from tfmo_drive.conversion import conversion
from tfmo_drive.conversion.freezing import freeze
from tfmo_drive.data.images import Resize
from tfmo_drive.pack.example import decoded
from tfmo_drive.runtimes import artifact_metadata
from tfmo_drive.scores.pictures import COLOURS

FACTS = {
    "task": "classification",
    "labels": ["red", "green", "blue"],
    "input": {"height": 8, "width": 6, "colour_order": "RGB", "resize": Resize().to_dict()},
    "decode": {"kind": "logits"},
}
ROWS = {"task": "rows", "input": {"columns": ["a", "b"]},
        "decode": {"kind": "number", "scale": 3.0, "offset": 100.0, "unit": "m"}}  # fmt: skip


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
    row = keras.Input((2,))
    numbers = keras.Model(row, keras.layers.Dense(1, name="number", kernel_initializer="ones")(row))
    rows = conversion.float32(
        freeze(numbers, Preprocessing("none", (0, 1), (1.0, 1.0), (0.0, 0.0), "row", None, "float32"))
    )
    artifact_metadata.save(folder / "rows.tflite", rows, ROWS)
    series = {"input": {"shape": [2], "dtype": "float32"}, "decode": {"kind": "other", "rule": "as its user knows"}}
    artifact_metadata.save(folder / "series.tflite", rows, series)
    np.save(folder / "two.npy", np.float32([[1, 2], [0.5, -3]]))
    np.save(folder / "wide.npy", np.float32([[1, 2, 3]]))
    unknown = {**ROWS, "decode": {"kind": "moods"}}
    artifact_metadata.save(folder / "moods.tflite", rows, unknown)
    artifact_metadata.save(folder / "older.tflite", rows, {"task": "rows", "input": ROWS["input"], "output": {}})
    (folder / "rows.csv").write_text("b,c,a\n1,x,2\n0.5,y,-1\n")
    (folder / "words.csv").write_text("a,b\n1,two\n")
    for name, colour in {"red": (200, 30, 30), "blue": (30, 30, 200)}.items():
        Image.new("RGB", (31, 17), colour).save(folder / f"{name}.png")
    (folder / "empty").mkdir()
    (folder / "broken.png").write_bytes((folder / "red.png").read_bytes()[:40])
    return folder


def saved(folder: Path, name: str, outputs: dict[str, int], facts: dict) -> None:
    """A model on the picture's mean colour, with these outputs, each [2, 2, channels] of equal cells."""
    image = keras.Input((8, 8, 3))
    pooled = keras.layers.AveragePooling2D(4)(image)
    ends = [keras.layers.Conv2D(channels, 1, name=output)(pooled) for output, channels in outputs.items()]
    model = keras.Model(image, ends if len(ends) > 1 else ends[0])
    for output, channels in outputs.items():
        kernel = np.zeros((1, 1, 3, channels), np.float32)
        if output in ("scores", "mask"):
            kernel[0, 0, 0, 0] = 0.05  # the redder, the more it is the first class
        bias = np.full(channels, {"scores": -5.0, "mask": 5.0, "boxes": np.log(3.0)}[output], np.float32)
        model.get_layer(output).set_weights([kernel, bias])
    facts = {**FACTS, "input": {**FACTS["input"], "width": 8}, "labels": ["red", "blue"], **facts}
    artifact_metadata.save(folder / name, conversion.float32(freeze(model, Preprocessing("none"))), facts)


def predict(*arguments: str, cwd: Path) -> subprocess.CompletedProcess:
    """The real command, in a Python that cannot import TensorFlow."""
    code = (
        "import sys, runpy; sys.modules['tensorflow'] = None; sys.modules['tf_keras'] = None; "
        "sys.argv = ['tfmo-drive', 'predict', *sys.argv[1:]]; runpy.run_module('tfmo_drive', run_name='__main__')"
    )
    root = Path(__file__).parents[2]
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


DETECTION = {"kind": "detections", "stride": 4, "candidates": 9, "iou": 0.9, "limit": 9, "threshold": 0.5}


def test_boxes_are_said_in_the_pixels_of_the_source(folder):
    saved(folder, "boxes.tflite", {"scores": 2, "boxes": 4}, {"task": "detection", "decode": DETECTION})
    done = predict("boxes.tflite", "red.png", "blue.png", cwd=folder)
    assert done.returncode == 0, done.stderr
    lines = [line.strip() for line in done.stdout.splitlines()]
    # The cell at (2, 2) px, 3 px each way, clipped: 5 of 8 px are 19 of 31 across and 11 of 17 down.
    assert any(line.startswith("99.3%  red  at 0, 0, 19, 11") for line in lines), lines
    assert lines[-2:] == ["blue.png", "nothing"], "a blue picture shows nothing red"


def test_a_mask_is_said_in_shares_of_the_picture(folder):
    saved(folder, "mask.tflite", {"mask": 2}, {"decode": {"kind": "segmentation logits"}})
    done = predict("mask.tflite", "red.png", cwd=folder)
    assert [line.strip() for line in done.stdout.splitlines()] == ["red.png", "100.0%  red", "0.0%  blue"], done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "Give a model and at least one image"),
        (("nothing.tflite", "red.png"), "nothing.tflite does not exist"),
        (("bare.tflite", "red.png"), "bare.tflite carries no tfmo_drive metadata"),
        (
            ("bare.tflite", "red.png"),
            "Say it with an experiment of its task, data of its kind, its classes in their order",
        ),
        (
            ("model.tflite", "red.png", "--data=images"),
            "model.tflite says itself what it takes and answers. Leave --data",
        ),
        (("rows.tflite", "red.png"), "red.png is not a CSV file in UTF-8"),
        (("rows.tflite", "words.csv"), "words.csv, line 2: \"b\" must be a number, got 'two'"),
        (("series.tflite", "wide.npy"), "wide.npy is not an array that the model takes"),
        (("moods.tflite", "rows.csv"), "moods.tflite: its metadata tells of moods, which nothing here reads"),
        (("older.tflite", "rows.csv"), "older.tflite: its metadata does not say how its output is read"),
        (("model.tflite", "broken.png"), "broken.png cannot be read"),
        (("rows.tflite", "rows.csv", "--draw=seen"), "rows.tflite: it takes rows of numbers, and --draw is for images"),
        (("rows.tflite", "empty"), "empty holds no file that ends in .csv. Name another folder."),
    ],
)
def test_bad_input_is_one_line_and_exit_code_1(arguments, message, folder):
    done = predict(*arguments, cwd=folder)
    lines = [line for line in done.stderr.splitlines() if "XNNPACK" not in line]
    assert done.returncode == 1 and len(lines) == 1 and message in lines[0]


@pytest.mark.parametrize("kind", ["float32", "int8"])
def test_a_file_of_another_maker_answers_as_the_flags_describe_it(kind, tmp_path, capsys):
    random = np.random.default_rng(0)
    for number in range(12):
        for split, (name, colour) in itertools.product(("train", "val", "test"), {"blue": 2, "red": 0}.items()):
            pixels = random.integers(0, 90, (16, 16, 3), np.uint8)
            pixels[..., colour] += 120
            (tmp_path / "data" / split / name).mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(tmp_path / "data" / split / name / f"{number}.png")
    image = keras.Input((16, 16, 3))
    model = keras.Model(image, keras.layers.Dense(2)(keras.layers.GlobalAveragePooling2D()(image)))
    model.set_weights([np.float32([[0, 9], [0, 0], [9, 0]]), np.zeros(2, np.float32)])
    inputs = random.uniform(0, 1, (8, 16, 16, 3)).astype(np.float32)
    unit = dataclasses.replace(Preprocessing("none"), input_range=(0.0, 1.0), dtype="float32")
    made = (
        conversion.float32(freeze(model, unit)) if kind == "float32" else conversion.int8(freeze(model, unit), inputs)
    )
    (tmp_path / "theirs.tflite").write_bytes(made)
    flags.FLAGS.mark_as_parsed()
    described = {"experiment": "post_training", "data": str(tmp_path / "data")}
    (tmp_path / "classes.txt").write_text("blue\nred\n")
    settings = ["task.image_size=16", "task.preprocessing_name=unit", f"task.classes={tmp_path / 'classes.txt'}"]
    with flagsaver.as_parsed(**described, set=settings):
        command.main(["predict", str(tmp_path / "theirs.tflite"), str(tmp_path / "data" / "test" / "red")])
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert len(lines) == 36 and all(line[-1] == "red" for line in lines[1::3])


def test_rows_of_a_csv_are_found_by_their_names_and_said_in_the_unit(folder):
    done = predict("rows.tflite", "rows.csv", cwd=folder)
    assert done.returncode == 0, done.stderr
    wanted = ["rows.csv, line 2", "109 m", "rows.csv, line 3", "98.5 m"]  # 100 + 3 (a + b)
    assert [line.strip() for line in done.stdout.splitlines()] == wanted


def test_arrays_of_any_shape_and_outputs_that_nobody_else_reads_are_told_as_numbers(folder):
    done = predict("series.tflite", "two.npy", cwd=folder)
    assert done.returncode == 0, done.stderr
    wanted = ["two.npy, example 1", "3", "two.npy, example 2", "-2.5"]
    assert [line.strip() for line in done.stdout.splitlines()] == wanted


def test_probabilities_sum_to_one_and_are_not_taken_twice():
    facts = {"labels": ["a", "b"], "decode": {"kind": "logits"}}
    found = [tuple(one.values()) for one in decoded({"logits": np.log(np.float32([1, 3]))}, facts)]
    assert found == [("b", pytest.approx(0.75)), ("a", pytest.approx(0.25))]
    facts["decode"]["kind"] = "probabilities"
    assert decoded({"logits": np.float32([0.25, 0.75])}, facts)[0] == {"label": "b", "score": 0.75}


def _colour(path: Path, x: float, y: float) -> tuple[int, ...]:
    picture = Image.open(path).convert("RGB")
    return picture.getpixel((int(x * picture.width), int(y * picture.height)))


@pytest.fixture
def seen(folder, tmp_path) -> Path:
    """A folder of images, two of them of one name."""
    (tmp_path / "in" / "b").mkdir(parents=True)
    for name in ("red.png", "blue.png", "b/red.png"):
        (tmp_path / "in" / name).write_bytes((folder / Path(name).name).read_bytes())
    (tmp_path / "in" / "notes.txt").write_text("not an image")
    return tmp_path


def test_a_folder_stands_for_its_images_and_json_for_their_answers(folder, seen):
    saved(folder, "boxes.tflite", {"scores": 2, "boxes": 4}, {"task": "detection", "decode": DETECTION})
    done = predict(str(folder / "boxes.tflite"), "in", "--json", cwd=seen)
    assert done.returncode == 0, done.stderr
    told = {one["input"]: one["answers"] for one in map(json.loads, done.stdout.splitlines())}
    assert sorted(told) == ["in/b/red.png", "in/blue.png", "in/red.png"] and told["in/blue.png"] == []
    first = told["in/red.png"][0]
    assert first["label"] == "red" and first["score"] > 0.9 and max(first["box"]) <= 31
    single = predict(str(folder / "model.tflite"), "in/red.png", "--json", "--top=1", cwd=seen)
    (answer,) = json.loads(single.stdout)["answers"]
    assert answer["label"] == "red"


def test_what_is_found_is_drawn_and_no_image_is_written_over(folder, seen):
    saved(folder, "boxes.tflite", {"scores": 2, "boxes": 4}, {"task": "detection", "decode": DETECTION})
    before = {path: path.read_bytes() for path in (seen / "in").rglob("*.*")}
    for _ in range(2):  # the second time its own pictures lie among the images
        done = predict(str(folder / "boxes.tflite"), "in", "in/red.png", "--draw=in", cwd=seen)
        assert done.returncode == 1 and "--draw=in holds the images of in themselves" in done.stderr
        done = predict(str(folder / "boxes.tflite"), "in", "in/b/red.png", "--draw=in/seen", cwd=seen)
        assert done.returncode == 0, done.stderr
    names = sorted(str(path.relative_to(seen / "in/seen")) for path in (seen / "in/seen").rglob("*.*"))
    assert names == ["b/red_predicted.png", "blue_predicted.png", "red_predicted.png"]
    assert all(path.read_bytes() == data for path, data in before.items())
    plain, boxed = (
        _colour(seen / "in/seen/blue_predicted.png", 0.5, 0.5),
        Image.open(seen / "in/seen/red_predicted.png"),
    )
    assert plain == (30, 30, 200) and boxed.width >= 320
    assert COLOURS[0] in {colour for _, colour in boxed.convert("RGB").getcolors(1 << 20)}


def test_masks_and_words_are_drawn_too(folder, seen):
    saved(folder, "mask.tflite", {"mask": 2}, {"decode": {"kind": "segmentation logits"}})
    for model in ("mask", "model"):
        done = predict(str(folder / f"{model}.tflite"), "in/red.png", f"--draw={model}", cwd=seen)
        assert done.returncode == 0, done.stderr
    tint = 0.45 * np.array([200, 30, 30]) + 0.55 * np.array(COLOURS[0])
    assert np.abs(_colour(seen / "mask/red_predicted.png", 0.5, 0.5) - tint).max() < 2
    assert _colour(seen / "model/red_predicted.png", 0.5, 0.2) == (200, 30, 30)


def test_the_arrow_of_a_steering_angle_is_drawn():
    facts = {"decode": {"kind": "number", "scale": 25.0, "offset": 0.0, "unit": "degrees", "positive": "to the right"}}
    left, right = (drawn(np.zeros((60, 80, 3), np.uint8), {"a": np.float32([value])}, facts) for value in (-1, 1))
    green = [np.argwhere((picture == COLOURS[2]).all(-1))[:, 1].mean() for picture in (left, right)]
    assert green[0] < 160 < green[1]
