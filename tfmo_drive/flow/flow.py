"""Runs an experiment once: baseline -> steps -> targets -> measures -> report, every stage saved and reused."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from absl import logging

from tfmo_drive.base import faults, run_folder, speed
from tfmo_drive.base.keras2 import keras
from tfmo_drive.base.overrides import settings
from tfmo_drive.contracts import Artifact, BadInput, Context
from tfmo_drive.expect import Expect
from tfmo_drive.experiment import Experiment
from tfmo_drive.flow.files import Files
from tfmo_drive.flow.stages import Stages
from tfmo_drive.report.schema import SCHEMA
from tfmo_drive.report.write_report import write
from tfmo_drive.scores.gallery import Gallery

PATIENCE_S = 60.0
"""The seconds for which an expected latency is measured again where the machine is busy."""


@dataclasses.dataclass(frozen=True, eq=False)
class Chain:
    """Holds what a recipe makes, from the float baseline to the files."""

    context: Context
    models: dict[str, keras.Model]
    """The models by stage: "0_baseline", "1_prune", ..."""
    artifacts: list[Artifact]
    """The artifacts of the last model, one for each of the experiment's targets that takes it."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Run:
    """Executes an experiment in a folder, once."""

    name: str
    experiment: Experiment
    workdir: Path
    seed: int = 0
    deterministic: bool = False
    spared: tuple[str, ...] = ()
    """Expectations of the experiment's own network, which are not asked of a given baseline that is another one."""

    def __post_init__(self):
        if not 0 <= self.seed < 2**32:
            raise BadInput(f"The seed must be in 0..{2**32 - 1:,}, which Keras takes, got {self.seed}.")
        if self.name in ("baseline", *self.experiment.all_controls) and self.experiment.recipe:
            raise BadInput(f"The experiment is called {self.name}, as other rows are. Rename its file.")

    def report(self) -> dict[str, Any]:
        """Makes everything (stages, artifacts, rows, report files) and returns the report.

        Raises BadInput and BrokenPromise.
        """
        return self.measured()[0]

    def measured(self) -> tuple[dict[str, Any], Gallery]:
        """Returns what `report` returns, and the artifacts by the names of their rows, open."""
        with faults.gathered() as notes, self._held():
            context, models, stages = self._stages.models()
            files = self._files(context)
            files.measure({name: list(made.values())[-1] for name, made in models.items()}, stages)
            report = self._assembled(files, stages)
            report["data_notes"] = [{"source": one.source, "text": one.text} for one in notes]
            report["expect"] = self._expected(files)
            report["paired"] = list(files.paired(self.name))
            gallery = Gallery(context.task, files.artifacts)
            write(report, self.workdir, gallery)
            return report, gallery

    @contextlib.contextmanager
    def chain(self) -> Iterator[Chain]:
        """Yields the recipe's stages (reused where finished) and artifacts, with the folder held.

        Nothing is measured.
        """
        with self._held():
            context, models, _ = self._stages.models(controls=False)
            made = models["baseline"] | models[self._stages.shipped]
            model, files = list(made.values())[-1], self._files(context)
            wanted = files.accepted(self._stages.shipped, model, self.experiment.targets)
            converted = [files.made(self._stages.shipped, model, target) for target in wanted]
            artifacts = [artifact for artifact in converted if artifact]
            if not artifacts:
                raise BadInput(files.skipped[-1]["reason"])
            yield Chain(context, made, artifacts)

    @contextlib.contextmanager
    def opened(self) -> Iterator[Context]:
        """Yields the context with the baseline in it (trained, reused or given), with the folder held."""
        with self._held():
            yield self._stages.baseline()

    @functools.cached_property
    def _stages(self) -> Stages:
        return Stages(
            name=self.name, experiment=self.experiment, workdir=self.workdir, seed=self.seed,
            deterministic=self.deterministic,
        )  # fmt: skip

    def _files(self, context: Context) -> Files:
        stages, folder = self._stages, self.workdir / "artifacts"
        return Files(
            context, stages.recipes, folder, self.experiment.measures, refused=stages.refused,
            asked=self.experiment.asks_for,
        )  # fmt: skip

    def _held(self) -> contextlib.AbstractContextManager:
        """Holds the folder for this process alone; raises BadInput where a run must not write there."""
        return run_folder.held(self.workdir, dict(run_folder.inputs(settings(self.experiment))))

    @property
    def judged(self) -> tuple[str, str]:
        """Returns the row, (stage, target), that the expectations are about (`Stages.judged`)."""
        return self._stages.judged

    @property
    def _wanted(self) -> str:
        """Returns the name of the row that the expectations are about."""
        return "/".join(self.judged)

    def _assembled(self, files: Files, stages: list[dict]) -> dict[str, Any]:
        """Returns the report without its verdicts and its comparisons."""
        known = self._stages.description()
        headline = self._wanted if self.experiment.recipe or self.experiment.expect.target else files.rows[0]["name"]
        headline = headline if headline in files.artifacts else files.rows[0]["name"]
        return {
            "schema": SCHEMA, "experiment": self.name, "seed": self.seed, "environment": known["environment"],
            "task": settings(self.experiment.task), "settings": known["settings"],
            "data_fingerprint": known["data_fingerprint"], "baseline": {"val_score": stages[0]["val_score"]},
            "headline": headline, "rows": files.rows, "skipped": files.skipped, "stages": stages,
        }  # fmt: skip

    def _asked(self, context: Context) -> Expect:
        """Returns the expectations that are about the baseline there is, and says which others are left out."""
        task, expect = self.experiment.task, self.experiment.expect
        if not self.spared or not task.given():
            return expect
        own, given = (sorted(tuple(one.shape) for one in model.weights)
                      for model in (task.build(getattr(task, "network", None)), context.baseline))  # fmt: skip
        if own == given:
            return expect
        names = ", ".join(self.spared)
        logging.warning(
            "not judged, for it is about the experiment's own network and the given model is another: %s. Ask for what "
            "you want of yours with --set=expect.%s=...", names, self.spared[0],
        )  # fmt: skip
        return dataclasses.replace(expect, **dict.fromkeys(self.spared))

    def _expected(self, files: Files) -> list[dict]:
        """Returns the verdicts.

        An expected latency that a busy machine leaves open is measured again, for PATIENCE_S seconds at most; the row
        keeps what repeated best.
        """
        expect, deadline, wanted = self._asked(files.context), time.monotonic() + PATIENCE_S, self._wanted
        judged = next((row for row in files.rows if row["name"] == wanted), None)
        measure = next((m for m in self.experiment.measures if m.timed), None)
        verdicts = expect.verdicts(judged, files.rows)
        while measure and any(one["passed"] is None for one in verdicts) and time.monotonic() < deadline:
            logging.info("%s: its time repeats only within %.0f %%, measured again", wanted, 100 * speed.spread(judged))
            again = measure(files.artifacts[wanted], next(iter(files.artifacts.values())), files.context)
            if speed.spread(again) < speed.spread(judged):
                judged |= again
            verdicts = expect.verdicts(judged, files.rows)
        return verdicts
