"""Measures on artifacts made of arrays: the arithmetic small enough for a hand."""

from __future__ import annotations

import dataclasses
import gzip

import numpy as np
import pytest

from tfmo_drive.base import speed
from tfmo_drive.contracts import Artifact, BadInput, Context, Evaluation, Examples, Preprocessing, Task, Trivial
from tfmo_drive.measures.accuracy import Accuracy
from tfmo_drive.measures.cost import Cost
from tfmo_drive.measures.latency import Latency
from tfmo_drive.measures.size import Size

LABELS = ["stop", "yield"]


class Pixels(Examples):
    """Example i is a picture of the value i; labels alternate."""

    groups = np.arange(8) // 2

    def __len__(self):
        return 8

    def read(self, indices):
        indices = np.asarray(indices)
        return np.tile(indices.astype(np.uint8)[:, None, None, None], (1, 2, 2, 3)), indices % 2


class Signs(Task):
    name, preprocessing = "signs", Preprocessing("none")

    def examples(self, split):
        return Pixels()

    def build(self):
        raise NotImplementedError

    def loss(self, model):
        raise NotImplementedError

    def evaluate(self, outputs, targets):
        says = outputs.argmax(1)
        values = (says == targets).astype(float)
        classes = {
            name: {"score": values[targets == i].mean(), "examples": int((targets == i).sum())}
            for i, name in enumerate(LABELS)
            if (targets == i).any()
        }
        macro = {"score_macro": float(np.mean([c["score"] for c in classes.values()]))}
        captions = {"truth": [LABELS[i] for i in targets], "says": [LABELS[i] for i in says]}
        return Evaluation(values, says, classes, macro, captions=captions)

    def trivial(self, count):
        return Trivial("always stop", np.tile([[1.0, 0.0]], (count, 1)))

    def metadata(self, model):
        return {"labels": LABELS}


class Table(Artifact):
    """Says `classes[i]` for example i, with `sure` as its logit."""

    runtime, threads = "table", 3

    def __init__(self, classes, name="table", sure=1.0, path=None):
        self.classes, self.name, self.path, self.asked = np.array(classes), name, path, 0
        self.sure = np.broadcast_to(sure, len(classes))

    def predict(self, batch):
        index = batch[:, 0, 0, 0].astype(int)
        self.asked += len(index)
        return np.eye(2, dtype=np.float32)[self.classes[index]] * self.sure[index][:, None]

    def runner(self, example, threads=None):
        return (lambda: None) if (threads or self.threads) <= self.threads else None

    def weights(self):
        kernel = np.array([[0, 1], [0, 3]], np.int8)
        folded = np.eye(3, dtype=np.int8)
        return {"conv/kernel": kernel, "conv/bias": np.array([0, 5], np.int32), "preprocessing/kernel": folded}

    def macs(self):
        return 12


RIGHT = [0, 1, 0, 1, 0, 1, 0, 1]


@pytest.fixture
def context(tmp_path):
    return Context(Signs(), None, (), tmp_path, 0)


def test_accuracy_counts_what_a_hand_counts(context):
    reference = Table([0, 1, 0, 1, 0, 1, 0, 0])  # example 7 wrong
    artifact = Table([0, 1, 0, 0, 1, 1, 0, 1])  # 3 and 4 wrong, 7 right again
    row = Accuracy()(artifact, reference, context)
    assert row["score"] == 6 / 8 and row["score_delta"] == pytest.approx(-1 / 8)
    assert row["score_low"] <= 6 / 8 <= row["score_high"]
    assert row["score_delta_low"] <= -1 / 8 <= row["score_delta_high"]
    assert row["agreement"] == 5 / 8 and row["examples"] == 8 and "subset" not in row
    assert row["per_class"]["stop"] == {"score": 0.75, "examples": 4, "delta": -0.25}
    assert row["per_class"]["yield"]["delta"] == 0.0
    assert row["score_macro"] == 0.75


def test_the_trivial_answer_is_scored_on_the_same_examples(context):
    row = Accuracy()(Table([0, 1, 0, 0, 1, 1, 0, 1]), Table(RIGHT), context)
    assert (row["trivial_answer"], row["trivial_score"], row["over_trivial"]) == ("always stop", 0.5, 0.25)
    # Groups of two: one of each class, so always stop is right of half in every draw; ours of 2, 1, 1 and 2.
    assert row["over_trivial_low"] == 0.0 and row["over_trivial_high"] == 0.5
    same = Accuracy()(Table(np.zeros(8, int)), Table(RIGHT), context)
    assert same["over_trivial"] == same["over_trivial_low"] == 0


