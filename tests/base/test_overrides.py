from __future__ import annotations

import dataclasses
import enum
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

from tfmo_drive.base.overrides import describe, override, settings
from tfmo_drive.contracts import BadInput


class Order(enum.Enum):
    RGB = "rgb"
    BGR = "bgr"


@dataclasses.dataclass(frozen=True)
class Prune:
    sparsity: float = 0.5
    epochs: int = 4
    skip: tuple[str, ...] = ()
    begin: int = 0

    def __post_init__(self):
        if not 0 <= self.sparsity < 1:
            raise ValueError(f"Prune.sparsity must be in [0, 1), got {self.sparsity}.")
        if self.begin > self.epochs:
            raise ValueError(f"Prune.begin must be at most Prune.epochs, got {self.begin}.")


@dataclasses.dataclass(frozen=True)
class Task:
    image_size: int = 48
    crop: tuple[int, int] | None = None
    weights: str = "none"
    teacher: str | None = "x"
    data: Path | None = None
    flip: bool = False
    rule: Literal["nearest", "bilinear"] = "nearest"
    order: Order = Order.RGB
    prune: Prune | None = None
    levels: tuple[float, ...] = (1.0, 2.0)
    anything: Any = None
    cache: dict = dataclasses.field(default_factory=dict, compare=False, repr=False)


@dataclasses.dataclass(frozen=True)
class Experiment:
    task: Task = Task()
    recipe: tuple[Any, ...] = (Prune(), Prune(0.7))
    limits: Mapping[str, int] = dataclasses.field(default_factory=lambda: {"int8": 100})


EXPERIMENT = Experiment()


@pytest.mark.parametrize(
    ("assignment", "get", "expected"),
    [
        ("recipe.0.sparsity=0.25", lambda e: e.recipe[0].sparsity, 0.25),
        ("recipe.1.sparsity=0", lambda e: e.recipe[1].sparsity, 0.0),
        ("recipe.1.skip=conv1,conv2", lambda e: e.recipe[1].skip, ("conv1", "conv2")),
        ("recipe.1.skip=conv1", lambda e: e.recipe[1].skip, ("conv1",)),
        ("recipe.1.skip=('a','b')", lambda e: e.recipe[1].skip, ("a", "b")),
        ("recipe.1.skip+=a", lambda e: e.recipe[1].skip, ("a",)),
        ("task.levels+=3", lambda e: e.task.levels, (1.0, 2.0, 3.0)),
        ("recipe.1.skip=()", lambda e: e.recipe[1].skip, ()),
        ("task.image_size=32", lambda e: e.task.image_size, 32),
        ("task.crop=32,24", lambda e: e.task.crop, (32, 24)),
        ("task.crop=none", lambda e: e.task.crop, None),
        ("task.weights=none", lambda e: e.task.weights, "none"),
        ("task.weights=12", lambda e: e.task.weights, "12"),
        ("task.weights=a=b", lambda e: e.task.weights, "a=b"),
        ("task.teacher=none", lambda e: e.task.teacher, None),
        ("task.teacher=5", lambda e: e.task.teacher, "5"),
        ("task.data=a/b.h5", lambda e: e.task.data, Path("a/b.h5")),
        ("task.flip=true", lambda e: e.task.flip, True),
        ("task.rule=bilinear", lambda e: e.task.rule, "bilinear"),
        ("task.order=BGR", lambda e: e.task.order, Order.BGR),
        ("task.levels.1=5", lambda e: e.task.levels, (1.0, 5.0)),
        ("task.anything=[1, 'a']", lambda e: e.task.anything, [1, "a"]),
        ("task.prune.sparsity=0.25", lambda e: e.task.prune, Prune(0.25)),
        ("task.prune=Prune", lambda e: e.task.prune, Prune()),
        ("limits.int8=7", lambda e: e.limits, {"int8": 7}),
        ("limits={'a': 1}", lambda e: e.limits, {"a": 1}),
    ],
)
def test_one_setting_is_changed(assignment, get, expected):
    before = settings(EXPERIMENT)
    got = get(override(EXPERIMENT, [assignment]))
    assert got == expected and type(got) is type(expected)
    assert settings(EXPERIMENT) == before


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("recipe.0.sparsty=0.7", r'recipe.0 \(Prune\) has no "sparsty" .*mean "sparsity"\? There is: sparsity, epochs'),
        ("taks.image_size=3", 'Experiment has no "taks" .* Did you mean "task"'),
        ("recipe.2.sparsity=0.7", r'recipe \(tuple\) has no "2" .* There is: 0, 1'),
        ("recipe.-1.sparsity=0.7", 'has no "-1"'),
        ("limits.int16=7", 'limits .* has no "int16" .* Did you mean "int8"'),
        ("task.image_size.x=1", 'task.image_size is 48, so it has no "x"'),
        ("task.anything.sparsity=0.5", "task.anything is None"),
        ("recipe.0.sparsity=1.7", r"^recipe.0.sparsity must be in \[0, 1\), got 1.7.$"),
        ("recipe.0.sparsity=high", "recipe.0.sparsity must be a number, got high"),
        ("recipe.0.sparsity=true", "must be a number, got true"),
        ("recipe.0.epochs=0.7", "recipe.0.epochs must be a whole number, got 0.7"),
        ("recipe.0.epochs=true", "must be a whole number"),
        ("task.flip=1", "task.flip must be true or false, got 1"),
        ("task.crop=32", r"task.crop must be .*a tuple \(a whole number, a whole number\)"),
        ("task.rule=cubic", "task.rule must be one of nearest, bilinear, got cubic"),
        ("task.order=GBR", "one of RGB, BGR"),
        ("task=3", r"task must be Task \(or set one of its fields: image_size, crop"),
        ("task.image_size", "given as path=value"),
        ("task..image_size=3", "given as path=value"),
        ("=3", "given as path=value"),
        ("recipe.0.sparsity+=0.1", r"is no list, to which \+= adds. Type recipe.0.sparsity=0.1"),
    ],
)
def test_what_cannot_be_set_says_why(assignment, message):
    with pytest.raises(BadInput, match=message) as caught:
        override(EXPERIMENT, [assignment])
    assert "\n" not in str(caught.value)


