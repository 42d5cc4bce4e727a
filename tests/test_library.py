"""What `import tfmo_drive` offers, and a model compressed in a few lines: the same bytes as by an experiment."""

from __future__ import annotations

import functools
import hashlib
import importlib
import inspect
import os
import pkgutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import tfmo_drive as td
from tfmo_drive.base.keras2 import keras, tf
from tfmo_drive.contracts import BadInput

layers = keras.layers
ROOMS = {"steps": td.Step, "targets": td.Target, "measures": td.Measure, "tasks": td.Task}
SCALE, MEAN = np.float32([50, 0.01, 4, 1]), np.float32([1000, 1, -3, 5])
TRAINING = {"epochs": 4, "learning_rate": 0.05, "batch_size": 32}
LEAST = (td.Accuracy(), td.Size())
compress = functools.partial(td.compress, measures=LEAST)


def modules() -> list[str]:
    found = pkgutil.walk_packages(td.__path__, "tfmo_drive.")
    return [one.name for one in found if not one.name.endswith("__main__")]


def split(inputs, targets) -> dict:
    count = len(inputs)
    ends = [0, int(0.7 * count), int(0.85 * count), count]
    places = zip(("train", "val", "test"), ends, ends[1:], strict=False)
    return {name: (inputs[first:end], targets[first:end]) for name, first, end in places}


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def rows(count: int = 200) -> tuple[np.ndarray, np.ndarray]:
    """Four columns of unlike ranges, and a class that the first and the third tell."""
    plain = noise(count, 4)
    return plain * SCALE + MEAN, (plain[:, 0] + plain[:, 2] > 0).astype(int)


def dense(outputs: int = 2, size: int = 4) -> keras.Model:
    keras.utils.set_random_seed(0)
    return keras.Sequential([keras.Input((size,)), layers.Dense(8, "relu"), layers.Dense(outputs)])


def python(text: str) -> str:
    """What a fresh process prints, in which nobody chose Keras 2 before."""
    clean = {name: value for name, value in os.environ.items() if name != "TF_USE_LEGACY_KERAS"}
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, env=clean)
    assert not done.returncode, done.stderr
    return done.stdout


def test_the_import_costs_less_than_a_third_of_a_second_and_brings_no_tensorflow():
    timed = "import sys, time; start = time.perf_counter(); import tfmo_drive; took = time.perf_counter() - start;"
    said = [python(f"{timed} print(took, *(name in sys.modules for name in ('tensorflow', 'numpy', 'absl')))")
            for _ in range(3)]  # fmt: skip
    assert min(float(one.split()[0]) for one in said) < 0.3
    assert {tuple(one.split()[1:]) for one in said} == {("False",) * 3}


def test_every_name_is_there_and_compress_is_the_function_whatever_was_imported():
    for name in modules():
        importlib.import_module(name)
    assert td.compress is importlib.import_module("tfmo_drive.library").compress and inspect.isfunction(td.compress)
    assert set(td.__all__) <= set(dir(td)) and len(set(td.__all__)) == len(td.__all__) > 50
    top = {name.split(".")[1] for name in modules()}
    assert not top & set(td.__all__), "a module would take the place of a name"
    assert all(getattr(td, name) is not None for name in td.__all__)


def test_a_name_that_is_not_there_is_told_with_the_nearest():
    typed = [sys.executable, "-c", "import tfmo_drive; tfmo_drive.Prunes"]
    said = subprocess.run(typed, capture_output=True, text=True)
    assert "has no attribute 'Prunes'. Did you mean: 'Prune'?" in said.stderr


def test_every_plug_in_is_exported():
    missing = []
    for name in modules():
        room = name.split(".")[1]
        for kind in vars(importlib.import_module(name)).values() if room in ROOMS and "spoilers" not in name else ():
            if isinstance(kind, type) and issubclass(kind, ROOMS[room]) and kind.__module__ == name:
                public = not inspect.isabstract(kind) and not kind.__name__.startswith("_")
                missing += [kind.__name__] * (public and getattr(td, kind.__name__, None) is not kind)
    # What a base of several steps or targets is, nobody constructs; ArrayTask is what `compress` makes.
    assert set(missing) <= {"ArrayTask"}


def test_tensorflow_may_be_imported_first():
    said = python(
        "import tensorflow as tf; three = tf.keras.__name__; import tfmo_drive;"
        "from tfmo_drive.base.keras2 import keras; print(three, keras.__name__, keras.__version__)"
    )
    assert said.split()[:2] == ["keras._tf_keras.keras", "tf_keras"] and said.split()[2].startswith("2.")


