"""Every task class of tfmo_drive.tasks, tiny, and what the contract's tests must know of it."""

from __future__ import annotations

import dataclasses
import functools
import importlib
import inspect
import math
import pkgutil
from collections.abc import Callable, Mapping

import numpy as np
import pytest

from tfmo_drive import tasks
from tfmo_drive.base.keras2 import keras
from tfmo_drive.contracts import Task
from tfmo_drive.data import detections
from tfmo_drive.data.augmentation import Augmentation
from tfmo_drive.data.mask_files import IGNORE
from tfmo_drive.data.splitting import SPLITS
from tfmo_drive.networks.networks import LOGITS, DenseLayers
from tfmo_drive.tasks.arrays import given_arrays
from tfmo_drive.tasks.arrays.array_task import ArrayTask
from tfmo_drive.tasks.classification import Classification, Scenes
from tfmo_drive.tasks.detection.detection import Detection
from tfmo_drive.tasks.distance import DistanceToObject
from tfmo_drive.tasks.image_labels import Labels
from tfmo_drive.tasks.lane_keeping.lane_keeping import LaneKeeping
from tfmo_drive.tasks.multi_task import MultiTask
from tfmo_drive.tasks.segmentation.segmentation import Segmentation
from tfmo_drive.tasks.sensor_rows.sensor_rows import SensorRows
from tfmo_drive.tasks.sensor_rows.sensor_series import Series
from tfmo_drive.tasks.throttle import Throttle


def one_hot(task: Task, classes: np.ndarray) -> np.ndarray:
    return 9 * np.eye(len(task.class_names), dtype=np.float32)[np.where(classes == IGNORE, 0, classes)]