def test_settings_that_need_one_another_are_made_at_once():
    changed = override(EXPERIMENT, ["recipe.0.begin=6", "recipe.0.epochs=8"])
    assert (changed.recipe[0].begin, changed.recipe[0].epochs) == (6, 8)
    with pytest.raises(BadInput, match="^recipe.0.begin must be at most"):
        override(EXPERIMENT, ["recipe.0.begin=6"])


def test_the_last_of_two_assignments_wins():
    assert override(EXPERIMENT, ["task.image_size=1", "task.image_size=2"]).task.image_size == 2


@dataclasses.dataclass(frozen=True)
class Shared:
    image_size: int = 32
    parts: tuple[Task, ...] = (Task(),)

    def __post_init__(self):
        size = self.image_size
        object.__setattr__(self, "parts", tuple(dataclasses.replace(part, image_size=size) for part in self.parts))


def test_a_setting_that_is_set_further_up_is_refused():
    with pytest.raises(BadInput, match="^parts.0.image_size=64 is not heard: it is 32 here, .* Set image_size.$"):
        override(Shared(), ["parts.0.image_size=64"])
    assert override(Shared(), ["parts.0.image_size=32", "parts.0.flip=true"]).parts[0].flip
    assert override(EXPERIMENT, ["task.crop=3,4", "task.crop.0=5"]).task.crop == (5, 4)


def test_no_assignment_is_the_same_experiment():
    assert override(EXPERIMENT, []) == EXPERIMENT


def test_settings_are_json_and_leave_caches_out():
    found = settings(Experiment(task=Task(data=Path("a"), anything=np.float32(0.5), cache={"x": object()})))
    assert json.loads(json.dumps(found)) == found
    assert found["kind"] == "Experiment" and found["recipe"][1]["kind"] == "Prune"
    assert found["task"]["data"] == "a" and found["task"]["anything"] == 0.5 and found["task"]["order"] == "rgb"
    assert "cache" not in found["task"]


def test_a_field_called_kind_hides_no_class_name():
    @dataclasses.dataclass(frozen=True)
    class Head:
        kind: str = "gap"

    assert settings(Head()) == {"class": "Head", "kind": "gap"}
    assert describe(Head()).split() == ["experiment", "Head", "kind", "gap"]


def test_values_without_a_stable_text_are_refused():
    for value in (object(), lambda: 0):
        with pytest.raises(BadInput, match="plain values"):
            settings(Task(anything=value))


def test_every_line_of_the_plan_can_be_typed_back():
    lines = [line.split(maxsplit=1) for line in describe(EXPERIMENT).splitlines()]
    assert ["recipe.1.sparsity", "0.7"] in lines and ["recipe.1", "Prune"] in lines
    nodes = {"experiment", "task", "recipe.0", "recipe.1"}
    typed = [f"{path}={text}" for path, text in lines if path not in nodes and path != "task.order"]
    assert override(EXPERIMENT, typed) == EXPERIMENT
