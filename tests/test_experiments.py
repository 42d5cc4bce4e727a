"""Every experiment can be constructed, is a notebook, and stands in the guide as `tfmo-drive list` prints it."""

import dataclasses
import re
from pathlib import Path

import pytest

from tfmo_drive.base.overrides import describe, override
from tfmo_drive.commands import catalogue, chosen_run, experiment_flags
from tfmo_drive.contracts import BadInput, Context
from tfmo_drive.expect import FIGURES, Expect
from tfmo_drive.experiment import Experiment
from tfmo_drive.flow.flow import Run
from tfmo_drive.steps.cluster import Cluster
from tfmo_drive.steps.distill import Distill
from tfmo_drive.steps.fold_batch_norm import FoldBatchNorm
from tfmo_drive.steps.prune import Prune
from tfmo_drive.steps.quantize_aware import QuantizeAware
from tfmo_drive.steps.train import Train
from tfmo_drive.targets.litert import LiteRTInt8
from tfmo_drive.tasks.classification import Classification
from tfmo_drive.training.distillation import SoftLabels

ROOT = Path(__file__).parents[1]
FILES = experiment_flags.files()


def test_their_guide_says_of_each_what_the_list_prints():
    """Each table is of one folder; its order is the guide's own."""
    guide = (ROOT / "experiments" / "README.md").read_text()
    tables = [re.findall(r"^\| \[`(\w+)`\]\((\w+)/(\w+)\.py\) \| (.*) \|$", part, re.MULTILINE)
              for part in re.split(r"^\*\*", guide, flags=re.MULTILINE)[1:]]  # fmt: skip
    printed = dict(catalogue.LISTS["experiments"]())
    told = [row for table in tables for row in table]
    assert sorted(told) == [(path.stem, path.parent.name, path.stem, printed[path.stem]) for path in FILES]
    assert len(tables) == len({path.parent for path in FILES})
    assert all(len({folder for _, folder, _, _ in table}) == 1 for table in tables)


@pytest.mark.parametrize("name", catalogue.LISTS)
def test_every_line_of_a_list_is_whole(name):
    lines = dict(catalogue.LISTS[name]())
    assert lines and not [one for one, line in lines.items() if line[-1:] not in (".", "?")]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_experiment_can_be_constructed_and_described(path):
    experiment = experiment_flags.experiment(str(path))
    assert isinstance(experiment, Experiment)
    text = describe(experiment)
    assert "task.data" in text
    again = override(experiment, ["task.data=elsewhere", "training.batch_size=7"])
    assert (again.task.data, again.training.batch_size) == ("elsewhere", 7)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_experiment_is_a_notebook(path):
    command = f"make {path.stem}" if path.stem in ("demo", "smoke") else f"make train-{path.stem}"
    assert command in path.read_text().split('"""')[1]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_no_experiment_lets_a_worthless_baseline_pass_and_each_says_what_it_expects(path):
    expect = experiment_flags.experiment(str(path)).expect
    assert expect.baseline_beats_trivial and "baseline_beats_trivial" not in path.read_text()
    assert expect != Expect(target=expect.target), "no bound"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_none_asks_for_a_float_file_of_a_quantize_aware_model(path):
    """Its row would be there to say why it is not made; the baseline's is made anyway."""
    experiment = experiment_flags.experiment(str(path))
    if any(isinstance(step, QuantizeAware) for step in experiment.recipe):
        assert not experiment.asks_for(path.stem, "litert_float32")
    assert experiment.asks_for("baseline", "litert_float32")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_stage_and_row_names_cannot_collide(path):
    experiment = experiment_flags.experiment(str(path))
    assert path.stem not in experiment.controls
    assert len({target.name for target in experiment.all_targets}) == len(experiment.all_targets)


