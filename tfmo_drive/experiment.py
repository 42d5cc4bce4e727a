"""Runs the flow: baseline -> steps -> targets -> measures -> report, every stage saved and reused."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from absl import logging

from tfmo_drive.base import atomic, environment, faults, finite, order, progress, python_file, run_folder, speed
from tfmo_drive.base.keras2 import keras, tf
from tfmo_drive.base.overrides import settings
from tfmo_drive.base.row_keys import joined
from tfmo_drive.base.spelling import suggestion
from tfmo_drive.contracts import Artifact, BadInput, Context, Measure, Step, Target, Task, compress, refuse
from tfmo_drive.expect import Expect
from tfmo_drive.measures.accuracy import Accuracy
from tfmo_drive.measures.cost import Cost
from tfmo_drive.measures.latency import Latency
from tfmo_drive.measures.memory import Memory
from tfmo_drive.measures.size import Size
from tfmo_drive.networks import own_model
from tfmo_drive.report.row_facts import completed, summary
from tfmo_drive.report.schema import SCHEMA
from tfmo_drive.report.write_report import write
from tfmo_drive.scores.gallery import Gallery
from tfmo_drive.steps.train import Train
from tfmo_drive.targets.litert import LiteRTFloat32
from tfmo_drive.training import scoring

MEASURES: tuple[Measure, ...] = (Accuracy(), Size(), Cost(), Memory(), Latency())
"""The measures of every row, by default."""
SCORES = ("keras_score", "val_score", "seconds")
"""The facts of every finished stage."""
_REUSED = "finished already, reused"
PATIENCE_S = 60.0
"""The seconds for which an expected latency is measured again where the machine is busy."""


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
    targets: tuple[Target, ...] = (LiteRTFloat32(),)
    training: Train = Train(epochs=8, learning_rate=0.05, warmup_epochs=0.5)
    """The training of the baseline where none is given (task.baseline)."""
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
            if name == "baseline" or not name.isidentifier():
                raise BadInput(f"Experiment.controls: {name!r} cannot name a row. Use a word such as longer_training.")
            order.refuse(recipe)
            for step in recipe:
                step.refuse_task(self.task)

    def _refuse_other_kinds(self):
        """Raises BadInput for a setting of another kind, such as one step in place of a recipe, which would else fail
        far from here."""
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
    def all_targets(self) -> tuple[Target, ...]:
        """Returns the targets with the float target first: everything is compared with the baseline there."""
        given = [target for target in self.targets if target.name == LiteRTFloat32.name]
        return (given[0] if given else LiteRTFloat32(), *(t for t in self.targets if t not in given))


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
        if self.name in ("baseline", *self.experiment.controls) and self.experiment.recipe:
            raise BadInput(f"The experiment is called {self.name}, as other rows are. Rename its file.")

    @property
    def _shipped(self) -> str:
        """Returns the stage whose rows the experiment is about: the recipe's, or the baseline's where there is none."""
        return self.name if self.experiment.recipe else "baseline"

    def _held(self) -> contextlib.AbstractContextManager:
        """Holds the folder for this process alone; raises BadInput where a run must not write there."""
        return run_folder.held(self.workdir, dict(run_folder.inputs(settings(self.experiment))))

    @property
    def _wanted(self) -> str:
        """Returns the name of the row that the expectations are about."""
        return f"{self._shipped}/{self.experiment.expect.target or self.experiment.targets[-1].name}"

    def report(self) -> dict[str, Any]:
        """Makes everything (stages, artifacts, rows, report files) and returns the report.

        Raises BadInput and BrokenPromise.
        """
        return self.measured()[0]

    def measured(self) -> tuple[dict[str, Any], Gallery]:
        """Returns what `report` returns, and the artifacts by the names of their rows, open."""
        with self._held():
            context, models, stages = self._stages()
            rows, skipped, artifacts = [], [], {}
            for row, artifact in self._rows(context, models, skipped):
                rows.append(completed(row, rows, stages))
                artifacts[row["name"]] = artifact
            report = self._assembled(context, rows, skipped, stages)
            report["expect"] = self._expected(context, rows, artifacts)
            report["paired"] = list(self._paired(context, artifacts))
            gallery = Gallery(context.task, artifacts)
            write(report, self.workdir, gallery)
            return report, gallery

    @contextlib.contextmanager
    def chain(self) -> Iterator[Chain]:
        """Yields the recipe's stages (reused where finished) and artifacts, with the folder held.

        Nothing is measured.
        """
        with self._held():
            context, models, _ = self._stages(controls=False)
            made, refused = models["baseline"] | models[self._shipped], []
            model = list(made.values())[-1]
            wanted = [t for t in self.experiment.targets if not self._refused(model, t, self._shipped, refused)]
            for one in refused:
                logging.warning("%s: %s", one["target"], one["reason"])
            yield Chain(context, made, [self._artifact(self._shipped, model, target, context) for target in wanted])

    @contextlib.contextmanager
    def opened(self) -> Iterator[Context]:
        """Yields the context with the baseline in it (trained, reused or given), with the folder held."""
        with self._held():
            with progress.through(self._steps({})):
                context, _ = self._begun(record=False)
            yield context

    def _begun(self, record: bool = True) -> tuple[Context, dict]:
        """Returns the context, and the facts of the baseline's stage."""
        if self.deterministic:
            tf.config.experimental.enable_op_determinism()
        keras.utils.set_random_seed(self.seed)
        experiment = self.experiment
        context = Context(experiment.task, None, experiment.all_targets, self.workdir / "stages", self.seed)
        baseline, facts = self._baseline(context, record)
        return dataclasses.replace(context, baseline=baseline), facts

    def _stages(self, controls: bool = True) -> tuple[Context, dict[str, dict[str, keras.Model]], list[dict]]:
        """Returns the context, the models by row and stage in order, and the facts of the stages."""
        for step in (*self.experiment.recipe, *(s for recipe in self.experiment.controls.values() for s in recipe)):
            for path in step.files:
                if not path.exists():
                    raise BadInput(f"{step.name} needs {path}, which is not there. Put it back, or name another.")
        recipes = {self.name: self.experiment.recipe} | (dict(self.experiment.controls) if controls else {})
        with progress.through(self._steps(recipes)):
            context, facts = self._begun(record=controls)
            models, stages = {"baseline": {"0_baseline": context.baseline}}, [facts]
            for name, recipe in recipes.items():
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
            steps += [(f"{type(step).__name__}{of}", getattr(step, "all_epochs", 0)) for step in recipe]
        return steps

    def _settings(self) -> dict[str, Any]:
        task = self.experiment.task
        return {
            "experiment": self.name, "seed": self.seed, "deterministic": self.deterministic,
            "settings": settings(self.experiment), "data_fingerprint": task.fingerprint(),
            "environment": environment.describe(),
        }  # fmt: skip

    def _baseline(self, context: Context, record: bool) -> tuple[keras.Model, dict]:
        task, trainer = context.task, self.experiment.training
        model = task.build()
        for recipe in (self.experiment.recipe, *self.experiment.controls.values()):
            refuse(recipe, model)
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
        if record or not (self.workdir / "experiment.json").exists():
            atomic.write_json(self.workdir / "experiment.json", self._settings())
        stage = run_folder.StageFolder(folder, key, SCORES)
        if stage.finished and not given:
            with stage.read():
                model.load_weights(str(stage.weights))
            finite.refuse_weights(model, f"stage {stage.path}")
            progress.say(_REUSED)
        elif not stage.finished:
            started = time.perf_counter()
            if not given:
                progress.say(f"{trainer.epochs} epochs")
                model = trainer(model, dataclasses.replace(context, workdir=stage.path))
            self._finish(stage, model, trainer if not given else None, context, started)
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
        for count, step, compressed in compress(model, recipe, context, done):
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

    def _rows(
        self, context: Context, models: dict[str, dict[str, keras.Model]], skipped: list[dict]
    ) -> Iterator[tuple[dict, Artifact]]:
        pairs = [(name, list(made.values())[-1], target) for name, made in models.items() for target in context.targets]
        pairs = [pair for pair in pairs if not self._refused(pair[1], pair[2], pair[0], skipped)]
        reference, begun = None, time.perf_counter()
        for count, (name, model, target) in enumerate(pairs, start=1):
            place = f"row {count} of {len(pairs)}: {name}/{target.name}"
            started = time.perf_counter()
            artifact = self._artifact(name, model, target, context)
            seconds = time.perf_counter() - started
            logging.info("%s, converted in %s", place, progress.duration(seconds))
            first = reference is None
            reference = reference or artifact
            row = {"name": f"{name}/{target.name}", "stage": name, "target": target.name, "reference": first}
            row |= {"runtime": artifact.runtime, "threads": artifact.threads, "seconds": round(seconds, 2)}
            row = joined(row, artifact.notes, artifact)
            for measure in self.experiment.measures:
                found = measure(artifact, reference, context)
                row = joined(row, found, measure)
                if not measure.has_section:
                    row["own_numbers"] = [*row.get("own_numbers", ()), *found]
            now = time.perf_counter()
            left = (now - begun) / count * (len(pairs) - count)
            said = [place, f"measured in {progress.duration(now - started - seconds)}", summary(row)]
            logging.info("%s", ", ".join(said + [f"{progress.duration(left)} left"] * (left > 0)))
            yield row, artifact

    def _paired(self, context: Context, artifacts: dict[str, Artifact]) -> Iterator[dict]:
        """Yields the recipe's rows compared with the controls' on the same target, example by example."""
        measures = [measure for measure in self.experiment.measures if measure.paired]
        if self.experiment.controls and not measures:
            logging.warning("No measure compares the recipe with its controls example by example. Accuracy() does.")
        for control in self.experiment.controls if measures else ():
            for target in context.targets:
                row, against = f"{self.name}/{target.name}", f"{control}/{target.name}"
                if row in artifacts and against in artifacts:
                    kept = {}
                    for measure in measures:
                        found = measure(artifacts[row], artifacts[against], context)
                        kept |= {key: found[key] for key in measure.paired}
                    yield {"row": row, "against": against, **kept}

    def _refused(self, model: keras.Model, target: Target, name: str, skipped: list[dict]) -> bool:
        reason = target.refuses(model)
        if reason:
            skipped.append({"stage": name, "target": target.name, "reason": reason})
        return bool(reason)

    def _artifact(self, name: str, model: keras.Model, target: Target, context: Context) -> Artifact:
        folder = self.workdir / "artifacts" / name / target.name
        folder.mkdir(parents=True, exist_ok=True)
        artifact = target(model, folder, context)
        recipes = {self.name: self.experiment.recipe, **self.experiment.controls}
        for step in recipes.get(name, ()):
            step.check_artifact(artifact)
        return artifact

    def _assembled(self, context: Context, rows: list[dict], skipped: list[dict], stages: list[dict]) -> dict[str, Any]:
        known = self._settings()
        headline = self._wanted if self.experiment.recipe or self.experiment.expect.target else rows[0]["name"]
        return {
            "schema": SCHEMA, "experiment": self.name, "seed": self.seed, "environment": known["environment"],
            "task": settings(context.task), "settings": known["settings"],
            "data_fingerprint": known["data_fingerprint"], "baseline": {"val_score": stages[0]["val_score"]},
            "headline": headline, "rows": rows, "skipped": skipped, "stages": stages,
            "data_notes": faults.noted(path for _, path in run_folder.inputs(known["settings"])),
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

    def _expected(self, context: Context, rows: list[dict], artifacts: dict[str, Artifact]) -> list[dict]:
        """Returns the verdicts.

        An expected latency that a busy machine leaves open is measured again, for PATIENCE_S seconds at most; the row
        keeps what repeated best.
        """
        expect, deadline, wanted = self._asked(context), time.monotonic() + PATIENCE_S, self._wanted
        judged = next((row for row in rows if row["name"] == wanted), None)
        measure = next((m for m in self.experiment.measures if m.timed), None)
        verdicts = expect.verdicts(judged, rows)
        while measure and any(one["passed"] is None for one in verdicts) and time.monotonic() < deadline:
            logging.info("%s: its time repeats only within %.0f %%, measured again", wanted, 100 * speed.spread(judged))
            again = measure(artifacts[wanted], artifacts[rows[0]["name"]], context)
            if speed.spread(again) < speed.spread(judged):
                judged |= again
            verdicts = expect.verdicts(judged, rows)
        return verdicts
