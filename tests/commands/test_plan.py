"""A plan says first what a run will do: data, splits, classes, steps, what is finished, rows; and that quickly."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from absl import flags
from absl.testing import flagsaver

from tfmo_drive.base import atomic
from tfmo_drive.base.overrides import override, settings
from tfmo_drive.commands import experiment_flags
from tfmo_drive.commands.plan import planned
from tfmo_drive.contracts import BadInput

ROOT = Path(__file__).parents[2]


@pytest.fixture
def plan(tmp_path):
    """Returns a function that plans smoke in a run folder, with other settings and flags."""

    def call(*assignments, **given) -> dict[str, list[str]]:
        if not flags.FLAGS.is_parsed():
            flags.FLAGS(["tfmo-drive"])
        with flagsaver.flagsaver(**given):
            return planned("smoke", override(experiment_flags.experiment("smoke"), assignments), tmp_path / "run")

    return call


def test_the_plan_of_the_built_in_scenes_by_hand(plan):
    found = plan("expect.over_control=-0.02")
    assert found["data"] == [
        "scenes: 1,024 train, 128 val, 512 test",
        "9 classes: car, truck, pedestrian, cyclist, traffic light, stop sign, yield sign, speed limit, clear road",
    ]
    assert found["steps"] == [
        "1 of 4: baseline, 8 epochs of 1,024 examples",
        "2 of 4: Prune, 2 epochs of 1,024 examples, 50% zeros",
        "3 of 4: QuantizeAware, 1 epoch of 1,024 examples, int8",
        "4 of 4: Train of longer_training, 3 epochs of 1,024 examples",
    ]
    assert found["rows"] == ["3 models, each on those targets that take it: litert_float32, onnx_int8, litert_int8"]
    assert found["expected"] == ["score_drop at most 0.05, over_control at least -0.02, size_ratio at most 0.5"]
    assert not found["to say"]


def test_the_small_network_is_planned_without_a_number_that_only_the_recipes_result_tells(plan):
    found = plan("small_from_nothing=true")
    assert found["steps"][-1] == (
        "5 of 5: Distill of small_from_nothing, as many epochs as cost no more than the recipe's"
    )
    assert found["rows"][0].startswith("4 models, ")


def test_ones_own_data_is_listed_and_not_opened(plan, tmp_path):
    for number in range(24):
        path = tmp_path / "signs" / f"sign {number % 6}" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"no image")
    found = plan(f"task.data={tmp_path / 'signs'}")["data"]
    assert found[0].startswith(f"{tmp_path / 'signs'}: ") and "train" in found[0] and found[1].startswith("6 classes: ")
    with pytest.raises(BadInput, match="nowhere"):
        plan(f"task.data={tmp_path / 'nowhere'}")


def test_what_is_finished_is_said_up_to_the_first_step_that_is_not(plan, tmp_path):
    whole = experiment_flags.experiment("smoke")
    stages = {"0_baseline": whole.training, "1_prune": whole.recipe[0], "2_quantize_aware": whole.recipe[1],
              "longer_training/1_train": whole.controls["longer_training"][0]}  # fmt: skip
    for name, step in stages.items():
        (tmp_path / "run" / "stages" / name).mkdir(parents=True)
        facts = {"finished": True, "settings": settings(step), "seconds": 90.0}
        atomic.write_json(tmp_path / "run" / "stages" / name / "stage.json", facts)
    held = {"seed": 0, "deterministic": False, "experiment": "smoke", "settings": settings(whole)}
    atomic.write_json(tmp_path / "run" / "experiment.json", held)

    def finished(*assignments, **given) -> list[bool]:
        return ["finished already, in 1 min 30 s" in line for line in plan(*assignments, **given)["steps"]]

    assert finished() == [True] * 4
    assert finished("recipe.0.sparsity=0.6") == [True, False, False, True]
    assert finished("training.epochs=9") == finished("task.image_size=48") == finished(seed=1) == [False] * 4


def test_what_must_be_said_of_a_model_of_ones_own_is_in_the_plan(plan, small_cnn, tmp_path):
    small_cnn.save(tmp_path / "mine.h5")
    found = plan(f"task.baseline={tmp_path / 'mine.h5'}")
    assert found["to say"][0].startswith("how its input was made, with --set=task.preprocessing_name=NAME")
    assert found["steps"][0] == f"1 of 4: baseline, given: {tmp_path / 'mine.h5'}"


def test_counts_are_those_of_the_examples_that_are_read(tiny_task, streets):
    from tfmo_drive.tasks.lane_keeping.lane_keeping import LaneKeeping
    from tfmo_drive.tasks.segmentation.segmentation import Segmentation

    for task in (tiny_task, LaneKeeping(**streets), Segmentation(**streets)):
        assert task.counts() == {split: len(task.examples(split)) for split in ("train", "val", "test")}


def test_a_plan_takes_seconds_writes_nothing_and_says_nothing_else(tmp_path):
    before = os.times()
    words = [sys.executable, "-m", "tfmo_drive", "plan", "--experiment=smoke", f"--workdir={tmp_path / 'run'}"]
    done = subprocess.run(words, cwd=ROOT, text=True, capture_output=True)
    after = os.times()
    assert done.returncode == 0 and not done.stderr and not (tmp_path / "run").exists()
    assert done.stdout.splitlines()[2].startswith("data      scenes: 1,024 train")
    assert "recipe.0.sparsity" in done.stdout
    spent = after.children_user + after.children_system - before.children_user - before.children_system
    assert spent < 9, "six seconds on a calm machine"