def test_regressions_name_what_both_said_worst_first(context):
    artifact = Table([0, 1, 0, 0, 1, 1, 0, 1], sure=[1, 1, 1, 2, 9, 1, 1, 1])
    row = Accuracy()(artifact, Table(RIGHT), context)
    assert row["regressions"] == [
        {"index": 4, "truth": "stop", "reference_says": "stop", "says": "yield"},
        {"index": 3, "truth": "yield", "reference_says": "yield", "says": "stop"},
    ]


def test_slices_are_scored_and_compared_attribute_by_attribute(context, monkeypatch):
    weather = np.array(["rain", "rain", "dry", "dry", "dry", "dry", "fog", "dry"])
    attributes = {"weather": weather, "half": np.array(["first"] * 4 + ["second"] * 4)}
    monkeypatch.setattr(Pixels, "attributes", attributes)
    ours, theirs = Table([0, 0, 0, 1, 1, 0, 0, 1]), Table([0, 1, 0, 1, 0, 0, 1, 1])  # 1, 4, 5 wrong; and 5, 6
    row = Accuracy()(ours, theirs, context)
    assert row["slices"]["weather"] == {
        "dry": {"score": 3 / 5, "delta": pytest.approx(-1 / 5), "examples": 5},
        "fog": {"score": 1.0, "delta": 1.0, "examples": 1},
        "rain": {"score": 0.5, "delta": -0.5, "examples": 2},
    }
    assert row["slices"]["half"]["first"] == {"score": 0.75, "delta": -0.25, "examples": 4}
    limited = Accuracy(limits={"table": 3})(Table(RIGHT), Table(RIGHT), context)
    assert sum(one["examples"] for one in limited["slices"]["weather"].values()) == 3


def test_a_slice_that_leaves_nothing_to_judge_is_left_out(context, monkeypatch):
    monkeypatch.setattr(Pixels, "attributes", {"light": np.array(["day"] * 7 + ["night"])})
    plain = Signs.evaluate

    def evaluate(self, outputs, targets):
        """The mean over the first seven: an example without any object, as far as a detector's score goes."""
        judged = plain(self, outputs, targets)
        known = np.arange(len(targets)) < 7

        def scores(weights):
            total = (weights * known).sum(axis=1)
            return np.divide(weights * known @ judged.values, total, out=np.full(len(total), np.nan), where=total > 0)

        return dataclasses.replace(judged, scores=scores)

    monkeypatch.setattr(Signs, "evaluate", evaluate)
    row = Accuracy()(Table(RIGHT), Table(RIGHT), context)
    assert row["slices"] == {"light": {"day": {"score": 1.0, "delta": 0.0, "examples": 7}}}


def test_a_naive_exports_single_output_is_judged_beside_a_reference_with_two(context, monkeypatch):
    class Two(Table):
        def predict(self, batch):
            return {"a": super().predict(batch), "b": np.zeros((len(batch), 3))}

    plain = Signs.evaluate
    monkeypatch.setattr(Signs, "evaluate", lambda self, o, t: plain(self, o["a"] if isinstance(o, dict) else o, t))
    row = Accuracy()(Table([0, 1, 0, 0, 0, 1, 0, 1]), Two(RIGHT), context)
    assert row["score"] == 7 / 8 and [one["index"] for one in row["regressions"]] == [3]


def test_reference_against_itself_has_no_delta(context):
    reference = Table([0, 1, 0, 1, 0, 1, 0, 0])
    row = Accuracy()(reference, reference, context)
    assert row["score_delta"] == row["score_delta_low"] == row["score_delta_high"] == 0
    assert row["agreement"] == 1 and row["regressions"] == []


def test_reference_is_run_once_for_all_rows(context):
    reference = Table(RIGHT)
    for _ in range(3):
        Accuracy()(Table(RIGHT), reference, context)
    assert reference.asked == 8


@pytest.mark.parametrize("name", ["slow", "baseline/slow"])
def test_slow_runtimes_are_judged_on_a_declared_seeded_subset(name, context):
    measure, rows = Accuracy(limits={"slow": 3}), []
    for _ in range(2):
        artifact = Table(RIGHT, name=name)
        rows.append(measure(artifact, Table([1] * 8), context))
        assert artifact.asked == 3
    assert rows[0] == rows[1]
    assert rows[0]["examples"] == 3 and rows[0]["subset"] == "3 of 8, seeded"
    stops = rows[0]["per_class"].get("stop", {"examples": 0})["examples"]
    assert rows[0]["score_delta"] == pytest.approx(stops / 3)  # the reference is wrong exactly on them


