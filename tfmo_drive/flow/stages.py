"""Makes the models of a run, or reads them back: the baseline, then what every step of every recipe leaves of it."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tfmo_drive.base import atomic, environment, finite, progress, python_file, run_folder
from tfmo_drive.base.keras2 import keras, tf
from tfmo_drive.base.overrides import settings
from tfmo_drive.base.recipe import SMALL, apply_steps, refuse_model
from tfmo_drive.contracts import BadInput, Context, Step
from tfmo_drive.experiment import Experiment
from tfmo_drive.flow import small_control
from tfmo_drive.flow.int8_costs import refuse_avoidable
from tfmo_drive.flow.refused_rows import refused
from tfmo_drive.networks import own_model
from tfmo_drive.runtimes import tflite_model
from tfmo_drive.training import scoring

SCORES = ("keras_score", "val_score", "seconds")
"""The facts of every finished stage."""
_REUSED = "finished already, reused"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Stages:
    """Makes every stage of a run in a folder of its own, once: one that is finished is read back."""

    name: str
    """The name of the experiment's recipe."""
    experiment: Experiment
    workdir: Path
    """The run folder, which the caller holds."""
    seed: int
    deterministic: bool
    refused: dict[tuple[str, str], str] = dataclasses.field(default_factory=dict)
    """Why rows, (recipe, target), cannot be made, as far as that is known before training (`models`)."""

    @property
    def recipes(self) -> dict[str, tuple[Step, ...]]:
        """Returns the experiment's recipe and those of its controls, by the names of their rows."""
        return {self.name: self.experiment.recipe, **self.experiment.all_controls}

    @property
    def shipped(self) -> str:
        """Returns the row name that the experiment is about: the recipe's, or the baseline's where there is none."""
        return self.name if self.experiment.recipe else "baseline"

    @property
    def judged(self) -> tuple[str, str]:
        """Returns the row, (recipe, target), that the expectations are about.

        Where nothing is said of a row, it is the last of the experiment's targets that can be made.
        """
        expect, targets = self.experiment.expect, [target.name for target in self.experiment.targets]
        made = [name for name in targets if (self.shipped, name) not in self.refused]
        return self.shipped, expect.target or (made or targets)[-1]

    @property
    def _needed(self) -> tuple[tuple[str, str], ...]:
        """Returns the rows without which the run is not worth its training: the reference, and one that has bounds."""
        expect, targets = self.experiment.expect, self.experiment.targets
        bounded = [(self.shipped, expect.target or targets[-1].name)] if expect.asked() or expect.target else []
        return (("baseline", self.experiment.all_targets[0].name), *bounded)

    def description(self) -> dict[str, Any]:
        """Returns what experiment.json says of the run: settings, seed, data and environment, in JSON types."""
        return {
            "experiment": self.name, "seed": self.seed, "deterministic": self.deterministic,
            "settings": settings(self.experiment), "data_fingerprint": self.experiment.task.fingerprint(),
            "environment": environment.describe(),
        }  # fmt: skip

    def baseline(self) -> Context:
        """Returns the context with the baseline in it: trained, read back or given."""
        with progress.through(self._steps({})):
            return self._begun(record=False)[0]

    def models(self, controls: bool = True) -> tuple[Context, dict[str, dict[str, keras.Model]], list[dict]]:
        """Makes the stages of the recipe, and those of the controls where they are wanted.

        Returns:
            The context; the models by row and stage in their order, {"baseline": {"0_baseline": ...}, ...}; and what
            report.json says of each stage.
        """
        for step in (step for recipe in self.recipes.values() for step in recipe):
            for path in step.files:
                if not path.exists():
                    raise BadInput(f"{step.name} needs {path}, which is not there. Put it back, or name another.")
        wanted = {name: recipe for name, recipe in self.recipes.items() if controls or name == self.name}
        with progress.through(self._steps(wanted)):
            rows = {"baseline": ()} | {name: recipe for name, recipe in wanted.items() if recipe}
            context, facts = self._begun(record=controls, wanted=rows)
            models, stages = {"baseline": {"0_baseline": context.baseline}}, [facts]
            for name, recipe in wanted.items():
                if name == SMALL:
                    made = [context.baseline, *models[self.name].values()]
                    recipe = small_control.in_time(recipe, self.experiment.recipe, made, context.task)
                if recipe:
                    own = context.workdir if name == self.name else context.workdir / name
                    place = dataclasses.replace(context, workdir=own)
                    models[name] = self._compressed(name, recipe, place, facts["key"], stages)
        return context, models, stages

    def _steps(self, recipes: Mapping[str, tuple[Step, ...]]) -> list[tuple[str, int]]:
        """Returns (name, epochs of training) of every step, in the order in which they run."""
        steps = [("baseline", self.experiment.training.epochs)]
        for name, recipe in recipes.items():
            of = "" if name == self.name else f" of {name}"
            epochs = [0 if name == SMALL else getattr(step, "all_epochs", 0) for step in recipe]  # known in time
            steps += [(f"{type(step).__name__}{of}", count) for step, count in zip(recipe, epochs, strict=True)]
        return steps

    def _begun(self, record: bool, wanted: Mapping[str, tuple[Step, ...]] | None = None) -> tuple[Context, dict]:
        """Returns the context, and the facts of the baseline's stage.

        `record` is for a run that is measured: it writes experiment.json anew, unless what int8 would lose refuses the
        run. The rows of `wanted` recipes are tried before anything is trained.
        """
        if self.deterministic:
            tf.config.experimental.enable_op_determinism()
        keras.utils.set_random_seed(self.seed)
        experiment = self.experiment
        context = Context(experiment.task, None, experiment.all_targets, self.workdir / "stages", self.seed)
        baseline, facts = self._baseline(context, record, wanted or {})
        return dataclasses.replace(context, baseline=baseline), facts

    def _try(self, model: keras.Model, recipes: Mapping[str, tuple[Step, ...]], context: Context) -> None:
        """Fills `refused`; raises BadInput where a needed row cannot be made, or none of the experiment's own rows."""
        self.refused.update(refused(model, recipes, context))
        for row in self._needed:
            if row == self._needed[0] and tflite_model.file_of(model):
                continue  # the file is its own reference, whatever it computes in
            if row in self.refused:
                said = f"{'/'.join(row)} cannot be made, and the run is about it. {self.refused[row]}"
                raise BadInput(f"{said}{self._instead(row)}")
        rows = [self.refused.get((self.shipped, target.name)) for target in self.experiment.targets]
        if recipes and all(rows):
            raise BadInput(f"No target takes what {self.shipped} makes. {rows[0]}")
        for (name, target), reason in self.refused.items():
            if self.experiment.asks_for(name, target):
                progress.say(f"{name}/{target} will be skipped: {reason}")

    def _instead(self, row: tuple[str, str]) -> str:
        """Returns, as a sentence behind a blank, which of the experiment's targets the run may be about instead."""
        targets = [target.name for target in self.experiment.targets]
        made = [name for name in targets if (row[0], name) not in self.refused]
        if row not in self._needed[1:] or not made:
            return ""
        those = f" ({', '.join(made)})" if len(made) > 1 else ""
        return f" To judge another target's file instead, type --set=expect.target={made[-1]}{those}."

    def _foresee(self, model: keras.Model, context: Context) -> None:
        """Raises BadInput where the judged row is an int8 file that will lose what two untrained steps give back.

        Args:
            model: The baseline with its final weights. One that is given or reused is asked about before the run has
                written anything; one that was trained here stays in its stage, where the corrected run finds it.
            context: Gives task and targets.
        """
        row = "/".join(self.judged)
        target = next(one for one in context.targets if one.name == self.judged[1])
        refuse_avoidable(row, self.experiment.recipe, target, dataclasses.replace(context, baseline=model))

    def _baseline(
        self, context: Context, record: bool, wanted: Mapping[str, tuple[Step, ...]]
    ) -> tuple[keras.Model, dict]:
        task, trainer = context.task, self.experiment.training
        model = task.build()
        for recipe in self.recipes.values():
            refuse_model(recipe, model, task)
        self._try(model, wanted, context)
        given = task.given()
        if given:
            progress.say(f"given, val score {scoring.Scorer(model, task).selection_score('val'):.4f}")
        facts = [task.identity(), task.fingerprint(), self.seed, self.deterministic]
        facts += [given] if given else [settings(trainer)]
        key, folder = run_folder.key(*facts), context.workdir / "0_baseline"
        found = run_folder.read_facts(folder)
        if found.get("finished") and found.get("key", key) != key:
            raise BadInput(
                f"{self.workdir} holds a run of other data, weights, seed, task.*, training.* or --deterministic "
                "(experiment.json says which). Repeat them, or choose another folder with --workdir."
            )
        if given and record:
            self._foresee(model, context)
        stage = run_folder.StageFolder(folder, key, SCORES)
        if stage.finished and not given:
            with stage.read():
                model.load_weights(str(stage.weights))
            finite.refuse_weights(model, f"stage {stage.path}")
            progress.say(_REUSED)
            if record:
                self._foresee(model, context)
        if record or not (self.workdir / "experiment.json").exists():
            atomic.write_json(self.workdir / "experiment.json", self.description())
        if not stage.finished:
            started = time.perf_counter()
            if not given:
                progress.say(f"{trainer.epochs} epochs")
                model = trainer(model, dataclasses.replace(context, workdir=stage.path))
            self._finish(stage, model, trainer if not given else None, context, started)
            if record and not given:
                self._foresee(model, context)
        return model, {"name": "0_baseline", "recipe": "baseline", **stage.facts, "curves": stage.curves()}

    def _compressed(
        self, name: str, recipe: tuple[Step, ...], context: Context, base: str, stages: list
    ) -> dict[str, keras.Model]:
        folders = []
        for count, step in enumerate(recipe, start=1):
            files = [run_folder.file_digest(path) for s in recipe[:count] for path in s.files]
            own = [code] if (code := python_file.own_code(recipe[:count])) else []
            key = run_folder.key(base, [settings(s) for s in recipe[:count]], files, *own)
            folders.append(run_folder.StageFolder(context.workdir / f"{count}_{step.name}", key, SCORES))
        models, model, done, before = {}, context.baseline, 0, len(stages)
        while done < len(recipe) and folders[done].finished:
            progress.begin(before + done + 1)
            progress.say(_REUSED)
            with folders[done].read():
                models[folders[done].path.name] = model = recipe[done].reload(model, folders[done].weights, context)
            finite.refuse_weights(model, f"stage {folders[done].path}")
            done += 1
            for kept in recipe[:done]:
                kept.check(model)
        started = time.perf_counter()
        if done < len(recipe):
            progress.begin(before + done + 1)
        for count, step, compressed in apply_steps(recipe, model, context, done):
            models[folders[count - 1].path.name] = compressed
            self._finish(folders[count - 1], compressed, step, context, started)
            started = time.perf_counter()
            if count < len(recipe):
                progress.begin(before + count + 1)
        for folder in folders:
            stages.append({"name": folder.path.name, "recipe": name, **folder.facts, "curves": folder.curves()})
        return models

    def _finish(self, stage: run_folder.StageFolder, model, step: Step | None, context: Context, started: float):
        seconds = time.perf_counter() - started
        finite.refuse_weights(model, f"stage {stage.path.name}")
        scorer = scoring.Scorer(model, context.task)
        keras_score, val_score = scorer("test"), scorer.selection_score("val")
        progress.say(f"finished in {progress.duration(seconds)}, Keras score {keras_score:.4f} on test")
        seconds = max(seconds, sum(stage.curves().get("seconds", [])))  # a resumed stage counts its earlier epochs too
        facts = {"keras_score": keras_score, "val_score": val_score, "seconds": round(seconds, 1)}
        known = context.task.metadata(model)
        facts |= {"preprocessing": context.task.preprocessing.name, "labels": known.get("labels")}
        facts |= {"units": own_model.units(known)}
        found = step.skipped_layers(model) if step else {}
        skipped = {layer: why for layer, why in found.items() if layer not in model.output_names}  # which stay anyway
        for layer, reason in skipped.items():
            progress.say(f"{layer} is left alone: {reason}")
        facts |= {"skipped_layers": skipped, "promise": getattr(step, "promise", None), "settings": settings(step)}
        stage.finish(model, facts)