def digests(folder: Path) -> dict[str, str]:
    files = sorted(folder.glob("artifacts/**/model.*"))
    return {str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def test_an_experiments_data_recipe_and_seed_give_its_files(tmp_path):
    task = td.Classification(
        image_size=32, network=td.ResNet(blocks=(1,), width=0.25), scenes=td.Scenes(train=64, val=36, test=36)
    )
    steps = [
        td.Prune(epochs=1, batch_size=32),
        td.QuantizeAware(epochs=1, batch_size=32, preserve="sparsity", calibration_images=16),
    ]
    experiment = td.Experiment(
        task=task, training=td.Train(epochs=1, batch_size=32), recipe=tuple(steps), targets=(td.LiteRTInt8(),),
        measures=LEAST, small_from_nothing=False,
    )  # fmt: skip
    report = td.Run(name="compressed", experiment=experiment, workdir=tmp_path / "run", seed=3).report()
    model = task.build()
    model.load_weights(str(tmp_path / "run" / "stages" / "0_baseline" / "model.h5"))
    before = model.get_weights()
    read = {name: task.examples(name).read(np.arange(len(task.examples(name)))) for name in ("train", "val", "test")}
    data = td.arrays(**read, class_names=task.class_names, preprocessing="caffe")
    result = compress(model, steps, data, augmentation=td.Augmentation(), seed=3, workdir=tmp_path / "library")
    assert len(digests(tmp_path / "run")) == 3 and digests(tmp_path / "library") == digests(tmp_path / "run")
    assert [row["score"] for row in result.rows] == [row["score"] for row in report["rows"]]
    assert all(np.array_equal(one, other) for one, other in zip(before, model.get_weights(), strict=True))


@pytest.fixture(scope="module")
def call():
    """Rows of unlike ranges, trained, pruned and quantised: what `compress` is called with."""
    settings = {"training": td.Train(**TRAINING), "measures": LEAST}
    return (dense(), [td.Prune(epochs=1)], td.arrays(**split(*rows()))), settings


@pytest.fixture(scope="module")
def result(call):
    return td.compress(*call[0], **call[1])


def test_the_result_is_rows_a_best_file_and_a_report(result, tmp_path):
    names = [row.name for row in result.rows]
    assert names[0] == "baseline/litert_float32" and names[-1] == "compressed/litert_int8"
    assert str(result.rows).splitlines()[0].startswith("row (* = verdict)") and names[-1] in str(result.rows)
    assert str(result.rows) in repr(result) and result.best in result.rows
    assert result.best.path.stat().st_size == result.best["size_bytes"]
    assert result.rows[0]["score"] > 0.7
    page = result.report(tmp_path / "mine")
    assert page == tmp_path / "mine" / "report.html" and "compressed/litert_int8" in page.read_text()
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "thesis.txt").touch()
    with pytest.raises(BadInput, match="thesis.txt"):
        result.report(tmp_path / "theirs")


def test_rows_go_to_pandas_where_it_is(result):
    pytest.importorskip("pandas", reason="pandas is not installed here: to_pandas is not tested")
    frame = result.rows.to_pandas()
    assert list(frame.index) == [row.name for row in result.rows]
    assert list(frame["score"]) == [row["score"] for row in result.rows]
    assert frame["size_bytes"].dtype.kind == "i" and frame["score"].dtype.kind == "f"