@pytest.mark.parametrize(
    ("recipe", "advice"),
    [
        ((Prune(), QuantizeAware()), 'Use QuantizeAware(preserve="sparsity")'),
        ((Prune(), Train()), "Put Train first"),
        ((QuantizeAware(), Prune()), "Put Prune first"),
        ((Prune(), Distill()), "Put Distill first"),
        ((Prune(), Cluster()), 'Use Cluster(preserve="sparsity")'),
        ((Cluster(), QuantizeAware(preserve="sparsity")), 'Use QuantizeAware(preserve="clusters")'),
        (
            (Prune(), Cluster(preserve="sparsity"), QuantizeAware(preserve="sparsity")),
            'Use QuantizeAware(preserve="sparsity+clusters")',
        ),
        ((Cluster(), Prune()), "Put Prune first"),
        ((Cluster(), FoldBatchNorm()), "Put FoldBatchNorm first"),
        ((Prune(), Cluster(preserve="sparsity"), Train()), "Put Train first"),
        ((QuantizeAware(), Cluster()), "Put Cluster first"),
    ],
)
def test_order_that_breaks_a_promise_is_refused_before_training(recipe, advice):
    with pytest.raises(BadInput, match=re.escape(advice)):
        Experiment(task=Classification(), recipe=recipe)
    with pytest.raises(BadInput, match=re.escape(advice)):
        Experiment(task=Classification(), controls={"other": recipe})


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"training": Train(distill=SoftLabels())}, "nothing is there yet to teach the baseline"),
        ({"expect": Expect(over_control=0.0)}, "needs a control"),
        ({"targets": ()}, "targets is empty"),
        ({"targets": (LiteRTInt8(), LiteRTInt8(threads=1))}, "must differ in name"),
        ({"expect": Expect(target="litert_in8")}, 'Did you mean "litert_'),
        ({"controls": {"baseline": ()}}, "cannot name a row"),
        ({"expect": None}, r"^Experiment.expect must be of kind Expect, got None. Write Expect\(score_drop=0.01\)"),
        ({"training": None}, "^Experiment.training must be of kind Train, got None"),
        ({"task": "classification"}, "^Experiment.task must be of kind Task, got 'classification'"),
        ({"recipe": Prune()}, "^Experiment.recipe must be a tuple of Steps, got Prune"),
        ({"recipe": (LiteRTInt8(),)}, "^Experiment.recipe must be a tuple of Steps"),
        ({"controls": None}, "^Experiment.controls must be recipes by name, got None"),
        ({"controls": {"longer": Train()}}, r"^Experiment.controls\['longer'\] must be a tuple of Steps"),
        ({"targets": LiteRTInt8()}, "^Experiment.targets must be a tuple of Targets"),
        ({"measures": None}, "^Experiment.measures must be a tuple of Measures, got None"),
    ],
)
def test_experiment_that_cannot_work_is_refused(changes, words):
    with pytest.raises(BadInput, match=words) as refused:
        Experiment(**{"task": Classification(), **changes})
    assert "\n" not in str(refused.value)


def test_expectation_without_its_row_is_a_miss():
    rows = [{"name": "baseline/litert_float32", "stage": "baseline", "target": "litert_float32", "score": 0.95}]
    verdicts = Expect(score_drop=0.01, baseline_score=0.9).verdicts(None, rows)
    assert [(entry["name"], entry["passed"]) for entry in verdicts] == [("score_drop", False), ("baseline_score", True)]


def test_expectations_are_measured_against_the_rows_they_name():
    first = {
        "name": "baseline/a",
        "stage": "baseline",
        "target": "a",
        "size_bytes": 400,
        "gzip_bytes": 300,
        "parameters": 100,
        "macs": 1000,
    }
    plain = {"name": "baseline/b", "stage": "baseline", "target": "b", "size_bytes": 100, "gzip_bytes": 80}
    row = {
        "name": "x/b", "stage": "x", "target": "b", "score": 0.895, "score_delta": -0.005, "keras_score": 0.9,
        "size_bytes": 100, "gzip_bytes": 40, "latency_ms": 2.0, "parameters": 5, "macs": 501,
        "reference_latency_ms": 8.0, "speedup_spread": 0.1, "latency_spread": 0.1,
    }  # fmt: skip
    control = {"name": "y/b", "stage": "y", "target": "b", "score": 0.89}
    expect = Expect(
        score_drop=0.01, keras_gap=0.004, size_ratio=0.25, gzip_ratio=0.1, gzip_ratio_plain=0.55, latency_ratio=0.2,
        parameter_ratio=0.05, macs_ratio=0.5, over_control=0.006,
    )  # fmt: skip
    found = {
        entry["name"]: (entry["value"], entry["passed"]) for entry in expect.verdicts(row, [first, plain, row, control])
    }
    assert found == {
        "score_drop": (0.005, True), "keras_gap": (pytest.approx(0.005), False), "size_ratio": (0.25, True),
        "gzip_ratio": (pytest.approx(40 / 300), False), "gzip_ratio_plain": (0.5, True), "latency_ratio": (0.25, False),
        "parameter_ratio": (0.05, True), "macs_ratio": (0.501, False), "over_control": (pytest.approx(0.005), False),
    }  # fmt: skip


