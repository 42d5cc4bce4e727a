"""Print what an experiment would do, and every setting of it with the name under which --set changes it.

    tfmo-drive plan --experiment=pruned --set=recipe.0.sparsity=0.7

Data is listed, and nothing is decoded, trained or written. First come the data, its splits and classes, the steps of
the recipe and of the controls, which of them are finished in the run folder already, the rows, and what is expected.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from absl import flags

from tfmo_drive.base.recipe import SMALL
from tfmo_drive.commands import chosen_run
from tfmo_drive.contracts import Step

if TYPE_CHECKING:
    from tfmo_drive.experiment import Experiment

FLAGS = flags.FLAGS
flags.adopt_module_key_flags(chosen_run)
_CLASSES = 12
"""The most classes that are named."""


def main(argv: list[str]) -> int:
    """Prints the plan and the settings of the experiment that the flags choose, and returns the exit code."""
    from tfmo_drive.base.overrides import describe

    name, experiment, workdir = chosen_run.experiment(argv)
    print(f"{name}, seed {FLAGS.seed}, into {workdir}\n")
    for title, lines in planned(name, experiment, workdir).items():
        for number, line in enumerate(lines):
            print(f"{title if not number else '':<10}{line}")
    print("\nSettings, each of which --set=NAME=VALUE changes:\n")
    print(describe(experiment))
    return 0


def planned(name: str, experiment: Experiment, workdir: Path) -> dict[str, list[str]]:
    """Returns what a run would do, a list of lines under each title; BadInput where the data cannot be listed."""
    task = experiment.task
    counts, classes = task.counts(), getattr(task, "class_names", ())
    data = getattr(task, "data", "")
    found = [f"{data or type(task).__name__}: {', '.join(f'{count:,} {split}' for split, count in counts.items())}"]
    if classes:
        more = f" and {len(classes) - _CLASSES} more" if len(classes) > _CLASSES else ""
        found.append(f"{len(classes)} classes: {', '.join(classes[:_CLASSES])}{more}")
    models = 1 + bool(experiment.recipe) + len(experiment.all_controls)
    targets = [target.name for target in experiment.all_targets]
    asked = experiment.expect.asked()
    expect = [f"{bound} at {'least' if least else 'most'} {value:g}" for bound, value, least in asked]
    steps = list(_steps(name, experiment, workdir, counts["train"]))
    return {
        "data": found,
        "to say": list(_undeclared(task)),
        "steps": [f"{number} of {len(steps)}: {line}" for number, line in enumerate(steps, start=1)],
        "rows": [f"{models} model{'s' * (models > 1)}, each on those targets that take it: {', '.join(targets)}"],
        "measures": [", ".join(type(measure).__name__ for measure in experiment.measures)],
        "expected": [", ".join(expect) or "nothing"],
        "time": ["after its first epoch, a run says how long it will still take"],
    }


def _undeclared(task: Any) -> Iterator[str]:
    """Yields what a user must still say of a model of their own."""
    from tfmo_drive.networks import own_model

    path = Path(getattr(task, "baseline", "") or "")
    if path.name and own_model.is_whole_model(path) and not own_model.is_stage(path):
        yield from task.undeclared()


def _steps(name: str, experiment: Experiment, workdir: Path, examples: int) -> Iterator[str]:
    """Yields a line for every step, in the order in which they run."""
    stages, same = workdir / "stages", _same_run(experiment, workdir)
    given = getattr(experiment.task, "baseline", "")
    alike = same and _finished(stages / "0_baseline", None if given else experiment.training)
    said = f"given: {given}" if given else _epochs(experiment.training, examples)
    yield f"baseline, {said}{alike}"
    for row, recipe in {name: experiment.recipe, **experiment.all_controls}.items():
        folder, known = stages if row == name else stages / row, alike
        for count, step in enumerate(recipe, start=1):
            known = known and _finished(folder / f"{count}_{step.name}", step)
            epochs = _epochs(step, examples) if row != SMALL else "as many epochs as cost no more than the recipe's"
            said = [type(step).__name__ + ("" if row == name else f" of {row}"), epochs]
            said += [step.promise] if getattr(step, "promise", "") else []
            yield ", ".join(filter(None, said)) + known


def _epochs(step: Step, examples: int) -> str:
    count = getattr(step, "all_epochs", 0)
    return f"{count} epoch{'s' * (count != 1)} of {examples:,} examples" if count else "no training"


def _same_run(experiment: Experiment, workdir: Path) -> str:
    """Returns "" where the run folder holds no run, or one of another task or seed; else a text that is not empty."""
    from tfmo_drive.base.overrides import settings
    from tfmo_drive.base.run_folder import read_json

    held = read_json(workdir / "experiment.json")
    alike = [held.get("seed"), held.get("deterministic"), held.get("settings", {}).get("task")]
    return "same" if alike == [FLAGS.seed, FLAGS.deterministic, _plain(settings(experiment.task))] else ""


def _finished(stage: Path, step: Step | None) -> str:
    """Returns what to say of a stage that is finished with the settings of `step`, "" of any other."""
    from tfmo_drive.base.overrides import settings
    from tfmo_drive.base.progress import duration
    from tfmo_drive.base.run_folder import read_facts

    facts: Mapping[str, Any] = read_facts(stage)
    if not facts.get("finished") or facts.get("settings") != _plain(settings(step)):
        return ""
    return f": finished already, in {duration(facts['seconds'])}"


def _plain(value: Any) -> Any:
    """Returns the value as a JSON file gives it back."""
    return json.loads(json.dumps(value))
