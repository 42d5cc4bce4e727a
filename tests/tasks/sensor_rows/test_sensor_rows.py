"""Rows through the same steps, targets, measures and report as images."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from tfmo_drive.base import faults
from tfmo_drive.base.keras2 import keras, tf
from tfmo_drive.contracts import BadInput, Context
from tfmo_drive.experiment import Experiment
from tfmo_drive.flow.flow import Run
from tfmo_drive.measures.accuracy import Accuracy
from tfmo_drive.measures.cost import Cost
from tfmo_drive.measures.latency import Latency
from tfmo_drive.measures.size import Size
from tfmo_drive.networks import layers
from tfmo_drive.networks.backbones import SmallCNN
from tfmo_drive.networks.networks import DenseLayers
from tfmo_drive.runtimes import artifact_metadata
from tfmo_drive.steps.channel_pruning import ChannelPruning
from tfmo_drive.steps.distill import Distill
from tfmo_drive.steps.prune import Prune
from tfmo_drive.steps.quantize_aware import QuantizeAware
from tfmo_drive.steps.train import Train
from tfmo_drive.targets.litert import LiteRTFloat32, LiteRTInt8, LiteRTInt16x8
from tfmo_drive.tasks.sensor_rows.drive_log import STREAMS
from tfmo_drive.tasks.sensor_rows.row_splits import Stretches
from tfmo_drive.tasks.sensor_rows.row_tables import Columns
from tfmo_drive.tasks.sensor_rows.sensor_rows import SensorRows
from tfmo_drive.tasks.sensor_rows.sensor_series import Series
from tfmo_drive.training import scoring, teacher
from tfmo_drive.training.distillation import SoftLabels, distillation_loss

SERIES = Series(train=9000, val=900, test=900)
FIT = {"batch_size": 64, "learning_rate": 0.05}


@pytest.fixture(scope="module", params=["class", "number"])
def task(request, cache):
    return SensorRows(predicts=request.param, series=SERIES)


@pytest.fixture(scope="module")
def context(task, tmp_path_factory):
    """context() -> a Context with a trained baseline; nobody may change its weights."""
    keras.utils.set_random_seed(0)
    model = task.build()
    start = Context(task, model, (), tmp_path_factory.mktemp("baseline"), 0)
    trained = Train(epochs=4, **FIT)(model, start)
    return lambda: dataclasses.replace(start, baseline=trained, workdir=tmp_path_factory.mktemp("work"))


@pytest.fixture
def table(tmp_path):
    """table(rows=..., **columns) -> the path of a CSV file with columns a, b and a target that they decide."""

    def make(count: int = 400, **columns):
        generator = np.random.default_rng(0)
        a, b = generator.normal(1000, 5, count), generator.normal(0, 0.01, count)
        found = {"a": a.round(2), "b": b.round(5), "target": np.where(a > 1000 + 300 * b, "high", "low")} | columns
        found = {name: values for name, values in found.items() if values is not None}
        lines = [",".join(found), *(",".join(map(str, row)) for row in zip(*found.values(), strict=True))]
        (tmp_path / "rows.csv").write_text("\n".join(lines))
        return tmp_path / "rows.csv"

    return make


def test_the_float_network_neither_guesses_nor_saturates(task, context):
    score = scoring.score(context().baseline, task, "test")
    guess = 1 / 3 if task.predicts == "class" else 0.4
    assert guess + 0.2 < score < 0.97


def test_standardising_is_of_the_train_split_alone(task):
    train, _ = task.examples("train").read(np.arange(len(task.examples("train"))))
    standard = task.preprocessing(train).astype(np.float64)
    assert np.abs(standard.mean(0)).max() < 0.05 and np.abs(standard.std(0) - 1).max() < 1e-2
    test, _ = task.examples("test").read(np.arange(900))
    assert np.abs(task.preprocessing(test).mean(0)).max() > 1e-3


@pytest.mark.parametrize("target", [LiteRTFloat32(), LiteRTInt8(), LiteRTInt16x8()], ids=lambda target: target.name)
def test_artifacts_score_what_the_keras_model_scores(target, task, context):
    place = context()
    artifact = target(place.baseline, place.workdir, place)
    inputs, targets = task.examples("test").read(np.arange(900))
    score = float(task.evaluate(artifact.predict(inputs), targets).values.mean())
    assert score == pytest.approx(scoring.score(place.baseline, task, "test"), abs=0.02)
    artifact.runner(inputs[0])()


def test_the_file_says_what_to_feed_and_how_to_decode(task, context):
    place = context()
    artifact = LiteRTInt8()(place.baseline, place.workdir, place)
    described = artifact_metadata.read(artifact.path)
    assert described["task"] == "sensor_rows" and len(described["input"]["columns"]) == 100
    assert described["tensors"]["inputs"] == [{"name": "row", "shape": [1, 100], "dtype": "float32"}]
    if task.predicts == "class":
        assert described["decode"]["kind"] == "logits" and described["labels"] == list(task.class_names)
        return
    inputs, targets = task.examples("test").read(np.arange(300))
    rule = described["decode"]
    answers = artifact.predict(inputs) * rule["scale"] + rule["offset"]  # by the file alone
    assert np.abs(answers - targets).mean() < 0.5 * targets.std()


def test_half_the_weights_go_and_int8_keeps_the_zeros(task, context):
    place = context()
    pruned = Prune(sparsity=0.5, epochs=2, **FIT)(place.baseline, place)
    quantize = QuantizeAware(epochs=1, preserve="sparsity", batch_size=64)
    aware = quantize(pruned, dataclasses.replace(place, workdir=place.workdir / "2"))
    artifact = LiteRTInt8()(aware, place.workdir, place)
    Prune(sparsity=0.5).check_artifact(artifact)
    quantize.check_artifact(artifact)
    inputs, targets = task.examples("test").read(np.arange(900))
    score = float(task.evaluate(artifact.predict(inputs), targets).values.mean())
    assert score > scoring.score(place.baseline, task, "test") - 0.03


def test_units_can_be_removed(task, context):
    place = context()
    narrow = ChannelPruning(pruning_ratio=0.5, epochs=1, **FIT)(place.baseline, place)
    assert narrow.get_layer("dense1").units == 24 and narrow.input_shape == (None, 100)


def test_a_student_learns_from_a_teacher(task, context):
    place = context()
    step = Distill(student=DenseLayers(units=(8,)), distill=SoftLabels(augmented_copies=1), epochs=3, **FIT)
    student = step(place.baseline, place)
    assert student.get_layer("dense1").units == 8
    gap = scoring.score(place.baseline, task, "test") - scoring.score(student, task, "test")
    assert gap < 0.2
    with pytest.raises(BadInput, match="Distill.student must take what the model takes, .*100.*got SmallCNN"):
        Distill(student=SmallCNN())(place.baseline, context())


def test_a_file_that_standardises_its_rows_itself_is_no_teacher(task, context):
    place = context()
    artifact = LiteRTFloat32()(place.baseline, place.workdir, place)
    with pytest.raises(BadInput, match=r"preprocesses its inputs itself, .* stages/\*/model.h5 of its run.$"):
        teacher.attached(SoftLabels(augmented_copies=1, teacher=str(artifact.path)), place)
    place.baseline.save(place.workdir / "mine.h5")
    with pytest.raises(BadInput, match="distill.teacher: .* say what its input was, with --set=task.standardise=train"):
        teacher.attached(SoftLabels(augmented_copies=1, teacher=str(place.workdir / "mine.h5")), place)


def test_images_refuse_a_student_for_rows(small_cnn, tiny_task, tmp_path):
    with pytest.raises(BadInput, match="Distill.student must take what the model takes"):
        Distill(student=DenseLayers())(small_cnn, Context(tiny_task, small_cnn, (), tmp_path, 0))


def test_soft_labels_of_a_number_are_the_teachers_answers():
    student, teacher = tf.constant([[1.0], [4.0]]), tf.constant([[0.0], [2.0]])
    assert float(distillation_loss(student, teacher, 4.0)) == (1 + 4) / 2 / 2
    # The gradient of classes tends to the same, over their count, at a high temperature.
    logits, theirs = tf.constant([[1.0, -1.0]]), tf.constant([[5.0, -5.0]])
    with tf.GradientTape() as tape:
        tape.watch(logits)
        loss = distillation_loss(logits, theirs, 1000.0)
    np.testing.assert_allclose(tape.gradient(loss, logits), (logits - theirs) / 2, atol=1e-3)


def test_same_seed_gives_the_same_network(task, context):
    step = Train(epochs=1, **FIT)
    first, second = (step(context().baseline, context()) for _ in range(2))
    assert all(np.array_equal(a, b) for a, b in zip(first.get_weights(), second.get_weights(), strict=True))


def test_a_table_runs_through_the_whole_flow(table, tmp_path):
    task = SensorRows(data=str(table(still=np.full(400, 7.3))), network=DenseLayers(units=(12,)))
    faults.note(tmp_path.parent / "other.csv", "not of this run.")
    experiment = Experiment(
        task=task, training=Train(epochs=6, batch_size=16, learning_rate=0.1),
        recipe=(QuantizeAware(epochs=1, batch_size=16),), controls={"longer": (Train(epochs=1, batch_size=16),)},
        small_from_nothing=False,
        targets=(LiteRTFloat32(), LiteRTInt8()), measures=(Accuracy(), Size(), Cost(), Latency(seconds=0.1)),
    )  # fmt: skip
    report = Run(name="table", experiment=experiment, workdir=tmp_path / "run").report()
    names = [row["name"] for row in report["rows"]]
    assert names[:2] == ["baseline/litert_float32", "baseline/litert_int8"] and "table/litert_int8" in names
    assert all(row["score"] > 0.8 and row["examples"] > 40 and row["latency_ms"] > 0 for row in report["rows"])
    assert report["rows"][0]["per_class"].keys() == {"high", "low"}
    assert not (tmp_path / "run/figures/regressions.png").exists()
    note = {"source": str(tmp_path / "rows.csv"), "text": 'constant in train, so not used: "still".'}
    assert note in report["data_notes"] and {one["source"] for one in report["data_notes"]} == {note["source"]}
    page = (tmp_path / "run/report.html").read_text()
    assert "<h2>Notes on the data</h2>" in page and "constant in train, so not used: &#34;still&#34;." in page
    weights = tmp_path / "run/stages/0_baseline/model.h5"
    given = dataclasses.replace(task, baseline=str(weights))
    assert layers.weights_digest(given.build()) == layers.weights_digest(
        keras.models.load_model(weights, compile=False)
    )
    facts = json.loads((weights.parent / "stage.json").read_text())
    with pytest.raises(BadInput, match=f"was trained on {facts['preprocessing']}.*Give the data and the splits"):
        dataclasses.replace(given, split_seed=1).build()


def test_a_model_of_ones_own_must_say_what_it_takes(table, tmp_path):
    task = SensorRows(data=str(table()), baseline=str(tmp_path / "mine.h5"))
    keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)]).save(tmp_path / "mine.h5")
    with pytest.raises(BadInput, match="say what its input was, with --set=task.standardise=train"):
        task.build()
    raw = dataclasses.replace(task, standardise="none")
    rows, _ = raw.examples("train").read(np.arange(5))
    mine = keras.models.load_model(tmp_path / "mine.h5", compile=False)
    np.testing.assert_allclose(raw.build()(raw.preprocessing(rows)), mine(rows), rtol=1e-4, atol=1e-2)
    assert dataclasses.replace(raw, baseline="").preprocessing.is_identity  # a network that is trained on raw rows
    keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)]).save(tmp_path / "mine.h5")
    with pytest.raises(BadInput, match="the task gives rows of 2 columns"):
        raw.build()
    keras.Sequential([keras.Input((2,)), keras.layers.Dense(5)]).save(tmp_path / "mine.h5")
    with pytest.raises(BadInput, match="the data has 2 classes"):
        raw.build()


def test_a_constant_column_is_told_and_left_out(table, caplog):
    task = SensorRows(data=str(table(still=np.full(400, 7.3))))
    rule = task.preprocessing
    assert caplog.text.count('rows.csv: constant in train, so not used: "still".') == 1
    assert rule.scale[-1] == rule.offset[-1] == 0 and min(rule.scale[:2]) > 0


def test_class_order_can_be_given(table, tmp_path):
    (tmp_path / "classes.txt").write_text("low\nhigh\n")
    path = str(table())
    ours = SensorRows(data=path, classes=str(tmp_path / "classes.txt"))
    assert ours.class_names == ("low", "high") and SensorRows(data=path).class_names == ("high", "low")
    ids = [task.examples("train").read(np.arange(9))[1] for task in (ours, SensorRows(data=path))]
    assert np.array_equal(ids[0], 1 - ids[1])
    (tmp_path / "classes.txt").write_text("low\nmiddle\nhigh\n")
    known = SensorRows(data=path, classes=str(tmp_path / "classes.txt"))
    assert known.class_names == ("low", "middle", "high") and known.preprocessing.input == "row"
    (tmp_path / "classes.txt").write_text("low\nmiddle\n")
    with pytest.raises(BadInput, match='"high" is not a class'):
        ours = SensorRows(data=path, classes=str(tmp_path / "classes.txt"))
        ours.examples("train")


@pytest.mark.parametrize(
    ("columns", "settings", "words"),
    [
        ({"target": ["high"] * 400}, {}, 'the target is always "high"'),
        ({"target": [7] * 400}, {"predicts": "number"}, "the target is 7 in every train row"),
        ({}, {"predicts": "number"}, "column \"target\": '.*' is no finite number"),
        ({"target": ["rare", *["high", "low"] * 199, "low"]}, {"stretches": Stretches(count=400)}, None),
        ({"target": None}, {}, "no column for the target"),
        ({}, {"columns": Columns(target="aim")}, 'no column "aim"'),
    ],
)
def test_data_that_cannot_teach_is_one_line(table, columns, settings, words):
    path = table(**columns)
    if words is None:  # whichever seed leaves the one row out of train
        words, settings = 'no training row of class "rare"', settings | {"split_seed": 1}
        seeds = [seed for seed in range(40) if not _sees_rare(path, settings | {"split_seed": seed})]
        settings["split_seed"] = seeds[0]
    with pytest.raises(BadInput, match=words) as refused:
        SensorRows(data=str(path), **settings).preprocessing  # noqa: B018 (asking is enough)
    assert "\n" not in str(refused.value)


def _sees_rare(path, settings) -> bool:
    task = SensorRows(data=str(path), **settings)
    return task.class_names.index("rare") in task.examples("train").summary().classes


def test_fingerprint_follows_the_rows_and_the_splits(table):
    path = table()
    prints = [SensorRows(data=str(path), **change).fingerprint() for change in ({}, {}, {"split_seed": 1})]
    assert prints[0] == prints[1] != prints[2]
    table(count=401)
    assert SensorRows(data=str(path)).fingerprint() not in prints


@pytest.mark.parametrize(("field", "value"), [("predicts", "text"), ("standardise", "test"), ("split_seed", -1)])
def test_a_setting_out_of_range_is_refused_by_name(field, value):
    with pytest.raises(BadInput, match=rf"SensorRows\.{field} must be .* got"):
        SensorRows(**{field: value})
    with pytest.raises(BadInput, match="DenseLayers.units must be counts of at least 1"):
        DenseLayers(units=(8, 0))


def test_a_drive_has_no_classes(tmp_path):
    np.savez(tmp_path / "log.npz", **{f"{next(iter(STREAMS))}.t": np.zeros(1)})
    with pytest.raises(BadInput, match="the log of a drive has no classes. Add --set=task.predicts=number"):
        SensorRows(data=str(tmp_path)).examples("train")


@pytest.mark.real
@pytest.mark.parametrize("target", ["speed", "steering"])
def test_the_real_drive_never_shares_a_second_between_splits(shared, target):
    place = str(shared / "data" / "comma2k19_example")
    task = SensorRows(data=place, predicts="number", columns=Columns(target=target))
    groups = [set(task.examples(split).groups.tolist()) for split in ("train", "val", "test")]
    assert all(groups) and not groups[0] & groups[1] and not groups[2] & (groups[0] | groups[1])


RAW = {
    "a Normalization first": lambda: keras.layers.Normalization(mean=[1000, 0, 7.3], variance=[25, 1e-4, 1]),
    "a BatchNormalization first": lambda: keras.layers.BatchNormalization(scale=False, epsilon=1e-9),
}


@pytest.mark.slow
@pytest.mark.parametrize("first", RAW)
def test_a_given_model_of_raw_columns_of_unlike_ranges_keeps_its_answers_in_int8(first, table, tmp_path):
    norm, last = RAW[first](), keras.layers.Dense(2)
    keras.Sequential([keras.Input((3,)), norm, last]).save(tmp_path / "mine.h5")
    model = keras.models.load_model(tmp_path / "mine.h5", compile=False)
    *_, norm, last = model.layers
    if norm.weights and not isinstance(norm, keras.layers.Normalization):
        norm.set_weights([np.zeros(3), np.array([1000, 0, 7.3]), np.array([25, 1e-4, 1])])
    last.set_weights([np.float32([[1.5, -1.5], [-1, 1], [0, 0]]), np.zeros(2)])  # high where a > 1000 + 300 b, nearly
    model.save(tmp_path / "mine.h5")
    task = SensorRows(data=str(table(still=np.full(400, 7.3))), baseline=str(tmp_path / "mine.h5"), standardise="none")
    given = task.build()
    inputs, targets = task.examples("train").read(np.arange(200))
    np.testing.assert_allclose(given(task.preprocessing(inputs)), model(inputs), rtol=1e-2, atol=1e-2)
    context = Context(task, given, (), tmp_path, 0)
    whole, small = (float(task.evaluate(target(given, tmp_path, context).predict(inputs), targets).values.mean())
                    for target in (LiteRTFloat32(), LiteRTInt8()))  # fmt: skip
    assert whole > 0.85 and small > whole - 0.02
    assert dataclasses.replace(task, baseline=_stage(given, task, tmp_path)).build().count_params()


def _stage(model: keras.Model, task: SensorRows, folder) -> str:
    """The model as the first stage of a run leaves it."""
    folder = folder / "stages/0_baseline"
    folder.mkdir(parents=True)
    model.save(folder / "model.h5")
    known = task.metadata(model)
    facts = {"preprocessing": task.preprocessing.name, "labels": known["labels"]}
    (folder / "stage.json").write_text(json.dumps(facts))
    return str(folder / "model.h5")