def test_limits_above_the_data_take_all_of_it(context):
    assert Accuracy(limits={"table": 99})(Table(RIGHT), Table(RIGHT), context)["examples"] == 8


def test_cost_counts_true_zeros_and_leaves_the_folded_mean_out_of_the_layers(context):
    row = Cost()(Table(RIGHT), Table(RIGHT), context)
    assert row == {"parameters": 15, "nonzero_parameters": 6, "macs": 12, "layer_sparsity": {"conv": 0.5}}


def test_size_is_that_of_the_file(context, tmp_path):
    path = tmp_path / "model.bin"
    path.write_bytes(bytes(5000))
    row = Size()(Table(RIGHT, path=path), Table(RIGHT), context)
    assert row["size_bytes"] == 5000
    assert row["gzip_bytes"] < 100
    path.write_bytes(gzip.compress(bytes(range(256)) * 20))
    assert Size()(Table(RIGHT, path=path), Table(RIGHT), context)["size_bytes"] == path.stat().st_size


def test_latency_of_the_reference_is_its_own_ratio(context):
    reference = Table(RIGHT)
    row = Latency(seconds=0.02)(reference, reference, context)
    assert row["speedup"] == 1 and row["speedup_spread"] == 0
    assert row["latency_ms"] == row["reference_latency_ms"] and row["speedup_best"] == 1


def test_latency_is_timed_against_the_reference_in_the_same_turns_on_one_thread_and_on_two(context):
    row = Latency(seconds=0.02)(Table(RIGHT), Table(RIGHT), context)
    assert 0 < row["latency_ms"] <= row["latency_p95_ms"]
    assert set(row) == speed.KEYS
    for end in ("", "_1", "_2"):
        assert row[f"speedup{end}"] == row[f"reference_latency_ms{end}"] / row[f"latency_ms{end}"]
    ends = ("", "_1", "_2")
    theirs, own = (min(row[f"{key}{end}"] for end in ends) for key in ("reference_latency_ms", "latency_ms"))
    assert row["speedup_best"] == theirs / own


def test_a_runtime_of_one_thread_is_compared_with_the_reference_on_one_and_with_its_best(context):
    class Single(Table):
        threads = 1

    row = Latency(seconds=0.02)(Single(RIGHT), Table(RIGHT), context)
    assert speed.KEYS - set(row) == {"latency_ms_2", "speedup_2", "speedup_2_spread"}
    assert row["reference_latency_ms"] == row["reference_latency_ms_1"]
    assert row["speedup_best"] == min(row["reference_latency_ms_1"], row["reference_latency_ms_2"]) / row["latency_ms"]


def test_what_cannot_run_here_has_no_latency(context):
    class Elsewhere(Table):
        def runner(self, example, threads=None):
            return None

    assert Latency(seconds=0.02)(Elsewhere(RIGHT), Table(RIGHT), context) == {}


def test_bad_settings_are_refused():
    with pytest.raises(BadInput, match='Accuracy.split must be train, val or test, got "tset"'):
        Accuracy(split="tset")
    with pytest.raises(BadInput, match="Accuracy.limits.slow must be at least 1, got 0"):
        Accuracy(limits={"slow": 0})
    for seconds in (0, float("nan"), float("inf")):
        with pytest.raises(BadInput, match="Latency.seconds must be above 0"):
            Latency(seconds=seconds)


def test_outputs_are_kept_by_what_the_examples_hold_and_not_by_how_a_task_prints(context):
    """Equal data is asked once, whichever task has it; tasks that print alike over other data are not mixed."""

    class Rotated(Pixels):
        def read(self, indices):
            return super().read((np.asarray(indices) + 1) % 8)

    class Alike(Signs):
        def examples(self, split):
            return Rotated()

        def __repr__(self):
            return repr(context.task)

    reference = Table([0, 1, 0, 1, 0, 1, 0, 0])
    for _ in range(2):
        Accuracy()(Table(RIGHT), reference, dataclasses.replace(context, task=Signs()))
    assert reference.asked == 8
    row = Accuracy()(Table(RIGHT), reference, dataclasses.replace(context, task=Alike()))
    assert reference.asked == 16 and row["score_delta"] == pytest.approx(1 / 8)


def test_a_tasks_own_number_that_a_row_has_already_is_refused(context):
    class Colliding(Signs):
        def evaluate(self, outputs, targets):
            return dataclasses.replace(super().evaluate(outputs, targets), more={"agreement": 1.0})

    with pytest.raises(BadInput, match="Colliding gives a row agreement"):
        Accuracy()(Table(RIGHT), Table(RIGHT), dataclasses.replace(context, task=Colliding()))
