"""Every recipe that trains is compared with a small network from nothing, which trains for no longer than it."""

from __future__ import annotations

import dataclasses
import json

import pytest

import tfmo_drive as td
from tests.test_experiments import FILES
from tfmo_drive.base.recipe import SMALL
from tfmo_drive.commands import chosen_run, experiment_flags
from tfmo_drive.flow import small_control
from tfmo_drive.flow.flow import Run
from tfmo_drive.networks import macs

STILL = ("smoke", "demo")
"""Experiments that are to be done within minutes."""


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_recipe_that_trains_has_it(path):
    whole = experiment_flags.experiment(str(path))
    trains = any(getattr(step, "all_epochs", 0) for step in whole.recipe)
    has_none = whole.task.small_network is None or whole.task.small_network == whole.task.network
    assert (SMALL in whole.all_controls) == (trains and not has_none and path.stem not in STILL)
    assert not has_none or path.stem in ("steering_with_speed", "sensor_speed")
    assert SMALL not in chosen_run.with_controls(whole, ["none"]).all_controls
    if SMALL in whole.all_controls:
        assert list(chosen_run.with_controls(whole, [SMALL]).all_controls) == [SMALL]
        (step,) = whole.all_controls[SMALL]
        step.refuse_task(whole.task)


@pytest.mark.parametrize("small", ["MobileNetV2", "SmallCNN"])
def test_its_epochs_cost_no_more_than_the_recipes(tiny_task, small):
    task = dataclasses.replace(tiny_task, image_size=64)
    step = td.Distill(student=getattr(td, small)(), distill=None)
    large, one = td.ResNet(), macs.of_model(step.successor(task))
    whole = task.build(large)
    recipe = (td.Prune(epochs=2), td.FoldBatchNorm(), td.Train(epochs=3))
    (timed,) = small_control.in_time((step,), recipe, [whole] * 4, task)
    assert 1 < timed.epochs <= small_control.MOST
    assert timed.epochs == small_control.MOST or timed.epochs * one <= 5 * macs.of_model(whole) + 1e8
    assert timed == dataclasses.replace(step, epochs=timed.epochs)
    (least,) = small_control.in_time((step,), recipe[:1], [task.build(td.ResNet(blocks=(1,), width=0.1))] * 2, task)
    assert least.epochs < timed.epochs


def test_a_run_measures_it_and_says_which_to_take(tiny_task, tmp_path):
    whole = td.Experiment(
        task=tiny_task, training=td.Train(epochs=1), recipe=(td.Prune(epochs=1, sparsity=0.95),),
        targets=(td.LiteRTInt8(),), measures=(td.Accuracy(), td.Size()),
    )  # fmt: skip
    report = Run(name="mine", experiment=whole, workdir=tmp_path).report()
    rows = [row["name"] for row in report["rows"]]
    assert f"{SMALL}/litert_int8" in rows and report["headline"] == "mine/litert_int8"
    stage = json.loads((tmp_path / "stages" / SMALL / "1_distill" / "stage.json").read_text())
    assert stage["settings"]["epochs"] == len(next(one for one in report["stages"] if one["recipe"] == SMALL)["curves"]
                                              ["epoch"])  # fmt: skip
    text = (tmp_path / "report.md").read_text().replace("\\", "")
    assert f"A small network trained from nothing, {SMALL}/litert_int8, scores" in " ".join(text.split())