def every_box(task: Detection, targets: Mapping) -> np.ndarray:
    """Truth in the form of a naive export's output, where any cell may say any box: each object has a cell of its own,
    two from the next. (tests/data/test_detections.py has perfect maps.)"""
    rows, columns = (side // detections.STRIDE for side in task.size)
    said = np.zeros((len(targets["classes"]), rows, columns, 4 + len(task.class_names)), np.float32)
    for image, (boxes, kinds) in enumerate(zip(targets["boxes"], targets["classes"], strict=True)):
        for place, (box, kind) in enumerate(zip(boxes[kinds >= 0], kinds[kinds >= 0], strict=True)):
            cell = said[image, 2 * (place // (columns // 2)), 2 * (place % (columns // 2))]
            cell[:4], cell[4 + kind] = box, 0.9
    return said.reshape(len(said), rows * columns, -1)


def every_part(task: MultiTask, targets: Mapping) -> dict:
    return {
        name: CASES[type(part)].perfect(part, targets[part.name]) for part in task.parts for name in part.output_names
    }


def shares_said(task: Task, shares: np.ndarray) -> list[str]:
    best = np.argsort(-shares, kind="stable")[:5]
    return [f"{shares[label]:6.1%}  {task.class_names[label]}" for label in best]


def class_said(task: Task, logits: np.ndarray) -> list[str]:
    odds = np.exp(logits - logits.max(), dtype=np.float64)
    return shares_said(task, odds / odds.sum())


def labels_said(task: Labels, sure: np.ndarray) -> list[str]:
    said = [label for label in np.argsort(-sure, kind="stable") if sure[label] >= task.threshold]
    return [f"{sure[label]:6.1%}  {task.class_names[label]}" for label in said] or ["nothing"]


def pixels_said(task: Segmentation, logits: np.ndarray) -> list[str]:
    decided = logits.argmax(-1)
    return shares_said(task, np.array([np.mean(decided == label) for label in range(len(task.class_names))]))


def boxes_said(task: Detection, outputs: Mapping) -> list[str]:
    (found,) = task.decoding({name: one[None] for name, one in outputs.items()}, task.size)
    shown = found.at(found.scores >= task.threshold)
    assert len(shown.scores) > 1, "or the test would tell nothing of boxes"
    return [f"{score:6.1%}  {task.class_names[label]}  at " + ", ".join(f"{edge:.0f}" for edge in box)
            for score, label, box in zip(shown.scores, shown.classes, shown.boxes, strict=True)]  # fmt: skip


def parts_said(task: MultiTask, outputs: Mapping) -> list[str]:
    return [f"{part.name}: {line}" for part in sorted(task.parts, key=lambda part: part.name)
            for name in part.output_names for line in CASES[type(part)].says(part, outputs[name])]  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Case:
    """What this test must know of a task class: add one for every new task."""

    make: Callable[[dict], Task]
    """From the settings that make tasks on whole frames tiny."""
    perfect: Callable[[Task, object], object]
    """(task, targets of a batch) to outputs that are right throughout."""
    says: Callable[[Task, object], list[str]]
    """(task, real outputs of one example) to the lines that a person is told, by the task's own reading of them."""
    bad: tuple[tuple[str, object], ...]
    """(setting, a value out of its range)."""
    others: Callable[[Task], Task]
    """The same task on other data."""
    output_names: tuple[str, ...]
    in_files: bool = True
    """Whether data and baseline are named by paths; False: they are in memory."""
    packed: Callable[[Task], Task] = lambda task: task
    """The task as its model is packed, so that a person is not told too much."""


def rows_in_memory(seed: int = 0) -> ArrayTask:
    """The built-in series as arrays, and the network for them as somebody's own model."""
    rows = SensorRows(network=DenseLayers(units=(8,)), series=Series(train=900, val=90, test=90, seed=seed))
    given = {split: rows.examples(split).read(np.arange(len(rows.examples(split)))) for split in SPLITS}
    data = given_arrays.read(given, {}, None, rows.class_names, "none")
    keras.utils.set_random_seed(0)
    return ArrayTask(arrays=data, model=rows.build(), trained=False)


def other_frames(task: Task) -> Task:
    return dataclasses.replace(task, scenes=dataclasses.replace(task.scenes, seed=7))


ANY_IMAGE = (("split_seed", -1), ("preprocessing_name", "cafe"))
ANY_FRAME = (*ANY_IMAGE, ("image_size", (8, 96)), ("image_size", (64, 2000)))
CASES = {
    Classification: Case(
        make=lambda streets: Classification(
            image_size=32, network=streets["network"], scenes=Scenes(train=256, val=64, test=64)
        ),
        perfect=one_hot,
        says=class_said,
        bad=(*ANY_IMAGE, ("image_size", 15), ("image_size", 1025), ("outputs", "odds")),
        others=other_frames,
        output_names=(LOGITS,),
    ),
    Detection: Case(
        make=lambda streets: Detection(channels=8, threshold=0.03, decoding=detections.Decoding(iou=0.98), **streets),
        perfect=every_box,
        says=boxes_said,
        packed=lambda task: dataclasses.replace(task, decoding=detections.Decoding(limit=8)),
        bad=(*ANY_FRAME, ("channels", 3), ("threshold", 0.0), ("threshold", 1), ("threshold", math.nan)),
        others=other_frames,
        output_names=("scores", "boxes"),
    ),
    Labels: Case(
        make=lambda streets: Labels(threshold=0.4, **streets),
        perfect=lambda task, targets: targets,
        says=labels_said,
        bad=(*ANY_FRAME, ("threshold", 0.0), ("threshold", 1.0), ("threshold", math.nan), ("outputs", "probabilities")),
        others=other_frames,
        output_names=("labels",),
    ),
    LaneKeeping: Case(
        make=lambda streets: LaneKeeping(preprocessing_name="grey/127.5-1", **streets),
        perfect=lambda task, targets: targets["steering"],
        says=lambda task, outputs: [f"{task.degrees * outputs[0]:+.4g} degrees (positive to the right)"],
        bad=(
            *ANY_FRAME, ("degrees", 0), ("degrees", math.nan), ("curve_degrees", -1), ("curve_degrees", 25.0),
            ("limit", 0.0), ("limit", math.nan), ("augmentation", Augmentation()), ("side_correction", -0.1),
            ("side_correction", math.nan),
        ),
        others=other_frames,
        output_names=("steering",),
    ),
    MultiTask: Case(
        make=lambda streets: MultiTask(parts=(Segmentation(channels=8), LaneKeeping()), **streets),
        perfect=every_part,
        says=parts_said,
        bad=(
            *ANY_FRAME, ("parts", ()), ("parts", (LaneKeeping(),)), ("parts", (LaneKeeping(), LaneKeeping())),
            ("parts", (LaneKeeping(), Classification())), ("loss_weights", (1.0,)), ("loss_weights", (1.0, 0.0)),
            ("loss_weights", (1.0, math.nan)), ("given_outputs", ("mask",)),
        ),
        others=other_frames,
        output_names=("mask", "steering"),
    ),
    Throttle: Case(
        make=lambda streets: Throttle(**streets),
        perfect=lambda task, targets: task._scale.output(targets),
        says=lambda task, outputs: [f"{task._scale.deviation * outputs[0] + task._scale.mean:.4g} of full throttle"],
        bad=(*ANY_FRAME, ("farthest", 0.0), ("farthest", math.nan), ("outputs", "shares")),
        others=other_frames,
        output_names=("throttle",),
    ),
    Segmentation: Case(
        make=lambda streets: Segmentation(channels=8, **streets),
        perfect=one_hot,
        says=pixels_said,
        bad=(*ANY_FRAME, ("channels", 0), ("shown", "lane"), ("ignore", -1), ("ignore", 256)),
        others=other_frames,
        output_names=("mask",),
    ),
    ArrayTask: Case(
        make=lambda streets: rows_in_memory(),
        perfect=one_hot,
        says=class_said,
        bad=(("outputs", "odds"),),
        others=lambda task: rows_in_memory(seed=7),
        output_names=(LOGITS,),
        in_files=False,
    ),
    DistanceToObject: Case(
        make=lambda streets: DistanceToObject(preprocessing_name="yuv/127.5-1", **streets),
        perfect=lambda task, targets: task._scale.output(targets),
        says=lambda task, outputs: [f"{task._scale.deviation * outputs[0] + task._scale.mean:.4g} m"],
        bad=(*ANY_FRAME, ("farthest", 0.0), ("farthest", math.nan), ("outputs", "metres")),
        others=other_frames,
        output_names=("distance",),
    ),
    SensorRows: Case(
        make=lambda streets: SensorRows(network=DenseLayers(units=(8,)), series=Series(train=900, val=90, test=90)),
        perfect=one_hot,
        says=class_said,
        bad=(("predicts", "text"), ("standardise", "test"), ("split_seed", -1)),
        others=lambda task: dataclasses.replace(task, series=dataclasses.replace(task.series, seed=7)),
        output_names=(LOGITS,),
    ),
}  # fmt: skip


def all_tasks() -> list[type[Task]]:
    """The Task classes that the files of tfmo_drive/tasks define, by name; not those that tasks share."""
    names = [found.name for found in pkgutil.walk_packages(tasks.__path__, f"{tasks.__name__}.")]
    classes = [value for name in names for value in vars(importlib.import_module(name)).values()
               if isinstance(value, type) and issubclass(value, Task) and value.__module__ == name
               and not inspect.isabstract(value)]  # fmt: skip
    return sorted(classes, key=lambda kind: kind.__name__)


@pytest.fixture(scope="session", params=all_tasks(), ids=lambda kind: kind.__name__)
def kind(request):
    """A test that asks for it, or for one of the following, walks all task classes."""
    return request.param


@pytest.fixture(scope="session")
def case(kind):
    if kind not in CASES:
        pytest.fail(f"{kind.__name__} has no Case: add one to CASES in {__file__}, so that its contract is tested.")
    return CASES[kind]


@pytest.fixture(scope="session")
def tiny_models(streets):
    """tiny_models(kind) -> (the tiny task, its untrained model, whose BatchNorms have seen a batch): one for all."""

    def build(kind):
        task = CASES[kind].make(streets)
        keras.utils.set_random_seed(0)
        model = task.build()
        inputs = task.preprocessing(task.examples("train").read(np.arange(16))[0])
        for _ in range(10):
            model(inputs, training=True)
        return task, model

    return functools.cache(build)


@pytest.fixture(scope="session")
def task(kind, case, tiny_models):
    return tiny_models(kind)[0]


@pytest.fixture(scope="session")
def task_of_files(task, case):
    """The task, where its data and its baseline are files."""
    if not case.in_files:
        pytest.skip("it takes data and model from memory")
    return task


@pytest.fixture(scope="session")
def model(kind, case, tiny_models):
    """Nobody may change it."""
    return tiny_models(kind)[1]


@pytest.fixture(scope="session")
def other_model(kind, case, tiny_models):
    """Of another task."""
    kinds = list(CASES)
    return tiny_models(kinds[kinds.index(kind) - 1])[1]
