"""Describes an experiment: what to do, what to compare it with, where it will run, what to measure and what must hold.

`tfmo_drive.flow` runs it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from tfmo_drive.base.recipe import SMALL, refuse_order
from tfmo_drive.base.spelling import suggestion
from tfmo_drive.contracts import BadInput, Measure, Step, Target, Task
from tfmo_drive.expect import Expect
from tfmo_drive.measures.accuracy import Accuracy
from tfmo_drive.measures.cost import Cost
from tfmo_drive.measures.latency import Latency
from tfmo_drive.measures.memory import Memory
from tfmo_drive.measures.size import Size
from tfmo_drive.steps.distill import Distill
from tfmo_drive.steps.train import Train
from tfmo_drive.targets.litert import LiteRTFloat32

MEASURES: tuple[Measure, ...] = (Accuracy(), Size(), Cost(), Memory(), Latency())
"""The measures of every row, by default."""
_ONE = {
    "task": (Task, "Classification()"), "training": (Train, "Train(epochs=8)"),
    "expect": (Expect, "Expect(score_drop=0.01), or leave it out"),
}  # fmt: skip
_SEVERAL = {
    "recipe": (Step, "(Prune(sparsity=0.5),), or () for none"), "targets": (Target, "(LiteRTInt8(),)"),
    "measures": (Measure, "(*MEASURES,)"),
}  # fmt: skip
"""The classes of an experiment's settings, and examples of what to type."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Experiment:
    """Describes what to do, what to compare it with, where it will run, what to measure and what must hold.

    Args:
        task: The task, with its data and float model.
        recipe: The steps, in order.
        controls: Other recipes from the same baseline by name, to compare with.
        small_from_nothing: Whether a recipe that trains is also compared with `Task.small_network`, trained from
            nothing in at most the recipe's time.
        targets: The targets for which files are made.
        training: How the baseline is trained where none is given (task.baseline).
        measures: What every row is asked.
        expect: What must hold: a miss is exit code 1, a latency that cannot be measured on a busy machine 3.

    Raises:
        BadInput: A setting is of another kind, or a step would undo what an earlier one promises.

    Example:
        >>> from pathlib import Path
        >>> import tfmo_drive as td
        >>> whole = td.Experiment(task=td.Classification(), recipe=(td.Prune(),), targets=(td.LiteRTInt8(),))
        >>> td.Run(name="mine", experiment=whole, workdir=Path("runs/mine")).seed
        0
    """

    task: Task
    recipe: tuple[Step, ...] = ()
    controls: Mapping[str, tuple[Step, ...]] = dataclasses.field(default_factory=dict)
    small_from_nothing: bool = True
    targets: tuple[Target, ...] = (LiteRTFloat32(),)
    training: Train = Train(epochs=8, learning_rate=0.05, warmup_epochs=0.5)
    measures: tuple[Measure, ...] = MEASURES
    expect: Expect = Expect()

    def __post_init__(self):
        self._refuse_other_kinds()
        names = [target.name for target in self.all_targets]
        if len(set(names)) < len(names):
            raise BadInput(f"Experiment.targets must differ in name, got {', '.join(names)}. Keep one of each.")
        if self.expect.over_control is not None and not self.controls:
            raise BadInput("Expect.over_control needs a control to be over. Name one in controls, or drop it.")
        if self.training.distill:
            raise BadInput(
                "training.distill: nothing is there yet to teach the baseline. Set recipe.N.distill instead."
            )
        if not self.targets:
            raise BadInput("Experiment.targets is empty. Name at least one, such as LiteRTInt8().")
        if self.expect.target and self.expect.target not in names:
            raise BadInput(f"Expect.target: no target {self.expect.target!r}. {suggestion(self.expect.target, names)}")
        for name, recipe in {"recipe": self.recipe, **self.controls}.items():
            if name in ("baseline", SMALL) or not name.isidentifier():
                raise BadInput(f"Experiment.controls: {name!r} cannot name a row. Use a word such as longer_training.")
            refuse_order(recipe)
            for step in recipe:
                step.refuse_task(self.task)

    def _refuse_other_kinds(self):
        """Raises BadInput for a setting of another kind, such as one step in place of a recipe.

        It would else fail far from here.
        """
        for name, (kind, example) in _ONE.items():
            if not isinstance(value := getattr(self, name), kind):
                raise BadInput(f"Experiment.{name} must be of kind {kind.__name__}, got {value!r}. Write {example}.")
        several = [(name, getattr(self, name), *kind) for name, kind in _SEVERAL.items()]
        if not isinstance(self.controls, Mapping):
            raise BadInput(f"Experiment.controls must be recipes by name, got {self.controls!r}. Write {{}} for none.")
        several += [(f"controls[{name!r}]", one, *_SEVERAL["recipe"]) for name, one in self.controls.items()]
        for name, value, kind, example in several:
            if not isinstance(value, tuple) or not all(isinstance(one, kind) for one in value):
                raise BadInput(
                    f"Experiment.{name} must be a tuple of {kind.__name__}s, got {value!r}. Write {example}."
                )

    @property
    def all_controls(self) -> Mapping[str, tuple[Step, ...]]:
        """Returns the controls by name, that of the small network last; `flow.small_control` says how long it trains.

        It has none where the recipe trains nothing, or where the task's network is the small one already.
        """
        small, trains = self.task.small_network, any(getattr(step, "all_epochs", 0) for step in self.recipe)
        if not (self.small_from_nothing and trains and small) or small == getattr(self.task, "network", None):
            return self.controls
        tuned = {"batch_size": self.training.batch_size, "optimizer": "adam", "learning_rate": 0.001}
        return {**self.controls, SMALL: (Distill(student=small, distill=None, **tuned),)}

    @property
    def all_targets(self) -> tuple[Target, ...]:
        """Returns the targets with the float target first: everything is compared with the baseline there."""
        given = [target for target in self.targets if target.name == LiteRTFloat32.name]
        return (given[0] if given else LiteRTFloat32(), *(t for t in self.targets if t not in given))

    def asks_for(self, stage: str, target: str) -> bool:
        """Says whether a report misses the row (stage, target) where it cannot be made.

        Only the baseline needs the float target. Where nobody names it, a recipe's model is measured there if it can.
        """
        return stage == "baseline" or target in {one.name for one in self.targets}