def test_without_pandas_it_says_what_to_type(result, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(BadInput, match="pip install pandas"):
        result.rows.to_pandas()


def test_the_same_call_finds_its_stages_again(call, result, monkeypatch):
    monkeypatch.setattr(td.Prune, "__call__", lambda *_: pytest.fail("trained again"))
    again = td.compress(*call[0], **call[1])
    assert again.folder == result.folder
    assert [row["score"] for row in again.rows] == [row["score"] for row in result.rows]


def test_raw_columns_of_unlike_ranges_keep_their_score_in_int8():
    """A model trained on raw columns: int8 of them all on one scale would lose the small ones."""
    inputs, targets = rows(300)
    model = dense()
    kernel = np.zeros((4, 8), np.float32)
    kernel[:, 0] = [1 / 50, 100, 0.25, 0]  # the second column counts too, and lies within 0.01 of 1
    model.layers[0].set_weights([kernel, np.float32([3 - MEAN @ kernel[:, 0], *[0] * 7])])
    model.layers[1].set_weights([np.float32([[1, -1], *[[0, 0]] * 7]), np.float32([-3, 3])])
    plain = (inputs - MEAN) / SCALE
    targets = (plain[:, 0] + plain[:, 1] + plain[:, 2] < 0).astype(int)
    found = compress(model, [], td.arrays(**split(inputs, targets)))
    assert [row["score"] > 0.95 for row in found.rows] == [True, True]


def sequences() -> dict:
    inputs = noise(240, 12, 3)
    targets = (inputs[:, :, 0].mean(1) > 0).astype(np.int32)[:, None]
    return {name: tf.data.Dataset.from_tensor_slices(pair).batch(50) for name, pair in split(inputs, targets).items()}


def test_sequences_of_a_dataset_are_read_once_and_one_sigmoid_is_two_classes():
    model = keras.Sequential([
        keras.Input((12, 3)), layers.Conv1D(4, 3), layers.BatchNormalization(), layers.ReLU(), layers.Flatten(),
        layers.Dense(1, activation="sigmoid"),
    ])  # fmt: skip
    read = []
    given = sequences()
    counted = given["train"].map(lambda x, y: (x, tf.numpy_function(lambda y: read.append(len(y)) or y, [y], tf.int32)))
    counted = counted.map(lambda x, y: (x, tf.ensure_shape(y, [None, 1])))
    data = td.arrays(**given | {"train": counted})
    assert sum(read) == 168 and (data.shape, data.dtype, data.targets) == ((12, 3), "float32", "class")
    steps = [td.Prune(sparsity=0.5, epochs=1), td.QuantizeAware(epochs=1, preserve="sparsity")]
    found = compress(model, steps, data, training=td.Train(**TRAINING | {"epochs": 8}))
    assert sum(read) == 168 and found.rows[-1]["score"] > 0.6 and found.rows[0]["per_class"].keys() == {"0", "1"}


def test_images_of_any_channels_in_a_range_and_numbers_to_predict():
    inputs = np.random.default_rng(0).random((160, 8, 8, 2)).astype(np.float32)
    targets = 40 * inputs[..., 0].mean((1, 2)) - 20
    model = keras.Sequential([keras.Input((8, 8, 2)), layers.Conv2D(4, 3), layers.Flatten(), layers.Dense(1)])
    data = td.arrays(**split(inputs, targets), input_range=(0, 1))
    asked = []

    def loss(truth, answers):
        asked.append(truth.shape)
        return tf.abs(truth - answers)

    def close(truth, answers):
        return (np.abs(truth - answers)[:, 0] < 0.5).astype(float)

    steps, training = [td.Prune(epochs=1, batch_size=32)], td.Train(**TRAINING)
    found = compress(model, steps, data, loss=loss, metric=close, training=training)
    assert asked and asked[0][-1] == 1 and found.rows[0].path.exists()
    assert all((row["score"] * 24) % 1 == pytest.approx(0, abs=1e-9) for row in found.rows), "shares of 24 examples"


def test_a_loss_and_a_metric_that_know_the_targets_take_any():
    inputs = noise(120, 6)
    data = td.arrays(**split(inputs, inputs[:, :3] * 2))
    model = dense(outputs=3, size=6)
    with pytest.raises(BadInput, match="give loss= and metric="):
        td.compress(model, [], data)
    away = td.ErrorMetric(lambda truth, answers: np.abs(truth - answers).mean(1), zero_at=2.0, unit="m")
    near, training = {"loss": "mae", "metric": away}, td.Train(**TRAINING | {"epochs": 12})
    found = compress(model, [], data, training=training, **near)
    first = found.rows[0]
    assert first["error_unit"] == "m" and " m " in str(found.rows).splitlines()[2]
    assert 0 < first["error"] < 2 and first["score"] >= 1 - first["error"] / 2 - 1e-9  # no example is below 0
    with pytest.raises(BadInput, match="cannot be distilled|distil"):
        td.compress(model, [td.Distill(epochs=1)], data, **near)


def test_examples_of_one_group_are_resampled_together():
    inputs, targets = rows(100)
    given = split(inputs, targets)
    for recordings, known in ((["a"] * 15, False), (["a", "b", "c"] * 5, True)):
        data = td.arrays(**given, groups={"test": recordings, "train": np.arange(70)})
        assert len(np.unique(data.splits["test"].groups)) == len(set(recordings))
        found = compress(dense(), [], data, measures=[td.Accuracy()])
        assert (found.rows[0]["score_low"] is not None) == known, "one recording says nothing of others"
    with pytest.raises(BadInput, match=r"give compress\(measures=\[td.Accuracy\(\), td.Size"):
        found.best  # noqa: B018 (asking is enough)
    assert "–" not in repr(found).split("\n\n")[-1], "what was not measured is not compared"


def test_a_recurrent_layer_runs_in_float():
    found = recurrent(targets=FLOAT, training=None)
    assert [row["score"] for row in found.rows] == [found.rows[0]["score"]] * 2


FLOAT = [td.LiteRTFloat16()]
X, Y = rows(60)
ONE = split(X, Y)
REFUSED = {
    "three things": (lambda: td.arrays(**ONE | {"val": (X, Y, Y)}), "got 3 things"),
    "unequal counts": (lambda: td.arrays(**ONE | {"val": (X, Y[:5])}), "60 inputs and 5 targets"),
    "whole numbers as inputs": (lambda: td.arrays(**ONE | {"val": (Y[:, None], Y)}), "astype"),
    "NaN": (lambda: td.arrays(**ONE | {"val": (X * np.nan, Y)}), "not finite"),
    "another shape": (lambda: td.arrays(**ONE | {"val": (X[:, :3], Y)}), r"\[4\].*\[3\]"),
    "outside of the range": (lambda: td.arrays(**ONE, input_range=(0, 1)), "outside input_range"),
    "a range of nothing": (lambda: td.arrays(**ONE, input_range=(1, 0)), "input_range must be"),
    "an endless dataset": (
        lambda: td.arrays(**ONE | {"val": tf.data.Dataset.from_tensor_slices((X, Y)).repeat()}), "endless"),
    "weights": (lambda: td.arrays(**ONE | {"val": tf.data.Dataset.from_tensor_slices((X, Y, Y))}), "Weights"),
    "an unknown class": (lambda: td.arrays(**ONE, class_names=["a"]), "ids must be 0 to 0"),
    "other targets": (lambda: td.arrays(**ONE | {"val": (X, Y.astype(float))}), "must be alike"),
    "too few outputs": (lambda: td.compress(dense(outputs=3), [], td.arrays(**ONE, class_names="ab")), "2 classes"),
    "other inputs": (lambda: td.compress(dense(size=5), [], td.arrays(**ONE)), r"takes inputs of \[5\]"),
    "groups of no split": (lambda: td.arrays(**ONE, groups={"tests": Y}), "groups must be by split.*got tests"),
    "groups of nobody": (lambda: td.arrays(**ONE, groups=Y), "groups must be by split.*got ndarray"),
    "too few groups": (lambda: td.arrays(**ONE, groups={"test": ["a"]}), r"each example, \[9\], got <U1 \[1\]"),
    "groups of fractions": (lambda: td.arrays(**ONE, groups={"test": X[51:, 0]}), "got float32"),
    "a group in two splits": (
        lambda: td.arrays(**ONE, groups={"train": ["a"] * 42, "test": ["b"] * 8 + ["a"]}), "'a' is in train and in te"),
    "numbers for classes": (lambda: td.compress(dense(), [], td.arrays(**split(X, X[:, 0]))), "one number each"),
    "no list": (lambda: td.compress(dense(), td.Prune(), td.arrays(**ONE)), r"Write \[Prune\(\)\]"),
    "no data": (lambda: td.compress(dense(), [], ONE), "td.arrays"),
    "augmented rows": (
        lambda: td.compress(dense(), [], td.arrays(**ONE), augmentation=td.Augmentation()), "uint8 images"),
    "a metric of all": (
        lambda: td.compress(dense(), [], td.arrays(**ONE), metric=lambda truth, answers: 1.0, training=td.Train()),
        "one number for each"),
    "a metric of percent": (
        lambda: td.compress(dense(), [], td.arrays(**ONE), metric=lambda truth, _: 100.0 + truth), r"in \[0, 1\]"),
    "an error below 0": (
        lambda: td.compress(dense(), [], td.arrays(**ONE), metric=td.ErrorMetric(lambda truth, _: -truth, zero_at=1)),
        "be at least 0 and finite.* Got"),
    "an error that is worth nothing from 0 on": (lambda: td.ErrorMetric(np.subtract, zero_at=0), "zero_at must be"),
    "a loss nobody knows": (lambda: td.compress(dense(), [], td.arrays(**ONE), loss="hubert"), "loss"),
    "a model of no shape": (
        lambda: td.compress(keras.Sequential([layers.Dense(2)]), [], td.arrays(**ONE)), "Begin it with keras.Input"),
    "a subclassed model": (lambda: td.compress(Subclassed(), [], td.arrays(**ONE)), "is a subclassed model"),
    "a criterion that is no dataclass": (
        lambda: td.compress(dense(), [td.Prune(criterion=Loudest())], td.arrays(**ONE)),
        r"write @dataclasses.dataclass\(frozen=True\) above `class Loudest`"),
    "a criterion by name": (lambda: td.Prune(criterion="magnitude"), "a Criterion such as Magnitude.*'magnitude'"),
    "a criterion's class": (lambda: td.Prune(criterion=td.SNIP), "a Criterion such as Magnitude"),
    "an importance's class": (lambda: td.ChannelPruning(importance=td.L1), "an Importance such as L2"),
    "a step for a recurrent layer": (lambda: recurrent(td.Prune(), targets=FLOAT), '"lstm" is of the type LSTM'),
    "fake-quantising a recurrent layer": (
        lambda: recurrent(td.QuantizeAware(), targets=FLOAT), "no fake-quantised form of LSTM"),
    "a recurrent layer in int8": (lambda: recurrent(), "loop inside.*LSTM.*Use .* LiteRTDynamic .--set=targets"),
    "a recurrent layer in ONNX": (lambda: recurrent(targets=[td.OnnxInt8()]), "a loop inside"),
}  # fmt: skip


class Subclassed(keras.Model):
    pass


class Loudest(td.Criterion):
    def scores(self, model, weights, context):
        return {name: np.abs(weight) for name, weight in weights.items()}


def recurrent(*steps, **settings) -> td.Result:
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((6, 4)), layers.LSTM(4, name="lstm"), layers.Dense(2)])
    data = td.arrays(**split(noise(60, 6, 4), Y))
    return compress(model, steps, data, **{"training": td.Train()} | settings)


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_taken_is_refused_in_one_line_before_anything_is_trained(name, monkeypatch):
    call, words = REFUSED[name]
    monkeypatch.setattr(td.TrainedStep, "__call__", lambda *_: pytest.fail("something is trained"))
    with pytest.raises(BadInput, match=words) as refused:
        call()
    assert "\n" not in str(refused.value)