def test_expectations_in_the_boards_terms():
    classes = {"car": {"delta": 0.02}, "pedestrian": {"delta": -0.04}}
    row = {
        "name": "x/int8", "stage": "x", "target": "int8", "per_class": classes, "worst_corruption_delta": -0.06,
        "log_average_miss_rate": 0.3, "size_bytes": 1000, "latency_p95_ms": 12.0, "latency_p95_spread": 0.2,
        "mean_absolute_error": 0.022, "part_detection": 0.5, "part_segmentation": 0.6,
    }  # fmt: skip
    npu = {"sram_bytes": 500, "npu_operators": 3, "cpu_operators": 1, "inference_ms": 9.0}
    others = [{"name": "x/micro", "stage": "x", "target": "micro", "arena_bytes": 800, "latency_p95_ms": 1.0},
              {"name": "x/npu", "stage": "x", "target": "npu", "npu": npu},
              {"name": "baseline/micro", "stage": "baseline", "target": "micro", "arena_bytes": 1}]  # fmt: skip
    first = {**row, "mean_absolute_error": 0.02, "part_detection": 0.53, "part_segmentation": 0.5}
    (bound, parts) = Expect(error_ratio=1.05, worst_part_drop=0.03).verdicts(row, [first, row])[::-1]
    assert bound["value"] == pytest.approx(1.1) and not bound["passed"]
    assert parts["value"] == pytest.approx(0.03) and parts["passed"]
    assert Expect(worst_part_drop=0.02).verdicts(others[0], [first, others[0]])[0]["value"] is None
    expect = Expect(
        worst_class_drop=0.03, worst_corruption_drop=0.07, miss_rate=0.3, flash_bytes=1000, arena_bytes=799,
        sram_bytes=500, npu_share=0.8, latency_p95_ms=12,
    )  # fmt: skip
    verdicts = expect.verdicts(row, [row, *others])
    found = {entry["name"]: (entry["row"], entry["value"], entry["passed"]) for entry in verdicts}
    assert found == {
        "worst_class_drop": ("x/int8", 0.04, False), "worst_corruption_drop": ("x/int8", 0.06, True),
        "miss_rate": ("x/int8", 0.3, True), "flash_bytes": ("x/int8", 1000, True),
        "arena_bytes": ("x/micro", 800, False), "sram_bytes": ("x/npu", 500, True),
        "npu_share": ("x/npu", 0.75, False), "latency_p95_ms": ("x/int8", 12.0, True),
    }  # fmt: skip
    for place, passed in ((1, True), (0, False)):  # Vela's estimate counts, a microcontroller's kernels on a PC do not
        (verdict,) = Expect(latency_p95_ms=100).verdicts(others[place], [row, *others])
        assert verdict["passed"] is passed and verdict["judged"] == others[place]["name"]
    worse = {"name": "x/npu2", "stage": "x", "target": "npu2", "npu": {**npu, "sram_bytes": 501}}
    assert Expect(sram_bytes=500).verdicts(row, [row, *others, worse])[0]["row"] == "x/npu2"
    several = {"name": "y/int8", "stage": "y", "target": "int8", "detection_log_average_miss_rate": 0.4}
    assert Expect(miss_rate=0.3).verdicts(several, [several])[0]["value"] == 0.4


@pytest.mark.parametrize(
    ("bound", "words"),
    [
        ({"score_drop": 2}, "a fraction"),
        ({"arena_bytes": -1}, "bytes such as"),
        ({"score_drop": "0.01"}, "got '0.01'"),
        ({"score_drop": float("nan")}, "a fraction"),
        ({"baseline_beats_trivial": None}, "True or False, got None"),
    ],
)
def test_bounds_out_of_their_unit_are_refused(bound, words):
    with pytest.raises(BadInput, match=words):
        Expect(**bound)


