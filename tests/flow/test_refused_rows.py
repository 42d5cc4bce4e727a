"""One impossible target never ends a run, and what makes a run pointless ends it before anything is trained."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import pytest

import tfmo_drive as td
from tfmo_drive.base.keras2 import keras, tf
from tfmo_drive.contracts import BadInput
from tfmo_drive.conversion import trials
from tfmo_drive.flow import stages
from tfmo_drive.flow.files import Files
from tfmo_drive.flow.refused_rows import refused
from tfmo_drive.report.rendering.html import html
from tfmo_drive.report.rendering.markdown import markdown, terminal

layers = keras.layers


def network(bent: Callable = tf.sin) -> keras.Model:
    keras.utils.set_random_seed(0)
    image = keras.Input((16, 16, 3))
    x = bent(layers.Conv2D(4, 3, 2, name="seeing")(image))
    return keras.Model(image, layers.Dense(2)(layers.GlobalAveragePooling2D()(x)))


@pytest.fixture(scope="module")
def data():
    random = np.random.default_rng(0)
    images = random.integers(0, 255, (48, 16, 16, 3), dtype=np.uint8)
    labels = np.arange(48) % 2
    return td.arrays(train=(images, labels), val=(images[:16], labels[:16]), test=(images[16:32], labels[16:32]))


def compressed(data, *steps, model=None, **settings):
    return td.compress(model or network(), steps, data, measures=(td.Accuracy(), td.Size()), **settings)


@pytest.fixture
def nothing_trains(monkeypatch):
    monkeypatch.setattr(td.TrainedStep, "__call__", lambda *_: pytest.fail("something is trained"))


def test_one_impossible_target_never_ends_a_run(data):
    """A sine is float: the int8 rows say why they are not there, in every form of the report; others are measured."""
    result = compressed(data, td.Prune(epochs=1), targets=[td.LiteRTInt8(), td.LiteRTMixed(), td.LiteRTFloat16()])
    names = [row.name for row in result.rows]
    assert names == [f"{stage}/{target}" for stage in ("baseline", "compressed")
                     for target in ("litert_float32", "litert_mixed", "litert_float16")]  # fmt: skip
    report = result._report
    assert {(one["stage"], one["target"]) for one in report["skipped"]} == {
        ("baseline", "litert_int8"), ("compressed", "litert_int8")}  # fmt: skip
    assert report["headline"] == "compressed/litert_float16"
    for shown in (terminal(report), markdown(report), html(report, {})):
        words = " ".join(re.sub(r"<wbr>|\\\\", "", shown).split())
        assert "compressed/litert_int8" in words and "1 SIN of" in words


def test_what_weights_decide_is_a_row_that_says_why_too(data, monkeypatch):
    """A target that refuses in the conversion itself, after all training."""

    def refuses(self, frozen, context):
        raise BadInput("float16 is off today. Come back.")

    monkeypatch.setattr(trials, "reasons", lambda tried: [""] * len(tried))
    monkeypatch.setattr(td.LiteRTFloat16, "_convert", refuses)
    result = compressed(data, model=network(tf.nn.relu), targets=[td.LiteRTFloat16(), td.LiteRTDynamic()])
    assert [row.name for row in result.rows] == ["baseline/litert_float32", "baseline/litert_dynamic"]
    assert [one["reason"] for one in result._report["skipped"]] == ["float16 is off today. Come back."]
    assert not (result.folder / "artifacts" / "baseline" / "litert_float16").exists()


@pytest.mark.parametrize("steps", [(), (td.Prune(epochs=1),)], ids=["baseline", "recipe"])
def test_a_run_none_of_whose_rows_can_be_made_trains_nothing(data, steps, nothing_trains):
    with pytest.raises(BadInput, match=r"No target takes what (baseline|compressed) makes. .*1 SIN of tf.math.sin"):
        compressed(data, *steps, training=td.Train(epochs=1), targets=[td.LiteRTInt8()])


def test_a_run_whose_judged_row_cannot_be_made_trains_nothing(data, nothing_trains, tmp_path):
    task = td.compress.__globals__["ArrayTask"](arrays=data, model=network(), trained=False)
    targets = (td.LiteRTFloat16(), td.LiteRTInt8())
    for expect in (td.Expect(size_ratio=0.5), td.Expect(target="litert_int8")):
        whole = td.Experiment(task=task, recipe=(td.Prune(epochs=1),), targets=targets, expect=expect)
        with pytest.raises(BadInput, match=r"mine/litert_int8 cannot be made, .*about it. .*SIN.*=litert_float16\.$"):
            td.Run(name="mine", experiment=whole, workdir=tmp_path / "run").report()


def test_the_quantize_aware_graph_is_tried_at_zero_epochs(data, monkeypatch, nothing_trains):
    """What a step cannot build ends the run before training; nothing of the model is changed by the trial.

    No float file can be of it: that is said of the one that was asked for, and the reference's is not missed.
    """
    model = network(tf.nn.relu)
    before = [weight.copy() for weight in model.get_weights()]
    tried, said = [], []
    monkeypatch.setattr(stages, "refused", lambda *given: tried.append(refused(*given)) or tried[0])
    monkeypatch.setattr(stages.progress, "say", said.append)
    targets = (td.LiteRTInt8(), td.OnnxFloat32())
    with pytest.raises(pytest.fail.Exception):
        compressed(data, td.QuantizeAware(epochs=1), model=model, targets=targets)
    assert {row for row in tried[0]} == {("compressed", "litert_float32"), ("compressed", "onnx_float32")}
    assert all(np.array_equal(one, two) for one, two in zip(before, model.get_weights(), strict=True))
    skipped = [line.partition(" ")[0] for line in said if "will be skipped" in line]
    experiment = td.Experiment(task=td.Classification(), targets=targets)
    files = Files(None, {}, None, refused=tried[0], asked=experiment.asks_for)
    assert files.accepted("compressed", model, experiment.all_targets) == [td.LiteRTInt8()]
    assert [f"{one['stage']}/{one['target']}" for one in files.skipped] == skipped == ["compressed/onnx_float32"]


def test_what_comes_behind_a_student_is_tried_on_the_student(data, monkeypatch, nothing_trains):
    """Before it learns: no float file can be of a quantize-aware student, and a step's layers are the student's."""
    student, tried = td.Distill(student=td.SmallCNN(filters=(4,)), epochs=1), []
    monkeypatch.setattr(stages, "refused", lambda *given: tried.append(refused(*given)) or tried[0])
    for steps, raised in ((td.QuantizeAware(epochs=1), pytest.fail.Exception), (td.Prune(skip=("seeing",)), BadInput)):
        with pytest.raises(raised, match="something is trained|Prune.skip: no .*seeing"):
            compressed(data, student, steps, model=network(tf.nn.relu))
    assert [row for row in tried[0]] == [("compressed", "litert_float32")]


def test_a_student_of_another_kind_is_refused_before_it_learns(data, nothing_trains):
    with pytest.raises(BadInput, match="Distill.student must take what the model takes"):
        compressed(data, td.Distill(student=td.DenseLayers(), epochs=1), model=network(tf.nn.relu))