def three() -> tuple:
    """Keras 3 as it lies in this process, and a model of it that tells the classes of ONE a little."""
    import keras as three

    assert three.__version__.startswith("3.")
    three.utils.set_random_seed(1)
    model = three.Sequential([three.Input((4,)), three.layers.Dense(8, "leaky_relu"), three.layers.Dense(2)])
    return three, model


def test_a_model_of_keras_3_is_compressed_as_it_is():
    _, model = three()
    found = compress(model, [], td.arrays(**ONE))
    inputs, targets = ONE["test"]
    assert found.rows[0]["score"] == pytest.approx((model.predict(inputs, verbose=0).argmax(1) == targets).mean())
    assert [row.name for row in found.rows] == ["baseline/litert_float32", "baseline/litert_int8"]


def test_a_model_of_keras_3_that_cannot_be_saved_and_a_loss_of_it_say_what_to_type(tmp_path):
    three_, model = three()

    class Untold(three_.layers.Layer):
        def get_config(self):
            raise NotImplementedError("nobody knows")

        def call(self, x):
            return x

    data = td.arrays(**ONE)
    with pytest.raises(BadInput, match="is of Keras 3, which cannot save it: nobody knows. Build it of built-in"):
        td.compress(three_.Sequential([model, Untold()]), [], data)
    with pytest.raises(BadInput, match="loss is of Keras 3.*a loss of tf_keras"):
        td.compress(dense(), [], data, loss=three_.losses.Huber())
    with pytest.raises(BadInput, match="the model must be a model of Keras 2.*or the path of its file, got Dense"):
        td.compress(layers.Dense(2), [], data)
    with pytest.raises(BadInput, match="compress: the model: there is no .*lost.keras"):
        td.compress(tmp_path / "lost.keras", [], data)
    dense().save_weights(tmp_path / "alone.h5")
    with pytest.raises(BadInput, match="holds weights alone. Give the whole model"):
        td.compress(str(tmp_path / "alone.h5"), [], data)


def test_files_are_named_by_paths_or_by_their_texts(tmp_path):
    path = tmp_path / "mine"
    for settings in (td.Classification, td.Segmentation, td.LaneKeeping, td.SensorRows):
        assert settings(data=path, baseline=path) == settings(data=str(path), baseline=str(path))
    assert td.SoftLabels(teacher=path).files == (path,)
