"""Converts the models of a run for its targets, and asks the measures of every file: the rows of the report."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from absl import logging

from tfmo_drive.base import progress
from tfmo_drive.base.keras2 import keras
from tfmo_drive.base.row_keys import joined
from tfmo_drive.contracts import Artifact, BadInput, Context, Measure, Step, Target
from tfmo_drive.report.row_facts import completed, summary


@dataclasses.dataclass(frozen=True, eq=False)
class Files:
    """Makes the files of a run, and keeps them open with what was measured of each."""

    context: Context
    recipes: Mapping[str, tuple[Step, ...]]
    """The recipes by the names of their rows; none is the baseline's."""
    folder: Path
    """The folder that gets one folder a row."""
    measures: tuple[Measure, ...] = ()
    artifacts: dict[str, Artifact] = dataclasses.field(default_factory=dict)
    """The files by the names of their rows, open; the first is the float baseline's, the reference of all others."""
    rows: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    skipped: list[dict[str, str]] = dataclasses.field(default_factory=list)
    """{"stage", "target", "reason"} of every file that a target refused to make."""
    refused: Mapping[tuple[str, str], str] = dataclasses.field(default_factory=dict)
    """Why rows, (recipe, target), cannot be made, where that was known before training."""
    asked: Callable[[str, str], bool] = lambda stage, target: True
    """Says whether (stage, target) is missed where it cannot be made; others are left out without a word."""

    def accepted(self, name: str, model: keras.Model, targets: tuple[Target, ...]) -> list[Target]:
        """Returns the targets that take the model of row `name`; the others that are missed are added to `skipped`."""
        reasons = [self.refused.get((name, target.name)) or target.refuses(model) for target in targets]
        pairs = list(zip(targets, reasons, strict=True))
        for target, reason in pairs:
            if reason:
                self._skip(name, target, reason)
        return [target for target, reason in pairs if not reason]

    def _skip(self, name: str, target: Target, reason: str) -> None:
        if not self.asked(name, target.name):
            return
        if (name, target.name) not in self.refused:  # else it was said before training
            logging.warning("%s/%s is skipped: %s", name, target.name, reason)
        self.skipped.append({"stage": name, "target": target.name, "reason": reason})

    def made(self, name: str, model: keras.Model, target: Target) -> Artifact | None:
        """Returns `convert`'s file, or None where the target refuses the weights: that is then added to `skipped`."""
        try:
            return self.convert(name, model, target)
        except BadInput as error:
            self._skip(name, target, str(error))
            with contextlib.suppress(OSError):  # an earlier file may lie in it
                (self.folder / name / target.name).rmdir()
            return None

    def convert(self, name: str, model: keras.Model, target: Target) -> Artifact:
        """Returns the file of a model, which keeps the promises of the steps that made the model."""
        folder = self.folder / name / target.name
        folder.mkdir(parents=True, exist_ok=True)
        artifact = target(model, folder, self.context)
        for step in self.recipes.get(name, ()):
            step.check_artifact(artifact)
        return artifact

    def measure(self, models: Mapping[str, keras.Model], stages: list[dict]) -> None:
        """Fills `rows`: each model (by the name of its recipe, the baseline first) on each target that takes it.

        Args:
            models: The last model of every recipe.
            stages: What report.json says of the stages that they come from.
        """
        targets = self.context.targets
        files = [(name, model, one) for name, model in models.items() for one in self.accepted(name, model, targets)]
        begun = time.perf_counter()
        for count, (name, model, target) in enumerate(files, start=1):
            place = f"row {count} of {len(files)}: {name}/{target.name}"
            started = time.perf_counter()
            artifact = self.convert(name, model, target) if count == 1 else self.made(name, model, target)
            if artifact is None:
                continue
            self.artifacts[f"{name}/{target.name}"] = artifact
            converted = time.perf_counter()
            seconds = converted - started
            logging.info("%s, converted in %s", place, progress.duration(seconds))
            row = {"name": f"{name}/{target.name}", "stage": name, "target": target.name, "reference": count == 1}
            row |= {"runtime": artifact.runtime, "threads": artifact.threads, "seconds": round(seconds, 2)}
            row = self._measured(joined(row, artifact.notes, artifact), artifact)
            self.rows.append(completed(row, self.rows, stages))
            now = time.perf_counter()
            left = (now - begun) / count * (len(files) - count)
            said = [place, f"measured in {progress.duration(now - converted)}", summary(row)]
            logging.info("%s", ", ".join(said + [f"{progress.duration(left)} left"] * (left > 0)))

    def _measured(self, row: dict[str, Any], artifact: Artifact) -> dict[str, Any]:
        """Returns the row with what every measure says of its file."""
        reference = next(iter(self.artifacts.values()))
        for measure in self.measures:
            found = measure(artifact, reference, self.context)
            row = joined(row, found, measure)
            if not measure.has_section:
                row["own_numbers"] = [*row.get("own_numbers", ()), *found]
        return row

    def paired(self, name: str) -> Iterator[dict[str, Any]]:
        """Yields the rows of recipe `name` compared, example by example, with every other recipe's.

        The target is the same.
        """
        others = [other for other in self.recipes if other != name]
        measures = [measure for measure in self.measures if measure.paired]
        if others and not measures:
            logging.warning("No measure compares the recipe with its controls example by example. Accuracy() does.")
        for other in others if measures else ():
            for target in self.context.targets:
                row, against = f"{name}/{target.name}", f"{other}/{target.name}"
                if row in self.artifacts and against in self.artifacts:
                    kept = {}
                    for measure in measures:
                        found = measure(self.artifacts[row], self.artifacts[against], self.context)
                        kept |= {key: found[key] for key in measure.paired}
                    yield {"row": row, "against": against, **kept}