def test_every_bound_has_a_figure():
    assert set(FIGURES) | {"target", "baseline_beats_trivial"} == {field.name for field in dataclasses.fields(Expect)}


def test_controls_can_be_left_out():
    whole = experiment_flags.experiment("pruned_quantized")
    assert chosen_run.with_controls(whole, None) is whole
    assert not chosen_run.with_controls(whole, ["none"]).controls
    assert chosen_run.with_controls(whole, ["longer_training"]).controls == whole.controls
    with pytest.raises(BadInput, match="no control 'longer_trainin'. Did you mean"):
        chosen_run.with_controls(whole, ["longer_trainin"])


def test_an_expectation_over_controls_is_left_out_with_them_and_said(caplog):
    """The best of some controls may be worse than the best of all."""
    whole = experiment_flags.experiment("detection_distilled")
    assert chosen_run.with_controls(whole, [*whole.controls]).expect == whole.expect and not caplog.messages
    for names, left_out in ((["untaught"], "without soft_labels_alone nobody"), (["none"], "soft_labels_alone, untau")):
        caplog.clear()
        found = chosen_run.with_controls(whole, names).expect
        assert found == dataclasses.replace(whole.expect, over_control=None)
        assert "expect.over_control is not judged" in caplog.text and left_out in caplog.text


@pytest.mark.parametrize("setting", ["epochs=1", "epochs=-1", "batch_size=0", "optimizer=adagrad"])
def test_what_a_step_refuses_is_said_by_the_settings_path(setting):
    found = experiment_flags.experiment("smoke")
    warmed = override(found, ["recipe.0.epochs=4", "recipe.0.warmup_epochs=2"])
    with pytest.raises(BadInput, match=r"^recipe\.0\.(warmup_epochs|epochs|batch_size|optimizer) must be "):
        override(warmed, [f"recipe.0.{setting}"])


def test_bounds_of_an_experiments_own_network_are_not_asked_of_another_unless_the_user_asks():
    own = experiment_flags.experiment("quantized")
    assert own.expect.of_network() == ("size_ratio",)
    assert chosen_run.spared(own, ["task.data=images"]) == ()
    assert chosen_run.spared(own, ["task.baseline=mine.h5"]) == ("size_ratio",)
    assert chosen_run.spared(own, ["task.baseline=mine.h5", "expect.size_ratio=0.5"]) == ()


def test_a_level_on_an_experiments_own_data_is_not_asked_of_others_unless_the_user_asks(caplog):
    own = experiment_flags.experiment("mobilenet")
    assert own.expect.of_data() == ("baseline_score",)
    assert chosen_run.without_levels(own, ["task.baseline=mine.h5"]) is own
    spared = chosen_run.without_levels(own, ["task.data=images"]).expect
    assert spared == dataclasses.replace(own.expect, baseline_score=None)
    assert "not judged, for it is about the experiment's own data: baseline_score" in caplog.text
    assert chosen_run.without_levels(own, ["task.data=images", "expect.baseline_score=0.5"]) is own


def test_a_given_model_that_is_another_network_misses_no_bound_of_the_experiments(
    tiny_task, tiny_baseline, small_cnn, tmp_path, caplog
):
    bounds = Expect(size_ratio=0.3, latency_ratio=0.5, score_drop=0.01)
    for name, model, kept in (("same", tiny_baseline, bounds), ("other", small_cnn, Expect(score_drop=0.01))):
        model.save(tmp_path / f"{name}.h5")
        task = dataclasses.replace(tiny_task, baseline=str(tmp_path / f"{name}.h5"), preprocessing_name="caffe")
        spared = ("size_ratio", "latency_ratio")
        run = Run(name="mine", experiment=Experiment(task=task, expect=bounds), workdir=tmp_path, spared=spared)
        caplog.clear()
        assert run._asked(Context(task, model, (), tmp_path, 0)) == kept
        assert ("size_ratio, latency_ratio" in caplog.text) == (name == "other")
        assert dataclasses.replace(run, spared=())._asked(Context(task, model, (), tmp_path, 0)) == bounds
